"""Register: package a model, store its blobs, give it a version and, where wanted, an alias."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import to_rfc3339
from core.errors import Invalid
from core.ids import VersionId, check_name, parse_version
from core.values import START, Position
from flows import known
from flows.learning.learners import learner_reader
from models.about import About
from models.learner.settings import Learning
from routing.changes import Who
from store import audit, positions, registry
from store.blobs import Blobs
from store.engine import Store
from store.registry import VersionRow

NOTHING_SAID = About()


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

    `about` is what people say of it.
    Where it learns, its learner begins at `journal_end`: with what comes from now on.
    """
    check_name(model, "model")
    if alias is not None:
        check_alias(alias)
    from flows.watching.losses import with_losses
    from models.building import build  # here, because workers load what they never build

    built = with_losses(build(path, sample=sample, target=target, trust_pickle=trust_pickle, learning=learning))
    # Blobs first: a version that can be seen can be loaded.
    for content in built.blobs.values():
        blobs.put(content)
    with store.write() as connection:
        version = registry.add_version(connection, model, known.encode(built.card), who.by, who.at, known.encode(about))
        audit.write(connection, who.at, who.by, "model.register", str(version), source=built.card.source, digest=built.card.source_digest)
        if built.card.learns:
            positions.begin(connection, learner_reader(version), journal_end(), who.at)
        if alias is not None:
            _point(connection, version, alias, who)
    return version


def set_alias(store: Store, version: str, alias: str, who: Who) -> VersionId:
    """Point `alias` of the version's model at it; moving an alias never moves traffic."""
    check_alias(alias)
    found = parse_version(version)
    with store.write() as connection:
        _point(connection, found, alias, who)
    return found


def check_alias(alias: str) -> str:
    """`alias` where it can be one: a name that is not a number, which would be taken for a version."""
    check_name(alias, "alias")
    if alias.isdigit():
        raise Invalid(f"alias: expected a name that is not a number, got {alias!r}", field="alias")
    return alias


def list_models(store: Store) -> list[dict[str, Any]]:
    """Every model with its versions' number and its aliases."""
    with store.read() as connection:
        return [_model(connection, name) for name in registry.list_models(connection)]


def show_model(store: Store, model: str) -> dict[str, Any]:
    """A model, its aliases and the cards of all its versions; raises NotFound."""
    with store.read() as connection:
        versions = [_describe(connection, row) for row in registry.list_versions(connection, model)]
        return {**_model(connection, model), "versions": versions}


def show_version(store: Store, reference: str) -> dict[str, Any]:
    """The card of `credit@3` or `credit@champion`; raises NotFound."""
    with store.read() as connection:
        version = registry.resolve(connection, reference, "version")
        return _describe(connection, registry.version_row(connection, version))


def _describe(connection: sa.Connection, row: VersionRow) -> dict[str, Any]:
    """A version as the API shows it: its aliases, who registered it when, and its card."""
    aliases = [alias.alias for alias in registry.list_aliases(connection, row.version.model) if alias.version == row.version]
    card, about = msgspec.to_builtins(known.decode_card(row.card)), msgspec.json.decode(row.about)
    return {"version": str(row.version), "aliases": aliases, "at": to_rfc3339(row.at), "by": row.by, "about": about, **card}


def _model(connection: sa.Connection, model: str) -> dict[str, Any]:
    versions = registry.list_versions(connection, model)
    aliases = {row.alias: str(row.version) for row in registry.list_aliases(connection, model)}
    return {"model": model, "latest": str(versions[-1].version), "count": len(versions), "aliases": aliases}


def _point(connection: sa.Connection, version: VersionId, alias: str, who: Who) -> None:
    registry.set_alias(connection, version, alias, who.by, who.at)
    audit.write(connection, who.at, who.by, "model.alias", str(version), alias=alias)
