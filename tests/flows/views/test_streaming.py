"""The reader of a streaming view: whatever kills it, what it serves is what a computation from nothing gives."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from core.errors import Conflict
from core.values import START, Position
from flows.housekeep import begin_readers
from flows.views import generation
from flows.views import view as views
from flows.views.features import forget_generations
from flows.views.streaming import ViewReader
from journal import segments
from journal.reader import Reader
from journal.writer import Writer
from models.features.declaration import Aggregate
from models.features.occurrences import REPEAT_SECONDS
from store import positions
from store import views as stored
from tests.flows.views.view_world import ViewWorld


def test_events_are_served_as_features(world: ViewWorld) -> None:
    """Events become the features of their entities; others of the journal are passed over."""
    world.click(2.0)
    world.click(3.0, "bob")
    world.click(4.0, stream="other")
    world.predict("ann", 1.0)
    world.click(5.0)
    with world.reader() as reader:
        world.compute(reader)
    rows, meta = world.served()
    assert rows == {"ann": {"n": 2, "spent": 7.0, "pace": 3.5}, "bob": {"n": 1, "spent": 3.0, "pace": 3.0}}
    assert meta["figures"]["used"] == 3
    world.check()


def test_time_passes_when_nothing_happens(world: ViewWorld) -> None:
    """Windows end and the view stays fresh though no event comes."""
    world.click(2.0)
    with world.reader() as reader:
        world.compute(reader)
        world.at += 120.0
        world.compute(reader)
    rows, meta = world.served()
    assert rows == {"ann": {"n": 0, "spent": 0.0, "pace": 2.0}}
    assert world.at - meta["as_of"] < 1.0


@pytest.mark.parametrize("seed", range(8))
def test_killed_anywhere(world: ViewWorld, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Killed between any two steps, before or after publishing, the reader comes to the numbers of a computation from nothing."""
    monkeypatch.setattr(generation, "BATCH", 3)
    monkeypatch.setattr(generation, "MARK_SECONDS", 1.0)
    chance = random.Random(seed)
    for _ in range(25):
        with world.reader() as reader:
            for _ in range(chance.randrange(4)):
                for _ in range(chance.randrange(9)):
                    when = world.at - chance.choice([0.0, 0.0, 3.0, 30.0])
                    user = chance.choice(["ann", "bob", None])
                    world.click(
                        chance.random(), user, seconds=chance.random(), identity=chance.choice([None, None, *"abcdefgh"]), happened=when
                    )
                world.at += chance.choice([0.0, 0.1, 0.3, 20.0])
                reader.step()
    with world.reader() as reader:
        world.compute(reader)
    world.check()
    figures = world.served()[1]["figures"]
    assert sum(figures.values()) == sum(1 for _ in world_events(world))
    assert min(figures["used"], figures["duplicates"], figures["late"], figures["keyless"]) > 0


def world_events(world: ViewWorld) -> Iterator[object]:
    """All records of the journal."""
    with closing(Reader(world.journal, START)) as reader:
        yield from reader.read(100_000)


def test_ids_are_known_after_a_crash(world: ViewWorld) -> None:
    """An event that is posted again after the reader was killed counts once."""
    world.click(2.0, identity="a")
    with world.reader() as reader:
        world.compute(reader)
    world.click(2.0, identity="a", seconds=REPEAT_SECONDS - 10.0)
    with world.reader() as reader:
        world.compute(reader)
    assert world.served()[1]["figures"]["duplicates"] == 1


def test_the_store_follows_the_file(world: ViewWorld) -> None:
    """The position in the store is never ahead of what is published, and comes to the journal's end."""
    world.click()
    with world.reader() as reader:
        step(world, reader)
        step(world, reader)
        with world.store.read() as connection:
            stored = positions.get(connection, views.reader_of("activity"))
        assert stored is not None
        assert stored.position <= Position(*world.served()[1]["position"])
        world.compute(reader)
        with world.store.read() as connection:
            stored = positions.get(connection, views.reader_of("activity"))
        assert stored is not None
        assert stored.position == segments.end(world.journal)


def test_one_process_writes(world: ViewWorld) -> None:
    """Of two processes that compute a view only one publishes: the other finds out and stops."""
    world.click()
    with world.reader() as first, world.reader() as second:
        world.compute(first)
        world.click()
        with pytest.raises(Conflict):
            world.compute(second)
    with world.reader() as first:
        world.compute(first)
    world.check()


def test_declared_anew(world: ViewWorld) -> None:
    """A view that is declared anew is computed from what the journal holds; what it served goes on being served until then."""
    for _ in range(3):
        world.click(2.0)
    with world.reader() as reader:
        world.compute(reader)
        assert (world.row().generation, world.served()[0]) == (1, {"ann": {"n": 3, "spent": 6.0, "pace": 2.0}})
        shown = world.declare({"most": Aggregate("max", "amount", 60.0)})
        assert shown["computed_anew"]
        assert world.served()[0]["ann"]["n"] == 3
        world.compute(reader)
    assert (world.row().generation, world.served()[0]) == (2, {"ann": {"most": 2.0}})
    assert not views.show(world.desk, "activity")["computed_anew"]
    world.check()


def test_killed_while_it_is_computed_anew(world: ViewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next process goes on with both generations: the one that is served stays up to date."""
    for _ in range(12):
        world.click(2.0)
    with world.reader() as reader:
        world.compute(reader)
    world.declare({"most": Aggregate("max", "amount", 60.0)})
    monkeypatch.setattr(generation, "BATCH", 5)
    with world.reader() as reader:
        step(world, reader)
        step(world, reader)
    world.click(7.0)
    with world.reader() as reader:
        step(world, reader)
        step(world, reader)
        assert world.row().generation == 1
        assert world.served()[0]["ann"]["spent"] == 31.0
        world.compute(reader)
    assert (world.row().generation, world.served()[0]) == (2, {"ann": {"most": 7.0}})


def step(world: ViewWorld, reader: ViewReader) -> None:
    """One step, when its publication is due."""
    world.at += 0.3
    reader.step()


def test_declared_twice_while_it_is_computed(world: ViewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last declaration is served in the end."""
    for _ in range(12):
        world.click(2.0)
    with world.reader() as reader:
        world.compute(reader)
        monkeypatch.setattr(generation, "BATCH", 5)
        world.declare({"most": Aggregate("max", "amount", 60.0)})
        step(world, reader)
        world.declare({"least": Aggregate("min", "amount", 60.0)})
        world.compute(reader)
    assert (world.row().generation, world.served()[0]) == (2, {"ann": {"least": 2.0}})


def test_dropped(world: ViewWorld) -> None:
    """The reader of a view that was dropped stops; its files, and no others, go when nobody has written them for a while."""
    world.click()
    with world.reader() as reader:
        world.compute(reader)
        views.drop(world.desk, "activity", world.who())
        with pytest.raises(Conflict):
            world.compute(reader)
    (world.directory / "activity.gold.g1.db").touch()
    forget_generations(world.store, world.directory, time.time)
    assert (world.directory / "activity.g1.db").exists()
    world.declare(view="activity.gold")
    with world.store.write() as connection:
        stored.save(connection, stored.get(connection, "activity.gold")._replace(generation=1))
    forget_generations(world.store, world.directory, lambda: time.time() + 1e4)
    assert [path.name for path in world.directory.iterdir()] == ["activity.gold.g1.db"]


def test_a_lost_file_is_computed_anew(world: ViewWorld) -> None:
    """Where the file of a view is gone, it is computed again from the journal."""
    world.click(2.0)
    with world.reader() as reader:
        world.compute(reader)
    for path in world.directory.iterdir():
        path.unlink()
    with world.reader() as reader:
        world.compute(reader)
    assert world.served()[0]["ann"]["spent"] == 2.0
    world.check()


def test_of_another_journal(world: ViewWorld) -> None:
    """A file that stands behind the journal's end is of another journal: it is served until it is computed anew from this one."""
    for _ in range(9):
        world.click(2.0)
    with world.reader() as reader:
        world.compute(reader)
    world.writer.close()
    shutil.rmtree(world.journal)
    world.writer = Writer(world.journal)
    world.click(5.0)
    begin_readers(world.store, world.journal)
    with world.reader() as reader:
        assert world.served()[0]["ann"]["n"] == 9
        world.compute(reader)
    assert world.served()[0]["ann"] == {"n": 1, "spent": 5.0, "pace": 5.0}
    world.check()
