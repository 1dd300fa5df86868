"""What Prometheus reads from a server that has served."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

from tests.e2e.real_server import Server, eventually

EXPECTED = {
    "tiltyard_requests_total": {"endpoint", "code"},
    "tiltyard_request_seconds_bucket": {"endpoint", "arm", "le"},
    "tiltyard_predictions_total": {"endpoint", "arm"},
    "tiltyard_outcomes_total": {"metric"},
    "tiltyard_shadow_lag_seconds": {"endpoint", "shadow", "version"},
    "tiltyard_shadow_agreement_ratio": {"endpoint", "shadow", "version"},
    "tiltyard_journal_bytes": set(),
    "tiltyard_reader_lag_seconds": {"reader"},
    "tiltyard_plan": {"endpoint"},
    "tiltyard_plan_applied": {"endpoint"},
    "tiltyard_experiment_verdict": {"experiment", "verdict"},
}


@pytest.fixture(scope="module")
def page(server: Server, rows: list[dict[str, float]]) -> str:
    """The page after 40 predictions, one refusal and 40 outcomes of a split endpoint with a shadow and an experiment."""
    server.create("credit", {"control": ("dia@1", 1), "treatment": ("dia@2", 1)}, shadows={"next": {"version": "dia@1"}})
    server.experiment("e1", "credit", "revenue")
    with server.client() as client:
        answers = [client.predict("credit", f"u{place}", row).json for place, row in enumerate(rows[:40])]
        assert client.predict("credit", "u", {}).status == 422
    posts = [{"prediction_id": answer["prediction_id"], "metric": "revenue", "value": 1} for answer in answers]
    server.post("/v1/outcomes", posts, 202)
    server.caught_up("credit")
    return server.request("GET", "/metrics").content.decode()


def value(page: str, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", page, re.MULTILINE)
    assert found, f"{sample} is not in:\n{page}"
    return float(found[1])


@pytest.mark.promtool
def test_promtool_finds_nothing_to_complain_about(page: str) -> None:
    """`promtool check metrics` passes."""
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", EXPECTED)
def test_a_promised_metric_is_there_with_its_labels(page: str, name: str) -> None:
    """The names of the contract, labelled by registered names alone."""
    lines = re.findall(rf"^{name}(?:\{{(.*)\}})? \S+$", page, re.MULTILINE)
    if name == "tiltyard_shadow_agreement_ratio":  # a regression has no labels to agree on: the family is there, without samples
        assert f"# TYPE {name} gauge" in page
        return
    assert lines, page
    for line in lines:
        assert set(re.findall(r'(\w+)="', line)) == EXPECTED[name]


def test_the_counts_are_those_of_all_workers(page: str) -> None:
    """Whichever worker answered, the page has the sum."""
    assert value(page, 'tiltyard_requests_total{code="200",endpoint="credit"}') == 40
    assert value(page, 'tiltyard_requests_total{code="422",endpoint="credit"}') == 1
    arms = [value(page, f'tiltyard_predictions_total{{arm="{arm}",endpoint="credit"}}') for arm in ("control", "treatment")]
    assert sum(arms) == 40
    assert min(arms) > 0
    assert value(page, 'tiltyard_outcomes_total{metric="revenue"}') == 40
    assert value(page, 'tiltyard_shadow_mirrored_total{endpoint="credit",shadow="next",version="dia@1"}') == 40
    assert value(page, 'tiltyard_plan_applied{endpoint="credit"}') == 1


def test_strangers_names_become_no_labels(server: Server, page: str) -> None:
    """Unknown endpoints, metrics and units never show: a client cannot make series."""
    server.request("POST", "/v1/endpoints/intruder/predict", {"features": {}})
    server.post("/v1/outcomes", {"endpoint": "credit", "unit": "u1", "metric": "intruder", "value": 1}, 202)
    assert "intruder" not in server.request("GET", "/metrics").content.decode()


def test_counts_survive_the_death_of_a_worker(server: Server, page: str, rows: list[dict[str, float]]) -> None:
    """After `kill -9` of every worker the counters are no lower than before."""
    before = value(page, 'tiltyard_requests_total{code="200",endpoint="credit"}')
    _, workers = server.web()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    eventually(lambda: len(set(server.web()[1]) - set(workers)) == 2, "new workers run")
    server.predict("credit", rows[0])
    after = server.request("GET", "/metrics").content.decode()
    assert value(after, 'tiltyard_requests_total{code="200",endpoint="credit"}') == before + 1
