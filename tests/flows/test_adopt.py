"""Adopting plans: what a worker does where a version cannot be loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.errors import Rejected
from core.ids import VersionId
from core.values import Output
from flows import deploy
from flows.adopt import ALIVE_SECONDS, RETRY_SECONDS, Adopter
from flows.deploy import ArmSpec
from flows.predict import Ask, Means, Missed, predict
from flows.serving import Routes
from flows.status import wait_applied
from models.package import Loaded
from models.pool import Pool
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
        self.adopter = Adopter(world.store, Pool(self._load, lambda: self.now), self.routes, "w1", lambda: self.now)

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

    def reported(self) -> dict[str, Any]:
        """What the worker last said of itself."""
        with self.world.store.read() as connection:
            return workers.alive(connection, 0.0)["w1"][1]

    def served_by(self, arm: str) -> str:
        """The version that answers where that arm is asked for."""
        means = Means(lambda payload: self.world_address(), lambda: self.now, lambda work: work(), Missed())
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


def test_without_control_nothing_is_served(node: Node) -> None:
    """There would be no fallback."""
    node.broken = {"m@1"}
    assert node.poll()["plans"] == {}
    assert not node.routes.ready
    node.broken = set()
    assert node.poll(2 * RETRY_SECONDS)["plans"] == {"credit": 2}
    assert node.routes.ready
