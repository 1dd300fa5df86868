"""While an experiment is invalid no treatment gets more traffic: nobody knows what it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import Conflict
from core.events import Tick
from flows import deploy, experiment
from flows.facts.report import report_in
from tests.flows.flow_world import LOOK, World, order

NOW = LOOK + 2.0


@pytest.fixture
def broken(tmp_path: Path) -> World:
    """Arms of equal weight, of which one was given four times as many units: an experiment that a look found invalid."""
    world = World(tmp_path)
    world.endpoint(enrolment=0.8)
    world.begin()
    for number in range(1500):
        world.predict(1.0, f"u{number}", "treatment" if number % 5 == 0 else "control")
    world.log(Tick(LOOK + 1.0))
    world.fold()
    with world.store.read() as connection:
        assert report_in(connection, "e1")["verdict"] == "invalid"
    return world


def shift(world: World, control: float, treatment: float, enrolment: float | None = None, **how: Any) -> None:
    deploy.set_traffic(world.place, "credit", {"control": control, "treatment": treatment}, enrolment, order(NOW, **how))


def paused_and_resumed(world: World) -> None:
    deploy.pause(world.place, "credit", order(NOW))
    deploy.resume(world.place, "credit", order(NOW))


@pytest.mark.parametrize(
    "change",
    [
        lambda world: shift(world, 1, 2),
        lambda world: shift(world, 1, 1, 0.9),
        lambda world: shift(world, 1, 2, dry_run=True),
        paused_and_resumed,
    ],
    ids=["weights", "enrolment", "a dry run", "resuming"],
)
def test_what_would_give_a_treatment_more(broken: World, change: Callable[[World], None]) -> None:
    """Refused, with the reason; once the experiment has stopped it may be."""
    with pytest.raises(Conflict, match=r"experiment e1 is invalid, and while it is, no treatment's share may rise") as caught:
        change(broken)
    assert (caught.value.code, "sample_ratio" in caught.value.message) == ("experiment-invalid", True)
    experiment.stop(broken.place, "e1", order(NOW))
    if change is not paused_and_resumed:
        change(broken)
    else:
        deploy.resume(broken.place, "credit", order(NOW))


def test_what_gives_a_treatment_less_or_ends_the_experiment(broken: World) -> None:
    """That is always possible."""
    shift(broken, 2, 1)
    shift(broken, 2, 1, 0.5)
    deploy.pause(broken.place, "credit", order(NOW))
    assert deploy.promote(broken.place, "credit", None, order(NOW)).experiment is None
