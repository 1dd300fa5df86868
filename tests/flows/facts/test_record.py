"""How events are cut into batches, and how often a batch is tried, changes nothing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.events import ENROLLED, FORCED, Tick
from flows import deploy, experiment
from flows.facts import record
from flows.facts.trials import Trials, trial_of
from store import experiments, tables
from tests.flows.flow_world import LOOK, World, order
from tests.flows.metric_world import same_facts

UNITS = st.sampled_from(["a", "b", "c"])
STEPS = st.sampled_from([0.0, 0.5, 1.0, 4.0, 5.0, 17.0, 70.0])
VALUES = st.sampled_from([0.5, 1.0, 2.0, 4.0])
ACTIONS = st.one_of(
    st.tuples(
        st.just("predict"), UNITS, st.sampled_from(["control", "control", "treatment"]), st.sampled_from([ENROLLED, ENROLLED, 0, FORCED])
    ),
    st.tuples(st.just("observe"), UNITS, VALUES, st.sampled_from([-6.0, -1.0, 0.0, 0.0, 90.0]), st.sampled_from([None, None, "x", "y"])),
    st.tuples(st.just("answer"), st.integers(0, 9), VALUES, st.sampled_from([None, "x"])),
    st.tuples(st.just("tick")),
)
STORY = st.lists(st.tuples(STEPS, ACTIONS), min_size=2, max_size=25)


def tell(world: World, story: list[tuple[float, tuple[Any, ...]]]) -> None:
    """Journal a story; the traffic shifts at 40, so that later predictions are of plan 3."""
    world.endpoint()
    world.begin(look=LOOK)
    deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 3}, None, order(40.0))
    at, known = 1.0, ["p1-ffff-0000000000000007"]
    for step, (kind, *how) in story:
        at += step
        if kind == "predict":
            known.append(world.predict(at, how[0], how[1], 2 if at < 40.0 else 3, how[2]))
        elif kind == "observe":
            world.observe(at, how[0], how[1], at + how[2], key=how[3])
        elif kind == "answer":
            world.answer(at, known[how[0] % len(known)], how[1], key=how[2])
        else:
            world.log(Tick(at))


@given(story=STORY, cuts=st.lists(st.integers(1, 4), min_size=25, max_size=25), broken=st.sets(st.integers(0, 24)))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_batches_do_not_matter(story: list[tuple[float, tuple[Any, ...]]], cuts: list[int], broken: set[int]) -> None:
    """One batch, and any batches of which some are rolled back and folded again, give identical facts and looks."""
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        whole, parts = World(Path(one)), World(Path(other))
        for world in (whole, parts):
            tell(world, story)
        whole.fold()
        recorder, start = parts.recorder(), 0
        for number, cut in enumerate(cuts):
            batch = parts.entries[start : start + cut]
            if number in broken:
                with parts.store.read() as connection:
                    transaction = connection.begin_nested()
                    recorder.fold(connection, batch, parts.at)
                    transaction.rollback()
            if batch:
                parts.fold(recorder, batch)
            start += cut
        left = whole.facts()
        assert (whole.at, whole.tallies()) == (parts.at, parts.tallies())
        same_facts(left, parts.facts())
        stored = sum(kind in ("observe", "answer") for _, (kind, *_) in story)
        told = ("counted", "outside_window", "unanalysed", "quarantined", "duplicates")
        assert sum(row["number"] for row in left["tallies"] if row["name"] in told) + len(left["waiting"]) == stored


def looked(world: World) -> tuple[int, float]:
    """How many looks there were, and when the next is due."""
    [row] = world.rows(tables.experiments)
    return (msgspec.json.decode(row["evidence"])["looks"] if row["evidence"] else 0), row["next_look"]


def test_looks_happen_on_the_grid(world: World) -> None:
    """A look is made at started + k · 20 of journal time, whenever an event comes that is past it; not before."""
    world.predict(1.0, "u")
    world.log(Tick(19.9))
    world.fold()
    assert looked(world) == (0, None)
    world.log(Tick(20.1))
    world.fold(entries=world.entries[2:])
    assert looked(world) == (1, 40.0)


def test_a_long_silence_makes_no_thousand_looks(world: World) -> None:
    """Grid points at which nothing can have changed are passed over."""
    world.predict(1.0, "u")
    world.log(Tick(100_000.0))
    world.fold()
    looks, following = looked(world)
    assert looks <= 2
    assert following % LOOK == 0
    assert following >= 100_000.0


def test_when_ticks_are_wanted(bare: World) -> None:
    """While an experiment runs, and after it until its last unit has matured."""

    def wanted() -> bool:
        with bare.store.read() as connection:
            return bare.recorder().wants_tick(connection, bare.at)

    bare.endpoint()
    assert not wanted()
    bare.begin()
    assert wanted()
    bare.predict(1.0, "u")
    bare.fold()
    experiment.stop(bare.place, "e1", order(5.0))
    assert wanted()
    record.tick(lambda payload: bare.log(Tick(50.0)) and bare.entries[-1].address, lambda: 50.0)
    bare.fold(entries=bare.entries[1:])
    assert bare.states() == {"u": "matured"}
    assert not wanted()


def test_the_last_look_of_a_stopped_experiment_is_made(bare: World) -> None:
    """Though all of its units have matured and nothing happens any more: time moves until the look that was due before the stop."""
    bare.endpoint()
    bare.begin()
    bare.predict(1.0, "u")
    bare.log(Tick(LOOK - 1.0))
    bare.fold()
    assert bare.states() == {"u": "matured"}
    experiment.stop(bare.place, "e1", order(LOOK + 0.5))
    with bare.store.read() as connection:
        assert bare.recorder().wants_tick(connection, bare.at)
    bare.log(Tick(LOOK + 1.0))
    bare.fold(entries=bare.entries[-1:])
    assert looked(bare)[0] == 1
    with bare.store.read() as connection:
        assert not bare.recorder().wants_tick(connection, bare.at)


def test_two_experiments_one_after_the_other(world: World) -> None:
    """A unit enters each anew, and an outcome belongs to the experiment that ran when it arrived."""
    world.predict(1.0, "u")
    world.observe(2.0, "u", 1.0)
    experiment.stop(world.place, "e1", order(30.0))
    world.begin("e2", 31.0)
    world.predict(32.0, "u", plan=4)
    world.observe(33.0, "u", 2.0)
    world.fold()
    assert {(row["experiment"], row["total"]) for row in world.facts()["unit_totals"]} == {("e1", 1.0), ("e2", 2.0)}


def test_many_experiments_cost_no_more_questions(bare: World) -> None:
    """Loading three that have stopped but are not over asks the store as often as loading one; each is as if it were alone."""
    bare.endpoint()
    asked: list[int] = []
    for name in ("e1", "e2", "e3"):
        bare.begin(name)
        experiment.stop(bare.place, name, order(2.0))
        statements: list[object] = []
        with bare.store.read() as connection:
            note = lambda *given: statements.append(given)  # noqa: B023, E731
            sa.event.listen(connection, "before_cursor_execute", note)
            found = Trials().load(connection, 3.0)
            sa.event.remove(connection, "before_cursor_execute", note)
            asked.append(len(statements))
            alone = {each: trial_of(connection, experiments.get(connection, each)) for each in found}
        assert found == alone
        assert not any(trial.is_over(3.0) for trial in found.values())
    assert len(found) == 3
    assert len(set(asked)) == 1


@pytest.mark.parametrize("batch", [1, 2])
def test_what_waits_expires_in_the_batch_that_brought_it(bare: World, batch: int) -> None:
    """However the events were read, an outcome whose unit has not come in time is told at once."""
    bare.endpoint()
    bare.begin(look=1000.0)
    bare.observe(1.0, "u")
    bare.log(Tick(61.0))
    for start in range(0, 2, batch):
        bare.fold(entries=bare.entries[start : start + batch])
    assert (bare.tallies(), bare.facts()["waiting"]) == ({"quarantined": 1}, [])
