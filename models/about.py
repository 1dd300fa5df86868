"""What people say of a version: kept beside its card, searched by, and changed later where it has to be."""

from __future__ import annotations

import msgspec

from core.values import Label


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What no file says by itself.

    `metrics` are figures that the author measured, such as auc. `parameters` are those of training. `training_data` says where that
    lies, `training_data_digest` what it was, `commit` which code made the model. `parents` are the versions that it was made from.
    """

    description: str = ""
    owner: str = ""
    licence: str = ""
    tags: tuple[str, ...] = ()
    metrics: dict[str, float] = {}
    parameters: dict[str, Label] = {}
    training_data: str = ""
    training_data_digest: str = ""
    commit: str = ""
    parents: tuple[str, ...] = ()
