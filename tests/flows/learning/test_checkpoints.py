"""What the store holds of labelled rows: a learner that goes on knows all that it knew, and reads little of the journal for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core.values import START, Position
from flows.follow import between
from flows.learning import checkpoints, lessons, resuming
from flows.learning.learn import Learning
from flows.learning.lessons import Lessons
from journal.lookup import Lookup
from journal.writer import Writer
from store import learners, positions
from store.learners import IDS, ROWS
from store.tables import checkpoints as table
from tests.flows.learning.learn_world import LATE, SETTINGS, LearnWorld

ALL = replace(SETTINGS, learns_from="arms", metrics=("MAE", "RMSE"))


@pytest.fixture
def by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """One segment is written with each publication."""
    monkeypatch.setattr(checkpoints, "AT_ONCE", 1)


def known(found: Lessons) -> tuple[dict[int, tuple[bytes, dict[int, int]]], dict[bytes, float]]:
    """The labelled rows by segment, and the ids of examples that count."""
    labelled, examples = found._labelled, found._examples
    segments = range(labelled.floor, found._segment + 1)
    rows = {number: (bytes(labelled._firsts.get(number, b"")).rstrip(b"\0"), labelled._others.get(number) or {}) for number in segments}
    return rows, {digest: at for digest, at in examples._at.items() if found.at - at <= LATE}


def read_through(world: LearnWorld, learning: Learning) -> Lessons:
    """Lessons that have read all that the learner has, from the journal's begin on."""
    subject = learning._origin.subject(learning._origin)
    made = Lessons(world.store, subject, Lookup(world.journal).get, lessons.begin(START, 0.0))
    for _ in made.read([*between(world.journal, START, learning._follower.position)]):
        pass
    return made


def parts(world: LearnWorld) -> dict[tuple[int, str], int]:
    """In how many parts the store holds what."""
    query = sa.select(table.c.segment, table.c.kind, sa.func.count().label("parts")).group_by(table.c.segment, table.c.kind)
    with world.store.read() as connection:
        return {(row.segment, row.kind): row.parts for row in connection.execute(query)}


def scanned(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many entries a learner reads again before it goes on."""
    read = list[object]()

    def counted(*given: Any) -> list[Any]:
        found = [*between(*given)]
        read.extend(found)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(resuming, "between", counted)
        world.kill(world.learning())
    return len(read)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("predict"), st.integers(1, 20)),
        st.tuples(st.just("label"), st.integers(0, 10_000)),
        st.tuples(st.just("label"), st.integers(0, 10_000)),
        st.tuples(st.just("wait"), st.integers(1, 60)),
        st.tuples(st.just("example"), st.integers(0, 5)),
        st.tuples(st.just("rotate"), st.just(0)),
        st.tuples(st.just("publish"), st.integers(1, 8)),
        st.tuples(st.just("publish"), st.integers(1, 8)),
        st.tuples(st.just("locked"), st.integers(1, 8)),
        st.tuples(st.just("kill"), st.just(0)),
    ),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(ACTIONS, st.sampled_from((1, 2000, 10**9)))
def test_whoever_goes_on_knows_what_was_known(actions: list[tuple[str, int]], at_once: int) -> None:
    """As one that has read the journal from its begin, wherever it dies and whenever the store fails; and learns each row once."""
    with TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patched:
        patched.setattr(checkpoints, "AT_ONCE", at_once)
        patched.setattr(learners, "MOST_BYTES", 50)
        world = LearnWorld(Path(home) / "home", settings=ALL)
        try:
            live_through(world, actions)
            assert world.replay()["equal"] is True
        finally:
            world.close()


def live_through(world: LearnWorld, actions: list[tuple[str, int]]) -> None:
    """What happens to a learner, which is compared whenever it goes on; at last it learns all there is."""
    learning, ids = world.learning(), [world.predict(0.5)]
    for what, number in actions:
        if what == "predict":
            ids.append(world.predict(*[float(row) for row in range(number)]))
        elif what == "label":
            world.label(f"{ids[number % len(ids)]}.{number // 100 % 20}", 1.0)
        elif what == "example":
            world.example(1.0, 2.0, f"e{number}")
        elif what == "wait":
            world.tick(world.now + number)
        elif what == "rotate":
            world.rotate()
        elif what == "publish":
            publish(world, learning, number)
        elif what == "locked":
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(learners, "put_down", locked)
                publish(world, learning, number)
        else:
            world.kill(learning)
            learning = world.learning()
            assert known(learning._course.lessons) == known(read_through(world, learning))
    world.drain(learning)
    world.drain(learning)


def publish(world: LearnWorld, learning: Learning, entries: int) -> None:
    """Read some entries, and publish them."""
    learning.limit, world.ticks = entries, world.ticks + 10.0
    learning.step()


def locked(*_: object) -> None:
    """What a store says that another process holds."""
    raise sa.exc.OperationalError("", {}, Exception("database is locked"))


@pytest.mark.parametrize("publications", range(1, 20))
@pytest.mark.usefixtures("by_and_by")
def test_dying_after_any_publication(world: LearnWorld, publications: int) -> None:
    """Also while segments are still to be written, and where much happens at one moment."""
    learning, ids = world.learning(), list[str]()
    for number in range(4):
        ids.append(world.predict(*map(float, range(20)), at=1.0))
        world.label(ids[-1], 1.0, at=1.0)
        world.example(1.0, 1.0, f"x{number}", at=1.0)
        world.rotate()
    for number in range(publications):
        at = 1.0 + number // 4
        world.label(f"{ids[number % 4]}.{number + 1}", 1.0, at=at)
        world.example(1.0, 1.0, f"x{number % 4}", at=at)
        world.example(1.0, 1.0, f"y{number}", at=at)
        if number % 5 == 4:
            world.rotate()
        world.drain(learning)
    world.kill(learning)
    learning = world.learning()
    assert known(learning._course.lessons) == known(read_through(world, learning))


@pytest.mark.usefixtures("by_and_by")
def test_little_is_read_again(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long labels are waited for: no more than a segment."""
    learning = world.learning()
    for number in range(20):
        for _ in range(10):
            world.pair(1.0, 2.0)
            world.example(1.0, 2.0, f"e{number}")
            world.drain(learning)
        world.rotate()
    world.kill(learning)
    assert 0 < scanned(world, monkeypatch) <= 30
    assert sorted(parts(world)) == sorted([(1, ROWS), *[(number, kind) for number in range(2, 21) for kind in (ROWS, IDS)]])


@pytest.mark.usefixtures("by_and_by")
def test_only_what_has_changed_is_written(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The segment that was left, and older ones of which more is known; what is forgotten is deleted."""
    written, real = list[tuple[int, str]](), learners.put_down

    def told(connection: Any, version: Any, floor: int, bodies: Any) -> None:
        written.extend((segment, kind) for kind, segment in bodies)
        real(connection, version, floor, bodies)

    monkeypatch.setattr(learners, "put_down", told)
    learning, ids = world.learning(), list[str]()
    for _ in range(3):
        ids += [world.predict(1.0, 2.0), world.predict(1.0)]
        world.label(ids[-1], 1.0)
        world.rotate()
        world.tick(world.now)
        world.drain(learning)
    assert written == [(1, ROWS), (2, ROWS), (3, ROWS)]
    world.label(f"{ids[0]}.1", 1.0)
    world.example(1.0, 1.0, "a")
    world.rotate()
    for _ in range(2):
        world.tick(world.now + 1)
        world.drain(learning)
    assert written[3:] == [(5, IDS), (1, ROWS)]
    world.tick(world.now + LATE + 1)
    world.rotate()
    world.pair(1.0, 1.0)
    world.drain(learning)
    assert parts(world) == {(5, IDS): 1, (6, ROWS): 1}


def test_a_body_is_cut_into_parts(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of the table holds no more than so many bytes, and fewer parts replace more."""
    monkeypatch.setattr(learners, "MOST_BYTES", 4)
    bodies = {(ROWS, 1): b"123456789", (IDS, 1): b"1234", (ROWS, 2): b"1"}
    with world.store.write() as connection:
        learners.put_down(connection, world.version, 1, bodies)
        assert learners.checkpoint(connection, world.version) == bodies
    assert parts(world) == {(1, ROWS): 3, (1, IDS): 1, (2, ROWS): 1}
    with world.store.write() as connection:
        learners.put_down(connection, world.version, 1, {(ROWS, 1): b"98765"})
        assert learners.checkpoint(connection, world.version) == {**bodies, (ROWS, 1): b"98765"}
        learners.put_down(connection, world.version, 2, {})
        assert learners.checkpoint(connection, world.version) == {(ROWS, 2): b"1"}


def test_a_checkpoint_that_was_changed(world: LearnWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Is not gone by: neither one that was forged, nor one of before, nor one that is not there. The journal says it all again."""
    id_ = world.predict(1.0, 2.0)
    world.label(id_, 1.0)
    bodies = list[dict[tuple[str, int], bytes]]()
    for _ in range(2):
        world.rotate()
        world.label(f"{id_}.1", 1.0)
        world.learn()
        with world.store.read() as connection:
            bodies.append(learners.checkpoint(connection, world.version))
    before, now = bodies[0][ROWS, 1], bodies[1][ROWS, 1]
    for changed in (now[:-1] + b"x", before[:-1], b""):
        with world.store.write() as connection:
            learners.put_down(connection, world.version, 1, {(ROWS, 1): changed or b"-"})
        world.kill(world.learning())
        assert "labels of segment 1 has been changed" in caplog.text
        caplog.clear()
    world.label(id_, 3.0)
    world.label(f"{id_}.1", 3.0)
    assert (world.learn()["labels"], world.status()["duplicates"]) == (2, 3)


def test_a_checkpoint_of_another_journal(world: LearnWorld) -> None:
    """What was known of a journal that was replaced is known of no other."""
    world.label(world.predict(1.0), 1.0)
    world.rotate()
    world.tick(world.now)
    world.learn()
    assert parts(world) == {(1, ROWS): 1}
    world.writer.close()
    shutil.rmtree(world.journal)
    world.writer = Writer(world.journal)
    with world.store.write() as connection:
        positions.advance(connection, "learn:m@1", world.position(), Position(1, 0), 0.0)
    id_ = world.predict(1.0)
    assert world.learn()["labels"] == 1
    for _ in range(2):
        world.label(id_, 1.0)
        assert world.learn()["labels"] == 2
