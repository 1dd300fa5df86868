"""Answers as tensors, those of models that have learnt too little yet among them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from core.values import Output
from flows.predict import Answer
from server.v2 import Infer, Tensor, answer_of, ask_of


def tensors(outputs: Sequence[Output]) -> list[dict[str, Any]]:
    """What the protocol makes of these outputs."""
    answer = Answer(
        prediction_id="p1-0-0000000000000001", endpoint="credit", arm="control", model="credit@1", plan=1, predictions=[*outputs]
    )
    return answer_of(None, "credit", answer).outputs


def test_a_label_that_is_not_known_yet_is_null() -> None:
    """The type is that of the others; alone it is text's."""
    assert tensors([Output(label=None), Output(label=3)]) == [{"name": "label", "shape": [2], "datatype": "INT64", "data": [None, 3]}]
    assert tensors([Output(label=None)])[0]["datatype"] == "BYTES"


def test_a_value_that_is_not_known_yet_is_null() -> None:
    """Beside those that are."""
    assert tensors([Output(value=None), Output(value=2.5)]) == [{"name": "value", "shape": [2], "datatype": "FP64", "data": [None, 2.5]}]


def test_what_feature_views_tell_is_a_text() -> None:
    """Since a parameter can be no object; without views there is none."""
    told = {"users": {"age_seconds": 12.5, "generation": 4}}
    plain = Answer(prediction_id=None, endpoint="credit", arm="control", model="credit@1", plan=1, predictions=[Output(value=1.0)])
    assert json.loads(answer_of(None, "credit", replace(plain, features=told)).parameters["features"]) == told
    assert "features" not in answer_of(None, "credit", plain).parameters


def test_the_key_of_a_feature_view_alone_is_no_matrix() -> None:
    """A client that leaves all features to the views sends one tensor; of another name it is the features in their order."""
    tensor = Tensor("user_id", [2, 1], "INT64", [17, 18])
    rows = ask_of(Infer([tensor]), ("age", "x"), None, None, 10, {"user_id"}).instances
    assert rows == [{"user_id": 17}, {"user_id": 18}]
    assert ask_of(Infer([tensor]), ("age",), None, None, 10, {"account"}).instances == [[17], [18]]


def test_rows_may_name_other_classes() -> None:
    """All classes in order of appearance; a class that a row does not name has 0."""
    rows = [
        Output(label=None, probabilities={}),
        Output(label="b", probabilities={"b": 1.0}),
        Output(label="a", probabilities={"a": 0.75, "b": 0.25}),
    ]
    assert tensors(rows)[1] == {
        "name": "probabilities",
        "shape": [3, 2],
        "datatype": "FP64",
        "data": [0.0, 0.0, 1.0, 0.0, 0.25, 0.75],
        "parameters": {"classes": ["b", "a"]},
    }
