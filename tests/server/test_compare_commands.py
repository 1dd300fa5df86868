"""Comparing on the command line and over REST."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from msgspec.structs import replace

from core.errors import TiltyardError
from core.ids import VersionId
from core.settings import Settings
from experiments.shadows.agreement import Totals
from flows import known
from flows.deploy import ShadowSpec
from flows.serving import Routes
from flows.shadow import ShadowName, save_totals
from models.about import About
from models.signature import Feature, Signature
from server import home as homes
from server.app import create_app
from server.auth import Guard
from server.cli import cli
from server.cli.model.compared import text
from store import batch_tests, registry
from tests.flows.flow_world import World, card
from tests.flows.learning.learning_world import LearningWorld, taught

COMPARED = {"metric": "auc", "difference": -0.02, "lower": -0.03, "upper": -0.01, "adjusted": 0.004}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An endpoint on which an experiment runs, with a shadow; one more version that has much to say."""
    monkeypatch.setenv("TILTYARD_HOME", str(tmp_path))
    made = World(tmp_path)
    features = (Feature("x", "int", True, 0.0, 1e6), Feature("a rather long name of a feature that nobody would type", "str"))
    told = replace(card(), signature=Signature(features, "classification", ("no", "yes"), "paid"), versions={"python": "3.13.0"})
    about = About(description="Learnt on " + "many " * 40 + "rows.", owner="ann", metrics={"auc": 0.91}, parameters={"depth": 5})
    with made.store.write() as connection:
        registry.add_version(connection, "m", known.encode(told), "me", 0.0, known.encode(about))
        for number, passed in ((1, True), (2, False)):
            body = {
                "data": {"file": "rows.csv", "sha256": "d" * 64},
                "against": "m@1",
                "comparison": {"metrics": [COMPARED]},
                "metrics": {"auc": {"value": 0.8, "lower": 0.75, "upper": 0.85}, "f1": {"value": 0.5}},
            }
            batch_tests.add(connection, VersionId("m", number), 0.0, "me", passed, msgspec.json.encode(body))
    made.endpoint(shadows={"next": ShadowSpec("m@5")}, at=time.time() - 100.0)
    made.begin(at=time.time() - 99.0)
    return made


@pytest.fixture
def client(world: World, tmp_path: Path) -> FlaskClient:
    """The control routes of that home."""
    settings = Settings(home=str(tmp_path))
    home = homes.open_existing(settings)
    guard = Guard(home.store, settings, "127.0.0.1")
    guard.refresh()
    return create_app(home, cast(Routes, None), guard).test_client()


def run(*arguments: str) -> Result:
    """`tiltyard model compare …`"""
    return CliRunner().invoke(cli, ["model", "compare", *arguments])


def test_a_page_for_people(world: World) -> None:
    """All that is known, in at most 100 columns."""
    page = run("credit").output
    assert page == run("m@1", "m@2").output
    lines = page.splitlines()
    assert lines[0].split() == ["m@1", "m@2"]
    assert "signature: no difference" in lines
    assert "batch tests on the data rows.csv (dddddddddddd)" in lines
    assert "on the same rows of rows.csv (dddddddddddd), right less left" in lines
    assert "  auc  -0.02       [-0.03, -0.01]  0.004" in lines
    assert [line.split() for line in lines if line.startswith("  auc")][:1] == [["auc", *["0.8", "[0.75,", "0.85]"] * 2]]
    assert any(line.startswith("  left: test 1 of 1970-01-01T00:00, passed") for line in lines)
    assert any(line.startswith("live: experiment e1 on credit (running): ") for line in lines)
    other = run("m@1", "m@5").output
    assert "shadow next (m@5) of endpoint credit (control m@1)" in other
    assert "  *: a request that suits the left version may be refused by the right one" in other
    assert all(len(line) <= 100 for line in (page + other).splitlines())


def test_what_is_not_known_is_said(world: World) -> None:
    """Rather than left out."""
    page = run("m@3", "m@4").output
    assert page.endswith("batch tests: none of both on the same data\n\nlive: no experiment has compared them\n")


def test_json_for_machines(world: World, client: FlaskClient) -> None:
    """The same over REST and on the command line."""
    told = msgspec.json.decode(run("m@1", "m@2", "--json").output)
    assert {"left", "right", "differences", "batch", "paired", "live", "shadow", "learners"} == set(told)
    over = client.get("/v1/models/m/compare?left=1&right=m@2").json
    for found in (told, over):
        found["live"].pop("at")
    assert over == told
    assert client.get("/v1/models/credit/compare").json["right"]["version"] == "m@2"


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("m/compare?left=1&right=9", 404, "right"),
        ("m/compare?left=1", 422, "right"),
        ("m/compare?right=1", 422, "left"),
        ("m/compare", 404, "left"),
        ("m/compare?left=champion&right=1", 404, "left"),
        ("m/compare?left=1&right=1", 422, "right"),
        ("m/compare?left=&right=1", 422, "left"),
        ("m/compare?left=0&right=1", 422, "left"),
        ("m/compare?left=%00&right=1", 404, "left"),
        (f"m/compare?left={'9' * 5000}&right=1", 422, "left"),
        ("m/compare?left=@&right=1", 422, "left"),
        ("none/compare?left=1&right=2", 404, "left"),
        ("a%20b/compare", 422, "model"),
    ],
)
def test_a_request_that_cannot_be_answered_names_the_side(client: FlaskClient, query: str, status: int, field: str) -> None:
    """As wherever a version is named."""
    reply = client.get(f"/v1/models/{query}")
    assert (reply.status_code, cast(Any, reply.json)["field"]) == (status, field)


def test_commands_that_cannot_be(world: World) -> None:
    """A version alone is wrong usage; one that is not there is named."""
    done = run("m@1")
    assert done.exit_code == 2
    assert "m@1: expected a second version, or a name alone such as credit" in done.output
    assert isinstance(run("m@1", "m@77").exception, TiltyardError)
    assert "aliases champion and challenger" in str(run("m").exception)


def test_shadows_and_learners_on_the_page(world: World, tmp_path: Path) -> None:
    """Agreement where there are labels, the mean difference where there are values; what failed is not answered; scores before learning."""
    key = ShadowName("credit", "next", "m@5")
    with world.store.write() as connection:
        save_totals(connection, key, replace(Totals(), done=6, errors=2, compared=4, labelled=4, agreed=3))
    assert "  4 of 6 requests answered, 2 failed; labels agree in 75.00% of rows" in run("m@5", "m@1").output
    learning = LearningWorld(world, tmp_path)
    learning.publish(3, taught(1), labels=7, scores={"Accuracy": 0.75})
    rows = [line.split() for line in run("river@1", "still@1").output.splitlines()]
    assert ["left", "learning", "7", "Accuracy", "0.75", "-"] in rows


def test_text_takes_what_it_gets() -> None:
    """Figures that are missing on one side, and a difference that was refused."""
    side = {"version": "m@1", "at": "2026-05-03T12:00:00Z", "by": "me", "aliases": [], "format": "onnx", "seconds_per_row": 0.0}
    side |= {"about": {}, "signature": {"task": "regression", "features": []}}
    refused = {"of": "right", "refused": "too few"}
    metric = {"role": "success", "left": {"units": 1, "refused": "too few"}, "right": {}, "difference": refused}
    live = {
        "experiment": "e",
        "endpoint": "c",
        "state": "stopped",
        "verdict": "stop",
        "reason": "over",
        "arms": {"left": "a", "right": "b"},
    }
    found = {
        "left": side,
        "right": side,
        "differences": {name: {} for name in ("signature", "model", "about", "metrics", "parameters", "packages")},
        "batch": None,
        "paired": None,
        "live": {**live, "arms": {"left": "a", "right": "b"}, "metrics": {"revenue": metric}},
        "shadow": [],
        "learners": {"left": None, "right": None},
    }
    assert [line.split() for line in text(found).splitlines()][-1] == ["revenue", "success", "-", "-", "-"]
