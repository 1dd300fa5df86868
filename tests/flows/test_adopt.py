"""Adopting plans: what a worker does where a version cannot be loaded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import NotFound, Rejected
from core.ids import VersionId
from core.values import Output
from flows import deploy
from flows.adopt import ALIVE_SECONDS, RETRY_SECONDS, Adopter
from flows.deploy import ArmSpec
from flows.known import Known
from flows.learning.swap import Swapper
from flows.predict import Ask, Means, Missed, predict
from flows.serving import Routes
from flows.status import wait_applied
from models.package import Loaded
from models.pool import KEEP_SECONDS, Pool
from store import workers
from tests.flows.flow_world import ARMS, World, card, order


class Answers:
    """A runtime that always answers 1."""

    def predict(self, rows: Any) -> list[Output]:
        return [Output(value=1.0) for _ in rows]


class Node:
    """A worker on a world whose versions in `broken` cannot be loaded, at a time that the test sets."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 100.0
        self.broken: set[str] = set()
        self.routes = Routes()
        self.while_loading: Callable[[], object] = lambda: None
        self.pool = Pool(self._load, lambda: self.now)
        swapper = Swapper(world.store, lambda digest: b"", Path("key"))
        self.adopter = Adopter(world.store, self.pool, self.routes, "w1", lambda: self.now, swapper)

    def _load(self, version: VersionId) -> Loaded:
        self.while_loading()
        if str(version) in self.broken:
            raise Rejected("the artefact is gone")
        return Loaded(card(), Answers(), 0.0)

    def poll(self, after: float = 0.0) -> dict[str, Any]:
        """Poll so much later; what the worker reports."""
        self.now += after
        self.adopter.poll()
        return self.reported()

    def loaded(self) -> set[str]:
        """The versions that are in memory."""
        return {f"m@{number}" for number in range(1, 5) if self._has(VersionId("m", number))}

    def _has(self, version: VersionId) -> bool:
        try:
            return self.pool.get(version) is not None
        except NotFound:
            return False

    def reported(self) -> dict[str, Any]:
        """What the worker last said of itself."""
        with self.world.store.read() as connection:
            return workers.alive(connection, 0.0)["w1"][1]

    def served_by(self, arm: str) -> str:
        """The version that answers where that arm is asked for."""
        means = Means(lambda payload: self.world_address(), lambda: self.now, lambda _version, work, _seconds: work(), Missed())
        return predict(self.routes.of("credit"), Ask("u", {"x": 1.0}, None, arm), means).model

    def world_address(self) -> Any:
        from core.ids import Address

        return Address(1, 0, 7)


@pytest.fixture
def node(world: World) -> Node:
    """A worker that has not polled yet."""
    return Node(world)


def test_a_new_worker_serves_what_it_could_load_and_tries_again(node: Node) -> None:
    """Control answers for the arm that is missing; it is reported until it can be loaded, and then served."""
    node.broken = {"m@2"}
    assert (node.poll()["plans"], [one["version"] for one in node.poll()["failed"]]) == ({}, ["m@2"])
    assert (node.served_by("control"), node.served_by("treatment")) == ("m@1", "m@1")
    node.broken = set()
    assert node.poll(RETRY_SECONDS / 2)["failed"]
    assert node.poll(RETRY_SECONDS)["plans"] == {"credit": 2}
    assert node.served_by("treatment") == "m@2"


def test_it_says_that_it_is_alive_before_it_has_read_a_plan(node: Node) -> None:
    """So nobody takes a plan for applied that this worker has not seen."""
    node.adopter.report()
    assert node.reported() == {"plans": {}, "failed": []}
    with node.world.store.read() as connection:
        plan = deploy.load(connection, "credit")
    assert wait_applied(node.world.store, plan, 0.0, lambda: node.now) is False
    node.poll()
    assert wait_applied(node.world.store, plan, 0.0, lambda: node.now) is True


def test_it_says_that_it_is_alive_while_it_loads(node: Node) -> None:
    """By the plan that it still answers by; also where the new one then turns out to be damaged."""
    node.poll()
    said = []

    def beat() -> None:
        node.now += 10.0
        node.adopter.report()
        said.append(node.reported()["plans"])

    node.while_loading, node.broken = beat, {"m@3"}
    deploy.set_arms(node.world.place, "credit", {**ARMS, "c": ArmSpec("m@3", 1)}, None, None, order(1.0))
    after = node.poll()
    assert said == [{"credit": 2}]
    assert (after["plans"], [one["plan"] for one in after["failed"]]) == ({"credit": 2}, [3])
    with node.world.store.read() as connection:
        assert workers.alive(connection, node.now - ALIVE_SECONDS).keys() == {"w1"}


def test_what_no_plan_names_is_forgotten_after_a_while(node: Node) -> None:
    """Without a further change, and never what is served or was just before."""
    node.poll()
    for number, version in ((1.0, "m@3"), (2.0, "m@4")):
        deploy.set_arms(node.world.place, "credit", {**ARMS, "treatment": ArmSpec(version, 1)}, None, None, order(number))
        node.poll(1.0)
    assert node.loaded() == {"m@1", "m@2", "m@3", "m@4"}
    node.poll(KEEP_SECONDS)
    assert node.loaded() == {"m@1", "m@3", "m@4"}


def test_a_store_that_cannot_be_read_for_a_moment(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is tried again at the next poll."""
    with monkeypatch.context() as patch:
        patch.setattr(Known, "plan", lambda *_: (_ for _ in ()).throw(OSError("locked")))
        with pytest.raises(OSError, match="locked"):
            node.adopter.poll()
    assert node.poll()["plans"] == {"credit": 2}


def test_a_switch_waits_for_no_report(node: Node) -> None:
    """While another process writes to the store, and a report waits for it, a new plan is served all the same."""
    node.poll()
    deploy.set_traffic(node.world.place, "credit", {"control": 3, "treatment": 1}, None, order(1.0))
    with node.world.store.write():
        beat = threading.Thread(target=node.adopter.report)
        beat.start()
        poll = threading.Thread(target=node.adopter.poll)
        poll.start()
        until = time.monotonic() + 8.0  # a report waits for 10 s before it gives up
        while node.routes.of("credit").plan.plan != 3:
            assert time.monotonic() < until
            time.sleep(0.01)
    beat.join()
    poll.join()
    assert node.reported()["plans"] == {"credit": 3}


def test_without_control_nothing_is_served(node: Node) -> None:
    """There would be no fallback."""
    node.broken = {"m@1"}
    assert node.poll()["plans"] == {}
    assert not node.routes.ready
    node.broken = set()
    assert node.poll(2 * RETRY_SECONDS)["plans"] == {"credit": 2}
    assert node.routes.ready
