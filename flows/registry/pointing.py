"""Aliases: where they point, who may move them, and where they have pointed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from core.clock import to_rfc3339
from core.errors import Conflict, Invalid, NotFound
from core.ids import VersionId, check_name, parse_version
from flows.registry import rules, uses
from routing.changes import Who
from store import alias_moves, audit, registry
from store.alias_moves import MoveRow
from store.engine import Store

_MILLISECOND = 1e-3


def check_alias(alias: str) -> str:
    """`alias` where it can be one: a name that is not a number, which would be taken for a version."""
    check_name(alias, "alias")
    if alias.isdigit():
        raise Invalid(f"alias: expected a name that is not a number, got {alias!r}", field="alias")
    return alias


def set_alias(store: Store, version: str, alias: str, who: Who, if_match: int | None = None) -> VersionId:
    """Point `alias` of the version's model at it; moving an alias never moves traffic.

    `if_match` is the number of the version that it must name now, 0: none. Raises NotFound; Conflict where that is another, where the
    version is retired, or where the alias has a rule that the version does not meet.
    """
    check_alias(alias)
    found = parse_version(version)
    with store.write() as connection:
        _match(connection, found.model, alias, if_match)
        point(connection, found, alias, who)
    return found


def point(connection: sa.Connection, version: VersionId, alias: str, who: Who) -> None:
    """The same inside the caller's transaction."""
    registry.version_row(connection, version)
    uses.check_not_retired(connection, version, "version")
    rules.check(connection, version, alias, who.by)
    move(connection, version, alias, who)


def move(connection: sa.Connection, version: VersionId, alias: str, who: Who) -> None:
    """Point the alias at the version, without asking whether it may."""
    was = registry.alias_row(connection, version.model, alias)
    registry.set_alias(connection, version, alias, who.by, who.at, who.reason)
    named = None if was is None else str(was.version)
    audit.write(connection, who.at, who.by, "model.alias", str(version), alias=alias, was=named, reason=who.reason)


def remove_alias(store: Store, model: str, alias: str, who: Who, if_match: int | None = None) -> None:
    """Take an alias away; its history and its rule stay. Raises NotFound, and Conflict as `set_alias` does."""
    with store.write() as connection:
        standing = registry.alias_row(connection, model, alias)
        if standing is None:
            raise NotFound(f"alias: model {model!r} has no alias {alias!r}", field="alias", code="alias-not-found")
        _match(connection, model, alias, if_match)
        registry.remove_alias(connection, model, alias, who.by, who.at, who.reason)
        audit.write(connection, who.at, who.by, "model.unalias", str(standing.version), alias=alias, reason=who.reason)


def show_alias(store: Store, model: str, alias: str) -> dict[str, Any]:
    """The version that an alias names, since when, and who put it there; raises NotFound."""
    check_alias(alias)
    with store.read() as connection:
        registry.resolve(connection, f"{model}@{alias}", "alias")
        row = registry.alias_row(connection, model, alias)
    if row is None:
        raise NotFound(f"alias: model {model!r} has no alias {alias!r}", field="alias", code="alias-not-found")
    return {"alias": alias, "version": str(row.version), "at": to_rfc3339(row.at), "by": row.by}


def history(store: Store, model: str, alias: str, limit: int, before: int | None = None) -> dict[str, Any]:
    """The moves of an alias, newest first; `next` is what to give as `before` for those before them. Raises NotFound where it has none."""
    with store.read() as connection:
        _check_known(connection, model, alias)
        rows = alias_moves.newest(connection, model, alias, limit + 1, before)
    following = rows[limit - 1].id if len(rows) > limit else None
    return {"model": model, "alias": alias, "moves": [*map(_shown, rows[:limit])], "next": following}


def named_at(store: Store, model: str, alias: str, at: float) -> dict[str, Any]:
    """What an alias named at the end of a millisecond; `version` is None before it was set, and after it was removed.

    So whoever asks for the time of a move, as it is shown, learns what it was moved to.
    """
    with store.read() as connection:
        _check_known(connection, model, alias)
        row = alias_moves.standing(connection, model, alias, at + _MILLISECOND)
    told: dict[str, str | None] = {"version": None, "since": None, "by": None, "reason": None}
    if row is not None:
        told = {"version": row.version and str(row.version), "since": to_rfc3339(row.at), "by": row.by, "reason": row.reason}
    return {"model": model, "alias": alias, "at": to_rfc3339(at), **told}


def _check_known(connection: sa.Connection, model: str, alias: str) -> None:
    registry.model_row(connection, model)
    if not alias_moves.newest(connection, model, alias, 1):
        raise NotFound(f"alias: model {model!r} has never had an alias {alias!r}", field="alias", code="alias-not-found")


def _match(connection: sa.Connection, model: str, alias: str, if_match: int | None) -> None:
    if if_match is None:
        return
    standing = registry.alias_row(connection, model, alias)
    number = 0 if standing is None else standing.version.number
    if number != if_match:
        what = f"names version {number}" if number else "does not stand"
        raise Conflict(f"If-Match: {model}@{alias} {what}, not {if_match}", field="If-Match", code="alias-changed")


def _shown(row: MoveRow) -> dict[str, Any]:
    return {"version": row.version and str(row.version), "at": to_rfc3339(row.at), "by": row.by, "reason": row.reason}
