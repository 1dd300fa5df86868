"""Versions whose loading takes workers with it, or never ends; what workers say of breakers."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from core.errors import Rejected
from core.ids import VersionId
from core.settings import Settings
from core.values import Output
from flows import adopt, deploy, housekeep, status
from flows.adopt import GONE_SECONDS, Adopter, limits_of, loader, runs
from flows.deploy import ArmSpec
from flows.learning.swap import Swapper
from flows.serving import Routes
from models.package import Loaded
from models.pool import Pool
from routing.breaker import Limits
from store import workers
from store.blobs import Blobs
from tests.flows.flow_world import World, card, order

NOBODY = 2**22 + 1
"""No process has this id: Linux gives out none above 2**22."""


class Answers:
    """A runtime that always answers 1."""

    def predict(self, rows: Any) -> list[Output]:
        return [Output(value=1.0) for _ in rows]


class Worker:
    """A worker at a time that the test sets; what it loads is remembered."""

    def __init__(self, world: World, name: str = "w9") -> None:
        self.world, self.name, self.now, self.asked = world, name, 100.0, list[str]()
        self.claimed = list[str | None]()
        self.gate = threading.Event()
        self.gate.set()
        self.routes = Routes()
        swapper = Swapper(world.store, lambda digest: b"", Path("key"))
        self.adopter = Adopter(world.store, Pool(self._load, self._clock), self.routes, name, self._clock, swapper, Limits(calls=2))

    def _clock(self) -> float:
        return self.now

    def _load(self, version: VersionId) -> Loaded:
        self.asked.append(str(version))
        with self.world.store.read() as connection:
            _, said = workers.alive(connection, 0.0).get(self.name, (0.0, {}))
        self.claimed.append(said.get("loading", {}).get("version"))
        self.gate.wait(10.0)
        return Loaded(card(), Answers(), 0.0)

    def reported(self) -> dict[str, Any]:
        """What it last said of itself."""
        with self.world.store.read() as connection:
            return workers.alive(connection, 0.0)[self.name][1]

    def poll(self) -> dict[str, Any]:
        """What it says after it has looked for plans."""
        self.adopter.poll()
        return self.reported()


def serve(world: World, name: str, version: str, seen: float = 100.0) -> None:
    """What a worker last said that has loaded a version."""
    with world.store.write() as connection:
        workers.report(connection, name, seen, {"plans": {}, "failed": [], "loaded": [version]})


def die(world: World, name: str, version: str = "m@2", process: int = NOBODY, **more: Any) -> None:
    """What is left of a worker that died while it loaded a version, or of one that still does."""
    with world.store.write() as connection:
        report = {"plans": {}, "failed": [], "loading": {"version": version, "process": process}, **more}
        workers.report(connection, name, 99.0, report)


def test_a_version_that_two_workers_died_of_is_not_loaded_again(world: World) -> None:
    """It counts as failed, with the reason; control serves, and the plan is sent back."""
    die(world, "w1")
    die(world, "w2")
    worker = Worker(world)
    assert [(one["version"], one["reason"]) for one in worker.poll()["failed"]] == [("m@2", "2 workers died while they loaded it")]
    assert worker.asked == ["m@1"]
    housekeep.send_back(world.place, lambda: 100.0)
    with world.store.read() as connection:
        assert "m@2 failed on worker w9: 2 workers died" in adopt.known.decode_plan(adopt.plans.current(connection, "credit").body).reason


@pytest.mark.parametrize("seen", [100.0, 60.0], ids=["lives", "is gone"])
def test_a_version_that_was_served_may_begin_to_kill(world: World, seen: float) -> None:
    """Whoever has loaded it before: who loads it says so, and after two deaths it counts as failed, while control serves."""
    serve(world, "w0", "m@2", seen)
    worker = Worker(world)
    worker.poll()
    assert worker.claimed == ["m@1", "m@2"]
    die(world, "w1")
    die(world, "w2")
    fresh = Worker(world, "w10")
    assert [one["version"] for one in fresh.poll()["failed"]] == ["m@2"]
    assert (fresh.asked, fresh.routes.ready) == (["m@1"], True)


def test_who_loads_a_version_clears_it_of_earlier_deaths(world: World) -> None:
    """They were of something else; those of another version are left."""
    die(world, "w1")
    die(world, "w2", "m@3")
    Worker(world).poll()
    die(world, "w4")
    assert Worker(world, "w10").poll()["plans"] == {"credit": 2}
    with world.store.read() as connection:
        assert workers.alive(connection, 0.0).keys() == {"w2", "w9", "w10"}


@pytest.mark.parametrize(
    "others",
    [[{}], [{"process": os.getpid()}] * 2, [{}, {"version": "m@3"}]],
    ids=["one alone", "others still load", "another version"],
)
def test_what_may_have_been_something_else_is_loaded(world: World, others: list[dict[str, Any]]) -> None:
    """One death may be chance, and a worker that lives has not died."""
    for number, one in enumerate(others):
        die(world, f"w{number}", **one)
    assert Worker(world).poll()["plans"] == {"credit": 2}


def test_what_is_loaded_is_said_before(world: World) -> None:
    """With the process that loads it, until it is loaded; a change of weights loads nothing and says nothing."""
    worker = Worker(world)
    worker.gate.clear()
    poll = threading.Thread(target=worker.adopter.poll)
    poll.start()
    while not worker.asked:
        time.sleep(0.001)
    assert worker.reported()["loading"] == {"version": "m@1", "process": os.getpid()}
    assert worker.adopter.overdue(10.0) is None
    worker.now += 11.0
    assert worker.adopter.overdue(10.0) == "m@1"
    worker.gate.set()
    poll.join()
    after = worker.reported()
    assert (after["loaded"], "loading" in after) == (["m@1", "m@2"], False)
    assert worker.adopter.overdue(10.0) is None


def test_one_tries_what_none_has_loaded_while_the_others_serve(world: World) -> None:
    """The others wait until it is loaded, or too many have died of it; one that serves nothing yet waits only where one has died."""
    worker = Worker(world)
    worker.poll()
    deploy.set_arms(world.place, "credit", {"control": ArmSpec("m@3", 1)}, None, None, order(1.0))
    die(world, "w1", "m@3", os.getpid())
    assert worker.poll()["plans"] == {"credit": 2}
    assert "m@3" not in worker.asked
    assert Worker(world, "w10").poll()["plans"] == {"credit": 3}
    assert worker.poll()["plans"] == {"credit": 3}
    deploy.set_arms(world.place, "credit", {"control": ArmSpec("m@4", 1)}, None, None, order(2.0))
    die(world, "w1", "m@4", os.getpid())
    assert not worker.poll()["failed"]
    die(world, "w2", "m@4")
    fresh = Worker(world, "w11")
    assert (fresh.poll()["plans"], fresh.routes.ready) == ({}, False)
    for name in ("w1", "w2"):
        die(world, name, "m@4")
    assert (worker.poll()["failed"][0]["version"], "m@4" in worker.asked) == ("m@4", False)


@pytest.mark.parametrize(("seen", "plan"), [(100.0, 3), (94.0, 2)], ids=["lives", "is gone"])
def test_what_a_worker_that_lives_has_loaded_is_loaded_by_all_at_once(world: World, seen: float, plan: int) -> None:
    """While another still loads it; one that is gone says nothing of it."""
    worker = Worker(world)
    worker.poll()
    deploy.set_arms(world.place, "credit", {"control": ArmSpec("m@3", 1)}, None, None, order(1.0))
    die(world, "w1", "m@3", os.getpid())
    serve(world, "w2", "m@3", seen)
    assert worker.poll()["plans"] == {"credit": plan}


def test_deaths_are_remembered_for_an_hour(world: World) -> None:
    """A version that nothing stands in for is not tried every minute; one whose process id another has by now is not waited for."""
    die(world, "w1")
    die(world, "w2", process=os.getpid())
    worker = Worker(world)
    worker.now = 100.0 + GONE_SECONDS
    housekeep.forget_workers(world.store, lambda: 99.0 + GONE_SECONDS + 10.0)
    assert [one["version"] for one in worker.poll()["failed"]] == ["m@2"]
    housekeep.forget_workers(world.store, lambda: 100.0 + 3600.0)
    with world.store.read() as connection:
        assert not workers.alive(connection, 0.0).keys() & {"w1", "w2"}


def test_a_store_that_cannot_be_written_keeps_nothing_from_being_served(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that starts on a full disk loads what there is, though it cannot say so."""

    def full(*_: object) -> None:
        raise OperationalError("INSERT", {}, OSError("database or disk is full"))

    worker = Worker(world)
    monkeypatch.setattr(adopt.workers, "report", full)
    with pytest.raises(OperationalError):
        worker.adopter.poll()
    assert worker.routes.of("credit").plan.plan == 2


def test_reports_of_an_earlier_server_are_forgotten(world: World) -> None:
    """What ended it says nothing of its versions."""
    die(world, "w1")
    die(world, "w2")
    housekeep.forget_all_workers(world.store)
    assert Worker(world).poll()["plans"] == {"credit": 2}


def test_breakers_are_reported(world: World, tmp_path: Path) -> None:
    """By arm, with why one is open: in the worker's report and in the status."""
    worker = Worker(world)
    assert worker.poll()["breakers"] == {"credit": {"control": "closed", "treatment": "closed"}}
    breaker = worker.routes.of("credit").arms["treatment"].breaker
    for _ in range(2):
        breaker.fail(breaker.admit(1.0), 1.0, "broke", slow=False)
    worker.adopter.report()
    [told] = status.status(world.store, tmp_path, "credit", lambda: 100.0)["workers"]
    assert (told["breakers"], told["open"]) == ({"control": "closed", "treatment": "open"}, {"treatment": "broke"})


def test_a_version_that_is_too_slow_is_not_loaded(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row would take longer than any request may."""
    monkeypatch.setattr(adopt.package, "load", lambda card, *_: Loaded(card, Answers(), 2.5))
    with pytest.raises(Rejected, match=r"it takes 2\.5 s for a row, and 2 s is the most \(predict_timeout_seconds\)"):
        loader(world.store, Blobs(tmp_path), slowest=2.0)(VersionId("m", 1))
    assert loader(world.store, Blobs(tmp_path))(VersionId("m", 1)).seconds_per_row == 2.5


def test_processes_and_limits() -> None:
    """This process runs, one that cannot be does not; each setting goes to its limit."""
    assert (runs(os.getpid()), runs(NOBODY)) == (True, False)
    settings = Settings(breaker_calls=7, breaker_share=0.25, breaker_slow_seconds=3.0, breaker_open_seconds=4.0)
    assert limits_of(settings) == Limits(7, 0.25, 3.0, 4.0)
