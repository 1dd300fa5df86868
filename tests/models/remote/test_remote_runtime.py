"""Rows become tensors, tensors become outputs; whatever else a server answers is a failure with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from core.errors import ModelFailed, Rejected
from core.values import Label, Output, Row
from models.remote.description import Description, Input
from models.remote.runtime import RemoteRuntime
from models.remote.servers import NONE, Remotes
from models.signature import Feature, Signature
from tests.models.remote.foreign_server import ForeignServer, http

COLUMNS = (Input("age", "INT64"), Input("income", "FP32", two=True), Input("city", "BYTES"), Input("member", "BOOL"))
MIXED = Signature(tuple(Feature(each.name, "float") for each in COLUMNS), "regression")
ROWS: list[Row] = [(30, 1.5, "Ulm", True), (40.0, 2, "Bonn", False)]
VALUES = [{"name": "value", "datatype": "FP64", "shape": [2], "data": [1.5, -2]}]


def description(**more: Any) -> Description:
    """Of a model of four features."""
    given: dict[str, Any] = {"inputs": COLUMNS, "matrix": False, "outputs": {"value": "value"}, "ask": False, "tiltyard": False}
    return Description(server="staging", model="credit", version=None, **{**given, **more})


def classes(*labels: Label) -> Signature:
    """Of a classifier of two features; without labels its classes are not known."""
    return Signature((Feature("x", "float"), Feature("y", "float")), "classification", labels or None)


MATRIX: dict[str, Any] = {"inputs": (Input("in", "FP64"),), "matrix": True}
BOTH: dict[str, Any] = {**MATRIX, "outputs": {"label": "label", "probabilities": "proba"}}
PAIRS: list[Row] = [(1.0, 2.0), (3.0, 4.0)]


@pytest.fixture
def runtime(foreign: ForeignServer) -> Iterator[Callable[..., RemoteRuntime]]:
    """Makes a runtime that asks the foreign server, which then answers these tensors."""
    made: list[RemoteRuntime] = []

    def make(tensors: Any, signature: Signature = MIXED, **more: Any) -> RemoteRuntime:
        foreign.answer = lambda request, _: http({"id": request.body["id"], "outputs": tensors})
        made.append(RemoteRuntime(msgspec.json.encode(description(**more)), signature, foreign.remotes))
        return made[-1]

    yield make
    for each in made:
        each.settle()


def test_each_feature_is_a_tensor_of_its_type(foreign: ForeignServer, runtime: Callable[..., RemoteRuntime]) -> None:
    """Integers as integers, also where 40.0 stands for 40; the shape is the one that the model told."""
    assert runtime(VALUES).predict(ROWS) == [Output(value=1.5), Output(value=-2.0)]
    [request] = foreign.requests
    assert (request.method, request.path) == ("POST", "/v2/models/credit/infer")
    assert request.body["inputs"] == [
        {"name": "age", "shape": [2], "datatype": "INT64", "data": [30, 40]},
        {"name": "income", "shape": [2, 1], "datatype": "FP32", "data": [1.5, 2.0]},
        {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["Ulm", "Bonn"]},
        {"name": "member", "shape": [2], "datatype": "BOOL", "data": [True, False]},
    ]
    assert [type(value) for value in request.body["inputs"][1]["data"]] == [float, float]
    assert "outputs" not in request.body


def test_a_matrix_has_the_features_in_their_order(foreign: ForeignServer, runtime: Callable[..., RemoteRuntime]) -> None:
    """Row by row; outputs are named in the request where the operator has named them; a version has its own path."""
    tensors = [{"name": "p", "datatype": "FP32", "shape": [2, 2], "data": [[0.25, 0.75], [1, 0]]}]
    found = runtime(tensors, classes("no", "yes"), **MATRIX, outputs={"probabilities": "p"}, ask=True).predict(PAIRS)
    assert found == [
        Output(label="yes", probabilities={"no": 0.25, "yes": 0.75}),
        Output(label="no", probabilities={"no": 1.0, "yes": 0.0}),
    ]
    assert foreign.requests[0].body["inputs"] == [{"name": "in", "shape": [2, 2], "datatype": "FP64", "data": [1.0, 2.0, 3.0, 4.0]}]
    assert foreign.requests[0].body["outputs"] == [{"name": "p"}]


def test_many_rows_are_asked_in_parts(foreign: ForeignServer, runtime: Callable[..., RemoteRuntime]) -> None:
    """No server is sent more than 1,000 at once, and their order stays."""
    ask = runtime([], Signature((Feature("x", "float"), Feature("y", "float")), "regression"), **MATRIX)

    def echo(request: Any, _: Any) -> bytes:
        [given] = request.body["inputs"]
        tensor = {"name": "value", "datatype": "FP64", "shape": given["shape"][:1], "data": given["data"][::2]}
        return http({"outputs": [tensor]})

    foreign.answer = echo
    assert [output.value for output in ask.predict([(float(number), 0.0) for number in range(2500)])] == list(range(2500))
    assert [request.body["inputs"][0]["shape"][0] for request in foreign.requests] == [1000, 1000, 500]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((30.5, 1.0, "a", True), "input 'age' takes INT64: expected an integer, got 30.5"),
        (("x", 1.0, "a", True), "input 'age' takes INT64"),
        ((1, "x", "a", True), "input 'income' takes FP32"),
        ((1, None, "a", True), "input 'income' cannot be told that a value is missing"),
        ((1, 10**400, "a", True), "input 'income' takes FP32"),
        ((1, 1.0, "a"), "expected rows of 4 features"),
    ],
)
def test_what_the_model_does_not_take_is_not_sent(
    foreign: ForeignServer, runtime: Callable[..., RemoteRuntime], row: Row, reason: str
) -> None:
    """A shadow may be handed what no arm refuses; the server is not asked."""
    with pytest.raises(ModelFailed, match=f"^remote staging/credit: {reason}"):
        runtime(VALUES).predict([row])
    assert foreign.requests == []


def test_a_tiltyard_is_sent_null_for_what_is_missing(foreign: ForeignServer, runtime: Callable[..., RemoteRuntime]) -> None:
    """Its own V2 takes it; and it may answer null, where a model has learnt too little yet to say."""
    tensors = [{"name": "value", "datatype": "FP64", "shape": [2], "data": [None, 2.5]}]
    found = runtime(tensors, tiltyard=True).predict([(None, None, None, None), ROWS[1]])
    assert found == [Output(value=None), Output(value=2.5)]
    assert [each["data"][0] for each in foreign.requests[0].body["inputs"]] == [None] * 4


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(["yes", "no"], ["yes", "no"]), ([1, 0], [1, 0]), ([1.0, 0.0], [True, False])],
    ids=["text", "integers", "numbers for booleans"],
)
def test_labels_are_the_classes_own(runtime: Callable[..., RemoteRuntime], labels: list[Any], expected: list[Label]) -> None:
    """Whatever type the server has for them, outcomes are compared with the type that the target has."""
    tensors = [
        {"name": "label", "datatype": "BYTES", "shape": [2, 1], "data": labels},
        {"name": "proba", "datatype": "FP32", "shape": [2, 2], "data": [0.25, 0.75, 0.5, 0.5]},
    ]
    found = runtime(tensors, classes(*sorted(expected)), **BOTH).predict(PAIRS)
    assert [(output.label, type(output.label)) for output in found] == [(label, type(label)) for label in expected]
    assert list(found[0].probabilities or ()) == [str(label) for label in sorted(expected)]


def test_labels_without_known_classes_are_as_they_come(runtime: Callable[..., RemoteRuntime]) -> None:
    """With the probabilities of the classes that a Tiltyard names beside them; a class that it has just met is no surprise."""
    label = {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["a", None]}
    shares = {"name": "proba", "datatype": "FP64", "shape": [2, 2], "data": [0.9, 0.1, 0.5, 0.5], "parameters": {"classes": ["a", "new"]}}
    found = runtime([label, shares], classes(), **BOTH, tiltyard=True).predict(PAIRS)
    assert found == [Output(label="a", probabilities={"a": 0.9, "new": 0.1}), Output(label=None, probabilities={"a": 0.5, "new": 0.5})]


def test_a_tiltyards_probabilities_are_read_by_the_names_of_their_classes(runtime: Callable[..., RemoteRuntime]) -> None:
    """In whatever order they come; a class that it does not name has 0."""
    label = {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]}
    shares = {"name": "proba", "datatype": "FP64", "shape": [2, 2], "data": [0.9, 0.1, 0.2, 0.8], "parameters": {"classes": ["b", "a"]}}
    found = runtime([label, shares], classes("a", "b", "c"), **BOTH, tiltyard=True).predict(PAIRS)
    assert [output.probabilities for output in found] == [{"a": 0.1, "b": 0.9, "c": 0.0}, {"a": 0.8, "b": 0.2, "c": 0.0}]


def test_one_column_of_two_classes_is_the_second_ones(runtime: Callable[..., RemoteRuntime]) -> None:
    """As boosted trees are often served."""
    tensors = [{"name": "p", "datatype": "FP32", "shape": [2, 1], "data": [0.25, 0.75]}]
    found = runtime(tensors, classes(0, 1), **MATRIX, outputs={"probabilities": "p"}).predict(PAIRS)
    assert found == [Output(label=0, probabilities={"0": 0.75, "1": 0.25}), Output(label=1, probabilities={"0": 0.25, "1": 0.75})]


def tensor(**more: Any) -> list[dict[str, Any]]:
    """An answer that differs from a right one."""
    return [{"name": "value", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0], **more}]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "not that of the V2 protocol"),
        (b"\xff", "not that of the V2 protocol"),
        (b"[]", "not that of the V2 protocol"),
        (b"{}", "required field `outputs`"),
        (b"[" * 100_000, "not that of the V2 protocol"),
        (b'{"outputs": [{"name": "value", "shape": [2], "datatype": "FP64", "data": [NaN, 1]}]}', "not that of the V2 protocol"),
        (b'{"outputs": [{"name": "value", "shape": [2], "datatype": "FP64", "data": [1e999, 1]}]}', "not that of the V2 protocol"),
        ({"outputs": tensor(shape="2")}, "shape"),
        ({"outputs": tensor(data="1,2")}, "data"),
        ({"outputs": tensor(), "id": "other"}, "that of another request"),
        ({"outputs": []}, "no output 'value'; it has none"),
        ({"outputs": tensor(name="y")}, "no output 'value'; it has 'y'"),
        ({"outputs": tensor(shape=[1], data=[1.0])}, "does not answer 2 rows"),
        ({"outputs": tensor(shape=[3], data=[1.0, 2.0, 3.0])}, "does not answer 2 rows"),
        ({"outputs": tensor(shape=[2], data=[1.0])}, "does not answer 2 rows"),
        ({"outputs": tensor(shape=[], data=[1.0])}, "does not answer 2 rows"),
        ({"outputs": tensor(shape=[2, 0], data=[])}, "does not answer 2 rows"),
        ({"outputs": tensor(shape=[2, -1], data=[1.0, 2.0])}, "does not answer 2 rows"),
        ({"outputs": tensor(shape=[2], data=[[1.0], 2.0])}, "does not answer 2 rows"),
        ({"outputs": tensor(shape=[2, 2], data=[1.0, 2.0, 3.0, 4.0])}, "2 values a row; expected one"),
        ({"outputs": tensor(data=["1", "2"])}, "'1' where a number was expected"),
        ({"outputs": tensor(data=[True, 1.0])}, "'True' where a number was expected"),
        ({"outputs": tensor(data=[None, 1.0])}, "'None' where a number was expected"),
        ({"outputs": tensor(data=[10**400, 1.0])}, "not finite"),
    ],
)
def test_an_answer_that_is_none_is_a_failure(
    foreign: ForeignServer, runtime: Callable[..., RemoteRuntime], answer: bytes | object, reason: str
) -> None:
    """It says what is wrong and names the model, and the next answer may be right."""
    ask = runtime(VALUES)
    right = foreign.answer
    foreign.answer = lambda _request, _socket: http(answer)
    with pytest.raises(ModelFailed, match=reason) as caught:
        ask.predict(ROWS)
    assert caught.value.message.startswith("remote staging/credit: ")
    foreign.answer = right
    assert ask.predict(ROWS)[0].value == 1.5


@pytest.mark.parametrize(
    ("labels", "shares", "reason"),
    [
        (["maybe", "no"], [[0.5, 0.5]] * 2, "none of its classes"),
        ([["no"], "no"], [[0.5, 0.5]] * 2, "does not answer 2 rows"),
        ([{}, "no"], [[0.5, 0.5]] * 2, "none of its classes"),
        (["no", "no"], [[0.5, 0.25, 0.25]] * 2, "6 numbers where 4 were expected"),
        (["no", "no"], [[0.5, "x"]] * 2, "'x' where a number"),
        (["no", None], [[0.5, 0.5]] * 2, "none of its classes"),
    ],
)
def test_labels_and_probabilities_that_are_none(
    runtime: Callable[..., RemoteRuntime], labels: list[Any], shares: list[Any], reason: str
) -> None:
    """A label that is no class; another number of probabilities than classes."""
    width = len(shares[0])
    tensors = [
        {"name": "label", "datatype": "BYTES", "shape": [2], "data": labels},
        {"name": "proba", "datatype": "FP32", "shape": [2, width], "data": shares},
    ]
    with pytest.raises(ModelFailed, match=reason):
        runtime(tensors, classes("no", "yes"), **BOTH).predict(PAIRS)


@pytest.mark.parametrize(
    ("labels", "names", "reason"),
    [
        ([None, "a"], ["a", "b"], "labels that are none"),
        ([{}, "a"], ["a", "b"], "labels that are none"),
        (["a", "a"], ["a"], "no probabilities"),
    ],
)
def test_a_foreign_server_answers_labels_of_any_class(
    runtime: Callable[..., RemoteRuntime], labels: list[Any], names: list[str], reason: str
) -> None:
    """But labels they are, and as many probabilities as it names classes."""
    label = {"name": "label", "datatype": "BYTES", "shape": [2], "data": labels}
    shares = {"name": "proba", "datatype": "FP64", "shape": [2, 2], "data": [0.5] * 4, "parameters": {"classes": names}}
    with pytest.raises(ModelFailed, match=reason):
        runtime([label, shares], classes(), **BOTH).predict(PAIRS)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "302 Found", "204 No Content", "404 Not Found", "201 Created"])
def test_only_200_is_an_answer(foreign: ForeignServer, runtime: Callable[..., RemoteRuntime], status: str) -> None:
    """The status is told, and what the server says of it."""
    ask = runtime(VALUES)
    body = b"" if status[0] == "3" or status[:3] == "204" else json.dumps({"error": "so it is", "outputs": VALUES}).encode()
    foreign.answer = lambda _request, _socket: http(body, status, "Location: /elsewhere")
    with pytest.raises(ModelFailed, match=f"the server answered {status[:3]}" + (": so it is" if body else "$")):
        ask.predict(ROWS)


def test_what_is_stored_must_be_a_description_of_a_server_that_is_named() -> None:
    """An address in it is refused: what is registered cannot say where to go."""
    with pytest.raises(Rejected, match="no description"):
        RemoteRuntime(b"{}", MIXED, NONE)
    forged = {**msgspec.to_builtins(description()), "url": "http://169.254.169.254/"}
    with pytest.raises(Rejected, match="no description"):
        RemoteRuntime(json.dumps(forged).encode(), MIXED, NONE)
    with pytest.raises(Rejected, match="no remote server is called 'staging'"):
        RemoteRuntime(msgspec.json.encode(description()), MIXED, Remotes({}))
