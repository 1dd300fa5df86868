"""What may go wrong with a streaming view: broken files, full disks, events that kill, clocks that jump. Nothing ends it."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.values import START
from flows import status
from flows.views import generation
from flows.views import view as views
from flows.views.streaming import ViewReader
from journal import segment, segments
from journal.rotation import rotate
from models.features.aggregates import Aggregates
from models.features.declaration import Aggregate
from models.features.occurrences import Occurrence
from models.features.table import Writer, path_of
from store import positions
from tests.flows.views.view_world import ViewWorld

NUMBER = {"n": Aggregate("count", window_seconds=60.0)}


def stored(world: ViewWorld) -> positions.PositionRow:
    """What the store knows of the reader."""
    with world.store.read() as connection:
        found = positions.get(connection, views.reader_of("activity"))
    assert found is not None
    return found


@pytest.mark.parametrize("change", [{"max_age_seconds": 60.0}, {"on_stale": "error"}, {"defaults": {"n": 3}}, {"endpoints": ()}])
def test_how_it_is_served_is_not_computed_anew(world: ViewWorld, change: dict[str, Any]) -> None:
    """Another maximum age, other defaults or endpoints keep the generation, and the file tells the new declaration."""
    world.click(2.0)
    with world.reader() as reader:
        world.compute(reader)
        world.declare(**change)
        world.click(2.0)
        world.compute(reader)
    assert (world.row().generation, world.served()[0]["ann"]["n"]) == (1, 2)
    assert world.served()[1]["view"] == world.row().body
    assert not views.show(world.desk, "activity")["computed_anew"]


def test_another_key_is_computed_anew(world: ViewWorld) -> None:
    """The same features of other entities are another generation; until it is there the file tells what was declared before."""
    world.click(2.0)
    with world.reader() as reader:
        world.compute(reader)
        before = world.row().body
        world.declare(key="amount")
        assert (world.served()[1]["view"], list(world.served()[0])) == (before, ["ann"])
        world.compute(reader)
    assert (world.row().generation, list(world.served()[0])) == (2, ["2"])
    world.check()


@pytest.mark.parametrize("where", ["head", "states", "rows"])
def test_a_broken_file_is_computed_anew(world: ViewWorld, where: str) -> None:
    """Garbage anywhere in the file ends no process again and again: the view is computed anew, under the next number."""
    for number in range(300):
        world.click(2.0, f"user{number}", seconds=0.01)
    world.catch_up()
    spoil(path_of(world.directory, "activity", 1), where)
    for number in range(300):
        world.click(2.0, f"user{number}", seconds=0.01)
    world.catch_up()
    assert world.row().generation == 2
    assert world.served()[0]["user7"]["n"] == 2
    world.check()


def spoil(path: Path, where: str) -> None:
    """Overwrite the first page, or all pages of one table."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (where,)).fetchone()
    with path.open("r+b") as file:
        file.seek(0 if root is None else (root[0] - 1) * size)
        file.write(b"\xa5" * size)


def test_a_state_of_something_else_is_computed_anew(world: ViewWorld) -> None:
    """A whole file whose content makes no sense is broken as well."""
    world.click(2.0)
    world.catch_up()
    with closing(sqlite3.connect(path_of(world.directory, "activity", 1))) as connection:
        connection.execute("UPDATE states SET state = ?", (b"\xc1",))
        connection.commit()
    world.catch_up()
    assert (world.row().generation, world.served()[0]["ann"]["n"]) == (2, 1)


def test_an_event_that_kills_is_put_aside(world: ViewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event at which the reader has crashed twice, and knew it, is passed over, for good, and told; all others count."""
    take = Aggregates.take

    def deadly(self: Aggregates, one: Occurrence) -> str:
        assert one.fields["amount"] != 13.0
        return take(self, one)

    monkeypatch.setattr(Aggregates, "take", deadly)
    for amount in (1.0, 2.0, 13.0, 4.0):
        world.click(amount)
    for careful in (False, True, True):
        with pytest.raises(AssertionError):
            world.catch_up(careful=careful)
    world.catch_up(careful=True)
    assert world.served()[0]["ann"] == {"n": 3, "spent": 7.0, "pace": 2.75}
    with world.store.read() as connection:
        assert positions.aside(connection) == {views.reader_of("activity"): 1}
    assert stored(world).crashes == 0
    world.declare(NUMBER)
    world.catch_up()
    assert world.served()[0]["ann"] == {"n": 3}


def test_a_kill_between_careful_steps_puts_nothing_aside(world: ViewWorld) -> None:
    """Only an event at which the reader stood is counted; careful or not, the numbers are the same, of both generations."""
    for _ in range(9):
        world.click(2.0, identity=f"{world.at}")
    world.catch_up()
    world.declare(NUMBER)
    for _ in range(30):
        with world.reader(careful=True) as reader:
            world.at += 0.3
            reader.step()
            reader.step()
    world.catch_up(careful=True)
    assert (world.row().generation, world.served()[0]) == (2, {"ann": {"n": 9}})
    with world.store.read() as connection:
        assert positions.aside(connection) == {}


def test_a_full_disk_loses_nothing(world: ViewWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be stored is stored later, with one line each time; the view stays where it was until then."""
    put, full = Writer.put_many, [True]

    def scarce(self: Writer, *given: Any) -> None:
        if full[0]:
            raise sqlite3.OperationalError("database or disk is full")
        put(self, *given)

    with world.reader() as reader:
        world.click(2.0)
        world.compute(reader)
        monkeypatch.setattr(Writer, "put_many", scarce)
        for _ in range(3):
            world.click(2.0)
            step(world, reader)
        assert world.served()[0]["ann"]["n"] == 1
        assert sum("database or disk is full" in line for line in caplog.messages) == 1
        full[0] = False
        for _ in range(3):
            world.at += generation.RETRY_SECONDS
            world.compute(reader)
    assert world.served()[0]["ann"]["n"] == 4
    world.check()


def step(world: ViewWorld, reader: ViewReader) -> None:
    """One step, when its publication is due."""
    world.at += 0.3
    reader.step()


def test_a_clock_that_was_ahead_ends_nothing(world: ViewWorld, caplog: pytest.LogCaptureFixture) -> None:
    """After a clock is set back by minutes events count, the view is fresh by the clock as it is now, and a line says so."""
    caplog.set_level(logging.WARNING)
    with world.reader() as reader:
        world.click(2.0)
        world.compute(reader)
        world.at += 600.0
        world.click(2.0)
        world.compute(reader)
        steady, world.bench = world.at, world.bench
        world.at -= 500.0
    with world.reader() as reader:
        for _ in range(3):
            world.click(2.0)
            world.compute(reader)
    rows, meta = world.served()
    assert rows["ann"]["n"] == 4
    assert meta["figures"]["late"] == 0
    assert 0.0 <= world.at - meta["as_of"] < 1.0 < steady - meta["as_of"]
    assert any("the clock was set back" in line for line in caplog.messages)
    world.check()


def test_a_clock_that_was_ahead_while_nothing_came_ends_nothing(world: ViewWorld) -> None:
    """Windows that were ended by a clock that was ahead begin again with the next event."""
    with world.reader() as reader:
        world.click(2.0)
        world.compute(reader)
        world.at += 3600.0
        world.compute(reader)
    world.at -= 3600.0
    with world.reader() as reader:
        world.click(2.0)
        world.compute(reader)
        world.compute(reader)
    assert world.served()[0]["ann"]["n"] == 1


def test_the_journal_is_kept_for_what_is_computed(world: ViewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store knows the least position that is still needed: of the generation that is computed, and of ids to be read again."""
    for _ in range(12):
        world.click(2.0)
    world.catch_up()
    end = stored(world).position
    monkeypatch.setattr(generation, "BATCH", 5)
    world.declare(NUMBER)
    with world.reader() as reader:
        step(world, reader)
        assert stored(world).position == START
        world.compute(reader)
        assert stored(world).position == end
        world.click(2.0, identity="a")
        world.compute(reader)
        assert stored(world).position == end
        world.at += 3000.0
        world.compute(reader)
        assert stored(world).position > end


def test_how_late_a_view_is_says_nothing_of_ids(world: ViewWorld) -> None:
    """The place stays, from where events would be read again for their ids; the time that the view has come to is told all the same."""
    world.click(2.0)
    world.catch_up()
    with world.reader() as reader:
        world.click(2.0, identity="a")
        world.compute(reader)
        for _ in range(3):
            world.click(2.0, seconds=60.0)
            world.compute(reader)
            world.at += 2.0
            reader.step()
            found = stored(world)
            assert found.position < segments.end(world.journal)
            assert status.lag(found, segments.end(world.journal), world.at) <= 2.0


def test_what_was_deleted_before_it_was_read_is_told(world: ViewWorld, caplog: pytest.LogCaptureFixture) -> None:
    """A part of the journal that a view never saw is counted in its file and logged; the view goes on behind it."""
    world.click(2.0)
    world.catch_up()
    world.click(2.0)
    rotate(world.journal, 1)
    world.click(2.0)
    segment.path(world.journal, 1).unlink()
    world.catch_up()
    assert (world.served()[0]["ann"]["n"], world.served()[1]["missed"]) == (2, 1)
    assert "activity.g1.db: 1 segments of the journal were deleted before they were read" in caplog.messages
    world.catch_up()
    assert world.served()[1]["missed"] == 1


def test_dropped_and_declared_again_at_once(world: ViewWorld) -> None:
    """A reader that did not see it goes on for the new view of that name."""
    world.click(2.0)
    with world.reader() as reader:
        world.compute(reader)
    views.drop(world.desk, "activity", world.who())
    world.declare(NUMBER)
    world.catch_up()
    assert (world.row().generation, world.served()[0]) == (2, {"ann": {"n": 1}})
