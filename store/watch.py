"""What `watch` has counted of each version at each endpoint, and the windows that it has judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from store import dialect
from store.tables import watch_states, watch_windows

Key = tuple[str, str]
"""Endpoint, version."""

MOST_WINDOWS = 200
"""Windows of a kind that are kept for a version; of the older ones those that raised an alarm, as many again."""

_COLUMNS = watch_windows.c


class WindowRow(NamedTuple):
    """One window of `kind` (rows, labels), numbered from 1. Only the newest has its detail; of others the summary is kept."""

    endpoint: str
    version: str
    kind: str
    number: int
    alarm: bool
    summary: bytes
    detail: bytes | None


def save_states(connection: sa.Connection, bodies: Mapping[Key, bytes]) -> None:
    """Replace what is counted."""
    rows = [{"endpoint": endpoint, "version": version, "body": body} for (endpoint, version), body in bodies.items()]
    dialect.upsert(connection, watch_states, rows)


def states(connection: sa.Connection, endpoint: str | None = None) -> dict[Key, bytes]:
    """What is counted, at one endpoint or at all."""
    query = sa.select(watch_states)
    if endpoint is not None:
        query = query.where(watch_states.c.endpoint == endpoint)
    return {(row.endpoint, row.version): row.body for row in connection.execute(query)}


def add_windows(connection: sa.Connection, rows: Iterable[WindowRow]) -> None:
    """Keep judged windows, and of those before them less and less."""
    for row in rows:
        mine = _of(row.endpoint, row.version, row.kind)
        connection.execute(sa.update(watch_windows).where(mine, _COLUMNS.detail.is_not(None)).values(detail=None))
        dialect.upsert(connection, watch_windows, [row._asdict()])
        old = sa.and_(mine, _COLUMNS.number <= row.number - MOST_WINDOWS)
        kept = sa.select(_COLUMNS.number).where(old, _COLUMNS.alarm).order_by(_COLUMNS.number.desc()).limit(MOST_WINDOWS)
        connection.execute(sa.delete(watch_windows).where(old, _COLUMNS.number.not_in(kept)))


def newest(connection: sa.Connection, endpoint: str, version: str, kind: str, limit: int, *, alarms: bool = False) -> Sequence[WindowRow]:
    """The newest windows, newest first; only those with an alarm where `alarms`."""
    query = sa.select(watch_windows).where(_of(endpoint, version, kind)).order_by(_COLUMNS.number.desc()).limit(limit)
    if alarms:
        query = query.where(_COLUMNS.alarm)
    return [WindowRow(*row) for row in connection.execute(query)]


def forget(connection: sa.Connection, version: str) -> None:
    """Delete all that is kept of a version, at every endpoint."""
    for table in (watch_states, watch_windows):
        connection.execute(sa.delete(table).where(table.c.version == version))


def _of(endpoint: str, version: str, kind: str) -> sa.ColumnElement[bool]:
    return sa.and_(_COLUMNS.endpoint == endpoint, _COLUMNS.version == version, _COLUMNS.kind == kind)
