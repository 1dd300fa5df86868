"""A new version: its row, its facts and its blobs, in the transaction of whoever adds it."""

from __future__ import annotations

import sqlalchemy as sa

from core.ids import VersionId
from flows import known
from flows.registry.facts import facts_of
from models.about import About
from models.package import Package
from store import registry, version_blobs, version_facts
from store.blobs import Blobs
from store.engine import Store

NOTHING_SAID = About()


def check_parents(store: Store, about: About) -> None:
    """Raises NotFound where a parent does not exist: before anything that takes long is done for its child."""
    with store.read() as connection:
        _check_parents(connection, about)


def add(
    connection: sa.Connection, blobs: Blobs, model: str, package: Package, by: str, at: float, about: About = NOTHING_SAID
) -> VersionId:
    """The next version of `model`; raises NotFound where a parent does not exist.

    The package's blobs were put before this transaction. Those that its card names and the package does not bring belong to a version
    from which it was made.
    """
    _check_parents(connection, about)
    card = package.card
    version = registry.add_version(connection, model, known.encode(card), by, at, known.encode(about))
    version_facts.replace(connection, version, facts_of(model, by, card, about))
    version_blobs.add(connection, version, card.blobs.values())
    for role, content in package.blobs.items():
        # A version that was deleted since may have taken the same blob along: from now on this one holds it.
        if not blobs.holds(card.blobs[role]):
            blobs.put(content)
    return version


def _check_parents(connection: sa.Connection, about: About) -> None:
    for parent in about.parents:
        registry.resolve(connection, parent, "parents")
