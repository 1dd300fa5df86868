"""Adopting plans of versions that learn: nobody is answered by what has learnt nothing where there is something that was learnt."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Unavailable
from flows.adopt import RETRY_SECONDS, Adopter, loader
from flows.deploy import ArmSpec, create, set_arms
from flows.learning import swap
from flows.learning.swap import Swapper
from flows.serving import Routes
from models.pool import Pool
from store import workers
from tests.flows.flow_world import World, order
from tests.flows.learning.learning_world import RIVER, STILL, LearningWorld, taught


@pytest.fixture
def learning(bare: World, tmp_path: Path) -> LearningWorld:
    """A registered model that has published nothing."""
    return LearningWorld(bare, tmp_path)


@pytest.fixture
def swapper(learning: LearningWorld) -> Swapper:
    """Looks at each call, however long the last load took."""
    return Swapper(learning.store, learning.blobs.get, learning.key, effort=lambda: 0.0)


class Node:
    """A worker whose time the test sets."""

    def __init__(self, learning: LearningWorld, swapper: Swapper) -> None:
        self.now = 100.0
        self.routes = Routes()
        pool = Pool(loader(learning.store, learning.blobs), lambda: self.now)
        self.adopter = Adopter(learning.store, pool, self.routes, "w", lambda: self.now, swapper)
        self._store = learning.store

    def poll(self, after: float = 0.0) -> dict[str, Any]:
        """Poll so much later; what the worker reports."""
        self.now += after
        self.adopter.poll()
        with self._store.read() as connection:
            return workers.alive(connection, 0.0)["w"][1]

    def snapshot(self, endpoint: str) -> int:
        """The one that answers there."""
        return self.routes.of(endpoint).arms["control"].loaded.served.snapshot


@pytest.fixture
def node(learning: LearningWorld, swapper: Swapper) -> Node:
    """One that has not polled yet."""
    return Node(learning, swapper)


def serve(learning: LearningWorld, endpoint: str, version: str = str(RIVER)) -> None:
    """An endpoint whose control is that version."""
    create(learning.world.place, endpoint, {"control": ArmSpec(version, 1)}, {}, 1.0, "s", order())


def test_a_plan_whose_snapshot_cannot_be_loaded_is_not_adopted(learning: LearningWorld, node: Node) -> None:
    """Nobody is answered by what has learnt nothing: the old plan goes on, it is told why, and tried again until it can be loaded."""
    serve(learning, "e", str(STILL))
    node.poll()
    learning.publish(1, taught(1))
    learning.tamper()
    set_arms(learning.world.place, "e", {"control": ArmSpec(str(RIVER), 1)}, None, 1.0, order())
    told = node.poll()
    assert (told["plans"], node.routes.of("e").arms["control"].version) == ({"e": 1}, str(STILL))
    assert [(one["version"], one["plan"]) for one in told["failed"]] == [("river@1", 2)]
    assert "signature" in told["failed"][0]["reason"]
    learning.publish(3, taught(3))
    assert node.poll(RETRY_SECONDS)["plans"] == {"e": 2}
    assert node.snapshot("e") == 3


def test_a_worker_that_has_nothing_older_serves_nothing(learning: LearningWorld, node: Node) -> None:
    """The endpoint is not there yet, and the worker is not ready."""
    learning.publish(1, None, artefact=b"no pickle")
    serve(learning, "e")
    told = node.poll()
    assert (told["plans"], node.routes.ready) == ({}, False)
    with pytest.raises(Unavailable):
        node.routes.of("e")
    learning.publish(2, taught(2))
    node.poll(RETRY_SECONDS)
    assert (node.snapshot("e"), node.routes.ready) == (2, True)


def test_what_answers_already_answers_at_another_endpoint_too(learning: LearningWorld, node: Node) -> None:
    """By its older snapshot, where the newest cannot be loaded."""
    serve(learning, "e")
    node.poll()
    learning.publish(1, None, artefact=b"no pickle")
    serve(learning, "f")
    assert node.poll()["plans"] == {"e": 1, "f": 1}
    assert node.snapshot("f") == 0


def test_a_store_that_is_locked_delays_the_plan(
    learning: LearningWorld, swapper: Swapper, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as that lasts, and no longer."""
    learning.publish(1, taught(1))
    serve(learning, "e")

    def locked() -> None:
        raise sa.exc.OperationalError("select", {}, Exception("database is locked"))

    with monkeypatch.context() as patch:
        patch.setattr(swapper, "_numbers", locked)
        with pytest.raises(sa.exc.OperationalError):
            node.adopter.poll()
        assert "e" not in node.routes.by_endpoint
    node.poll()
    assert node.snapshot("e") == 1


def test_a_key_that_cannot_be_read_stops_no_other_plan(learning: LearningWorld, node: Node) -> None:
    """What needs no key is served; what does comes with the key."""
    learning.publish(1, taught(1))
    kept = learning.key.read_bytes()
    learning.key.unlink()
    learning.key.mkdir()
    serve(learning, "e")
    serve(learning, "other", str(STILL))
    told = node.poll()
    assert (told["plans"], [one["endpoint"] for one in told["failed"]]) == ({"other": 1}, ["e"])
    learning.key.rmdir()
    learning.key.write_bytes(kept)
    learning.key.chmod(0o600)
    assert node.poll(RETRY_SECONDS)["plans"] == {"e": 1, "other": 1}
    assert node.snapshot("e") == 1


def test_a_plan_waits_for_no_snapshot_of_another_version(
    learning: LearningWorld, swapper: Swapper, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a large one is loaded, a plan of other versions is adopted."""
    serve(learning, "e")
    node.poll()
    learning.publish(1, taught(1))
    loading, go_on, revive = threading.Event(), threading.Event(), swap.revive
    monkeypatch.setattr(swap, "revive", lambda *given: (loading.set(), go_on.wait(10.0), revive(*given))[2])
    thread = threading.Thread(target=node.adopter.follow_learners)
    thread.start()
    try:
        assert loading.wait(10.0)
        serve(learning, "other", str(STILL))
        assert node.poll()["plans"] == {"e": 1, "other": 1}
        assert node.snapshot("e") == 0
    finally:
        go_on.set()
        thread.join()
    assert node.snapshot("e") == 1
