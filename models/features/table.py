"""The file of a feature view: one generation's values by entity. Written by one process, read by all without waiting.

One SQLite file:

    rows(key, features)   the values of an entity as MessagePack, in the order of the view's names
    states(key, state)    what a streaming view needs beside them to go on; empty in a batch view
    meta                  one row: the names, what the writer says of the whole (`as_of`, `rows`, …), and the writer's turn

A batch view's file is written under another name and linked to its own when all of it is on the disk; after that nothing changes
it, so it is opened as immutable, without locks. A streaming view's file is a write-ahead log: a reader sees the last whole
transaction and never waits.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from core.errors import Conflict, Invalid, NotFound
from core.values import Value

Meta: TypeAlias = dict[str, Any]
"""What the writer says of the whole view: `as_of` (seconds since the epoch), `rows`, and what it needs itself."""

_TABLES = (
    "CREATE TABLE rows (key TEXT PRIMARY KEY, features BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE states (key TEXT PRIMARY KEY, state BLOB NOT NULL)",
    "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), names BLOB NOT NULL, body BLOB NOT NULL, turn INTEGER NOT NULL)",
)
_GET = "SELECT features FROM rows WHERE key = ?"
_PUT = "INSERT INTO rows VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET features = excluded.features"
_PUT_STATE = "INSERT INTO states VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET state = excluded.state"
_BUSY_SECONDS = 10.0
_MAPPED_BYTES = 2**40
"""As much of a file as there is: workers share its pages in the page cache, and a look-up makes no system call for them."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_values_of = msgspec.msgpack.Decoder(list[Any]).decode


def key_text(value: Value) -> str | None:
    """The one form of an entity's key, so that 17, 17.0 and "17" name the same entity; None of what can name none.

    Whole numbers are written without a point, others as the shortest text that gives the number again, booleans as `true` and `false`.
    """
    kind = type(value)
    if kind is str:
        return value or None  # type: ignore[return-value]
    if value is None or (kind is float and not isfinite(value)):  # type: ignore[arg-type]
        return None
    if kind is bool:
        return "true" if value else "false"
    return str(int(value)) if value == value // 1 else repr(value)  # type: ignore[operator]


def path_of(directory: Path, view: str, generation: int) -> Path:
    """The file of one generation of a view."""
    return directory / f"{view}.g{generation}.db"


class Table:
    """One generation of a view, open for reading. For one thread at a time."""

    def __init__(self, path: Path, *, immutable: bool) -> None:
        """Opens the file; raises NotFound where there is none that can be read."""
        uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
        with ExitStack() as opened:
            try:
                self._connection = opened.enter_context(closing(_connect(uri, timeout=0.0)))
                self._connection.execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
                self._execute = self._connection.cursor().execute
                self.names: tuple[str, ...] = tuple(_decode(self._execute("SELECT names FROM meta").fetchone()[0]))
            except (sqlite3.Error, TypeError) as error:
                raise NotFound(f"view: {path.name} cannot be opened: {error}", field="view", code="view-file-not-found") from None
            opened.pop_all()

    def get(self, key: str) -> dict[str, Value] | None:
        """The features of an entity by name; None of one that is not there. Raises sqlite3.Error."""
        found = self.values(key)
        return None if found is None else dict(zip(self.names, found, strict=True))

    def values(self, key: str) -> list[Value] | None:
        """The same, in the order of `names`."""
        found = self._execute(_GET, (key,)).fetchone()
        return None if found is None else _values_of(found[0])

    def meta(self) -> Meta:
        """What the writer said last of the whole view. Raises sqlite3.Error."""
        found: Meta = _decode(self._execute("SELECT body FROM meta").fetchone()[0])
        return found

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()


def create(path: Path, names: Sequence[str], rows: Iterable[tuple[str, Sequence[Value]]], meta: Mapping[str, Any]) -> None:
    """Write a batch view's file: `rows` are (key, values in the order of `names`), each key once.

    It is there under its name when it is whole and durable. Raises Conflict where another process has made it meanwhile, Invalid on a key
    that comes twice, OSError where it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        with closing(_connect(draft.absolute().as_uri(), _BUSY_SECONDS)) as connection:
            # A draft that fails is thrown away, and a whole one is made durable below.
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            _make(connection, names, meta)
            _insert(connection, rows)
            connection.execute("COMMIT")
        _sync(draft)
        os.link(draft, path)
        _sync(path.parent)
    except FileExistsError:
        raise Conflict(f"another process loads {path.name} at this moment", code="load-under-way") from None
    except sqlite3.OperationalError as error:
        raise OSError(f"{path.name} cannot be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)


class Writer:
    """The one writer of a streaming view's file; readers go on meanwhile. Creates the file where it is missing."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        """Raises Conflict where the file has other features."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _connect(path.absolute().as_uri(), _BUSY_SECONDS)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # Not FULL: what a power cut takes is computed again, from the position that stands in this file.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("BEGIN IMMEDIATE")
        if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchall():
            _make(self._connection, names, {})
        self._connection.execute("COMMIT")
        found, self._turn = self._connection.execute("SELECT names, turn FROM meta").fetchone()
        if tuple(_decode(found)) != tuple(names):
            self.close()
            raise Conflict(f"{path.name} holds other features than {', '.join(names)}", code="view-changed")

    def meta(self) -> Meta:
        """What was written last of the whole view; {} at first."""
        found: Meta = _decode(self._connection.execute("SELECT body FROM meta").fetchone()[0])
        return found

    def states(self) -> Iterator[tuple[str, bytes]]:
        """The key and state of every entity."""
        yield from self._connection.execute("SELECT key, state FROM states")

    def put_many(
        self, rows: Iterable[tuple[str, Mapping[str, Value], bytes | None]], meta: Mapping[str, Any], gone: Iterable[str] = ()
    ) -> None:
        """Store (key, features by name, state), forget the keys `gone`, and say `meta`: one transaction.

        A state of None is none. Raises Conflict where another writer has written since: this one is stale, and nothing is stored.
        """
        connection, names = self._connection, _decode(self._connection.execute("SELECT names FROM meta").fetchone()[0])
        found = [(key, _encode([features.get(name) for name in names]), state) for key, features, state in rows]
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._take_turn(meta)
            connection.executemany(_PUT, [(key, values) for key, values, _ in found])
            connection.executemany(_PUT_STATE, [(key, state) for key, _, state in found if state is not None])
            left = [(key,) for key in gone]
            connection.executemany("DELETE FROM rows WHERE key = ?", left)
            connection.executemany("DELETE FROM states WHERE key = ?", left)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        self._turn += 1

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def _take_turn(self, meta: Mapping[str, Any]) -> None:
        update = "UPDATE meta SET body = ?, turn = turn + 1 WHERE turn = ?"
        if self._connection.execute(update, (_encode(meta), self._turn)).rowcount != 1:
            raise Conflict("another process writes this view", code="stale-reader")


def _connect(uri: str, timeout: float) -> sqlite3.Connection:
    # The driver begins no transactions by itself. A connection may be made in another thread than it is used in.
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)


def _make(connection: sqlite3.Connection, names: Sequence[str], meta: Mapping[str, Any]) -> None:
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES (1, ?, ?, 0)", (_encode(list(names)), _encode(meta)))


def _insert(connection: sqlite3.Connection, rows: Iterable[tuple[str, Sequence[Value]]]) -> None:
    # In the order of keys, the pages are filled one after another.
    for key, values in sorted(rows, key=lambda row: row[0]):
        try:
            connection.execute("INSERT INTO rows VALUES (?, ?)", (key, _encode(values)))
        except sqlite3.IntegrityError:
            raise Invalid(f"key: {key[:60]!r} comes twice", field="key") from None


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
