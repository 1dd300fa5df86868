"""How far each reader has come. A position moves by compare-and-set, in the transaction that stores what was read."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from core.errors import Conflict
from core.values import Position
from store import dialect
from store.tables import positions, set_aside


class PositionRow(NamedTuple):
    """A reader's position, its crashes there, and the journal time (seconds since the epoch) that it has reached."""

    position: Position
    crashes: int
    at: float


def begin(connection: sa.Connection, reader: str, start: Position, at: float) -> None:
    """Let a reader that is new start at `start`; one that has a position keeps it."""
    dialect.insert_new(
        connection, positions, [{"reader": reader, "segment": start.segment, "offset": start.offset, "crashes": 0, "at": at}]
    )


def get(connection: sa.Connection, reader: str) -> PositionRow | None:
    """The reader's position; None where it never began."""
    row = connection.execute(sa.select(positions).where(positions.c.reader == reader)).one_or_none()
    return None if row is None else _row(row)


def every(connection: sa.Connection) -> dict[str, PositionRow]:
    """All readers' positions."""
    return {row.reader: _row(row) for row in connection.execute(sa.select(positions).order_by(positions.c.reader))}


def advance(connection: sa.Connection, reader: str, before: Position, after: Position, at: float) -> None:
    """Move from `before` to `after`; raises Conflict where another process has moved it: this one is no longer the reader."""
    _update(connection, reader, before, segment=after.segment, offset=after.offset, crashes=0, at=at)


def hold(connection: sa.Connection, reader: str, place: Position) -> None:
    """Stay at `place`, in a transaction that stores something else; raises Conflict like `advance`. Crashes are counted on."""
    _update(connection, reader, place, segment=place.segment, offset=place.offset)


def count_start(connection: sa.Connection, reader: str) -> PositionRow:
    """Count a start as a crash until `advance` clears it, and say where the reader stands and how often it crashed there."""
    connection.execute(sa.update(positions).where(positions.c.reader == reader).values(crashes=positions.c.crashes + 1))
    found = get(connection, reader)
    if found is None:
        raise Conflict(f"reader {reader} never began", code="stale-reader")
    return found._replace(crashes=found.crashes - 1)


def put_aside(connection: sa.Connection, reader: str, position: Position, reason: str, at: float) -> None:
    """Remember an event that the reader could not get past."""
    row = {"reader": reader, "segment": position.segment, "offset": position.offset, "reason": reason, "at": at}
    dialect.upsert(connection, set_aside, [row])


def aside(connection: sa.Connection) -> dict[str, int]:
    """How many events each reader has put aside."""
    query = sa.select(set_aside.c.reader, sa.func.count().label("events")).group_by(set_aside.c.reader)
    return {row.reader: row.events for row in connection.execute(query)}


def aside_of(connection: sa.Connection, reader: str) -> set[Position]:
    """Where the events stand that a reader has put aside."""
    query = sa.select(set_aside.c.segment, set_aside.c.offset).where(set_aside.c.reader == reader)
    return {Position(row.segment, row.offset) for row in connection.execute(query)}


def drop(connection: sa.Connection, reader: str) -> None:
    """Forget a reader that is done for good."""
    connection.execute(sa.delete(positions).where(positions.c.reader == reader))


def _update(connection: sa.Connection, reader: str, before: Position, **values: float) -> None:
    moved = connection.execute(
        sa.update(positions)
        .where(positions.c.reader == reader, positions.c.segment == before.segment, positions.c.offset == before.offset)
        .values(**values)
    )
    if moved.rowcount != 1:
        raise Conflict(f"reader {reader} is at another position than {before}: another process reads for it", code="stale-reader")


def _row(row: sa.Row[tuple[object, ...]]) -> PositionRow:
    return PositionRow(Position(row.segment, row.offset), row.crashes, row.at)
