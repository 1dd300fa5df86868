"""All that differs between databases: connecting, beginning a write, upserting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

_BUSY_SECONDS = 10


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path}"


def connect(url: str) -> Engine:
    """An engine for `url`. It keeps no connections: whoever opens one closes it, in any thread."""
    engine = sa.create_engine(url, poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: `_begin` does, and says which kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    # A deferred transaction that reads first and writes later fails at once where another wrote in between
    # (SQLITE_BUSY_SNAPSHOT): a writer takes the lock before it reads.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert `rows`, or replace the columns that are not part of the key where the key exists."""
    if not rows:
        return
    statement = sqlite.insert(table)
    keys = {column.name for column in table.primary_key}
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=sorted(keys), set_=changed), list(rows))


def add(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert `rows`, or add their numbers to the columns that are not part of the key where the key exists."""
    if not rows:
        return
    statement = sqlite.insert(table)
    keys = {column.name for column in table.primary_key}
    changed = {name: table.c[name] + statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=sorted(keys), set_=changed), list(rows))


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert those of `rows` whose key does not exist."""
    if rows:
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(), list(rows))
