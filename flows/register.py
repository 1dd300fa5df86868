"""Register: package a model, store its blobs, give it a version and, where wanted, an alias."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.ids import VersionId, check_name
from core.values import START, Position
from flows.learning.learners import learner_reader
from flows.registry import adding, pointing, rules, showing
from flows.registry.adding import NOTHING_SAID
from models import about as abouts
from models.about import About
from models.package import Package
from routing.changes import Who
from store import audit, positions
from store.blobs import Blobs
from store.engine import Store

show_version = showing.show_version
"""Stands here as well, since whoever registers a version shows what came of it."""


def register(
    store: Store,
    blobs: Blobs,
    model: str,
    path: Path,
    who: Who,
    *,
    alias: str | None = None,
    about: About = NOTHING_SAID,
    journal_end: Callable[[], Position] = lambda: START,
    **asked: Any,
) -> VersionId:
    """The next version of `model`, made from the file, factory or remote model that `path` names.

    `asked` is what `models.building.build` takes beside the path. `about` is what people say of the version. Raises Rejected, Invalid or
    Malformed with the reason, and what `check` and `add` raise.
    """
    check(store, model, alias, about)
    from flows.watching.losses import with_losses
    from models.building import build  # here, because workers load what they never build

    built = with_losses(build(path, **asked))
    # Blobs first: a version that can be seen can be loaded.
    for content in built.blobs.values():
        blobs.put(content)
    return add(store, blobs, model, built, who, alias=alias, about=about, journal_end=journal_end)


def check(store: Store, model: str, alias: str | None, about: About) -> None:
    """Raises Invalid, NotFound or Conflict where no version can be registered like that: before anything that takes long."""
    check_name(model, "model")
    about = abouts.check(about)
    adding.check_parents(store, about)
    if alias is not None:
        rules.check_new(store, model, pointing.check_alias(alias))


def add(
    store: Store,
    blobs: Blobs,
    model: str,
    package: Package,
    who: Who,
    *,
    alias: str | None = None,
    about: About = NOTHING_SAID,
    journal_end: Callable[[], Position] = lambda: START,
) -> VersionId:
    """The next version of `model`, of a package whose blobs are stored.

    Where it learns, its learner begins at `journal_end`: with what comes from now on. Raises NotFound where a parent does not exist,
    Conflict where `alias` has a rule: no new version meets one.
    """
    card = package.card
    with store.write() as connection:
        version = adding.add(connection, blobs, model, package, who.by, who.at, about)
        audit.write(connection, who.at, who.by, "model.register", str(version), source=card.source, digest=card.source_digest)
        if card.learns:
            positions.begin(connection, learner_reader(version), journal_end(), who.at)
        if alias is not None:
            pointing.point(connection, version, alias, who)
    return version
