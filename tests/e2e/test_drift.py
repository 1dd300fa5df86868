"""Drift against a real server: a feature that has shifted is named, whatever is killed meanwhile."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import pytest

from tests.e2e.real_server import Server, Worlds, eventually

WINDOW = 400


@pytest.fixture
def watched(fresh: Worlds) -> Server:
    """The endpoint `dia`, watched in windows of 400 rows."""
    server = fresh.server(TILTYARD_WATCH_WINDOW_ROWS=str(WINDOW)).start()
    server.create("dia", {"control": ("dia@1", 1)})
    return server


def drift(server: Server) -> dict[str, Any]:
    """What is told of the version that answers."""
    found: dict[str, Any] = server.get("/v1/endpoints/dia/drift")["versions"]["dia@1"]
    return found


def ask(server: Server, rows: list[dict[str, float]], number: int, shift: float = 0.0) -> list[str]:
    """Requests of ten rows drawn from the real ones; `bmi`, whose standard deviation is 0.0476, is shifted. The ids of the rows."""
    found = []
    with server.client() as client:
        for _ in range(number // 10):
            drawn = [{**row, "bmi": row["bmi"] + shift} for row in random.choices(rows, k=10)]
            reply = client.request("POST", "/v1/endpoints/dia/predict", {"instances": drawn})
            assert reply.status == 200
            found += [f"{reply.json['prediction_id']}.{row}" for row in range(10)]
    return found


def kill_watch(server: Server) -> None:
    """It starts again."""
    for process in server.readers("watch"):
        os.kill(process, signal.SIGKILL)


def test_a_shift_is_found_and_named_though_the_reader_is_killed(watched: Server, rows: list[dict[str, float]]) -> None:
    """Each row is counted once; the window with the shift raises an alarm by REST, command line and metrics, the one before none."""
    random.seed(1)
    eventually(lambda: watched.readers("watch"), "watch runs")
    for _ in range(4):
        ask(watched, rows, WINDOW // 4)
        kill_watch(watched)
    ids = ask(watched, rows, WINDOW + 50, shift=0.0476)
    watched.post("/v1/outcomes", [{"prediction_id": name, "metric": "label", "value": 150.0} for name in ids[:WINDOW]], 202)
    eventually(lambda: drift(watched)["label_window"], "the labels are judged")
    found = drift(watched)
    assert [window["alarm"] for window in found["history"]["rows"]] == [True, False]
    assert [window["rows"] for window in found["history"]["rows"]] == [WINDOW, WINDOW]
    assert found["filling"]["rows"] == 50
    assert found["features"]["bmi"]["alarm"]
    assert found["labels"]["alarm"]  # all labels are 150
    assert found["performance"]["loss"] == "absolute"
    page = watched.cli_text("endpoint", "drift", "dia")
    assert "DRIFT  dia@1 (control)" in page
    assert "features.bmi distributed otherwise" in page
    assert 'tiltyard_drift_alarm{endpoint="dia",feature="bmi",version="dia@1"} 1.0' in watched.request("GET", "/metrics").content.decode()
    assert watched.status("dia")["readers"]["watch"]["set_aside"] == 0
    watched.stop()
