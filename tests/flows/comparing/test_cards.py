"""How two cards differ."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from flows.comparing.cards import Told, differences
from models.compile import Compiled
from models.signature import Feature, Signature
from tests.flows import flow_world


def told(*features: Feature, about: Any = None, **card: Any) -> Told:
    """A version of these features."""
    signature = Signature(features, "classification", (0, 1), "y")
    return Told(replace(flow_world.card(), **{"signature": signature, **card}), about or {})


def changes(left: Told, right: Told) -> list[tuple[Any, ...]]:
    """The signature's differences."""
    return [tuple(one.values()) for one in differences(left, right)["signature"]]


@pytest.mark.parametrize(
    ("left", "right", "change"),
    [
        ({"kind": "int"}, {"kind": "float"}, ("x", "type", "int", "float", False)),
        ({"kind": "float"}, {"kind": "int"}, ("x", "type", "float", "int", True)),
        ({"kind": "float"}, {"kind": "str"}, ("x", "type", "float", "str", True)),
        ({"nullable": True}, {"nullable": False}, ("x", "nullable", True, False, True)),
        ({"nullable": False}, {"nullable": True}, ("x", "nullable", False, True, False)),
        ({"minimum": 0.0, "maximum": 1.0}, {"minimum": 0.0, "maximum": 2.0}, ("x", "range", [0.0, 1.0], [0.0, 2.0], False)),
        ({"categories": ("a", "b")}, {"categories": ("a",)}, ("x", "categories", ("a", "b"), ("a",), False)),
        ({"categories": ("a",)}, {"categories": None}, ("x", "categories", ("a",), None, False)),
    ],
)
def test_a_feature_that_changes(left: dict[str, Any], right: dict[str, Any], change: tuple[Any, ...]) -> None:
    """What it was and what it is; breaking is what refuses a request that was fine before."""
    pair = (told(Feature("x", **{"kind": "float", **side})) for side in (left, right))
    assert changes(*pair) == [change]


def test_features_that_come_and_go() -> None:
    """Both are breaking: one is missing in old requests, the other unknown. Order speaks of those that stay."""
    a, b, c = (Feature(name, "float") for name in "abc")
    assert changes(told(a, b), told(b, c)) == [("a", "removed", "float", None, True), ("c", "added", None, "float", True)]
    assert changes(told(a, b), told(b, a)) == [(None, "order", ["a", "b"], ["b", "a"], True)]
    assert changes(told(a, b), told(a, b)) == []


def test_what_else_differs() -> None:
    """Each with both sides, None where one does not say; what is equal is left out, but for the authors' metrics."""
    compiled = Compiled("onnx-f64", "why", 0.0, 1)
    left = told(about={"owner": "ann", "metrics": {"auc": 0.9, "f1": 0.5}, "parameters": {"C": 1, "l1": 0}}, versions={"python": "3.11"})
    right = told(
        about={"owner": "ann", "tags": ["new"], "metrics": {"auc": 0.75, "loss": 1.0}, "parameters": {"C": 2, "l1": 0}},
        versions={"python": "3.11", "numpy": "2.4"},
        compiled=compiled,
        source_digest="x",
    )
    found = differences(left, right)
    assert found["about"] == {"tags": {"left": None, "right": ["new"]}}
    assert found["metrics"] == {
        "auc": {"left": 0.9, "right": 0.75, "difference": pytest.approx(-0.15)},
        "f1": {"left": 0.5, "right": None, "difference": None},
        "loss": {"left": None, "right": 1.0, "difference": None},
    }
    assert found["parameters"] == {"C": {"left": 1, "right": 2}}
    assert found["packages"] == {"numpy": {"left": None, "right": "2.4"}}
    assert found["model"] == {"form": {"left": "onnx", "right": "onnx-f64"}, "source_digest": {"left": "", "right": "x"}}


def test_versions_that_are_alike_do_not_differ() -> None:
    """In anything."""
    assert not any(differences(told(Feature("x", "float")), told(Feature("x", "float"))).values())
