"""Drift by command line, REST and Prometheus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from core.settings import Settings
from flows import deploy
from flows.deploy import ArmSpec
from flows.serving import Routes
from server import home as homes
from server.app import create_app
from server.auth import Guard
from server.cli import cli
from server.metrics import compact, scrape
from server.metrics.collect import StoreCollector
from store import watch
from tests.flows.flow_world import World, order
from tests.flows.watching.test_watch import ask
from tests.flows.watching.watch_world import DEFAULT, Model, Watching, cancer, card_of

X, Y, NAMES = cancer()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which one window was judged, whose first feature was shifted."""
    path = tmp_path_factory.mktemp("home")
    model = Model(X, Y)
    watching = Watching(World(path), path / "journal", card_of(X, Y, model, NAMES), DEFAULT)
    ask(watching, model, DEFAULT.window, shift=1.0, each=50)
    watching.follow()
    watching.writer.close()
    return path


def run(directory: Path, *arguments: str) -> Result:
    """A command on that home."""
    return CliRunner(env={"TILTYARD_HOME": str(directory)}).invoke(cli, ["endpoint", "drift", *arguments])


def test_a_page_for_people(directory: Path) -> None:
    """The alarm first; all columns where they are asked for; the same as JSON."""
    page = run(directory, "credit").output
    assert "DRIFT  c@1 (control)" in page
    assert f"features.{NAMES[0]} distributed otherwise" in page
    assert f"    {NAMES[-1]} " not in page
    assert f"    {NAMES[-1]} " in run(directory, "credit", "--all").output
    found = json.loads(run(directory, "credit", "--json", "--windows", "1").output)
    assert found["versions"]["c@1"]["features"][NAMES[0]]["alarm"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [((), 2, "Missing argument"), (("credit", "--windows", "0"), 2, "not in the range"), (("none",), 1, "none")],
)
def test_wrong_usage(directory: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    """2 on a wrong command line, 1 on an endpoint that does not exist; each with a clear line."""
    done = run(directory, *arguments)
    assert done.exit_code == code
    assert says in f"{done.output}{done.exception}"


@pytest.fixture
def client(directory: Path) -> FlaskClient:
    """The control routes of that home."""
    found = Settings(home=str(directory))
    home = homes.open_existing(found)
    guard = Guard(home.store, found, "127.0.0.1")
    guard.refresh()
    return create_app(home, cast(Routes, None), guard).test_client()


def test_the_report_over_rest(client: FlaskClient) -> None:
    """The keys that are promised, by version."""
    reply = client.get("/v1/endpoints/credit/drift")
    assert reply.status_code == 200
    found: dict[str, Any] = reply.json["versions"]["c@1"]  # type: ignore[index]
    assert {"window", "features", "predictions", "labels", "performance", "adwin", "rolling", "history", "last_alarm"} <= set(found)
    assert {"score", "p_value", "adjusted", "ks", "wasserstein", "missing", "out_of_range", "unseen", "alarm", "reason"} <= set(
        found["features"][NAMES[0]]
    )
    assert reply.json["false_alarm_rate"]["any"] == pytest.approx(0.05)  # type: ignore[index]


@pytest.mark.parametrize(("path", "status"), [("none/drift", 404), ("credit/drift?limit=x", 400), ("credit/drift?limit=0", 400)])
def test_bad_requests(client: FlaskClient, path: str, status: int) -> None:
    """An endpoint that does not exist, a limit that is none."""
    reply = client.get(f"/v1/endpoints/{path}")
    assert reply.status_code in {status, 422}
    assert reply.status_code < 500


def test_what_prometheus_reads(directory: Path, tmp_path: Path) -> None:
    """Scores, p values and alarms by registered names, counters by version."""
    compact.clear(tmp_path / "metrics")
    text = scrape.scrape(tmp_path / "metrics", [StoreCollector(homes.open_existing(Settings(home=str(directory))))]).decode()
    found = {
        (sample.name, sample.labels.get("feature") or sample.labels.get("output") or sample.labels.get("kind")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("version") == "c@1"
    }
    assert found["tiltyard_drift_alarm", NAMES[0]] == 1.0
    assert found["tiltyard_drift_score", NAMES[0]] > 0.5
    assert found["tiltyard_drift_p_value", NAMES[0]] < 0.001
    assert found["tiltyard_drift_alarm", NAMES[-1]] == 0.0
    assert found["tiltyard_prediction_drift_alarm", "label"] in (0.0, 1.0)
    assert (found["tiltyard_drift_windows_total", "rows"], found["tiltyard_drift_alarms_total", "rows"]) == (1.0, 1.0)
    assert found["tiltyard_drift_windows_total", "labels"] == 0.0
    assert found["tiltyard_drift_changes_total", None] == 0.0


def test_an_endpoint_whose_drift_cannot_be_told_costs_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its metrics are missing, the log names it; those of the other endpoints and all other families are there."""
    watching = Watching(World(tmp_path), tmp_path / "journal", card_of(X, Y, Model(X, Y), NAMES), DEFAULT)
    watching.writer.close()
    deploy.create(watching.world.place, "broken", {"control": ArmSpec("c@1", 1)}, {}, 1.0, "salt", order(0.0))
    with watching.store.write() as connection:
        watch.save_states(connection, {("broken", "c@1"): b"damaged"})
    collector = StoreCollector(homes.open_existing(Settings(home=str(tmp_path))))
    found = {family.name: {sample.labels.get("endpoint") for sample in family.samples} for family in collector.collect()}
    assert found["tiltyard_plan"] == {"broken", "credit"}
    assert found["tiltyard_drift_windows"] == {"credit"}
    assert "drift of endpoint broken: left out of this scrape" in caplog.text
