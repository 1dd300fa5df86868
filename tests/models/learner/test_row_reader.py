"""Rows as River takes them: by name, and of the version's own kinds whatever it shares an endpoint with."""

from __future__ import annotations

from typing import Any

import pytest
from river import compose, linear_model, preprocessing

from models.inputs import Inputs
from models.learner.river_model import row_reader
from models.river_runtime import RiverRuntime
from models.signature import Feature, Kind, Signature


def of(kind: Kind, name: str = "calls") -> Signature:
    return Signature((Feature(name, kind, nullable=True),), "classification")


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("int", 4.0, 4),
        ("int", 4, 4),
        ("int", 3.5, 3.5),
        ("int", -0.0, 0),
        ("float", 4, 4.0),
        ("float", 4.5, 4.5),
        ("str", "4", "4"),
        ("bool", True, True),
    ],
)
def test_numbers_are_of_the_signature_s_kinds(kind: Kind, value: Any, read: Any) -> None:
    """To River 4 and 4.0 are two categories; what is no whole number stays as it is."""
    found = row_reader(of(kind))([value])
    assert (found, type(found["calls"])) == ({"calls": read}, type(read))


def test_what_is_missing_is_left_out() -> None:
    signature = Signature((Feature("a", "int", nullable=True), Feature("b", "float")), "regression")
    assert row_reader(signature)([None, 2]) == {"b": 2.0}


@pytest.mark.parametrize("beside", ["arm", "shadow", "alone"])
def test_a_version_answers_the_same_whatever_stands_beside_it(beside: str) -> None:
    """A version that takes whole numbers, beside one that takes the same feature as a float."""
    model = compose.SelectType(int) | preprocessing.OneHotEncoder() | linear_model.LogisticRegression()
    for _ in range(200):
        model.learn_one({"calls": 4}, True)
    own, other = of("int"), of("float")
    inputs = {"arm": Inputs.union([own, other]), "shadow": Inputs.union([other], [own]), "alone": Inputs.union([own])}[beside]
    (output,) = RiverRuntime(model, own).predict(inputs.read({"calls": 4}, None))
    expected = model.predict_proba_one({"calls": 4})
    assert output.probabilities == {"False": expected[False], "True": expected[True]}
    assert expected[True] > model.predict_proba_one({"calls": 4.0})[True] + 0.05
