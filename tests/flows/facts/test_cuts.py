"""Whoever shifts traffic is told what it costs the running experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.events import Tick
from flows import deploy, experiment
from flows.deploy import ArmSpec, Order
from flows.facts import cuts
from routing.plan import Plan
from tests.flows.flow_world import ARMS, DESIGN, WINDOW, World, order

THREE_TO_ONE = {"control": 3, "treatment": 1}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An experiment into which one unit entered long ago and two just now."""
    made = World(tmp_path)
    made.endpoint()
    made.begin()
    made.predict(1.0, "old")
    made.log(Tick(2.0 * WINDOW))
    for name in ("a", "b"):
        made.predict(2.0 * WINDOW, name)
    made.fold()
    return made


def test_a_shift_by_weights_says_how_many_units_it_cuts(world: World) -> None:
    """Those whose window is not over, whether the shift is made or only asked about."""
    at = 2.0 * WINDOW + 1.0
    for dry_run in (True, False):
        plan = deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 3}, None, order(at, dry_run=dry_run))
        [said] = cuts.warnings(world.store, plan)
        assert said.startswith("this shift cuts 2 units or more of experiment e1: they entered within the last 10 s")


def test_a_ramp_by_enrolment_cuts_none(world: World) -> None:
    """Nor does a shift once all windows are over."""
    ramp = deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 1}, 0.5, order(2.0 * WINDOW + 1.0))
    assert cuts.warnings(world.store, ramp) == []
    later = deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 3}, None, order(3.0 * WINDOW))
    assert cuts.warnings(world.store, later) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda world, by: deploy.promote(world.place, "credit", None, by),
        lambda world, by: deploy.set_arms(world.place, "credit", {**ARMS, "more": ArmSpec("m@3", 1)}, None, None, by),
    ],
    ids=["promote", "arms"],
)
def test_whatever_changes_assignment_says_it(world: World, change: Callable[[World, Order], Plan]) -> None:
    """Also where the experiment ends by it."""
    [said] = cuts.warnings(world.store, change(world, order(2.0 * WINDOW + 1.0)))
    assert "cuts 2 units or more of experiment e1" in said


def test_units_that_still_mature_after_the_stop_are_cut_as_well(world: World) -> None:
    """The experiment has stopped so that they may; and one that begins on another salt says it too, asked about or made."""
    experiment.stop(world.place, "e1", order(2.0 * WINDOW + 1.0))
    for by in (order(2.0 * WINDOW + 2.0, dry_run=True), order(2.0 * WINDOW + 2.0)):
        made = experiment.create(world.place, "e2", "credit", DESIGN, by, salt="another")
        assert made.plan is not None
        [said] = cuts.warnings(world.store, made.plan)
        assert "cuts 2 units or more of experiment e1" in said
    world.log(Tick(9.0 * WINDOW))
    world.fold(entries=world.entries[-1:])
    assert world.states()["a"] == world.states()["b"] == "cut"


def test_going_back_says_it(world: World) -> None:
    """What counts is the plan that was in force, not the parent of the one that is restored."""
    deploy.set_traffic(world.place, "credit", THREE_TO_ONE, None, order(1.0))
    back = deploy.rollback(world.place, "credit", None, order(2.0 * WINDOW + 1.0))
    [said] = cuts.warnings(world.store, back)
    assert "cuts 2 units or more of experiment e1" in said


def test_without_an_experiment_nothing_is_said(tmp_path: Path) -> None:
    """Nothing is analysed, so nothing is cut."""
    world = World(tmp_path)
    world.endpoint()
    plan = deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 3}, None, order(1.0))
    assert cuts.warnings(world.store, plan) == []
