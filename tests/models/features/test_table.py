"""A view's file: whole or not there, read without waiting, written by one."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Conflict, Invalid, NotFound, Unavailable
from core.values import Value
from models.features.table import Table, Writer, create, key_text, path_of

NAMES = ("age", "plan", "active")
ROWS: list[tuple[str, tuple[Value, ...]]] = [("17", (41, "pro", True)), ("é", (None, "ünï\x00\n", False)), ("a b", (0.1, "", None))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a view's first generation is."""
    return path_of(tmp_path / "views", "users", 1)


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    """The writer of a streaming view."""
    with closing(Writer(path, ("n", "mean"))) as made:
        yield made


def test_every_row_is_found_again_as_it_was(path: Path) -> None:
    """Values keep their types, None included; an entity that is not there is None."""
    create(path, NAMES, ROWS, {"as_of": 5.0, "rows": 3})
    with closing(Table(path, immutable=True)) as table:
        assert [table.get(key) for key, _ in ROWS] == [dict(zip(NAMES, values, strict=True)) for _, values in ROWS]
        assert [type(value) for value in table.values("17") or ()] == [int, str, bool]
        assert table.get("018") is None
        assert table.meta() == {"as_of": 5.0, "rows": 3}


def test_a_batch_file_is_whole_or_not_there(path: Path) -> None:
    """Rows that fail half-way leave nothing behind, neither the file nor a draft of it."""

    def rows() -> Iterator[tuple[str, tuple[Value, ...]]]:
        yield ROWS[0]
        raise RuntimeError("broke")

    with pytest.raises(RuntimeError):
        create(path, NAMES, rows(), {})
    assert list(path.parent.iterdir()) == []


def test_a_key_that_comes_twice_is_refused(path: Path) -> None:
    """The file would say two things of one entity."""
    with pytest.raises(Invalid, match="'17' comes twice"):
        create(path, NAMES, [ROWS[0], ROWS[0]], {})
    assert not path.exists()


def test_a_file_that_exists_is_not_replaced(path: Path) -> None:
    """Two loads at a time cannot write the same generation: workers that have it open would read another one's rows."""
    create(path, NAMES, ROWS[:1], {})
    with pytest.raises(Conflict, match="another process"):
        create(path, NAMES, ROWS[1:], {})
    with closing(Table(path, immutable=True)) as table:
        assert table.get("17") is not None


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 1000])
def test_what_is_no_view_file_is_not_found(path: Path, content: bytes | None) -> None:
    """Missing, empty or something else: one clear error."""
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotFound, match=path.name):
        Table(path, immutable=True)


def test_a_file_that_is_locked_is_there(path: Path, writer: Writer) -> None:
    """It cannot be read now: another error than of a file that is missing, or is something else; who has the time may wait for it."""
    writer.put_many([("a", {"n": 1}, b"")], {})
    writer.close()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("UPDATE meta SET turn = turn")
        with pytest.raises(Unavailable, match=path.name):
            Table(path, immutable=False)
        letting_go = threading.Timer(0.1, other.close)
        letting_go.start()
        with closing(Table(path, immutable=False, wait_seconds=10.0)) as table:
            assert table.get("a") == {"n": 1, "mean": None}
        letting_go.join()


def test_a_reader_sees_whole_transactions_of_the_writer_without_waiting(path: Path, writer: Writer) -> None:
    """While a transaction is open, the last whole one is read; after it the new one, features and `as_of` together."""
    writer.put_many([("a", {"n": 1, "mean": 2.0}, b"s1")], {"as_of": 1.0})
    with closing(Table(path, immutable=False)) as table:
        assert (table.get("a"), table.meta()) == ({"n": 1, "mean": 2.0}, {"as_of": 1.0})

        def rows() -> Iterator[tuple[str, dict[str, Value], bytes]]:
            yield "a", {"n": 2}, b"s2"
            yield "b", {"n": 1, "mean": 0.5}, b"s3"

        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("DELETE FROM rows")
            assert table.get("a") == {"n": 1, "mean": 2.0}
            other.execute("ROLLBACK")
        writer.put_many(rows(), {"as_of": 2.0})
        assert (table.get("a"), table.get("b"), table.meta()) == ({"n": 2, "mean": None}, {"n": 1, "mean": 0.5}, {"as_of": 2.0})


def test_a_look_up_leaves_no_transaction_open(path: Path, writer: Writer) -> None:
    """A reader that held one would keep the write-ahead log growing: a checkpoint gets through after a look-up."""
    writer.put_many([("a", {"n": 1}, b"")], {})
    with closing(Table(path, immutable=False)) as table, closing(sqlite3.connect(path, timeout=0.0)) as other:
        table.get("a")
        table.meta()
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def test_a_writer_goes_on_where_another_process_left_it(path: Path, writer: Writer) -> None:
    """States and meta are read again; forgotten keys are gone from both."""
    writer.put_many([("a", {"n": 1}, b"sa"), ("b", {"n": 2}, b"sb")], {"at": 1})
    writer.put_many([], {"at": 2}, gone=["a"])
    writer.close()
    with closing(Writer(path, ("n", "mean"))) as again, closing(Table(path, immutable=False)) as table:
        assert (dict(again.states()), again.meta()) == ({"b": b"sb"}, {"at": 2})
        assert (table.get("a"), table.get("b")) == (None, {"n": 2, "mean": None})


def test_a_stale_writer_stores_nothing(path: Path, writer: Writer) -> None:
    """Of two writers only the one that wrote last may go on; the other is told and changes nothing."""
    with closing(Writer(path, ("n", "mean"))) as other:
        other.put_many([("a", {"n": 1}, b"")], {"at": 1})
        with pytest.raises(Conflict, match="another process"):
            writer.put_many([("a", {"n": 9}, b"")], {"at": 9})
        other.put_many([("b", {"n": 2}, b"")], {"at": 2})
        with closing(Table(path, immutable=False)) as table:
            assert (table.get("a"), table.meta()) == ({"n": 1, "mean": None}, {"at": 2})


def test_a_writer_of_other_features_is_refused(path: Path, writer: Writer) -> None:
    """The values in the file are of the names that it began with."""
    with pytest.raises(Conflict, match="other features"):
        Writer(path, ("n", "var"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[("17", "17"), (17, "17"), (17.0, "17"), (-0.0, "0"), ("007", "007"), (1.5, "1.5"), (True, "true"), (False, "false")],
        *[(2**63, "9223372036854775808"), (1e300, str(int(1e300))), ("", None), (None, None), (float("inf"), None)],
    ],
)
def test_a_key_has_one_form(value: Value, text: str | None) -> None:
    """17, 17.0 and "17" name the same entity; a text stays as it is."""
    assert key_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_that_are_equal_name_the_same_entity_and_others_do_not(number: float) -> None:
    """A float that equals an integer has its form; any other can be read back from its own."""
    text = key_text(number)
    assert text is not None
    assert float(text) == number
    assert number != number // 1 or key_text(int(number)) == text


def test_values_that_no_writer_can_have_written_are_a_database_error(path: Path) -> None:
    """Of an entity and of the whole, whatever stands there: callers answer that as any other failed read."""
    create(path, NAMES, ROWS, {"as_of": 5.0})
    spoilt = (b"", b"\xc1", b"\x93\x01", b"\x92\x01\x02", b"\x93\x01\x02\x90", b"\x93\x01\x02\xa2\xff\xff", b"\x81\xa1a\x01", 17, "text")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for place, garbage in enumerate(spoilt):
            other.execute("INSERT INTO rows VALUES (?, ?)", (f"spoilt{place}", garbage))
        other.execute("UPDATE meta SET body = ?", (b"\x93\x01\x02\x03",))
    with closing(Table(path, immutable=True)) as table:
        for place in range(len(spoilt)):
            with pytest.raises(sqlite3.DatabaseError):
                table.values(f"spoilt{place}")
        with pytest.raises(sqlite3.DatabaseError, match="what is said of the view cannot be decoded"):
            table.meta()
        assert table.get("17") is not None


@pytest.mark.parametrize("immutable", [True, False])
def test_damaged_pages_and_a_file_cut_short_are_database_errors(path: Path, immutable: bool) -> None:
    """Not the end of the process, as they would be where the file is mapped; what is opened later is not found."""
    create(path, NAMES, ((f"user{number}", (number, "x" * 50, True)) for number in range(2000)), {})
    with closing(Table(path, immutable=immutable)) as table:
        data = bytearray(path.read_bytes())
        data[8192:] = b"\xff" * (len(data) - 8192)
        path.write_bytes(data)
        with pytest.raises(sqlite3.DatabaseError):
            table.get("user7")
        os.truncate(path, 8192)
        with pytest.raises(sqlite3.DatabaseError):
            table.get("user999")
    with pytest.raises(NotFound, match="malformed"):
        Table(path, immutable=immutable)


def test_a_full_disk_is_told_and_stores_nothing(path: Path, writer: Writer) -> None:
    """SQLite's own error, whether it has rolled back by itself or not; with room again the same writer goes on."""
    writer.put_many([("a", {"n": 1}, b"s1")], {"at": 1})
    many = [(f"user{number}", {"n": number}, b"x" * 1000) for number in range(1000)]
    pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
    writer._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        writer.put_many(many, {"at": 2})
    assert (dict(writer.states()), writer.meta()) == ({"a": b"s1"}, {"at": 1})
    writer._connection.execute("PRAGMA max_page_count = 1000000")
    writer.put_many(many, {"at": 3})
    assert (len(dict(writer.states())), writer.meta()) == (1001, {"at": 3})


def test_a_writer_of_something_else_is_refused(path: Path) -> None:
    """One error, and the file stays as it is."""
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(sqlite3.DatabaseError):
        Writer(path, ("n", "mean"))
    assert path.read_bytes() == b"no database at all" * 1000


def test_half_a_surrogate_pair_names_no_entity(path: Path) -> None:
    """It cannot be asked for, so it is not there."""
    create(path, NAMES, ROWS, {})
    with closing(Table(path, immutable=True)) as table:
        assert table.get("\udcff") is None
