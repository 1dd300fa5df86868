"""What people say of a version: kept beside its card, searched by, and changed later where it has to be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from core.errors import Invalid
from core.ids import check_name, parse_version
from core.values import Label

MAX_TEXT = 500
"""Characters of a tag, an owner, a licence, a parameter, or of where training data lies."""
MAX_DESCRIPTION = 4000
MAX_ITEMS = 200
"""Tags, metrics, parameters and parents of a version."""


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


def merge(about: About, changes: Mapping[str, Any]) -> About:
    """`about` with a JSON merge patch applied (RFC 7396): null takes a field, a metric or a parameter away.

    Raises Invalid naming the field.
    """
    merged = msgspec.to_builtins(about)
    for name, value in changes.items():
        if name not in About.__struct_fields__:
            raise Invalid(f"{name[:60]}: expected one of {', '.join(About.__struct_fields__)}", field=name[:60])
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            held = merged.get(name)
            each = {**(held if isinstance(held, dict) else {}), **value}
            merged[name] = {key: one for key, one in each.items() if one is not None}
        else:
            merged[name] = value
    try:
        return check(msgspec.convert(merged, About))
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`").partition("[")[0]
        raise Invalid(f"{field}: {what}", field=field) from None


def check(about: About) -> About:
    """`about` where it can be kept and searched; else Invalid naming the field. A tag that is given twice is one tag."""
    check_description(about.description, "description")
    for field in ("owner", "licence", "training_data", "training_data_digest", "commit"):
        check_text(getattr(about, field), field)
    for field in ("tags", "metrics", "parameters", "parents"):
        if len(getattr(about, field)) > MAX_ITEMS:
            raise Invalid(f"{field}: expected at most {MAX_ITEMS}, got {len(getattr(about, field))}", field=field)
    for tag in about.tags:
        _check_tag(tag)
    for name, figure in about.metrics.items():
        check_name(name, "metrics")
        if not math.isfinite(figure):
            raise Invalid(f"metrics.{name}: expected a finite number, got {figure}", field=f"metrics.{name}")
    for name, value in about.parameters.items():
        _check_parameter(name, value)
    for parent in about.parents:
        parse_version(parent, "parents")
    return msgspec.structs.replace(about, tags=tuple(dict.fromkeys(about.tags)), parents=tuple(dict.fromkeys(about.parents)))


def check_description(text: str, field: str) -> str:
    """`text` where it is a description: up to 4,000 characters, lines among them; else Invalid."""
    if len(text) > MAX_DESCRIPTION or any(not each.isprintable() and each not in "\n\t" for each in text):
        raise Invalid(f"{field}: expected at most {MAX_DESCRIPTION} printable characters, got {len(text)}", field=field)
    return text


def check_text(text: str, field: str) -> str:
    """`text` where it is one line of up to 500 printable characters, or nothing; else Invalid."""
    if len(text) > MAX_TEXT or not text.isprintable():
        raise Invalid(f"{field}: expected at most {MAX_TEXT} printable characters, got {text[:60]!r}", field=field)
    return text


def _check_tag(tag: str) -> None:
    if not tag.strip():
        raise Invalid("tags: expected a word or some, got an empty one", field="tags")
    check_text(tag, "tags")


def _check_parameter(name: str, value: Label) -> None:
    check_name(name, "parameters")
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid(f"parameters.{name}: expected a finite number, got {value}", field=f"parameters.{name}")
    if isinstance(value, str):
        check_text(value, f"parameters.{name}")
