"""Metrics, experiments and the context of predictions over REST: errors name the field with its full path, nothing odd is a 5xx."""

from __future__ import annotations

import json
import time
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.settings import Settings
from flows.serving import Routes
from server import home as homes
from server.app import create_app
from server.auth import Guard
from tests.flows.flow_world import World

METRICS = "/v1/endpoints/credit/metrics"
CREATE = "/v1/experiments"
HUGE = 10**400


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """The control routes of a home with the endpoint `credit`: m@1 against m@2, and a declared metric."""
    path = tmp_path_factory.mktemp("home")
    World(path).endpoint(at=time.time())
    found = Settings(home=str(path))
    home = homes.open_existing(found)
    guard = Guard(home.store, found, "127.0.0.1")
    guard.refresh()
    made = create_app(home, cast(Routes, None), guard).test_client()
    assert send(made, "POST", METRICS, {"name": "declared", "cap": 5})[0] == 201
    return made


def send(client: FlaskClient, method: str, path: str, body: object) -> tuple[int, Any]:
    """The status and the JSON of an answer; Python's NaN and Infinity are sent as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = client.open(path, method=method, data=data, content_type="application/json")
    return reply.status_code, reply.json


def experiment(**design: Any) -> dict[str, Any]:
    """A body that asks for a draft."""
    return {"experiment": "e1", "endpoint": "credit", "draft": True, "design": {"metrics": ["revenue"], "mde": 1.0, **design}}


def test_declaring_and_taking_back(client: FlaskClient) -> None:
    """201, in the list, gone; a dry run says that it is one, and keeps nothing."""
    status, dry = send(client, "POST", f"{METRICS}?dry_run=true", {"name": "revenue", "cap": 5})
    assert (status, dry["dry_run"]) == (200, True)
    assert [each["name"] for each in send(client, "GET", METRICS, {})[1]["metrics"]] == ["declared"]
    status, made = send(client, "POST", METRICS, {"name": "revenue", "cap": 5})
    assert (status, made["cap"], made["endpoint"]) == (201, 5.0, "credit")
    assert send(client, "DELETE", f"{METRICS}/revenue?dry_run=true", {})[1]["dry_run"]
    assert [each["name"] for each in send(client, "GET", METRICS, {})[1]["metrics"]] == ["declared", "revenue"]
    assert client.delete(f"{METRICS}/revenue").json == {"endpoint": "credit", "metric": "revenue", "removed": True}
    assert client.delete(f"{METRICS}/revenue").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (7, 422, "body"),
        ([], 422, "body"),
        ({}, 422, "name"),
        (b"{", 400, "body"),
        ({"name": 7}, 422, "name"),
        ({"name": "a b"}, 422, "metrics.name"),
        ({"name": ""}, 422, "metrics.name"),
        ({"name": "m", "colour": 1}, 422, "colour"),
        ({"name": "m", "kind": "sum"}, 422, "kind"),
        ({"name": "m", "kind": None}, 422, "kind"),
        ({"name": "m", "cap": "5"}, 422, "cap"),
        ({"name": "m", "cap": float("nan")}, 400, "cap"),
        ({"name": "m", "cap": float("inf")}, 400, "cap"),
        ({"name": "m", "cap": -1}, 422, "cap"),
        ({"name": "m", "cap": HUGE}, 422, "cap"),
        (b'{"name": "m", "cap": 1e400}', 422, "cap"),
        ({"name": "m", "window_seconds": 0}, 422, "window_seconds"),
        ({"name": "m", "margin": 1}, 422, "margin"),
        ({"name": "m", "loss": "error"}, 422, "loss"),
        ({"name": "m", "outcome": "a b"}, 422, "outcome"),
    ],
    ids=str,
)
def test_a_metric_that_cannot_be(client: FlaskClient, body: object, status: int, field: str) -> None:
    """4xx naming the field."""
    found, problem = send(client, "POST", METRICS, body)
    assert found == status, problem
    assert problem["field"].rpartition(".")[2] == field.rpartition(".")[2], problem
    assert problem["detail"]


@pytest.mark.parametrize(
    ("design", "field"),
    [
        ({"metrics": "revenue"}, "design.metrics"),
        ({"metrics": {"name": "revenue"}}, "design.metrics"),
        ({"metrics": 7}, "design.metrics"),
        ({"metrics": None}, "design.metrics"),
        ({"metrics": []}, "design.metrics"),
        ({"metrics": [7]}, "design.metrics[0]"),
        ({"metrics": ["revenue", None]}, "design.metrics[1]"),
        ({"metrics": [{}]}, "design.metrics[0].name"),
        ({"metrics": [{"name": 3}]}, "design.metrics[0].name"),
        ({"metrics": ["a b"]}, "design.metrics.name"),
        ({"metrics": ["revenue", "revenue"]}, "design.metrics"),
        ({"metrics": [{"name": "revenue", "margin": "1"}]}, "design.metrics[0].margin"),
        ({"metrics": [{"name": "revenue", "margin": HUGE}]}, "design.metrics[0].margin"),
        ({"metrics": [{"name": "revenue", "margin": 1}]}, "design.metrics.revenue.margin"),
        ({"metrics": [{"name": "revenue", "colour": 1}]}, "design.metrics[0].colour"),
        ({"metrics": ["revenue", {"name": "clicks", "kind": "sum"}]}, "design.metrics[1].kind"),
        ({"metrics": [{"name": "declared", "kind": "binary"}]}, "design.metrics.declared.cap"),
        ({"metrics": [{"name": "revenue", "covariate": "earlier"}]}, "design.metrics.revenue.covariate"),
        ({"metrics": [{"name": "wrong", "kind": "label_loss", "loss": "error"}]}, "design.metrics.wrong.loss"),
        ({"mde": "1"}, "design.mde"),
        ({"mde": 0}, "design.mde"),
        ({"mde": None}, "design.mde"),
        ({"mde": HUGE}, "design.mde"),
        ({"alpha": 0.7}, "design.alpha"),
        ({"window_seconds": -1}, "design.window_seconds"),
        ({"horizon_seconds": 1}, "design.horizon_seconds"),
        ({"slices": "country"}, "design.slices"),
        ({"slices": [7]}, "design.slices[0]"),
        ({"slices": ["x" * 101]}, "design.slices"),
        ({"slices": list("abcdef")}, "design.slices"),
        ({"test": "chi"}, "design.test"),
        ({"interim_looks": 1.5}, "design.interim_looks"),
        ({"colour": 1}, "design.colour"),
        ({"aa": "yes"}, "design.aa"),
    ],
    ids=str,
)
def test_a_design_that_cannot_be(client: FlaskClient, design: dict[str, Any], field: str) -> None:
    """422 naming the field with its full path, which the message begins with."""
    status, problem = send(client, "POST", CREATE, experiment(**design))
    assert (status, problem["field"]) == (422, field), problem
    assert problem["detail"].startswith(field)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none(client: FlaskClient, number: float) -> None:
    """NaN and infinities are no JSON: 400, with their place."""
    for design, path in (({"mde": number}, "design.mde"), ({"metrics": [{"name": "m", "margin": number}]}, "design.metrics[0].margin")):
        status, problem = send(client, "POST", CREATE, experiment(**design))
        assert (status, problem["field"]) == (400, path)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({**experiment(), "endpoint": "nobody"}, 404, "endpoint"),
        ({**experiment(), "endpoint": 7}, 422, "endpoint"),
        ({**experiment(), "experiment": "a b"}, 422, "experiment"),
        ({**experiment(), "design": None}, 422, "design"),
        ({**experiment(), "design": []}, 422, "design"),
        ({**experiment(), "draft": "yes"}, 422, "draft"),
        ({"experiment": "e1", "endpoint": "credit"}, 422, "design"),
        ({**experiment(), "colour": 1}, 422, "colour"),
    ],
    ids=str,
)
def test_a_body_that_cannot_be(client: FlaskClient, body: object, status: int, field: str) -> None:
    """What stands beside the design is named without it."""
    found, problem = send(client, "POST", CREATE, body)
    assert (found, problem["field"]) == (status, field)


def test_declared_metrics_by_name(client: FlaskClient) -> None:
    """A name alone takes the declaration along; one that nobody declared is taken as it is."""
    status, made = send(client, "POST", f"{CREATE}?dry_run=true", experiment(metrics=["declared", "new"]))
    assert (status, made["design"]["metrics"]) == (200, [{"name": "declared", "cap": 5.0}, {"name": "new"}])


TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
ANYTHING = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=10)
FIELDS = ("name", "role", "kind", "direction", "outcome", "denominator", "quantile", "source", "loss", "cap", "covariate", "margin")
KINDS = st.sampled_from(["continuous", "binary", "count", "ratio", "quantile", "label_loss"])
NEARLY = st.fixed_dictionaries(
    {"name": st.sampled_from(["m", "declared"]) | TEXT}, optional={**dict.fromkeys(FIELDS[1:], ANYTHING), "kind": KINDS, "cap": st.floats()}
)
DESIGNS = st.fixed_dictionaries(
    {"metrics": st.lists(NEARLY | TEXT | ANYTHING, max_size=3) | ANYTHING, "mde": st.floats() | ANYTHING},
    optional=dict.fromkeys(("alpha", "window_seconds", "slices", "test", "maximum", "spending", "phi", "aa", "horizon_seconds"), ANYTHING),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(metric=NEARLY | ANYTHING, design=DESIGNS | ANYTHING)
def test_random_input_is_never_a_5xx(client: FlaskClient, metric: object, design: object) -> None:
    """An answer, or a refusal that says something."""
    for path, body in ((METRICS, metric), (CREATE, {**experiment(), "design": design})):
        status, found = send(client, "POST", f"{path}?dry_run=true", body)
        assert status in (200, 400, 413, 422), (body, found)
        assert status == 200 or found["detail"], (body, found)
