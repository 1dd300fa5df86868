"""The learner's process: each row once whatever dies when, and what it publishes."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from river import metrics

from core.errors import Conflict, Unavailable
from flows.follow import IDLE_SECONDS
from models.learner.fingerprint import fingerprint
from store import learners, positions
from tests.flows.learning.learn_world import LATE, SETTINGS, LearnWorld, Make, Steep, line, taught
from tests.flows.learning.naive_learner import learnt


def test_the_first_snapshot_is_the_version_as_registered(world: LearnWorld) -> None:
    """Number 0, at once: the learner can be seen before it has learnt."""
    world.learning()
    row = world.snapshot()
    assert (row.number, row.position, fingerprint(world.model())) == (0, world.position(), fingerprint(line()))
    assert row.river == importlib.metadata.version("river")
    assert (world.status()["labels"], world.status()["state"], world.status()["gap"]) == (0, "learning", None)


def test_labels_are_learnt_and_published(world: LearnWorld) -> None:
    """In the journal's order, which is that of the labels; the score is asked before each is learnt."""
    rows = [(1.0, 2.0), (2.0, 4.5), (3.0, 5.5), (-1.0, 0.0)]
    ids = [world.predict(x) for x, _ in rows]
    order = [2, 0, 3, 1]
    for number in order:
        world.label(ids[number], rows[number][1])
    status = world.learn()
    assert fingerprint(world.model()) == fingerprint(taught(*[rows[number] for number in order]))
    score, model = metrics.MAE(), line()
    for number in order:
        x, y = {"x": rows[number][0]}, rows[number][1]
        score.update(y, model.predict_one(x))
        model.learn_one(x, y)
    assert status["scores"] == {"MAE": score.get()}
    assert (status["labels"], status["snapshot"], status["position"]) == (4, 1, world.position()._asdict())


def test_when_it_publishes(world: LearnWorld) -> None:
    """News after a while, also where nothing more comes; without news only the position is stored, and seldom; in quiet nothing at all."""
    learning = world.learning()
    world.pair(1.0, 1.0)
    assert (learning.step(), learning.step(), world.snapshot().number) == (2, 0, 0)
    world.ticks += 0.29
    learning.step()
    assert world.snapshot().number == 0
    world.ticks += 0.3 - 0.29
    learning.step()
    assert (world.snapshot().number, world.position()) == (1, world.place.journal_end())
    world.predict(1.0)
    before, published = world.position(), world.snapshot()
    world.ticks += 4.9
    learning.step()
    assert world.position() == before
    world.ticks += 0.1
    learning.step()
    assert (world.position(), world.snapshot()) == (world.place.journal_end(), published)
    world.now += 1.0
    world.ticks += 5.0
    learning.step()
    assert world.snapshot() == published


def test_what_came_of_labels_is_told_without_news(world: LearnWorld) -> None:
    """A label that is not learnt is no news for who answers; it is counted all the same, in the same snapshot."""
    learning = world.learning()
    world.pair(1.0, 1.0)
    world.drain(learning)
    world.label(world.predict(1.0), 1.0, at=world.now + 2 * LATE)
    world.drain(learning)
    assert (world.status()["late"], world.snapshot().number) == (1, 1)


def test_a_full_disk_is_waited_for(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer after each attempt, up to a second; then what was learnt is stored at once."""
    learning = world.learning()
    world.pair(1.0, 2.0)

    def full(*_: object) -> None:
        raise sa.exc.OperationalError("", {}, Exception("database or disk is full"))

    with monkeypatch.context() as patch:
        patch.setattr(learners, "publish", full)
        world.drain(learning)
        waits = [(learning.step(), learning.idle)[1] for _ in range(8)]
    assert waits == sorted(waits)
    assert (waits[0] < waits[3], waits[-1]) == (True, 1.0)
    world.drain(learning)
    assert (world.status()["labels"], learning.idle < 0.1) == (1, True)


def test_a_step_that_read_all_there_is_waits_for_more_and_another_does_not(world: LearnWorld) -> None:
    """So that what a step costs whatever it holds is shared by more labels, and nobody who lags waits."""
    learning, careful = world.learning(), world.learning(careful=True)
    for x in (1.0, 2.0):
        world.pair(x, x)
    learning.limit = 3
    assert [(learning.step(), learning.idle) for _ in range(2)] == [(3, 0.0), (1, IDLE_SECONDS)]
    assert (careful.step(), careful.idle) == (1, 0.0)


def test_large_models_are_published_seldom(world: LearnWorld) -> None:
    """A publication that takes an eighth of a second of the processor is followed by two and a half seconds without one."""
    learning, effort = world.learning(), iter(range(100))
    learning._school = learning._school._replace(effort=lambda: 0.125 * next(effort))
    world.pair(1.0, 1.0)
    world.drain(learning)
    numbers = []
    for _ in range(21):
        world.pair(1.0, 1.0)
        world.ticks += 0.125
        learning.step()
        numbers.append(world.snapshot().number)
    assert numbers[18:] == [1, 2, 2]


ROWS = st.lists(
    st.one_of(
        st.tuples(st.just("predict"), st.floats(-5, 5), st.booleans()),
        st.tuples(st.just("label"), st.integers(0, 1000), st.floats(-5, 5)),
        st.tuples(st.just("late"), st.integers(0, 1000), st.floats(30, 200)),
        st.tuples(st.just("example"), st.integers(0, 3), st.floats(-5, 5)),
        st.tuples(st.just("poison"), st.integers(0, 1000), st.none()),
        st.tuples(st.just("rotate"), st.none(), st.none()),
        st.tuples(st.just("read"), st.integers(1, 8), st.floats(0, 1)),
        st.tuples(st.just("kill"), st.integers(1, 8), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_each_row_once_whatever_dies_when(actions: list[tuple[str, Any, Any]]) -> None:
    """A learner that is killed again and again comes to the state of one that never was, bit for bit; and so does a replay."""
    with TemporaryDirectory() as home:
        world = LearnWorld(Path(home) / "home", settings=replace(SETTINGS, learns_from="arms", metrics=("MAE", "RMSE")))
        try:
            live_through(world, actions)
            labels, model = learnt(world)
            found = world.replay()
        finally:
            world.close()
    assert found["equal"] is True
    assert (found["live"]["labels"], found["live"]["fingerprint"]) == (labels, fingerprint(model))


def live_through(world: LearnWorld, actions: list[tuple[str, Any, Any]]) -> None:
    """What happens to a learner, and at last it learns all there is."""
    learning, ids = world.learning(), [world.predict(0.5)]
    for what, one, other in actions:
        if what == "predict":
            ids.append(world.predict(one, -one, version="m@1" if other else "m@2"))
        elif what == "label":
            world.label(ids[one % len(ids)] + (".1" if one % 3 == 1 else ""), other)
        elif what == "late":
            world.label(ids[one % len(ids)], 1.0, at=world.now + other)
        elif what == "example":
            world.example(other, 1.0, f"e{one}")
        elif what == "poison":
            world.label(ids[one % len(ids)], "no number")
        elif what == "rotate":
            world.rotate()
        elif what == "read":
            learning.limit, world.ticks = one, world.ticks + other
            learning.step()
        else:
            learning.limit = one
            learning.step()
            world.kill(learning)
            learning = world.learning()
    world.drain(learning)


def test_a_process_that_was_thought_dead(world: LearnWorld) -> None:
    """It cannot publish: what it knows is lost, and nothing of it is stored."""
    stale, owner = world.learning(), world.learning()
    world.pair(1.0, 2.0)
    stale.step()
    world.drain(owner)
    published = world.snapshot()
    with pytest.raises(Conflict) as caught:
        stale.step()
    assert (caught.value.code, world.snapshot()) == ("stale-reader", published)


def test_a_store_that_is_locked(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is learnt is published as soon as it can be, and is learnt once."""
    learning, publish = world.learning(), learners.publish
    world.pair(1.0, 2.0)

    def locked(*_: object) -> None:
        raise sa.exc.OperationalError("", {}, Exception("database is locked"))

    monkeypatch.setattr(learners, "publish", locked)
    world.drain(learning)
    world.pair(2.0, 3.0)
    world.drain(learning)
    assert world.snapshot().number == 0
    monkeypatch.setattr(learners, "publish", publish)
    world.drain(learning)
    world.drain(learning)
    assert fingerprint(world.model()) == fingerprint(taught((1.0, 2.0), (2.0, 3.0)))


def test_a_store_that_cannot_be_read_ends_the_process(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has learnt a part of what it read: the next process begins from the snapshot."""
    learning = world.learning()
    world.example(1.0, 2.0)
    world.pair(2.0, 3.0)

    def locked(*_: object) -> Any:
        raise sa.exc.OperationalError("", {}, Exception("disk I/O error"))

    with monkeypatch.context() as patched:
        patched.setattr("flows.known.plans.get", locked)
        with pytest.raises(Unavailable):
            learning.step()
    assert world.learn()["labels"] == 2
    assert fingerprint(world.model()) == fingerprint(taught((1.0, 2.0), (2.0, 3.0)))


class Death(BaseException):
    """The process dies here."""


def test_an_event_that_kills_is_put_aside(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """After two crashes it is passed over, all others are learnt once, and a replay passes it over as well."""
    from flows.learning import course

    real = course.Course._take

    def deadly(self: Any, entry: Any, lesson: Any) -> None:
        if lesson.label == 13:
            raise Death
        real(self, entry, lesson)

    monkeypatch.setattr(course.Course, "_take", deadly)
    for y in (1.0, 2.0, 13.0, 4.0):
        world.pair(y, y)
    crashes = 0
    while True:
        learning = world.learning(careful=crashes > 0)
        try:
            world.drain(learning)
            break
        except Death:
            crashes += 1
            world.kill(learning)
    assert (crashes, world.status()["labels"]) == (3, 3)
    assert fingerprint(world.model()) == fingerprint(taught((1.0, 1.0), (2.0, 2.0), (4.0, 4.0)))
    with world.store.read() as connection:
        assert positions.aside(connection) == {"learn:m@1": 1}
    assert world.replay()["equal"] is True


def test_rows_that_cannot_be_learnt(make: Make) -> None:
    """They are kept with the reason and counted, once, whatever dies; learning goes on."""
    world = make(Steep())
    world.learning()
    for y in (1.0, "text", 666.0, 4.0):
        world.pair(1.0, y)
    killed = world.learning()
    killed.step()
    world.kill(killed)
    assert (world.learn()["quarantined"], world.status()["labels"]) == (2, 2)
    with world.store.read() as connection:
        rows = learners.refused(connection, world.version, 10)
    assert len(rows) == 2
    assert "no such label" in rows[0].reason
