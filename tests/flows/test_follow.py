"""A reader's walk: each entry's effect exactly once, whatever crashes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from core import events
from core.errors import Conflict, Unavailable
from core.events import Tick
from core.values import START, Position
from flows.follow import Effect, Follower, between, decode
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


def crashes(world: World) -> tuple[int, dict[str, int]]:
    """How many crashes are counted where the reader stands, and how many events were put aside."""
    with world.store.read() as connection:
        row = positions.get(connection, "record")
        assert row is not None
        return row.crashes, positions.aside(connection)


def locked(*_: object) -> None:
    """What a store says that cannot be used now."""
    raise sa.exc.OperationalError("", {}, Exception("database is locked"))


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


class Locked:
    """Work whose effects cannot be stored for the first `times`; counts the entries that it worked on."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.worked = 0

    def __call__(self, entries: Sequence[Entry], at: float) -> Effect:
        stored = add_up(entries, at)
        self.worked += len(entries)

        def effect(connection: sa.Connection) -> float:
            found = stored(connection)
            if self.left:
                self.left -= 1
                locked()
            return found

        return effect


def test_a_locked_store(bare: World, journal: Path) -> None:
    """Where the store cannot be written the effect is tried again, and nothing is worked on twice."""
    follower, work = follow(bare, journal), Locked(2)
    assert [follower.step(work, 4) for _ in range(3)] == [0, 0, 4]
    while follower.step(work, 4):
        pass
    follower.close()
    assert (work.worked, tallied(bare)) == (10, {"sum": 45, "entries": 10})


def test_nothing_to_store_yet(bare: World, journal: Path) -> None:
    """The reader goes on, its stored position stays; what it kept in mind is stored when it says so, or lost with it and read again."""
    kept: list[Entry] = []

    def remember(entries: Sequence[Entry], at: float) -> Effect | None:
        kept.extend(entries)
        return add_up(kept, at) if len(kept) == 6 else None

    first = follow(bare, journal)
    assert [first.step(remember, 3) for _ in range(3)] == [3, 3, 3]
    assert (tallied(bare), first.settled) == ({"sum": 15, "entries": 6}, True)
    first.close()
    kept.clear()
    second = follow(bare, journal)
    assert [second.step(remember, 3) for _ in range(3)] == [3, 1, 0]
    second.store(add_up(kept, second.at))
    second.close()
    assert tallied(bare) == {"sum": 45, "entries": 10}
    third = follow(bare, journal)
    assert third.step(add_up, 3) == 0
    third.close()


def test_a_store_that_cannot_be_written_keeps_what_is_to_be_stored(bare: World, journal: Path) -> None:
    """Also where nothing more is read: the next step stores it first."""
    follower, work = follow(bare, journal), Locked(1)
    while follower.step(lambda entries, at: None, 4):
        pass
    follower.store(work([], 9.0))
    assert (follower.settled, tallied(bare)) == (False, {})
    assert (follower.step(add_up, 4), follower.settled, follower.at) == (0, True, 9.0)
    follower.close()
    assert tallied(bare) == {"sum": 0, "entries": 0}


def test_a_note_leaves_the_count_of_crashes(bare: World, journal: Path) -> None:
    """Who says something of an event has not got past it: the one that crashes there again and again is put aside all the same."""
    with bare.store.write() as connection:
        positions.count_start(connection, "record")
    reader = follow(bare, journal)
    reader.note(lambda connection: None)
    reader.close()
    assert crashes(bare) == (1, {})


def test_a_note_leaves_the_position(bare: World, journal: Path) -> None:
    """And only who reads for the reader may make one."""
    stale, reader = follow(bare, journal), follow(bare, journal)
    reader.note(lambda connection: facts.add_tallies(connection, {("e", "noted"): 1}))
    reader.step(add_up, 20)
    with pytest.raises(Conflict):
        stale.note(lambda connection: facts.add_tallies(connection, {("e", "noted"): 1}))
    assert tallied(bare) == {"noted": 1, "sum": 45, "entries": 10}
    stale.close()
    reader.close()


def test_a_stretch_of_the_journal(journal: Path) -> None:
    """From a position up to another, in order."""
    every = [*between(journal, START, Position(9, 0))]
    assert [event.at for entry in every if (event := decode(entry)) is not None] == [float(at) for at in range(10)]
    assert [*between(journal, every[1].address.position, every[4].address.position)] == every[1:4]


def test_an_event_that_kills_is_put_aside(bare: World, journal: Path) -> None:
    """A careful reader that dies twice at one event passes it over, remembers it, and deals with all others."""

    def poison(entries: Sequence[Entry], at: float) -> Effect:
        if any(event.at == 5.0 for entry in entries if (event := decode(entry)) is not None):
            raise Crash
        return add_up(entries, at)

    died = 0
    while True:
        follower = follow(bare, journal, careful=died > 0)
        try:
            while follower.step(poison, 4):
                pass
            break
        except Crash:
            died += 1
        finally:
            follower.close()
    assert tallied(bare) == {"sum": 40, "entries": 9}
    assert (died, crashes(bare)) == (3, (0, {"record": 1}))


def test_an_event_that_was_survived_is_not_put_aside(bare: World, journal: Path) -> None:
    """A careful reader that has nothing to store yet dies at a later event, again and again: the one where it stands is not to blame."""

    def remember(entries: Sequence[Entry], at: float) -> None:
        if any(event.at == 3.0 for entry in entries if (event := decode(entry)) is not None):
            raise Crash

    for _ in range(5):
        follower = follow(bare, journal, careful=True)
        assert [follower.step(remember, 4) for _ in range(3)] == [1, 1, 1]
        with pytest.raises(Crash):
            follower.step(remember, 4)
        follower.close()
        assert crashes(bare) == (0, {})


def test_that_it_was_survived_is_stored_once_the_store_can_be_written(bare: World, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything more is read; the position stays."""
    follower, worked = follow(bare, journal, careful=True), list[Entry]()
    with monkeypatch.context() as patch:
        patch.setattr(positions, "advance", locked)
        assert [follower.step(lambda entries, at: worked.extend(entries), 4) for _ in range(3)] == [0, 0, 0]
    assert (len(worked), crashes(bare)) == (1, (1, {}))
    follower.step(add_up, 4)
    assert (tallied(bare), crashes(bare)) == ({}, (0, {}))
    follower.close()


@pytest.mark.parametrize("written", [True, False])
def test_work_that_cannot_be_done_now_ends_the_process(bare: World, journal: Path, monkeypatch: pytest.MonkeyPatch, written: bool) -> None:
    """It may have done a part, so it is never asked again. However often that is so at one event, it is no crash of the event.

    Where the count cannot be taken back, one crash stays counted.
    """

    def fail(_entries: Sequence[Entry], _at: float) -> Effect:
        raise Unavailable("the store cannot be read")

    if not written:
        monkeypatch.setattr(positions, "advance", locked)
    for _ in range(5 if written else 1):
        follower = follow(bare, journal, careful=True)
        with pytest.raises(Unavailable, match="cannot be read"):
            follower.step(fail, 4)
        follower.close()
        assert crashes(bare) == (0 if written else 1, {})


def test_a_reader_that_never_began(bare: World, journal: Path) -> None:
    """It has no place to read from."""
    with pytest.raises(Conflict, match="never began"):
        Follower(bare.store, journal, "shadow:credit/next/m@3")


def test_a_store_that_fails_is_no_crash_of_the_event(bare: World, journal: Path) -> None:
    """A careful reader tries on for as long as the store cannot be written, and puts nothing aside."""
    follower, work = follow(bare, journal, careful=True), Locked(5)
    assert [follower.step(work, 4) for _ in range(5)] == [0] * 5
    while follower.step(work, 4):
        pass
    follower.close()
    assert crashes(bare) == (0, {})
    assert (work.worked, tallied(bare)) == (10, {"sum": 45, "entries": 10})
