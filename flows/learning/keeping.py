"""Versions that a learner publishes: a snapshot of now and then, and a challenger that has learnt enough. They do not learn."""

from __future__ import annotations

from importlib.metadata import version
from platform import python_version
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from core.ids import VersionId
from core.values import Position
from flows.learning.origin import Origin
from flows.registry import adding, pointing, rules
from models.artefact import digest
from models.card import Card
from models.golden import Golden
from models.learner.settings import Learnt
from models.package import Package
from routing.changes import Who
from store import audit
from store.blobs import Blobs

CHALLENGER = "challenger"
"""The alias of a model that follows its newest grown challenger."""


class Keep(NamedTuple):
    """A version to be registered, all of its blobs stored; `alias` is to point at it, "" for none."""

    package: Package
    alias: str


def package_of(origin: Origin, blobs: Blobs, artefact: bytes, learnt: Learnt, source: str) -> Keep:
    """The pickle of a model as a static version: its blobs are stored here.

    Raises ModelFailed where the model does not answer its golden rows, Rejected where it cannot be revived, OSError.
    """
    model = origin.revive(artefact)
    golden = Golden(origin.golden.rows, origin.answers(model))
    contents = {"artefact": artefact, "golden": msgspec.json.encode(golden)}
    stored = {role: blobs.put(content) for role, content in contents.items()}
    card = card_of(origin, {**origin.card.blobs, **stored}, learnt, source, digest(artefact))
    return Keep(Package(card, contents), CHALLENGER if learnt.by == "challenger" else "")


def card_of(origin: Origin, stored: dict[str, str], learnt: Learnt, source: str, source_digest: str) -> Card:
    """The card of a version that was learnt: that of its base, but for where it came from."""
    return replace(
        origin.card,
        blobs=stored,
        source=source,
        source_digest=source_digest,
        versions={**origin.card.versions, "python": python_version(), "river": version("river")},
        notes=(_told(learnt),),
        river=replace(origin.river, settings=None, learnt=learnt),
    )


def _told(learnt: Learnt) -> str:
    """What it has learnt from decides what it sees, also when it does not learn any more: so the card says it."""
    rows = f"the rows that the learner of {learnt.taught_as} learns ({learnt.learns_from})"
    return f"learnt {learnt.labels} labels, beginning as {learnt.base}, of {rows}, up to {Position(*learnt.position)} of the journal"


def register(connection: sa.Connection, blobs: Blobs, model: str, keep: Keep, by: str, at: float, **detail: Any) -> VersionId:
    """Register it as the next version of `model`; its alias stays where it is, and the audit log says so, where its rule is not met."""
    made = adding.add(connection, blobs, model, keep.package, by, at)
    audit.write(connection, at, by, "model.register", str(made), **detail)
    if keep.alias:
        missing = rules.missing(connection, made, keep.alias, by)
        if missing:
            audit.write(connection, at, by, "model.alias.refused", str(made), alias=keep.alias, missing=missing)
        else:
            pointing.move(connection, made, keep.alias, Who(by, at, "it has learnt enough"))
    return made
