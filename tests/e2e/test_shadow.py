"""A shadow cannot hurt a user, whatever it does; and each mirrored request is accounted for."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from moody_model import CRASHES, FINE, KILLED, NOT_FINITE, RAISES, SLEEPS
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.e2e.moody_world import moody_server
from tests.e2e.real_server import PATIENCE, Server, Worlds, eventually

REQUESTS = 60


@pytest.fixture(scope="module")
def server(worlds: Worlds) -> Server:
    return moody_server(worlds).start()


def mirror(server: Server, endpoint: str, mood: float, count: int = REQUESTS) -> list[float]:
    """Create an endpoint with a moody shadow and ask it; returns how long each answer took by the server's own clock of the model."""
    arms = {"control": ("plain@1", 50), "treatment": ("plain@1", 50)}
    server.create(endpoint, arms, shadows={"next": {"version": "moody@1"}})
    eventually(lambda: server.readers(f"shadow:{endpoint}/"), "the shadow runs")
    return ask(server, endpoint, mood, count)


def ask(server: Server, endpoint: str, mood: float, count: int) -> list[float]:
    answered = []
    with server.client() as client:
        for number in range(count):
            reply = client.predict(endpoint, f"u{number}", {"mood": mood, "x": number})
            assert reply.status == 200, reply
            assert "fallback" not in reply.json
            answered.append(reply.json["predictions"][0]["value"])
    assert answered == pytest.approx(list(range(count)), abs=1e-6)
    return answered


def shadow(server: Server, endpoint: str) -> Any:
    found = server.status(endpoint)["shadows"]["next"]
    assert found["mirrored"] == found["done"] + found["dropped"] + found["waiting"], found
    return found


def passed(server: Server, endpoint: str) -> int:
    found = shadow(server, endpoint)
    return int(found["done"] + found["dropped"])


def test_a_shadow_that_sleeps_a_second_per_row_delays_nobody(server: Server) -> None:
    """All answers are right at once; what the shadow has not done waits, and its lag is told."""
    mirror(server, "sleeps", SLEEPS)
    eventually(lambda: shadow(server, "sleeps")["mirrored"] == REQUESTS, "all were mirrored")
    seen: list[Any] = []
    eventually(lambda: seen.append(shadow(server, "sleeps")) or 0 < seen[-1]["done"] < REQUESTS, "it has done some")
    found = seen[-1]
    assert found["waiting"] > 0
    assert found["lag_seconds"] > 0
    server.put("/v1/endpoints/sleeps/shadows", {"shadows": {}})


@pytest.mark.parametrize("mood", [RAISES, NOT_FINITE], ids=["raises", "answers NaN"])
def test_a_shadow_that_fails_is_counted_and_hurts_nobody(server: Server, mood: float) -> None:
    """Each request is done, with an error; rows that it can answer are done without one."""
    endpoint = f"fails{mood:g}"
    mirror(server, endpoint, mood)
    ask(server, endpoint, FINE, 10)
    eventually(lambda: passed(server, endpoint) == REQUESTS + 10, "it has caught up")
    found = shadow(server, endpoint)
    assert (found["mirrored"], found["done"], found["waiting"]) == (REQUESTS + 10, REQUESTS + 10, 0)
    assert found["errors"] == REQUESTS


def test_a_shadow_killed_again_and_again_misses_nothing_and_counts_nothing_twice(server: Server) -> None:
    """`kill -9` while it works: in the end each request was done exactly once."""
    mirror(server, "killed", FINE, 5)
    for round_ in range(3):
        ask(server, "killed", FINE, 50 + round_)
        eventually(lambda: server.readers("shadow:killed/"), "it runs again")
        for pid in server.readers("shadow:killed/"):
            os.kill(pid, signal.SIGKILL)
    total = 5 + 50 + 51 + 52
    eventually(lambda: passed(server, "killed") == total, "it has caught up")
    found = shadow(server, "killed")
    assert (found["mirrored"], found["done"], found["errors"]) == (total, total, 0)


@pytest.mark.parametrize(("endpoint", "mood"), [("crashes", CRASHES), ("dies", KILLED)])
def test_a_request_on_which_the_shadow_crashes_is_put_aside_and_counted_as_dropped(server: Server, endpoint: str, mood: float) -> None:
    """The shadow gets past it by itself, also where the kernel kills it there; what came behind it is done."""
    mirror(server, endpoint, FINE, 5)
    ask(server, endpoint, mood, 1)
    ask(server, endpoint, FINE, 10)
    eventually(lambda: passed(server, endpoint) == 16, "it has caught up", 2 * PATIENCE)
    found = shadow(server, endpoint)
    assert (found["mirrored"], found["done"], found["dropped"], found["waiting"]) == (16, 15, 1, 0)


def test_a_sampled_shadow_sees_its_share_and_no_more(server: Server) -> None:
    """Half of the requests are mirrored, and exactly these are done."""
    server.create("sampled", {"control": ("plain@1", 1)}, shadows={"next": {"version": "moody@1", "sample": 0.5}})
    ask(server, "sampled", FINE, 400)
    server.caught_up("sampled")
    eventually(lambda: shadow(server, "sampled")["waiting"] == 0, "it has caught up")
    found = shadow(server, "sampled")
    assert found["mirrored"] == found["done"]
    assert 140 < found["mirrored"] < 260  # six standard deviations


def test_two_shadows_that_come_and_go_add_up(server: Server) -> None:
    """Each sees what was answered while the plan named it, over changes of the set of shadows."""
    server.create("several", {"control": ("plain@1", 1)}, shadows={"a": {"version": "moody@1"}})
    path = "/v1/endpoints/several/shadows?wait=20s"
    ask(server, "several", FINE, 20)
    server.put(path, {"shadows": {"a": {"version": "moody@1"}, "b": {"version": "plain@1"}}})
    ask(server, "several", FINE, 30)
    server.put(path, {"shadows": {"b": {"version": "plain@1"}}})
    ask(server, "several", FINE, 40)
    expected = {"a": 50, "b": 70}
    eventually(lambda: {name: one["done"] for name, one in server.status("several")["shadows"].items()} == expected, "both have caught up")
    assert {name: one["mirrored"] for name, one in server.status("several")["shadows"].items()} == expected


def test_labels_are_compared(server: Server, diabetes: pd.DataFrame, rows: list[dict[str, float]]) -> None:
    """Each row's label makes one pair, posted twice and with the shadow killed meanwhile; REST and the command line tell the same of it."""
    server.create("labelled", {"control": ("dia@1", 1)}, shadows={"next": {"version": "dia@2"}})
    eventually(lambda: server.readers("shadow:labelled/"), "the shadow runs")
    truth = [float(value) for value in diabetes["target"]]
    answered = [label(server, rows[2 * unit : 2 * unit + 2], truth[2 * unit : 2 * unit + 2], f"u{unit}") for unit in range(20)]
    os.kill(server.readers("shadow:labelled/")[0], signal.SIGKILL)
    answered += [label(server, rows[2 * unit : 2 * unit + 2], truth[2 * unit : 2 * unit + 2], f"u{unit}") for unit in range(20, 40)]
    path = "/v1/endpoints/labelled/shadows/next/report"
    eventually(lambda: server.get(path)["labels"]["rows"] == 80, "all labels have made their pairs")
    found = server.get(path)
    assert (found["labels"], found["done"]) == ({"rows": 80, "units": 40, "failed": 0, "unlike": 0}, 40)
    assert (found["verdict"], found["reason"]) == ("not_enough_data", "not enough data: labels of 40 units, 500 are needed")
    x, y = diabetes.drop(columns="target"), np.array(truth)
    shadow = make_pipeline(StandardScaler(), LinearRegression()).fit(x, y).predict(x[:80])
    expected = ((shadow - y[:80]) ** 2 - (np.array(answered).ravel() - y[:80]) ** 2).mean()
    assert found["loss"]["name"] == "squared"
    assert found["loss"]["fixed"]["estimate"] == pytest.approx(expected, rel=1e-3)
    assert found["loss"]["fixed"]["df"] == 39
    told = server.cli("endpoint", "shadow-report", "labelled")
    assert {**told, "lag_seconds": 0.0} == {**server.get(path), "lag_seconds": 0.0}
    text = server.cli("endpoint", "shadow-report", "labelled", "other", code=1)
    assert "no shadow 'other'" in text


def label(server: Server, features: list[dict[str, float]], truth: list[float], unit: str) -> list[float]:
    """Ask for some rows at once and post the true value of each, twice; what was answered."""
    found = server.post("/v1/endpoints/labelled/predict", {"unit": unit, "instances": features})
    for _ in range(2):
        for row, value in enumerate(truth):
            outcome = {"prediction_id": f"{found['prediction_id']}.{row}", "metric": "label", "value": value}
            server.post("/v1/outcomes", outcome, 202)
    return [one["value"] for one in found["predictions"]]


def test_a_report_on_nothing(server: Server) -> None:
    """A shadow that has seen no request says so; one that is not there is not found."""
    server.create("silent", {"control": ("plain@1", 1)}, shadows={"next": {"version": "plain@1"}})
    assert server.get("/v1/endpoints/silent/shadows/next/report")["verdict"] == "not_enough_data"
    assert server.request("GET", "/v1/endpoints/silent/shadows/other/report").status == 404
    assert server.request("GET", "/v1/endpoints/none/shadows/next/report").status == 404
