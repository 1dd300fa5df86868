"""The file of a feature view: one generation's values by entity. Written by one process, read by all.

One SQLite file:

    rows(key, features)   the values of an entity as MessagePack, in the order of the view's names
    states(key, state)    what a streaming view needs beside them to go on; empty in a batch view
    meta                  one row: the names, what the writer says of the whole (`as_of`, `rows`, …), and the writer's turn

A batch view's file is written under another name and linked to its own when all of it is on the disk; after that nothing changes
it, so it is opened as immutable, without locks. A streaming view's file has a write-ahead log: each read sees the last whole
transaction, under a shared lock that the writer does not need. No read waits unless it is told to: where it finds the file locked,
as while a log is recovered, it fails at once.

What a file holds that no writer can have written is a `sqlite3.DatabaseError`, whoever finds it: SQLite or the decoder.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from core.errors import Conflict, Invalid, NotFound, Unavailable
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
BUSY_SECONDS = 10.0
"""How long who writes a file, or has to know whether it is whole, waits while it is locked."""

_OF_THE_MOMENT = frozenset(
    (
        *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL),
        *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY),
    )
)
"""SQLite's errors of locks, and of a disk or of rights."""

_encode = msgspec.msgpack.Encoder().encode
_names_of = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_meta_of = msgspec.msgpack.Decoder(dict[str, Any]).decode
_values_of = msgspec.msgpack.Decoder(list[Value]).decode
_GARBAGE = (msgspec.MsgspecError, TypeError, UnicodeDecodeError)
"""What decoders raise on bytes, or on something that is no bytes, where another thing is expected."""


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


def of_the_moment(error: sqlite3.Error) -> bool:
    """Whether an error says nothing of what a file holds: it may be whole, and cannot be used now.

    The class does not tell: `no such table` is an OperationalError as well.
    """
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _OF_THE_MOMENT


class Table:
    """One generation of a view, open for reading. For one thread at a time."""

    def __init__(self, path: Path, *, immutable: bool, wait_seconds: float = 0.0) -> None:
        """Opens the file, and waits so long while it is locked; raises Unavailable where one is there that cannot be read now, NotFound
        where there is none, or something else.
        """
        uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
        with ExitStack() as opened:
            try:
                self._connection = opened.enter_context(closing(_connect(uri, wait_seconds)))
                # Read, not mapped: under a mapping a disk that fails, or a file cut short, is a SIGBUS, which ends the process. It would
                # save 0.2 to 0.8 of 5 µs.
                self._connection.execute("PRAGMA mmap_size = 0")
                self._execute = self._connection.cursor().execute
                self.names = _names(self._connection)
            except sqlite3.Error as error:
                raise _unopened(path, error) from None
            opened.pop_all()

    def get(self, key: str) -> dict[str, Value] | None:
        """The features of an entity by name; None of one that is not there. Raises sqlite3.Error."""
        found = self.values(key)
        return None if found is None else dict(zip(self.names, found, strict=True))

    def values(self, key: str) -> list[Value] | None:
        """The same, in the order of `names`."""
        try:
            found = self._execute(_GET, (key,)).fetchone()
        except UnicodeEncodeError:  # half a surrogate pair: no entity is called so
            return None
        if found is None:
            return None
        try:
            values = _values_of(found[0])
        except _GARBAGE as error:
            raise sqlite3.DatabaseError(f"the values of an entity cannot be decoded: {error}") from None
        if len(values) != len(self.names):
            raise sqlite3.DatabaseError(f"{len(values)} values where there are {len(self.names)} names")
        return values

    def meta(self) -> Meta:
        """What the writer said last of the whole view. Raises sqlite3.Error."""
        return _meta(self._connection)

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
        with closing(_connect(draft.absolute().as_uri(), BUSY_SECONDS)) as connection:
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
        """Raises Conflict where the file has other features, sqlite3.Error where it cannot be written or is none of a view."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            self._connection = opened.enter_context(closing(_connect(path.absolute().as_uri(), BUSY_SECONDS)))
            self._connection.execute("PRAGMA journal_mode = WAL")
            # Not FULL: what a power cut takes is computed again, from the position that stands in this file.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            with _transaction(self._connection):
                if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchall():
                    _make(self._connection, names, {})
            self._names = _names(self._connection)
            self._turn: int = self._connection.execute("SELECT turn FROM meta").fetchone()[0]
            if self._names != tuple(names):
                raise Conflict(f"{path.name} holds other features than {', '.join(names)}", code="view-changed")
            opened.pop_all()

    def meta(self) -> Meta:
        """What was written last of the whole view; {} at first. Raises sqlite3.Error."""
        return _meta(self._connection)

    def states(self) -> Iterator[tuple[str, bytes]]:
        """The key and state of every entity. Raises sqlite3.Error."""
        for key, state in self._connection.execute("SELECT key, state FROM states"):  # noqa: UP028 - the cursor is not to be closed with it
            yield key, state

    def put_many(
        self, rows: Iterable[tuple[str, Mapping[str, Value], bytes | None]], meta: Mapping[str, Any], gone: Iterable[str] = ()
    ) -> None:
        """Store (key, features by name, state), forget the keys `gone`, and say `meta`: one transaction.

        A state of None is none. Raises Conflict where another writer has written since: this one is stale; and sqlite3.Error, as of a full
        disk. Nothing is stored then.
        """
        connection = self._connection
        found = [(key, _encode([features.get(name) for name in self._names]), state) for key, features, state in rows]
        with _transaction(connection):
            self._take_turn(meta)
            connection.executemany(_PUT, [(key, values) for key, values, _ in found])
            connection.executemany(_PUT_STATE, [(key, state) for key, _, state in found if state is not None])
            left = [(key,) for key in gone]
            connection.executemany("DELETE FROM rows WHERE key = ?", left)
            connection.executemany("DELETE FROM states WHERE key = ?", left)
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


def _unopened(path: Path, error: sqlite3.Error) -> NotFound | Unavailable:
    said = f"view: {path.name} cannot be opened: {error}"
    # Also of a file that is missing SQLite says that it cannot open it.
    if of_the_moment(error) and os.access(path, os.F_OK):
        return Unavailable(said, field="view", code="view-busy")
    return NotFound(said, field="view", code="view-file-not-found")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction, which only one connection at a time can have; undone where anything is raised in it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after some errors, as of a full disk, SQLite has rolled back itself
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _decoding(what: str) -> Iterator[None]:
    try:
        yield
    except _GARBAGE as error:
        raise sqlite3.DatabaseError(f"{what} cannot be decoded: {error}") from None


def _names(connection: sqlite3.Connection) -> tuple[str, ...]:
    with _decoding("the names"):
        return _names_of(connection.execute("SELECT names FROM meta").fetchone()[0])


def _meta(connection: sqlite3.Connection) -> Meta:
    with _decoding("what is said of the view"):
        return _meta_of(connection.execute("SELECT body FROM meta").fetchone()[0])


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
