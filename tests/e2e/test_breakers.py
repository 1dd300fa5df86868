"""A model that fails, hangs or cannot be loaded hurts nobody: control answers, the breaker opens and closes again, the plan goes back."""

from __future__ import annotations

import http.client
import os
import signal
import time
from typing import Any

import pytest

from core.events import FALLBACK, Predicted
from core.settings import Settings
from store import workers
from store.engine import Store, url_of
from tests.e2e.breaking import Acts, breaking_server
from tests.e2e.real_server import WORKERS, Server, Worlds, eventually

TIMEOUT, OPEN = 0.5, 1.0
STUCK = 2.0
"""A load that takes longer counts as one that does not end."""
SOON = 30.0
"""Seconds after which all are answered again, whatever ends the workers."""


@pytest.fixture(scope="module")
def world(worlds: Worlds) -> tuple[Server, Acts]:
    """A running server with short limits."""
    server, acts = breaking_server(
        worlds,
        TILTYARD_PREDICT_TIMEOUT_SECONDS=str(TIMEOUT),
        TILTYARD_BREAKER_SLOW_SECONDS="0.2",
        TILTYARD_BREAKER_OPEN_SECONDS=str(OPEN),
    )
    return server.start(), acts


@pytest.fixture(scope="module")
def unloaded(worlds: Worlds) -> tuple[Server, Acts]:
    """A running server that has loaded no version of `acts` yet."""
    server, acts = breaking_server(worlds, TILTYARD_LOAD_TIMEOUT_SECONDS=str(STUCK))
    return server.start(), acts


@pytest.fixture(scope="module")
def served(worlds: Worlds) -> tuple[Server, Acts]:
    """A running server whose versions of `acts` may be loaded and served at first."""
    server, acts = breaking_server(worlds)
    return server.start(), acts


class Caller:
    """Asks an endpoint whose control is sound, again and again."""

    def __init__(self, server: Server, endpoint: str, features: dict[str, float]) -> None:
        self.server, self.endpoint, self.features = server, endpoint, {**features, "x0": 7.0}
        self.slowest = 0.0
        self.asked = 0

    def ask(self, count: int) -> list[Any]:
        """So many requests over one connection, each answered 200."""
        found = []
        with self.server.client() as client:
            for _ in range(count):
                start = time.monotonic()
                reply = client.predict(self.endpoint, f"u{self.asked}", self.features)
                self.slowest = max(self.slowest, time.monotonic() - start)
                self.asked += 1
                assert reply.status == 200, reply
                found.append(reply.json)
        return found

    def states(self) -> list[str]:
        """What the workers say of the treatment's breakers."""
        return [worker["breakers"]["treatment"] for worker in self.server.status(self.endpoint)["workers"]]

    def until(self, state: str) -> None:
        """Ask until all breakers of the treatment are in that state."""

        def reached() -> bool:
            self.ask(5)
            return set(self.states()) == {state}

        eventually(reached, f"every breaker is {state}")


@pytest.mark.parametrize("act", ["raise", "hang"])
def test_an_arm_that_fails_or_hangs_falls_back_and_comes_back(world: tuple[Server, Acts], rows: list[dict[str, float]], act: str) -> None:
    """Control answers each request, soon; the breaker opens, is told of, and closes when the model is well again; the rows are marked."""
    server, acts = world
    arms = {"control": ("dia@1", 0), "treatment": ("acts@1", 1)}
    server.create(f"{act}s", arms)
    caller = Caller(server, f"{act}s", rows[0])
    assert all(answer["model"] == "acts@1" for answer in caller.ask(10))
    assert caller.states() == ["closed"] * WORKERS
    acts.when_asked(act)
    try:
        caller.until("open")
        # The first calls wait for the limit, and the one that was to be quick holds up its worker; nobody waits for ever.
        assert caller.slowest < 10 * TIMEOUT
        during = caller.ask(20)
        assert all((answer["arm"], answer["model"], answer.get("fallback")) == ("treatment", "dia@1", True) for answer in during)
        told = server.status(f"{act}s")["workers"][0]["open"]["treatment"]
        assert ("not today" in told) if act == "raise" else ("answer within" in told or "returned" in told)
        text = server.request("GET", "/metrics").content.decode()
        assert f'tiltyard_breaker_state{{arm="treatment",endpoint="{act}s",state="open"}} {WORKERS:.1f}' in text
    finally:
        acts.when_asked(None)
    caller.until("closed")
    assert all(answer["model"] == "acts@1" for answer in caller.ask(10))
    events = [event for event in server.events() if isinstance(event, Predicted) and event.endpoint == f"{act}s"]
    assert len(events) == caller.asked
    assert {(event.arm, event.version, bool(event.flags & FALLBACK)) for event in events} == {
        ("treatment", "acts@1", False),
        ("treatment", "dia@1", True),
    }


def test_a_change_of_weights_closes_no_breaker(world: tuple[Server, Acts], rows: list[dict[str, float]]) -> None:
    """It belongs to the arm's version, not to the plan; a new version begins with a closed one."""
    server, acts = world
    server.create("kept", {"control": ("dia@1", 0), "treatment": ("acts@1", 1)})
    caller = Caller(server, "kept", rows[0])
    acts.when_asked("raise")
    try:
        caller.until("open")
        server.put("/v1/endpoints/kept/traffic?wait=20s", {"weights": {"control": 0, "treatment": 2}})
        assert set(caller.states()) <= {"open", "half-open"}
    finally:
        acts.when_asked(None)
    arms = {"control": {"version": "dia@1", "weight": 0}, "treatment": {"version": "acts@2", "weight": 1}}
    server.put("/v1/endpoints/kept/plan?wait=20s", {"arms": arms})
    assert caller.states() == ["closed"] * WORKERS


def test_control_that_hangs_is_refused_quickly(world: tuple[Server, Acts]) -> None:
    """Nobody can answer for it: 503 with Retry-After, after the limit at first, at once when its breaker is open; others are served."""
    server, acts = world
    server.create("alone", {"control": ("acts@1", 1)})
    body = {"unit": "u", "features": {"x0": 1.0}}
    acts.when_asked("hang")
    try:

        def refused() -> bool:
            reply = server.request("POST", "/v1/endpoints/alone/predict", body)
            assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
            return bool(reply.json["code"] == "breaker-open")

        eventually(refused, "a breaker is open")
    finally:
        acts.when_asked(None)
    eventually(lambda: server.request("POST", "/v1/endpoints/alone/predict", body).status == 200, "it answers again")


def plan_number(server: Server, endpoint: str) -> int | None:
    """The current plan's; None where the worker that was asked dies of what it loads meanwhile."""
    try:
        return server.plan(endpoint).plan
    except (OSError, http.client.HTTPException):
        return None


@pytest.mark.parametrize(("act", "version"), [("exit", "acts@1"), ("hang", "acts@2")])
def test_a_version_that_ends_or_stops_its_workers_is_sent_back(
    unloaded: tuple[Server, Acts], rows: list[dict[str, float]], act: str, version: str
) -> None:
    """Where its loading kills workers, or never ends, two die of it and no more; the former plan is restored with the reason."""
    server, acts = unloaded
    endpoint = f"loads-{act}"
    server.create(endpoint, {"control": ("dia@1", 1)})
    acts.when_loaded(act)
    try:
        arms = {"control": {"version": "dia@1", "weight": 1}, "treatment": {"version": version, "weight": 1}}
        server.put(f"/v1/endpoints/{endpoint}/plan", {"arms": arms})
        eventually(lambda: plan_number(server, endpoint) == 3, "the plan was sent back")
    finally:
        acts.when_loaded(None)
    with Store(url_of(Settings(home=str(server.home)))).read() as connection:
        reports = [report for _, report in workers.alive(connection, 0.0).values()]
    assert sum(report.get("loading", {}).get("version") == version for report in reports) == 2
    restored = server.plan(endpoint)
    assert restored.arms.keys() == {"control"}
    assert "workers died while they loaded it" in restored.reason
    eventually(lambda: server.status(endpoint)["applied"], "the former plan is served")
    assert {server.predict(endpoint, rows[0])["model"] for _ in range(10)} == {"dia@1"}


def kill_workers(server: Server, count: int) -> None:
    """From outside, and wait until they are gone."""
    gone = server.web()[1][:count]
    for process in gone:
        os.kill(process, signal.SIGKILL)
    eventually(lambda: not set(gone) & set(server.processes()), "the workers are gone")


def answers(server: Server, endpoint: str, features: dict[str, float]) -> set[tuple[str, bool]] | None:
    """By which versions some units are answered, and whether in place of another; None where one is not answered."""
    found = set()
    try:
        with server.client() as client:
            for unit in range(20):
                reply = client.predict(endpoint, f"u{unit}", features)
                if reply.status != 200:
                    return None
                found.add((reply.json["model"], reply.json.get("fallback", False)))
    except (OSError, http.client.HTTPException):
        return None
    return found


def both(version: str) -> dict[str, dict[str, object]]:
    """Arms of a plan in which that version is the treatment."""
    return {"control": {"version": "dia@1", "weight": 1}, "treatment": {"version": version, "weight": 1}}


def test_a_version_that_begins_to_end_its_workers_is_sent_back(served: tuple[Server, Acts], rows: list[dict[str, float]]) -> None:
    """It was served by workers that are gone since; the plan that names it again goes back like that of one never served."""
    server, acts = served
    server.create("again", {"control": ("dia@1", 1)})
    for arms in (both("acts@1"), {"control": both("")["control"]}):
        server.put("/v1/endpoints/again/plan?wait=20s", {"arms": arms})
    kill_workers(server, WORKERS)
    eventually(lambda: answers(server, "again", rows[0]), "new workers serve")
    acts.when_loaded("exit")
    try:
        server.put("/v1/endpoints/again/plan", {"arms": both("acts@1")})
        eventually(lambda: plan_number(server, "again") == 5, "the plan was sent back", SOON)
        eventually(lambda: answers(server, "again", rows[0]) == {("dia@1", False)}, "all are answered", SOON)
    finally:
        acts.when_loaded(None)
    assert "2 workers died while they loaded it" in server.plan("again").reason


def test_a_holdout_that_ends_who_restarts_is_dropped(served: tuple[Server, Acts], rows: list[dict[str, float]]) -> None:
    """One worker must load it anew, the other still serves it: the plan goes back to where it held out nobody."""
    server, acts = served
    server.create("held", {"control": ("dia@1", 1)})
    server.put("/v1/endpoints/held/holdout?wait=20s", {"holdout": {"share": 0.5, "version": "acts@2"}})
    assert answers(server, "held", {**rows[0], "x0": 7.0}) == {("dia@1", False), ("acts@2", False)}
    acts.when_loaded("exit")
    try:
        kill_workers(server, 1)
        eventually(lambda: plan_number(server, "held") == 3, "the plan was sent back", SOON)
        eventually(lambda: answers(server, "held", rows[0]) == {("dia@1", False)}, "all are answered", SOON)
    finally:
        acts.when_loaded(None)
    assert server.plan("held").holdout is None


def test_control_answers_for_what_ends_all_workers_that_restart(served: tuple[Server, Acts], rows: list[dict[str, float]]) -> None:
    """Where there is no plan to go back to."""
    server, acts = served
    server.create("first", {"control": ("dia@1", 1), "treatment": ("acts@3", 1)})
    features = {**rows[0], "x0": 7.0}
    assert answers(server, "first", features) == {("dia@1", False), ("acts@3", False)}
    acts.when_loaded("exit")
    try:
        kill_workers(server, WORKERS)
        eventually(lambda: answers(server, "first", features) == {("dia@1", False), ("dia@1", True)}, "control answers", SOON)
    finally:
        acts.when_loaded(None)
    assert plan_number(server, "first") == 1
