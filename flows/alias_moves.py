"""The aliases of a rollback: where they point at in another plan, by the moves that lie between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from core.errors import Conflict, NotFound
from core.ids import VersionId
from flows import known
from flows.registry import rules
from routing.plan import AliasMove, Plan
from store import plans, registry


class _Between(NamedTuple):
    """From a plan to another: what is undone back to their common ancestor, newest first, and what is made from there on."""

    undone: list[AliasMove]
    made: list[AliasMove]


def moves_between(connection: sa.Connection, plan: Plan, target: Plan, mover: str) -> tuple[AliasMove, ...]:
    """The alias moves that going from a plan to another comes to: what was moved and is moved back on the way is none.

    Undoing moves is free. Raises Conflict where an alias would be moved anew to a version that its rule forbids, or to a deleted one.
    """
    undone, made = _between(connection, plan, target)
    moves = []
    for model, alias in sorted({(move.model, move.alias) for move in (*undone, *made)}):
        standing = registry.alias_row(connection, model, alias)
        if standing is None:
            continue
        been = _path(standing.version, alias, undone)
        version = _path(been[-1], alias, made)[-1]
        if version == standing.version:
            continue
        _check_there(connection, version, alias)
        if version not in been:
            rules.check(connection, version, alias, mover)
        moves.append(AliasMove(model, alias, standing.version.number, version.number))
    return tuple(moves)


def _between(connection: sa.Connection, plan: Plan, target: Plan) -> _Between:
    undone: list[AliasMove] = []
    made: list[AliasMove] = []
    here: Plan | None = plan
    there: Plan | None = target
    while here != there:
        # A parent's number is less than its child's, so the later of both is no ancestor of the other.
        if here is not None and (there is None or here.plan > there.plan):
            undone += [AliasMove(move.model, move.alias, move.now, move.was) for move in reversed(here.moved)]
            here = _parent(connection, here)
        elif there is not None:
            made = [*there.moved, *made]
            there = _parent(connection, there)
    return _Between(undone, made)


def _parent(connection: sa.Connection, plan: Plan) -> Plan | None:
    return None if plan.parent is None else known.decode_plan(plans.get(connection, plan.endpoint, plan.parent).body)


def _path(version: VersionId, alias: str, moves: Iterable[AliasMove]) -> list[VersionId]:
    """The versions that the alias names one after another; where somebody has moved it elsewhere meanwhile it is theirs, and stays."""
    path = [version]
    for move in moves:
        if (move.model, move.alias, move.was) == (version.model, alias, path[-1].number):
            path.append(VersionId(move.model, move.now))
    return path


def _check_there(connection: sa.Connection, version: VersionId, alias: str) -> None:
    try:
        registry.version_row(connection, version)
    except NotFound:
        raise Conflict(
            f"{version.model}@{alias} would name {version} again, which was deleted: point it elsewhere or take it away, and it stays so",
            field="alias",
            code="version-deleted",
        ) from None
