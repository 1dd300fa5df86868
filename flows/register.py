"""Register: package a model, store its blobs, give it a version and, where wanted, an alias."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.ids import VersionId, check_name
from core.values import START, Position
from flows.learning.learners import learner_reader
from flows.registry import adding, pointing, rules, showing
from flows.registry.adding import NOTHING_SAID
from models import about as abouts
from models.about import About
from models.learner.settings import Learning
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
    sample: Path | None = None,
    target: str | None = None,
    alias: str | None = None,
    trust_pickle: bool = False,
    learning: Learning = None,
    about: About = NOTHING_SAID,
    journal_end: Callable[[], Position] = lambda: START,
) -> VersionId:
    """The next version of `model`, made from the file or factory at `path`; raises Rejected, Invalid or Malformed with the reason.

    `about` is what people say of it; NotFound where a parent does not exist. Conflict where `alias` has a rule: no new version meets one.
    Where it learns, its learner begins at `journal_end`: with what comes from now on.
    """
    check_name(model, "model")
    about = abouts.check(about)
    adding.check_parents(store, about)
    if alias is not None:
        rules.check_new(store, model, pointing.check_alias(alias))
    from models.building import build  # here, because workers load what they never build

    built = build(path, sample=sample, target=target, trust_pickle=trust_pickle, learning=learning)
    # Blobs first: a version that can be seen can be loaded.
    for content in built.blobs.values():
        blobs.put(content)
    with store.write() as connection:
        version = adding.add(connection, blobs, model, built, who.by, who.at, about)
        audit.write(connection, who.at, who.by, "model.register", str(version), source=built.card.source, digest=built.card.source_digest)
        if built.card.learns:
            positions.begin(connection, learner_reader(version), journal_end(), who.at)
        if alias is not None:
            pointing.point(connection, version, alias, who)
    return version
