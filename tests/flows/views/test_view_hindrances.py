"""What hinders a streaming view for a while: files that are locked, disks that are full now and then. Nothing is given up for that."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Unavailable
from flows.views import streaming
from flows.views import view as views
from journal import segment
from journal.rotation import rotate
from models.features.table import Writer, path_of
from store import positions
from tests.flows.views.view_world import ViewWorld


@contextmanager
def locked(world: ViewWorld) -> Iterator[None]:
    """Another process has the file of the first generation for itself, as one that recovers its log."""
    with closing(sqlite3.connect(path_of(world.directory, "activity", 1), isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("UPDATE meta SET turn = turn")
        yield


def test_a_file_that_is_locked_is_not_broken(world: ViewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader begins again later, and the generation goes on with what the journal does not hold any more."""
    world.click(5.0)
    world.catch_up()
    rotate(world.journal, 1)
    world.click(1.0)
    world.catch_up()
    segment.path(world.journal, 1).unlink()
    monkeypatch.setattr(streaming, "BUSY_SECONDS", 0.01)
    with world.reader() as reader:
        with locked(world), pytest.raises(Unavailable, match=r"activity\.g1\.db"):
            reader.step()
        world.compute(reader)
    assert (world.row().generation, world.served()[0]["ann"]["n"]) == (1, 2)


def test_a_file_that_is_locked_is_waited_for(world: ViewWorld) -> None:
    """A log is recovered in milliseconds: for that no process ends."""
    world.click(5.0)
    world.catch_up()
    held, begun = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(world):
            held.set()
            begun.wait()
            time.sleep(0.1)

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    with world.reader() as reader:
        begun.set()
        reader.step()
        other.join()
        world.compute(reader)
    assert world.row().generation == 1


@pytest.mark.parametrize("table", ["meta", "states"])
def test_a_file_without_one_of_its_tables_is_computed_anew(world: ViewWorld, table: str) -> None:
    """SQLite's error is of the same class as that of a locked file, and does not pass."""
    world.click(2.0)
    world.catch_up()
    with closing(sqlite3.connect(path_of(world.directory, "activity", 1))) as other:
        other.execute(f"DROP TABLE {table}")
    world.catch_up()
    assert (world.row().generation, world.served()[0]["ann"]["n"]) == (2, 1)


def aside(world: ViewWorld) -> dict[str, int]:
    """How many events were put aside."""
    with world.store.read() as connection:
        return positions.aside(connection)


def test_a_careful_reader_blames_no_event_for_a_full_disk(world: ViewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be stored at the first attempt has crashed nobody, also where ids keep the position where it was."""
    put, attempts = Writer.put_many, iter(range(1000))

    def scarce(self: Writer, *given: Any) -> None:
        if next(attempts) % 2 == 0:
            raise sqlite3.OperationalError("database or disk is full")
        put(self, *given)

    for number in range(8):
        world.click(2.0, identity=f"e{number}")
    monkeypatch.setattr(Writer, "put_many", scarce)
    with world.reader(careful=True) as reader:
        for _ in range(30):
            world.at += 6.0
            reader.step()
    assert aside(world) == {}
    assert world.served()[1]["figures"]["used"] == 8


def test_a_careful_reader_blames_no_event_for_a_full_store(world: ViewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store cannot take back that a crash was counted, it does so later; the reader goes on."""
    advance, attempts = positions.advance, iter(range(1000))

    def scarce(*given: Any) -> None:
        if next(attempts) < 5:
            raise sa.exc.OperationalError("UPDATE", {}, sqlite3.OperationalError("database or disk is full"))
        advance(*given)

    for _ in range(8):
        world.click(2.0)
    world.catch_up()
    for _ in range(8):
        world.click(2.0)
    monkeypatch.setattr(positions, "advance", scarce)
    with world.reader(careful=True) as reader:
        world.compute(reader)
    assert aside(world) == {}
    with world.store.read() as connection:
        found = positions.get(connection, views.reader_of("activity"))
    assert found is not None
    assert found.crashes == 0
    assert world.served()[1]["figures"]["used"] == 16
