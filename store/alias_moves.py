"""The history of aliases: each row says which version an alias named from then on. Rows are only ever added."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from core.ids import VersionId
from store.tables import alias_moves


class MoveRow(NamedTuple):
    """From `at` on the alias named `version`; None: it was removed."""

    id: int
    version: VersionId | None
    at: float
    by: str
    reason: str


def add(connection: sa.Connection, model: str, alias: str, version: int | None, by: str, at: float, reason: str) -> None:
    """Keep a move."""
    connection.execute(
        sa.insert(alias_moves).values({"model": model, "alias": alias, "version": version, "by": by, "at": at, "reason": reason})
    )


def newest(connection: sa.Connection, model: str, alias: str, limit: int, before: int | None = None) -> list[MoveRow]:
    """At most so many moves of the alias, newest first; only those with an id below `before`, where it is given."""
    query = _of(model, alias)
    if before is not None:
        query = query.where(alias_moves.c.id < before)
    return [_row(row) for row in connection.execute(query.limit(limit))]


def standing(connection: sa.Connection, model: str, alias: str, before: float) -> MoveRow | None:
    """The last move before that time: what the alias named then. None: it had never been set."""
    row = connection.execute(_of(model, alias).where(alias_moves.c.at < before).limit(1)).one_or_none()
    return None if row is None else _row(row)


def ever_named(connection: sa.Connection, version: VersionId) -> bool:
    """Whether any alias has ever named the version."""
    query = sa.select(alias_moves.c.id).where(alias_moves.c.model == version.model, alias_moves.c.version == version.number)
    return connection.execute(query.limit(1)).one_or_none() is not None


def _of(model: str, alias: str) -> sa.Select[tuple[object, ...]]:
    where = (alias_moves.c.model == model, alias_moves.c.alias == alias)
    return sa.select(alias_moves).where(*where).order_by(alias_moves.c.id.desc())


def _row(row: sa.Row[tuple[object, ...]]) -> MoveRow:
    version = None if row.version is None else VersionId(row.model, row.version)
    return MoveRow(row.id, version, row.at, row.by, row.reason)
