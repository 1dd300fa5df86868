"""Bad input is the client's fault and is told so: 4xx with a message that names the field, never 5xx."""

from __future__ import annotations

import contextlib
import json
import math
import socket
from typing import Any

import pytest

from tests.e2e import bad_facts
from tests.e2e.bad_facts import EVENTS, LEARN
from tests.e2e.bad_input import DEEP, GOOD, INFER, OUTCOMES, PREDICT, features, said, send
from tests.e2e.real_server import PATIENCE, Server

TEN_MEGABYTES = 10 * 2**20


@pytest.fixture(scope="module", autouse=True)
def _endpoint(server: Server) -> None:
    server.create("credit", {"control": ("dia@1", 1), "treatment": ("dia@2", 1)})
    bad_facts.furnish(server)


def without(name: str) -> dict[str, Any]:
    return {"features": {key: value for key, value in GOOD.items() if key != name}}


def raw(text: str) -> bytes:
    """A good request whose `bmi` is written so."""
    return json.dumps(features(bmi="@")).replace('"@"', text).encode()


def outcome(**changes: Any) -> dict[str, Any]:
    return {"endpoint": "credit", "unit": "u", "metric": "m", "value": 1, **changes}


def tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, 10], "datatype": "FP64", "data": [0.0] * 10, **changes}]}


def columns(**changes: Any) -> dict[str, Any]:
    given = [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in {**GOOD, **changes}.items()]
    return {"inputs": given}


EVEN = {"weights": {"control": 1, "treatment": 1}}


def arms(version: str = "dia@1", name: str = "control", endpoint: str = "new") -> dict[str, Any]:
    return {"endpoint": endpoint, "arms": {name: {"version": version, "weight": 1}}}


def trial(metrics: list[object], mde: float) -> dict[str, Any]:
    return {"experiment": "e", "endpoint": "credit", "design": {"metrics": metrics, "mde": mde}}


CASES: list[tuple[str, str, object, int, str]] = [
    ("NaN", PREDICT, raw("NaN"), 400, "features.bmi"),
    ("Infinity", PREDICT, raw("Infinity"), 400, "features.bmi"),
    ("-Infinity", PREDICT, raw("-Infinity"), 400, "features.bmi"),
    ("1e400", PREDICT, raw("1e400"), 422, "features"),
    ("a huge integer", PREDICT, raw("9" * 400), 422, "features.bmi"),
    ("a missing feature", PREDICT, without("bmi"), 422, "bmi"),
    ("an unknown feature", PREDICT, features(colour=1), 422, "colour"),
    ("text for a number", PREDICT, features(bmi="high"), 422, "bmi"),
    ("a boolean for a number", PREDICT, features(bmi=True), 422, "bmi"),
    ("a list for a number", PREDICT, features(bmi=[1]), 422, "bmi"),
    ("null where the sample had none missing", PREDICT, features(bmi=None), 422, "bmi"),
    ("no features", PREDICT, {}, 422, "features"),
    ("features and instances", PREDICT, {**features(), "instances": [GOOD]}, 422, "features"),
    ("features of a wrong type", PREDICT, {"features": [1]}, 422, "features"),
    ("a short row", PREDICT, {"instances": [[1, 2]]}, 422, "instances"),
    ("a long row", PREDICT, {"instances": [[0] * 11]}, 422, "instances"),
    ("a row that is none", PREDICT, {"instances": [7]}, 422, "instances"),
    ("a wrong second row", PREDICT, {"instances": [GOOD, {**GOOD, "bp": "x"}]}, 422, "bp"),
    ("an empty batch", PREDICT, {"instances": []}, 422, "instances"),
    ("too many rows", PREDICT, {"instances": [[0] * 10] * 1001}, 413, "instances"),
    ("an unknown key", PREDICT, {**features(), "colour": 1}, 422, "colour"),
    ("a unit that is a number", PREDICT, {**features(), "unit": 7}, 422, "unit"),
    ("an empty unit", PREDICT, {**features(), "unit": ""}, 422, "unit"),
    ("an endless unit", PREDICT, {**features(), "unit": "u" * 201}, 422, "unit"),
    ("a unit with a NUL", PREDICT, {**features(), "unit": "a\0b"}, 422, "unit"),
    ("a lone surrogate in the unit", PREDICT, b'{"unit": "\\ud800", "features": {}}', 400, "body"),
    ("a context of a wrong type", PREDICT, {**features(), "context": "de"}, 422, "context"),
    ("a nested context", PREDICT, {**features(), "context": {"country": {"code": "de"}}}, 422, "context.country"),
    ("a list in the context", PREDICT, {**features(), "context": {"country": ["de"]}}, 422, "context.country"),
    ("a null in the context", PREDICT, {**features(), "context": {"country": None}}, 422, "context.country"),
    ("an empty text in the context", PREDICT, {**features(), "context": {"country": ""}}, 422, "context.country"),
    ("an endless text in the context", PREDICT, {**features(), "context": {"country": "d" * 201}}, 422, "context.country"),
    ("a NUL in the context", PREDICT, {**features(), "context": {"country": "d\0"}}, 422, "context.country"),
    ("a huge integer in the context", PREDICT, {**features(), "context": {"n": 10**400}}, 422, "context"),
    ("NaN in the context", PREDICT, {**features(), "context": {"n": math.nan}}, 400, "context.n"),
    ("an empty key in the context", PREDICT, {**features(), "context": {"": 1}}, 422, "context"),
    ("an endless key in the context", PREDICT, {**features(), "context": {"k" * 201: 1}}, 422, "context"),
    ("too many keys in the context", PREDICT, {**features(), "context": {str(n): n for n in range(21)}}, 422, "context"),
    ("a lone surrogate as a key", PREDICT, b'{"\\udfff": 1}', 400, "body"),
    ("invalid UTF-8", PREDICT, b'{"unit": "\xff\xfe"}', 400, "UTF-8"),
    ("invalid UTF-8 in a key", PREDICT, b'{"features": {"\xff": 1}}', 400, "UTF-8"),
    ("invalid UTF-8", OUTCOMES, b'{"endpoint": "credit", "unit": "\xff", "metric": "m", "value": 1}', 400, "UTF-8"),
    ("invalid UTF-8", INFER, b'{"inputs": [{"name": "\xff"}]}', 400, "UTF-8"),
    ("invalid UTF-8", "PUT /v1/endpoints/credit/traffic", b'{"weights": {"\xff": 1}}', 400, "UTF-8"),
    ("an unknown endpoint", "/v1/endpoints/nobody/predict", features(), 404, "endpoint"),
    ("a name that is none", "/v1/endpoints/%00/predict", features(), 404, "endpoint"),
    ("no body", PREDICT, b"", 400, "body"),
    ("garbage", PREDICT, bytes(range(256)), 400, "body"),
    ("half of JSON", PREDICT, b'{"features": {', 400, "body"),
    ("JSON and more", PREDICT, b"{} {}", 400, "body"),
    ("lists in lists", PREDICT, DEEP, 422, "body"),
    ("nested too deeply", PREDICT, b'{"features": {"bmi": ' + DEEP, 413, "nested"),
    ("not an object", PREDICT, b"7", 422, "body"),
    ("NaN", OUTCOMES, b'{"endpoint": "credit", "unit": "u", "metric": "m", "value": NaN}', 400, "value"),
    ("1e400", OUTCOMES, b'{"endpoint": "credit", "unit": "u", "metric": "m", "value": 1e400}', 422, "value"),
    ("a huge integer", OUTCOMES, outcome(value=10**30), 422, "value"),
    ("text for a number", OUTCOMES, outcome(value="much"), 422, "value"),
    ("a list for a number", OUTCOMES, outcome(value=[1]), 422, "value"),
    ("no value", OUTCOMES, {"endpoint": "credit", "unit": "u", "metric": "m"}, 422, "value"),
    ("no subject", OUTCOMES, {"metric": "m", "value": 1}, 422, "prediction_id"),
    ("two subjects", OUTCOMES, outcome(prediction_id="p1-18-0000000000000000"), 422, "prediction_id"),
    ("a prediction id that is none", OUTCOMES, {"prediction_id": "p", "metric": "m", "value": 1}, 422, "prediction_id"),
    ("an unknown endpoint", OUTCOMES, outcome(endpoint="nobody"), 422, "endpoint"),
    ("a label of a unit", OUTCOMES, outcome(metric="label"), 422, "prediction_id"),
    ("a metric that is no name", OUTCOMES, outcome(metric="a b"), 422, "metric"),
    ("a timestamp that is none", OUTCOMES, outcome(timestamp="yesterday"), 422, "timestamp"),
    ("a timestamp of the future", OUTCOMES, outcome(timestamp="2999-01-01T00:00:00Z"), 422, "timestamp"),
    ("a timestamp beyond dates", OUTCOMES, outcome(timestamp="9999-12-31T23:59:59-23:59"), 422, "timestamp"),
    ("an empty list", OUTCOMES, [], 422, "outcome"),
    ("a wrong second one", OUTCOMES, [outcome(), outcome(value="x")], 422, "[1].value"),
    ("too many", OUTCOMES, [outcome()] * 1001, 413, "outcomes"),
    ("an unknown key", OUTCOMES, outcome(colour=1), 422, "colour"),
    ("a lone surrogate", OUTCOMES, b'{"endpoint": "credit", "unit": "\\ud800", "metric": "m", "value": 1}', 400, "body"),
    ("garbage", OUTCOMES, bytes(range(256)), 400, "body"),
    ("no body", OUTCOMES, b"", 400, "body"),
    ("lists in lists", OUTCOMES, DEEP, 422, "[0]"),
    ("a wrong width", INFER, tensor(shape=[1, 9], data=[0.0] * 9), 422, "inputs.x"),
    ("a shape that lies", INFER, tensor(shape=[2, 10]), 422, "inputs.x"),
    ("a shape below zero", INFER, tensor(shape=[-1, -10]), 422, "inputs.x"),
    ("a shape of three", INFER, tensor(shape=[1, 10, 1]), 422, "inputs.x"),
    ("a huge shape", INFER, tensor(shape=[2**62, 2**62]), 422, "inputs.x"),
    ("an unknown type", INFER, tensor(datatype="FP7"), 422, "datatype"),
    ("ragged data", INFER, tensor(data=[[0.0] * 5, 1]), 422, "inputs.x"),
    ("text for a number", INFER, columns(bmi="high"), 422, "bmi"),
    ("an unknown feature", INFER, columns(colour=1.0), 422, "colour"),
    ("a missing feature", INFER, {"inputs": columns()["inputs"][1:]}, 422, "age"),
    ("a tensor twice", INFER, {"inputs": columns()["inputs"] * 2}, 422, "inputs"),
    ("no inputs", INFER, {}, 422, "inputs"),
    ("an empty batch", INFER, {"inputs": []}, 422, "inputs"),
    ("a batch of no rows", INFER, tensor(shape=[0, 10], data=[]), 422, "at least one row"),
    ("a unit that is a number", INFER, {**tensor(), "parameters": {"unit": 7}}, 422, "unit"),
    ("NaN", INFER, b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', 400, "inputs[0].data[0]"),
    ("an unknown model", "/v2/models/nobody/infer", tensor(), 404, "nobody"),
    ("a version that is not loaded", "/v2/models/dia/versions/3/infer", tensor(), 409, "dia@3"),
    ("a version that is none", "/v2/models/dia/versions/x/infer", tensor(), 422, "version"),
    ("garbage", INFER, bytes(range(256)), 400, "body"),
    ("nested too deeply", INFER, b'{"inputs": [], "parameters": {"a": ' + DEEP, 413, "nested"),
    ("a weight below zero", "PUT /v1/endpoints/credit/traffic", {"weights": {"control": -1, "treatment": 2}}, 422, "weights.control"),
    ("weights of nothing", "PUT /v1/endpoints/credit/traffic", {"weights": {"control": 0, "treatment": 0}}, 422, "weights"),
    ("a missing weight", "PUT /v1/endpoints/credit/traffic", {"weights": {"control": 1}}, 422, "treatment"),
    ("an enrolment above one", "PUT /v1/endpoints/credit/traffic", {**EVEN, "enrolment": 2}, 422, "enrolment"),
    ("an unknown endpoint", "PUT /v1/endpoints/nobody/traffic", {"weights": {"control": 1}}, 404, "nobody"),
    ("an unknown version", "/v1/endpoints", arms("dia@99"), 404, "dia@99"),
    ("no control", "/v1/endpoints", arms(name="a"), 422, "control"),
    ("a name that is none", "/v1/endpoints", arms(endpoint="../x"), 422, "endpoint"),
    ("an endpoint that exists", "/v1/endpoints", arms(endpoint="credit"), 409, "credit"),
    ("an unknown arm", "/v1/endpoints/credit/promote", {"arm": "nobody"}, 404, "arm"),
    ("a wait of an hour", "PUT /v1/endpoints/credit/traffic?wait=3600s", EVEN, 422, "wait"),
    ("a dry run of maybe", "PUT /v1/endpoints/credit/traffic?dry_run=maybe", EVEN, 422, "dry_run"),
    ("an experiment without metrics", "/v1/experiments", trial([], 1), 422, "metrics"),
    ("an effect of nothing", "/v1/experiments", trial([{"name": "m"}], 0), 422, "mde"),
    ("garbage", "PUT /v1/endpoints/credit/traffic", bytes(range(256)), 400, "body"),
    ("lists in lists", "PUT /v1/endpoints/credit/traffic", DEEP, 422, "body"),
    *bad_facts.CASES,
]


@pytest.mark.parametrize(("name", "route", "body", "status", "field"), CASES, ids=[f"{case[1]} {case[0]}" for case in CASES])
def test_bad_input_is_refused_with_its_field(server: Server, name: str, route: str, body: object, status: int, field: str) -> None:
    """The status told in the table, and a message that names the field."""
    reply = send(server, route, body)
    assert reply.status == status, reply
    assert field in said(reply), reply


@pytest.mark.parametrize("chunked", [False, True], ids=["with Content-Length", "in chunks"])
@pytest.mark.parametrize("route", [PREDICT, OUTCOMES, INFER, LEARN, EVENTS, "/v1/endpoints", "/v1/experiments"])
def test_a_body_of_ten_megabytes_is_413(server: Server, route: str, chunked: bool) -> None:
    """However it is sent; and the server goes on."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        head = f"POST {route} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {TEN_MEGABYTES}"
        connection.sendall(f"{head}{length}\r\n\r\n".encode())
        piece = b" " * 65536
        try:
            for _ in range(TEN_MEGABYTES // len(piece)):
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            connection.sendall(b"0\r\n\r\n" if chunked else b"")
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has answered, and reads no further
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413"), answer[:500]
    assert server.predict("credit", GOOD)["predictions"]


def test_a_body_just_above_the_limit_is_413_with_a_message(server: Server) -> None:
    """4 MiB is the default limit, and the message says so."""
    reply = server.request("POST", PREDICT, b" " * (4 * 2**20 + 1))
    assert reply.status == 413
    assert said(reply) == "body: expected at most 4194304 bytes"


@pytest.mark.parametrize("chunks", [b"ZZ\r\nabc\r\n0\r\n\r\n", b"-5\r\nabc\r\n", b"3\r\nabcGARBAGE\r\n0\r\n\r\n"])
def test_garbage_for_chunks_is_400(server: Server, chunks: bytes) -> None:
    """The frame of a body can be wrong too."""
    head = b"POST /v1/endpoints/credit/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(head + chunks)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("path", "headers", "body", "field"),
    [
        ("PUT /v1/endpoints/credit/traffic", {"If-Match": "²"}, {"weights": {"control": 1, "treatment": 3}}, "If-Match"),
        ("PUT /v1/endpoints/credit/traffic", {"If-Match": "1" * 5000}, {"weights": {"control": 1, "treatment": 3}}, "If-Match"),
        ("PUT /v1/endpoints/credit/traffic?wait=abc", {}, {"weights": {"control": 1, "treatment": 3}}, "wait"),
        ("PUT /v1/endpoints/credit/traffic?wait=61s", {}, {"weights": {"control": 1, "treatment": 3}}, "wait"),
        ("PUT /v1/endpoints/credit/traffic", {}, {"weights": {"control": 1, "treatment": 5e-324}}, "weights.treatment"),
        ("GET /v1/endpoints/credit/history?limit=%C2%B2", {}, None, "limit"),
        ("POST /v1/endpoints/credit/rollback", {}, {"to": 10**20}, "to"),
    ],
)
def test_what_is_said_wrongly_about_a_change_is_422_and_changes_nothing(
    server: Server, path: str, headers: dict[str, str], body: object, field: str
) -> None:
    """It is looked at before the change is made."""
    before = server.get("/v1/endpoints/credit/plan")
    method, _, target = path.partition(" ")
    reply = server.request(method, target, body, headers)
    assert (reply.status, reply.json["field"]) == (422, field)
    assert server.get("/v1/endpoints/credit/plan") == before


@pytest.mark.parametrize("path", [PREDICT, OUTCOMES, INFER, LEARN, EVENTS, "/v1/endpoints"])
def test_another_method_is_405_in_status_and_body(server: Server, path: str) -> None:
    """With the methods that are allowed, where the hot routes answer."""
    reply = server.request("DELETE", path)
    assert reply.status == 405
    assert "error" in reply.json or (reply.json["status"], reply.json["title"]) == (405, "Method Not Allowed")


@pytest.mark.parametrize("path", [PREDICT, OUTCOMES, INFER, LEARN, EVENTS])
def test_no_foreign_page_can_post(server: Server, path: str) -> None:
    """A browser names the page's origin, and asks before it sends JSON; without JSON it gets nothing."""
    reply = server.request("POST", path, b"{}", {"Origin": "https://evil.example", "Content-Type": "text/plain"})
    assert (reply.status, "Content-Type" in said(reply)) == (422, True)


def test_a_connection_whose_client_does_not_stop_is_closed(server: Server) -> None:
    """After 413 some of the rest is read, so that the client sees its answer, and then no more."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST /v1/outcomes HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"%x\r\n%s\r\n" % (2**20, b" " * 2**20)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                connection.sendall(piece)
            pytest.fail("the server read 200 MiB of a body that is too large")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_routes_are_404_in_the_form_of_their_protocol(server: Server, method: str) -> None:
    """Problem details, or for the Open Inference Protocol its own form."""
    for path in ("/v1/nowhere", "/nowhere"):
        reply = server.request(method, path)
        assert (reply.status, reply.json["code"], reply.headers["Content-Type"]) == (404, "route-not-found", "application/problem+json")
    reply = server.request(method, "/v2/nowhere")
    assert (reply.status, set(reply.json)) == (404, {"error"})
