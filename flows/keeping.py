"""Versions that a learner publishes: a snapshot of now and then, and a challenger that has learnt enough. They do not learn."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from core.ids import VersionId
from core.values import Position
from flows import known
from flows.origin import Origin
from models.artefact import digest
from models.card import Card
from models.golden import Golden
from models.learner.settings import Learnt
from store import audit, registry
from store.blobs import Blobs

CHALLENGER = "challenger"
"""The alias of a model that follows its newest grown challenger."""


class Keep(NamedTuple):
    """A version to be registered, all of its blobs stored; `alias` is to point at it, "" for none."""

    card: bytes
    alias: str


def package_of(origin: Origin, blobs: Blobs, artefact: bytes, learnt: Learnt, source: str, alias: str = "") -> Keep:
    """The pickle of a model as a static version: its blobs are stored here.

    Raises ModelFailed where the model does not answer its golden rows, Rejected where it cannot be revived, OSError.
    """
    model = origin.revive(artefact)
    golden = Golden(origin.golden.rows, origin.answers(model))
    stored = {"artefact": blobs.put(artefact), "golden": blobs.put(msgspec.json.encode(golden))}
    return Keep(known.encode(card_of(origin, {**origin.card.blobs, **stored}, learnt, source, digest(artefact))), alias)


def card_of(origin: Origin, stored: dict[str, str], learnt: Learnt, source: str, source_digest: str) -> Card:
    """The card of a version that was learnt: that of its base, but for where it came from."""
    return replace(
        origin.card,
        blobs=stored,
        source=source,
        source_digest=source_digest,
        notes=(f"learnt {learnt.labels} labels from {learnt.base}, up to {Position(*learnt.position)} of the journal",),
        river=replace(origin.river, settings=None, learnt=learnt),
    )


def register(connection: sa.Connection, model: str, keep: Keep, by: str, at: float, **detail: Any) -> VersionId:
    """Register it as the next version of `model`."""
    version = registry.add_version(connection, model, keep.card, by, at)
    audit.write(connection, at, by, "model.register", str(version), **detail)
    if keep.alias:
        registry.set_alias(connection, version, keep.alias, by, at)
        audit.write(connection, at, by, "model.alias", str(version), alias=keep.alias)
    return version
