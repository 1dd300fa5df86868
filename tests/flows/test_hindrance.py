"""Who waits for a plan is told why it is not applied; a shadow that cannot begin says why."""

from __future__ import annotations

from typing import Any

from flows import deploy, status
from flows.deploy import ArmSpec
from flows.shadow import ShadowName, tell_failure, totals_of
from routing.plan import Plan
from store import workers
from tests.flows.flow_world import World, order

OTHERS = {"control": ArmSpec("m@1", 1), "treatment": ArmSpec("m@3", 1)}


def at_10() -> float:
    """The time of all that is asked here."""
    return 10.0


def changed(world: World) -> Plan:
    """A second plan of `credit`."""
    world.endpoint()
    return deploy.set_arms(world.place, "credit", OTHERS, None, None, order(1.0))


def report(world: World, plan: int, failed: list[dict[str, Any]]) -> None:
    """What one worker says of itself."""
    with world.store.write() as connection:
        workers.report(connection, "w1", at_10(), {"plans": {"credit": plan}, "failed": failed})


def test_what_only_takes_longer_has_no_hindrance(bare: World) -> None:
    """Nor has what no worker has seen yet."""
    plan = changed(bare)
    assert status.hindrance(bare.store, plan, at_10) is None
    report(bare, 1, [])
    assert status.hindrance(bare.store, plan, at_10) is None


def test_a_worker_that_failed_is_a_hindrance(bare: World) -> None:
    """With the version and the reason; what it said of other plans and endpoints is not."""
    plan = changed(bare)
    others = [
        {"endpoint": "credit", "plan": 1, "version": "m@1", "reason": "old"},
        {"endpoint": "x", "plan": 2, "version": "m@2", "reason": "x"},
    ]
    report(bare, 1, others)
    assert status.hindrance(bare.store, plan, at_10) is None
    report(bare, 1, [*others, {"endpoint": "credit", "plan": 2, "version": "m@3", "reason": "it is damaged"}])
    assert status.hindrance(bare.store, plan, at_10) == "m@3: it is damaged"


def test_a_plan_that_was_sent_back_has_another_in_its_place(bare: World) -> None:
    """The reason is that of the plan which replaced it."""
    plan = changed(bare)
    deploy.rollback(bare.place, "credit", None, order(2.0))
    assert status.hindrance(bare.store, plan, at_10) == "plan 3 has replaced it: because"


def test_a_shadow_that_cannot_begin_says_why(bare: World) -> None:
    """As its last error; what it has done stays counted."""
    name = ShadowName("credit", "next", "m@2")
    tell_failure(bare.store, name, "cannot begin: no server")
    with bare.store.read() as connection:
        totals = totals_of(connection, name)
    assert (totals.last_error, totals.done) == ("cannot begin: no server", 0)
