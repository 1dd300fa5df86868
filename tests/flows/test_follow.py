"""A reader's walk: each entry's effect exactly once, whatever crashes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from core import events
from core.errors import Conflict
from core.events import Tick
from flows.follow import Effect, Follower, decode
from flows.housekeep import begin_readers
from journal.reader import Entry
from journal.writer import Writer
from store import facts, positions
from tests.flows.flow_world import World


@pytest.fixture
def journal(bare: World, tmp_path: Path) -> Path:
    """A journal of ten ticks, and the reader `record` at its beginning."""
    writer = Writer(tmp_path / "journal")
    for at in range(10):
        writer.append(events.encode(Tick(float(at))))
    writer.close()
    begin_readers(bare.store, tmp_path)
    return tmp_path / "journal"


class Crash(BaseException):
    """The process dies here."""


def add_up(entries: Sequence[Entry], at: float) -> Effect:
    """Add the times of the ticks to a tally."""
    times = [event.at for entry in entries if (event := decode(entry)) is not None]

    def effect(connection: sa.Connection) -> float:
        facts.add_tallies(connection, {("e", "sum"): int(sum(times)), ("e", "entries"): len(entries)})
        return max([at, *times])

    return effect


def tallied(world: World) -> dict[str, int]:
    """What has been added up."""
    with world.store.read() as connection:
        return facts.tallies_of(connection, "e")


def follow(world: World, journal: Path, *, careful: bool = False) -> Follower:
    """A new process that reads for `record`."""
    return Follower(world.store, journal, "record", careful=careful)


def test_to_the_end(bare: World, journal: Path) -> None:
    """In steps of at most three, each entry once; then nothing."""
    follower = follow(bare, journal)
    assert [follower.step(add_up, 3) for _ in range(5)] == [3, 3, 3, 1, 0]
    assert (tallied(bare), follower.at) == ({"sum": 45, "entries": 10}, 9.0)
    follower.close()


@pytest.mark.parametrize("where", ["work", "effect"])
def test_a_crash_before_the_commit(bare: World, journal: Path, where: str) -> None:
    """Whoever comes next starts where the last commit was: nothing is lost, nothing counted twice."""

    def crash(entries: Sequence[Entry], at: float) -> Effect:
        if where == "work":
            raise Crash
        stored = add_up(entries, at)

        def effect(connection: sa.Connection) -> float:
            stored(connection)
            raise Crash

        return effect

    first = follow(bare, journal)
    first.step(add_up, 4)
    with pytest.raises(Crash):
        first.step(crash, 4)
    first.close()
    second = follow(bare, journal)
    while second.step(add_up, 4):
        pass
    second.close()
    assert tallied(bare) == {"sum": 45, "entries": 10}


def test_a_stale_reader(bare: World, journal: Path) -> None:
    """A process that was thought dead and reads on gets a Conflict, and its work is not stored."""
    stale, reader = follow(bare, journal), follow(bare, journal)
    reader.step(add_up, 4)
    with pytest.raises(Conflict) as caught:
        stale.step(add_up, 2)
    assert (caught.value.code, tallied(bare)) == ("stale-reader", {"sum": 6, "entries": 4})
    stale.close()
    reader.close()


def test_a_locked_store(bare: World, journal: Path) -> None:
    """Where the store cannot be written, the same entries are read again."""

    def locked(entries: Sequence[Entry], at: float) -> Effect:
        def effect(connection: sa.Connection) -> float:
            raise sa.exc.OperationalError("", {}, Exception("database is locked"))

        return effect

    follower = follow(bare, journal)
    assert follower.step(locked, 4) == 0
    while follower.step(add_up, 4):
        pass
    follower.close()
    assert tallied(bare) == {"sum": 45, "entries": 10}


def test_an_event_that_kills_is_put_aside(bare: World, journal: Path) -> None:
    """A careful reader that dies twice at one event passes it over, remembers it, and deals with all others."""

    def poison(entries: Sequence[Entry], at: float) -> Effect:
        if any(event.at == 5.0 for entry in entries if (event := decode(entry)) is not None):
            raise Crash
        return add_up(entries, at)

    crashes = 0
    while True:
        follower = follow(bare, journal, careful=crashes > 0)
        try:
            while follower.step(poison, 4):
                pass
            break
        except Crash:
            crashes += 1
        finally:
            follower.close()
    assert tallied(bare) == {"sum": 40, "entries": 9}
    assert crashes == 3
    with bare.store.read() as connection:
        assert positions.aside(connection) == {"record": 1}


def test_a_reader_that_never_began(bare: World, journal: Path) -> None:
    """It has no place to read from."""
    with pytest.raises(Conflict, match="never began"):
        Follower(bare.store, journal, "shadow:credit/next/m@3")


def test_a_store_that_fails_is_no_crash_of_the_event(bare: World, journal: Path) -> None:
    """A careful reader tries on for as long as the store cannot be written, and puts nothing aside."""
    failures = iter(range(5))

    def unlucky(entries: Sequence[Entry], at: float) -> Effect:
        if next(failures, None) is None:
            return add_up(entries, at)

        def effect(connection: sa.Connection) -> float:
            raise sa.exc.OperationalError("", {}, Exception("disk is full"))

        return effect

    follower = follow(bare, journal, careful=True)
    assert [follower.step(unlucky, 4) for _ in range(5)] == [0] * 5
    while follower.step(unlucky, 4):
        pass
    follower.close()
    with bare.store.read() as connection:
        assert positions.aside(connection) == {}
    assert tallied(bare) == {"sum": 45, "entries": 10}
