"""Whoever shifts traffic is told what it costs the running experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.events import Tick
from flows import cuts, deploy
from tests.flows.flow_world import WINDOW, World, order


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


def test_without_an_experiment_nothing_is_said(tmp_path: Path) -> None:
    """Nothing is analysed, so nothing is cut."""
    world = World(tmp_path)
    world.endpoint()
    plan = deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 3}, None, order(1.0))
    assert cuts.warnings(world.store, plan) == []
