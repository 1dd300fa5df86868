"""What nobody may send to the routes of learners, events and feature views, and a server that has them.

`CASES`: a name, the route, the body, and the status and a word of the answer.
"""

from __future__ import annotations

from typing import Any

from tests.e2e.bad_input import DEEP
from tests.e2e.learning_server import register
from tests.e2e.real_server import Server

LEARN, EVENTS, VIEW = "/v1/models/pupil/learn", "/v1/events/clicks", "PUT /v1/features/clicks"
ROLLBACK, STOP, START = (f"/v1/models/pupil/learner/{order}" for order in ("rollback", "stop", "start"))

_FACTORY = "from river import linear_model\n\n\ndef pupil():\n    return linear_model.LogisticRegression()\n"


def furnish(server: Server) -> None:
    """Let the model `pupil` learn, and a view count the stream `clicks`. Nobody waits for either: what is sent is judged without them."""
    register(server, server.home.parent, _FACTORY, {"pupil": [({"amount": float(number)}, number > 5) for number in range(10)]})
    server.put("/v1/features/clicks", view())


def example(**changes: Any) -> dict[str, Any]:
    return {"features": {"amount": 1.0}, "label": True, **changes}


def event(**changes: Any) -> dict[str, Any]:
    return {"values": {"unit": "u", "amount": 1.0}, **changes}


def view(**changes: Any) -> dict[str, Any]:
    return {"key": "unit", "source": source(n={"aggregate": "count", "window_seconds": 60}), **changes}


def source(**features: Any) -> dict[str, Any]:
    return {"type": "stream", "stream": "clicks", "features": features}


def mean(**changes: Any) -> dict[str, Any]:
    """A view of a mean, which is not as it should be."""
    return view(source=source(n={"aggregate": "mean", "of": "amount", "window_seconds": 60, **changes}))


CASES: list[tuple[str, str, object, int, str]] = [
    ("no features", LEARN, {"label": True}, 422, "features"),
    ("features of a wrong type", LEARN, example(features=[1.0]), 422, "features"),
    ("a missing feature", LEARN, example(features={}), 422, "amount"),
    ("an unknown feature", LEARN, example(features={"amount": 1.0, "colour": 1}), 422, "colour"),
    ("text for a number", LEARN, example(features={"amount": "high"}), 422, "amount"),
    ("a huge integer", LEARN, example(features={"amount": 10**400}), 422, "amount"),
    ("NaN", LEARN, b'{"features": {"amount": NaN}, "label": true}', 400, "features.amount"),
    ("no label", LEARN, {"features": {"amount": 1.0}}, 422, "label"),
    ("a label of null", LEARN, example(label=None), 422, "label"),
    ("a label of another kind", LEARN, example(label="ripe"), 422, "label"),
    ("an id that is a number", LEARN, example(id=7), 422, "id"),
    ("an endless id", LEARN, example(id="i" * 201), 422, "id"),
    ("an unknown key", LEARN, example(colour=1), 422, "colour"),
    ("an empty list", LEARN, [], 422, "example"),
    ("a wrong second one", LEARN, [example(), example(label=[1])], 422, "[1].label"),
    ("too many", LEARN, [example()] * 1001, 413, "examples"),
    ("an unknown model", "/v1/models/nobody/learn", example(), 404, "model"),
    ("a model that does not learn", "/v1/models/dia/learn", example(), 409, "learner"),
    ("a name that is none", "/v1/models/%00/learn", example(), 404, "model"),
    ("no body", LEARN, b"", 400, "body"),
    ("garbage", LEARN, bytes(range(256)), 400, "body"),
    ("lists in lists", LEARN, DEEP, 422, "[0]"),
    ("no values", EVENTS, {}, 422, "values"),
    ("values of nothing", EVENTS, event(values={}), 422, "values"),
    ("too many values", EVENTS, event(values={str(number): 1 for number in range(51)}), 422, "values"),
    ("a list for a value", EVENTS, event(values={"amount": [1]}), 422, "values.amount"),
    ("an endless text", EVENTS, event(values={"page": "p" * 1001}), 422, "values.page"),
    ("a huge integer", EVENTS, event(values={"amount": 10**30}), 422, "values.amount"),
    ("NaN", EVENTS, b'{"values": {"amount": NaN}}', 400, "values.amount"),
    ("1e400", EVENTS, b'{"values": {"amount": 1e400}}', 422, "values"),
    ("a name of nothing", EVENTS, event(values={"": 1}), 422, "values"),
    ("a timestamp that is none", EVENTS, event(timestamp="yesterday"), 422, "timestamp"),
    ("a timestamp of the future", EVENTS, event(timestamp="2999-01-01T00:00:00Z"), 422, "timestamp"),
    ("an id with a NUL", EVENTS, event(id="a\0b"), 422, "id"),
    ("a wrong second one", EVENTS, [event(), event(values={"amount": [1]})], 422, "[1].values.amount"),
    ("too many", EVENTS, [event()] * 1001, 413, "events"),
    ("a stream that nobody reads", "/v1/events/nothing", event(), 404, "stream"),
    ("a name that is none", "/v1/events/%00", event(), 404, "stream"),
    ("garbage", EVENTS, bytes(range(256)), 400, "body"),
    ("lists in lists", EVENTS, DEEP, 422, "[0]"),
    ("no key", VIEW, {"source": view()["source"]}, 422, "key"),
    ("no source", VIEW, {"key": "unit"}, 422, "source"),
    ("a source of an unknown type", VIEW, view(source={"type": "river"}), 422, "source"),
    ("another name than the path's", VIEW, view(view="other"), 422, "view"),
    ("a name that is a number", VIEW, view(view=7), 422, "view"),
    ("a name that is none", "PUT /v1/features/a%20b", view(), 422, "view"),
    ("an unknown endpoint", VIEW, view(endpoints=["nobody"]), 404, "endpoints[0]"),
    ("a key that is a feature", VIEW, view(key="n"), 422, "source.features.n"),
    ("no features", VIEW, view(source=source()), 422, "source.features"),
    ("an unknown aggregate", VIEW, mean(aggregate="median"), 422, "source.features"),
    ("a mean of nothing", VIEW, mean(of=None), 422, "source.features.n.of"),
    ("a window of nothing", VIEW, mean(window_seconds=0), 422, "source.features.n.window_seconds"),
    ("a window of text", VIEW, mean(window_seconds="1h"), 422, "window_seconds"),
    ("a quantile of a mean", VIEW, mean(q=0.9), 422, "source.features.n.q"),
    ("a default of no feature", VIEW, view(defaults={"m": 1}), 422, "defaults.m"),
    ("NaN for a default", VIEW, b'{"key": "unit", "source": {}, "defaults": {"n": NaN}}', 400, "defaults.n"),
    ("an age below zero", VIEW, view(max_age_seconds=-1), 422, "max_age_seconds"),
    ("an unknown key", VIEW, view(colour=1), 422, "colour"),
    ("not an object", VIEW, b"7", 422, "body"),
    ("garbage", VIEW, bytes(range(256)), 400, "body"),
    ("lists in lists", VIEW, DEEP, 422, "body"),
    ("no version", ROLLBACK, {}, 422, "to"),
    ("a list for a version", ROLLBACK, {"to": [1]}, 422, "to"),
    ("a huge version", ROLLBACK, {"to": 10**30}, 422, "to"),
    ("a version that is none", ROLLBACK, {"to": "pupil"}, 422, "to"),
    ("another model's version", ROLLBACK, {"to": "dia@1"}, 409, "to"),
    ("an unknown version", ROLLBACK, {"to": 99}, 404, "pupil@99"),
    ("an unknown model", "/v1/models/nobody/learner/rollback", {"to": 1}, 404, "nobody"),
    ("a version of text", STOP, {"version": "1"}, 422, "version"),
    ("a version of zero", STOP, {"version": 0}, 422, "version"),
    ("an unknown version", STOP, {"version": 99}, 404, "pupil@99"),
    ("a model that does not learn", "/v1/models/dia/learner/stop", {}, 404, "dia"),
    ("garbage", STOP, bytes(range(256)), 400, "body"),
    ("one that runs", START, {}, 409, "runs already"),
    ("a list for an order", START, [], 422, "body"),
    ("an unknown model", "/v1/models/nobody/learner/start", {}, 404, "nobody"),
]
