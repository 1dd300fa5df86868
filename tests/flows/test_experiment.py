"""Experiments: each change makes a plan, and a dry run shows it all and keeps nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.errors import Conflict
from flows import deploy, experiment
from flows.deploy import Order
from flows.experiment import Changed
from store import audit, experiments, plans
from tests.flows.flow_world import DESIGN, World, order

CHANGES: dict[str, tuple[Callable[[World, Order], Changed], str]] = {
    "create": (lambda world, by: experiment.create(world.place, "new", "credit", DESIGN, by), "running"),
    "draft": (lambda world, by: experiment.create(world.place, "new", "credit", DESIGN, by, draft=True), "draft"),
    "start": (lambda world, by: experiment.start(world.place, "drafted", by), "running"),
    "give up": (lambda world, by: experiment.stop(world.place, "drafted", by), "stopped"),
    "stop": (lambda world, by: experiment.stop(world.place, "running", by), "stopped"),
}


def prepare(world: World, change: str) -> int:
    """What the change needs; the number of the plan after it."""
    world.endpoint()
    experiment.create(world.place, "drafted", "credit", DESIGN, order(1.0), draft=True)
    if change != "stop":
        return 1
    experiment.create(world.place, "running", "credit", DESIGN, order(1.0))
    return 2


def all_of_it(world: World) -> object:
    """What a change could have changed."""
    with world.store.read() as connection:
        return plans.history(connection, "credit", 99), experiments.list_all(connection), audit.newest(connection, 99)


@pytest.mark.parametrize("change", CHANGES)
def test_an_order_for_another_plan_changes_nothing(bare: World, change: str) -> None:
    """Also where the change itself makes no plan."""
    number = prepare(bare, change)
    make, state = CHANGES[change]
    before = all_of_it(bare)
    with pytest.raises(Conflict, match=rf"If-Match: the plan of credit is {number}, not 7"):
        make(bare, order(2.0, if_match=7))
    assert all_of_it(bare) == before
    assert make(bare, order(2.0, if_match=number)).shown["state"] == state


@pytest.mark.parametrize("change", CHANGES)
def test_a_dry_run_shows_what_would_be_and_changes_nothing(bare: World, change: str) -> None:
    """The same is shown as then happens."""
    prepare(bare, change)
    make, state = CHANGES[change]
    before = all_of_it(bare)
    shown = make(bare, order(2.0, dry_run=True))
    assert all_of_it(bare) == before
    assert make(bare, order(2.0)) == shown
    assert shown.shown["state"] == state
    with bare.store.read() as connection:
        assert shown.plan == (None if change in ("draft", "give up") else deploy.load(connection, "credit"))
