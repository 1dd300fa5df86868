"""Whatever is sent at random: an answer or a refusal, never 5xx."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.bad_facts import EVENTS, LEARN, ROLLBACK, START, STOP, event, example, furnish
from tests.e2e.bad_input import GOOD, INFER, OUTCOMES, PREDICT, features, said, send
from tests.e2e.learning_server import learner
from tests.e2e.real_server import Server, eventually


@pytest.fixture(scope="module", autouse=True)
def _endpoint(server: Server) -> None:
    server.create("credit", {"control": ("dia@1", 1), "treatment": ("dia@2", 1)})
    furnish(server)


TEXT = st.text(st.characters(), max_size=10)


SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT


ANYTHING = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5), max_leaves=20)
"""Random JSON, with Python's NaN and Infinity, huge integers, and lone surrogates."""


ROW = st.fixed_dictionaries(dict.fromkeys(GOOD, st.floats() | SCALAR))


TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*GOOD, "x"]),
        "shape": st.lists(st.integers(-1, 11) | st.integers(), max_size=3),
        "datatype": st.sampled_from(["FP64", "INT64", "BYTES", "BOOL"]) | TEXT,
        "data": st.lists(SCALAR | st.lists(SCALAR, max_size=10), max_size=11),
    }
)


KEY = st.text("äbc", min_size=1, max_size=2) | TEXT
"""So few good ones that they are repeated."""


FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.integers()


NUMBER = st.integers(0, 3) | ANYTHING


AGGREGATE = st.fixed_dictionaries(
    {"aggregate": st.sampled_from(["count", "sum", "mean", "var", "distinct"]) | TEXT},
    optional={"of": KEY, "window_seconds": st.integers(1, 100) | SCALAR, "q": SCALAR, "fading": SCALAR},
)


SOURCE = st.fixed_dictionaries(
    {"type": st.just("stream"), "features": st.dictionaries(KEY, AGGREGATE, max_size=2)},
    optional={"stream": st.just("clicks") | TEXT, "predictions": st.booleans(), "outcomes": KEY, "lateness_seconds": SCALAR},
) | st.fixed_dictionaries({"type": st.just("batch")}, optional={"columns": st.dictionaries(KEY, st.just("float") | ANYTHING, max_size=2)})


VIEW = "PUT /v1/features/noise"


NEARLY = {
    PREDICT: st.fixed_dictionaries({}, optional={"unit": TEXT, "features": ROW, "instances": st.lists(ROW | ANYTHING, max_size=3)}),
    OUTCOMES: st.fixed_dictionaries(
        {"endpoint": st.just("credit"), "unit": TEXT, "metric": st.sampled_from(["m", "label"]) | TEXT, "value": SCALAR},
        optional={"id": TEXT, "timestamp": st.datetimes().map(lambda moment: moment.isoformat() + "Z") | TEXT},
    ),
    INFER: st.fixed_dictionaries({"inputs": st.lists(TENSOR, max_size=3)}, optional={"parameters": st.dictionaries(TEXT, ANYTHING)}),
    LEARN: st.fixed_dictionaries(
        {"features": st.fixed_dictionaries({"amount": FINITE}), "label": st.booleans() | SCALAR}, optional={"id": KEY}
    ),
    EVENTS: st.fixed_dictionaries({"values": st.fixed_dictionaries({"unit": KEY}, optional={"amount": SCALAR})}, optional={"id": KEY}),
    VIEW: st.fixed_dictionaries(
        {"key": st.just("unit") | TEXT, "source": SOURCE},
        optional={"endpoints": st.lists(KEY, max_size=2), "max_age_seconds": SCALAR, "defaults": st.dictionaries(KEY, SCALAR, max_size=2)},
    ),
    ROLLBACK: st.fixed_dictionaries({"to": st.sampled_from(["pupil@1", "dia@1"]) | NUMBER}, optional={"version": NUMBER}),
    STOP: st.fixed_dictionaries({}, optional={"version": NUMBER}),
    START: st.fixed_dictionaries({}, optional={"version": NUMBER}),
}
"""What is so near to a good request that it gets far."""


FIELDS = {
    PREDICT: ("unit", "features", "instances"),
    OUTCOMES: ("prediction_id", "endpoint", "unit", "metric", "value", "id", "timestamp"),
    INFER: ("inputs", "id", "parameters", "outputs"),
    "PUT /v1/endpoints/credit/traffic?dry_run=true": ("weights", "enrolment", "reason"),
    "PUT /v1/endpoints/credit/plan?dry_run=true": ("arms", "shadows", "enrolment", "reason"),
    "PUT /v1/endpoints/credit/shadows?dry_run=true": ("shadows", "reason"),
    "/v1/endpoints/credit/promote?dry_run=true": ("arm", "reason"),
    "/v1/endpoints/credit/rollback?dry_run=true": ("to", "reason"),
    "/v1/endpoints?dry_run=true": ("endpoint", "arms", "shadows", "enrolment", "salt", "reason"),
    "/v1/experiments": ("experiment", "endpoint", "design", "draft", "reason"),
    "PUT /v1/models/dia/aliases/champion": ("version",),
    LEARN: ("features", "label", "id"),
    EVENTS: ("values", "timestamp", "id"),
    VIEW: ("view", "key", "endpoints", "source", "max_age_seconds", "on_stale", "defaults"),
    ROLLBACK: ("to", "version"),
    STOP: ("version",),
    START: ("version",),
}


@pytest.mark.parametrize("route", FIELDS)
def test_random_json_is_never_a_5xx(server: Server, route: str) -> None:
    """Whatever is in the fields, or instead of them: an answer or a refusal; or numbers so large that the model fails on them."""
    shaped = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS[route], ANYTHING))

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(NEARLY.get(route, shaped) | shaped | ANYTHING)
    def check(body: object) -> None:
        reply = send(server, route, json.dumps(body).encode())
        assert reply.status < 500 or (reply.status == 503 and "of arm control failed: " in said(reply)), (body, reply)

    check()


@pytest.mark.parametrize("route", [PREDICT, OUTCOMES, INFER, LEARN, EVENTS, VIEW, ROLLBACK, "/v1/experiments"])
def test_random_bytes_are_never_a_5xx(server: Server, route: str) -> None:
    """Nor is anything that is no JSON at all."""

    @settings(max_examples=20)
    @given(st.binary(max_size=200))
    def check(body: bytes) -> None:
        assert 400 <= send(server, route, body).status < 500

    check()


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324, 2**53 + 1, 2**70, -0.0])
def test_extreme_but_finite_numbers_are_answered_or_fail_as_a_model(server: Server, value: float) -> None:
    """What the model makes of them is finite, or said to be its failure."""
    reply = server.request("POST", PREDICT, features(bmi=value))
    assert reply.status in (200, 503)
    if reply.status == 200:
        assert math.isfinite(reply.json["predictions"][0]["value"])
    else:
        assert reply.json["code"] == "model-failed"


def test_what_was_accepted_has_broken_nothing(server: Server) -> None:
    """Whatever the learner and the view have read by now: the next examples are learnt, the next event counted."""
    send(server, START, {})
    labels = learner(server, "pupil")["labels"]
    server.post(LEARN, [example(), example()], 202)
    server.post(EVENTS, event(values={"unit": "last"}), 202)
    eventually(lambda: learner(server, "pupil")["staleness_seconds"] == 0.0, "the learner has learnt all")
    assert learner(server, "pupil")["labels"] > labels
    eventually(lambda: server.request("GET", "/v1/features/clicks?key=last").status == 200, "the event is counted")
    assert server.get("/v1/features/clicks?key=last")["values"] == {"n": 1}
