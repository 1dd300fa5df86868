"""The store of one home: opening, creating, and transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from core.errors import Conflict, NotFound
from core.settings import Settings
from store import dialect, migrate


class Store:
    """The tables of one home. Cheap to make; every transaction opens its own connection."""

    def __init__(self, url: str) -> None:
        self._engine = dialect.connect(url)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view; nothing is written."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, keep: bool = True) -> Iterator[sa.Connection]:
        """One transaction of the only writer at this moment; rolled back where the block raises, or where nothing is to be kept of it."""
        with self._engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin() as transaction:
                yield connection
                if not keep:
                    transaction.rollback()


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
