"""Housekeeping: failed plans go back, the journal stays within its cap, and what shadows lose by that is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import events
from core.events import PINNED, Predicted, Tick
from core.settings import Settings
from core.values import Output, Position
from flows import deploy, housekeep
from flows.deploy import ShadowSpec
from flows.follow import RECORD, WATCH
from flows.shadow import ShadowName, totals_of
from journal import segments
from journal.writer import Writer
from store import positions, workers
from tests.flows.flow_world import World, order

NEXT = ShadowName("credit", "next", "m@3")


def report(world: World, at: float, plan: int) -> None:
    """A worker says that it cannot serve this plan."""
    failed = [{"endpoint": "credit", "plan": plan, "version": "m@2", "reason": "broke"}]
    with world.store.write() as connection:
        workers.report(connection, "w1", at, {"plans": {"credit": plan - 1}, "failed": failed})


def current(world: World) -> int:
    """The current plan's number."""
    with world.store.read() as connection:
        return deploy.load(connection, "credit").plan


def current_at(world: World) -> float:
    """When the current plan was made."""
    with world.store.read() as connection:
        return deploy.load(connection, "credit").at


def test_a_plan_that_fails_is_sent_back(world: World) -> None:
    """The former one is restored, once, with the reason; a report about another plan changes nothing."""
    deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 9}, None, order(1.0))
    report(world, 2.0, 3)
    for _ in range(2):
        housekeep.send_back(world.place, lambda: 2.0)
    with world.store.read() as connection:
        plan = deploy.load(connection, "credit")
    assert (plan.plan, plan.arms["treatment"].weight, plan.by) == (4, 1, "tiltyard")
    assert plan.reason == "sent back: m@2 failed on worker w1: broke"


@pytest.mark.parametrize(("age", "served", "expected"), [(61.0, True, 2), (61.0, False, 3), (59.0, True, 3)])
def test_a_plan_that_has_proved_itself_stays(world: World, age: float, served: bool, expected: int) -> None:
    """What another worker has long served is not sent back because one cannot load it any more."""
    at = current_at(world) + age
    report(world, at, 2)
    with world.store.write() as connection:
        workers.report(connection, "w2", at, {"plans": {"credit": 2 if served else 1}, "failed": []})
    housekeep.send_back(world.place, lambda: at)
    assert current(world) == expected


def test_readers_behind_the_end_of_the_journal_begin_anew(bare: World, tmp_path: Path) -> None:
    """The journal was lost and another begun: its events are read, not taken for old ones."""
    housekeep.begin_readers(bare.store, tmp_path)
    with bare.store.write() as connection:
        positions.advance(connection, RECORD, Position(1, 0), Position(3, 1000), 5.0)
    writer = Writer(tmp_path / "journal")
    writer.append(b"first")
    writer.close()
    housekeep.begin_readers(bare.store, tmp_path / "journal")
    with bare.store.read() as connection:
        assert positions.every(connection)[RECORD].position == Position(1, 0)
    housekeep.begin_readers(bare.store, tmp_path / "journal")


def test_old_reports_and_first_plans_stay(bare: World) -> None:
    """A worker that is gone has no say, and a first plan has nothing to go back to."""
    bare.endpoint()
    report(bare, 2.0, 1)
    housekeep.send_back(bare.place, lambda: 100.0)
    housekeep.send_back(bare.place, lambda: 2.0)
    assert current(bare) == 1


@pytest.fixture
def journal(bare: World, tmp_path: Path) -> Path:
    """Ten predictions that the shadow `next` sees, one pinned and one of another plan; `record` and `next` stand at the beginning."""
    housekeep.begin_readers(bare.store, tmp_path)
    bare.place = bare.place._replace(journal_end=lambda: Position(1, 0))
    bare.endpoint({"next": ShadowSpec("m@3")})
    deploy.set_shadows(bare.place, "credit", {}, order(1.0))
    writer = Writer(tmp_path / "journal")
    for number in range(12):
        flags, plan = (PINNED if number == 3 else 0), (2 if number == 7 else 1)
        writer.append(
            events.encode(Predicted(5.0, "credit", plan, None, "control", 1.0, "m@1", flags, [[1.0]], [Output(value=1.0)], 0.001))
        )
    writer.close()
    return tmp_path / "journal"


def keep(world: World, journal: Path, cap: int) -> None:
    """Keep the journal, with segments closed at once."""
    settings = Settings(segment_bytes=100, journal_cap_bytes=cap, retention_seconds=1e9)
    housekeep.keep_journal(world.store, journal, settings, lambda: 10.0)


def advance_record(world: World, journal: Path) -> None:
    """`record` has read all there is."""
    with world.store.write() as connection:
        row = positions.get(connection, RECORD)
        assert row is not None
        positions.advance(connection, RECORD, row.position, segments.end(journal), 5.0)


def test_rotation(bare: World, journal: Path) -> None:
    """A segment of that size is closed; nothing is deleted that a reader has not passed."""
    keep(bare, journal, 10**9)
    assert segments.segments(journal) == [1, 2]
    keep(bare, journal, 10**9)
    assert segments.segments(journal) == [1, 2]


def test_overtaking_counts_what_is_dropped(bare: World, journal: Path) -> None:
    """At the cap a shadow is moved on, and exactly what it would have seen counts as dropped, once."""
    keep(bare, journal, 10**9)
    advance_record(bare, journal)
    for _ in range(2):
        keep(bare, journal, 10)
    with bare.store.read() as connection:
        row = positions.get(connection, NEXT.reader)
        assert totals_of(connection, NEXT).dropped == 10
    assert row is not None
    assert row.position.segment == 2
    assert segments.segments(journal) == [2]


def test_record_is_never_overtaken(bare: World, journal: Path) -> None:
    """What `record` has still to read stays, whatever the cap."""
    for _ in range(2):
        keep(bare, journal, 10)
    assert segments.segments(journal) == [1, 2]
    with bare.store.read() as connection:
        assert totals_of(connection, NEXT).dropped == 0


def test_shadows_retire(bare: World, journal: Path) -> None:
    """The reader of a shadow that no plan names goes once it has read all, and not before the last request may be logged."""

    def readers() -> set[str]:
        return set(housekeep.wanted_readers(bare.store))

    housekeep.retire_shadows(bare.store, journal, lambda: 100.0)
    assert readers() == {RECORD, WATCH, NEXT.reader}
    with bare.store.write() as connection:
        positions.advance(connection, NEXT.reader, Position(1, 0), segments.end(journal), 5.0)
    housekeep.retire_shadows(bare.store, journal, lambda: 11.0)
    assert readers() == {RECORD, WATCH, NEXT.reader}
    housekeep.retire_shadows(bare.store, journal, lambda: 11.1)
    assert readers() == {RECORD, WATCH}


def test_a_shadow_in_use_stays(bare: World, journal: Path) -> None:
    """However long it has nothing to do."""
    deploy.set_shadows(bare.place, "credit", {"next": ShadowSpec("m@3")}, order(2.0))
    with bare.store.write() as connection:
        positions.advance(connection, NEXT.reader, Position(1, 0), segments.end(journal), 5.0)
    housekeep.retire_shadows(bare.store, journal, lambda: 1e6)
    assert NEXT.reader in housekeep.wanted_readers(bare.store)


def test_workers_are_forgotten(bare: World) -> None:
    """A report goes some time after its worker."""
    bare.endpoint()
    report(bare, 1.0, 2)
    housekeep.forget_workers(bare.store, lambda: 52.0)
    with bare.store.read() as connection:
        assert workers.alive(connection, 0.0) == {}


def test_watch_begins_with_what_comes_from_now_on(bare: World, tmp_path: Path) -> None:
    """A home that has served before is not read again from its beginning; where the reader stands, it goes on."""
    writer = Writer(tmp_path / "journal")
    for _ in range(2):
        writer.append(events.encode(Tick(1.0)))
        housekeep.begin_readers(bare.store, tmp_path / "journal")
        with bare.store.read() as connection:
            rows = positions.every(connection)
    end = segments.end(tmp_path / "journal")
    writer.close()
    assert rows[RECORD].position == Position(1, 0)
    assert Position(1, 0) < rows[WATCH].position < end


def test_watch_is_overtaken_at_the_cap(bare: World, journal: Path) -> None:
    """What it counts is no reason to fill the disk: it is moved on to where `record` is, and below the cap it is waited for."""

    def segment() -> int:
        with bare.store.read() as connection:
            return positions.every(connection)[WATCH].position.segment

    keep(bare, journal, 10**9)
    advance_record(bare, journal)
    keep(bare, journal, 10**9)
    assert segment() == 1
    keep(bare, journal, 10)
    assert segment() == 2
    assert segments.segments(journal) == [2]
