"""The store of one home: opening, creating, and transactions."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from core.errors import Conflict, NotFound
from core.settings import Settings
from store import dialect, migrate

MOST_IDLE = 4
"""Connections that are kept open for the next transaction: to open one takes five times as long as a small query."""


class Store:
    """The tables of one home. Every transaction has a connection to itself: one that is idle, or a new one.

    For any number of threads. A process that was forked opens its own.
    """

    def __init__(self, url: str) -> None:
        self._engine = dialect.connect(url)
        self._idle: deque[sa.Connection] = deque()
        self._inherited: deque[sa.Connection] = deque()
        self._process = os.getpid()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view; nothing is written."""
        with self._lent(writes=False) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, keep: bool = True) -> Iterator[sa.Connection]:
        """One transaction of the only writer at this moment; rolled back where the block raises, or where nothing is to be kept of it."""
        with self._lent(writes=True) as connection, connection.begin() as transaction:
            yield connection
            if not keep:
                transaction.rollback()

    @contextmanager
    def _lent(self, *, writes: bool) -> Iterator[sa.Connection]:
        connection = self._take()
        try:
            yield connection.execution_options(writes=writes)
        except BaseException:
            # Whatever is wrong with it, or with the file it has open, the next transaction begins with another one.
            connection.close()
            raise
        if len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _take(self) -> sa.Connection:
        if self._process != os.getpid():
            # A child may not use what its parent has opened, nor close it (https://sqlite.org/howtocorrupt.html, 2.6): it lets it lie.
            self._inherited, self._idle, self._process = self._idle, deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return self._engine.connect()


def url_of(settings: Settings) -> str:
    """Where the store of these settings lives."""
    return settings.database_url or dialect.sqlite_url(Path(settings.home).absolute() / "store.db")


def create(settings: Settings) -> Store:
    """The store, created or migrated where needed: what `serve`, `demo` and `model register` do."""
    Path(settings.home).mkdir(parents=True, exist_ok=True)
    migrate.upgrade(url_of(settings))
    return Store(url_of(settings))


def open_existing(settings: Settings) -> Store:
    """The store of a home that exists; raises NotFound naming the missing path, Conflict on a schema it does not know."""
    path = Path(settings.home)
    if not settings.database_url and not (path / "store.db").exists():
        raise NotFound(f"no Tiltyard home at {path.absolute()}: `tiltyard model register` or `tiltyard serve` creates it", code="no-home")
    found, expected = migrate.revisions(url_of(settings))
    if found != expected:
        raise Conflict(
            f"the store at {path} has schema {found}, this Tiltyard knows {expected}: start `tiltyard serve` to migrate", code="schema"
        )
    return Store(url_of(settings))
