"""Models and versions as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import to_rfc3339
from core.errors import NotFound
from core.ids import VersionId
from flows import batch_tests, known
from flows.registry.states import State, states
from flows.registry.uses import Use, Uses, brought_by
from models import dependencies
from store import lifecycle, registry
from store.engine import Store
from store.lifecycle import EventRow
from store.registry import AliasRow, ModelRow, VersionRow


def list_models(store: Store, limit: int, after: str = "") -> dict[str, Any]:
    """A page of models, by name, each with the number of its versions and its aliases; `next` is to be given as `after`."""
    with store.read() as connection:
        rows = registry.models_after(connection, after, limit + 1)
        aliases = registry.aliases_of(connection, [row.model for row in rows])
    following = rows[limit - 1].model if len(rows) > limit else None
    return {"models": [_model(row, aliases[row.model]) for row in rows[:limit]], "next": following}


def show_model(store: Store, model: str, limit: int, after: int = 0) -> dict[str, Any]:
    """A model, its aliases and the cards of a page of its versions, oldest first; `next` is to be given as `after`. Raises NotFound."""
    with store.read() as connection:
        row, aliases = registry.model_row(connection, model), registry.list_aliases(connection, model)
        rows = registry.versions_after(connection, model, after, limit + 1)
        state = states(connection, model, [each.version.number for each in rows], Uses(connection))
    following = rows[limit - 1].version.number if len(rows) > limit else None
    versions = [_version(each, aliases, state[each.version]) for each in rows[:limit]]
    return {**_model(row, aliases), "versions": versions, "next": following}


def show_version(store: Store, reference: str) -> dict[str, Any]:
    """The card of `credit@3` or `credit@champion`, its newest batch test, where it serves, and what happened to it; raises NotFound."""
    with store.read() as connection:
        version = registry.resolve(connection, reference, "version")
        uses = Uses(connection)
        shown = _version(
            registry.version_row(connection, version),
            registry.list_aliases(connection, version.model),
            states(connection, version.model, [version.number], uses)[version],
        )
        happened = lifecycle.events(connection, version)
        approvals = lifecycle.approvals(happened)
        return {
            **shown,
            "test": batch_tests.newest_summary(connection, version),
            "uses": [_use(connection, version, use) for use in uses.of(version)],
            "approvals": [*map(_event, approvals)],
            "events": [{"event": each.event, **_event(each)} for each in happened],
        }


def events_of(store: Store, version: VersionId) -> list[dict[str, Any]]:
    """What happened to a version, oldest first, also to one that was deleted; raises NotFound where there has never been one."""
    with store.read() as connection:
        happened = lifecycle.events(connection, version)
    if not happened:
        raise NotFound(f"no version {version}", field="version", code="version-not-found")
    return [{"event": each.event, **_event(each)} for each in happened]


def _use(connection: sa.Connection, version: VersionId, use: Use) -> dict[str, Any]:
    """A part that it plays; of an arm also since when, and who brought it."""
    shown = use._asdict()
    if use.kind == "shadow":
        return shown
    plan = brought_by(connection, version, use.endpoint)
    return {**shown, "plan": plan.plan, "since": to_rfc3339(plan.at), "by": plan.by}


def _version(row: VersionRow, aliases: Sequence[AliasRow], state: State) -> dict[str, Any]:
    """A version: its state and aliases, who registered it when, what is said of it, and its card."""
    names = [alias.alias for alias in aliases if alias.version == row.version]
    card, about = known.decode_card(row.card), msgspec.json.decode(row.about)
    warnings = dependencies.differing(card)
    shown = {"version": str(row.version), "state": state, "aliases": names, "at": to_rfc3339(row.at), "by": row.by}
    return {**shown, "revision": row.revision, "about": about, **msgspec.to_builtins(card), **({"warnings": warnings} if warnings else {})}


def _model(row: ModelRow, aliases: Sequence[AliasRow]) -> dict[str, Any]:
    return {
        "model": row.model,
        "description": row.description,
        "owner": row.owner,
        "revision": row.revision,
        "latest": None if row.latest is None else str(VersionId(row.model, row.latest)),
        "count": row.number,
        "aliases": {alias.alias: str(alias.version) for alias in aliases},
    }


def _event(row: EventRow) -> dict[str, Any]:
    return {"at": to_rfc3339(row.at), "by": row.by, "reason": row.reason}
