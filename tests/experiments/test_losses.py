"""Whether an answer is right, and what it costs to be wrong, whatever type the true label came in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from core.values import Label, Output
from experiments.losses import LEAST_PROBABILITY, Loss, best_loss, is_positive, is_right, loss, same, score, true_class

NUMBERED = Output(label=1, probabilities={"0": 0.2, "1": 0.8})
NAMED = Output(label="good", probabilities={"bad": 0.2, "good": 0.8})
TRUTH = Output(label=True, probabilities={"False": 0.2, "True": 0.8})
FLOATS = Output(label=1.0, probabilities={"0.0": 0.2, "1.0": 0.8})
VALUE = Output(value=3.0)

SAME: list[tuple[Label, Label]] = [
    (1, 1), (1, 1.0), (1, True), (1, "1"), (1, "1.0"), (1, "true"), (0, "False"), (True, "true"), (True, 1), (True, "1"), (1.0, "1"),
    (0.5, "0.5"), ("1", 1), ("1", 1.0), ("True", True), ("good", "good"), (2**60 + 1, str(2**60 + 1)),
]  # fmt: skip
OTHER: list[tuple[Label, Label]] = [
    (1, 0), (1, "0"), (1, "one"), (True, "false"), ("1", "01"), ("1", "1.0"), ("1", "true"), ("good", "Good"), ("good", 1), (2, True),
    (0, "nan"), (0, ""), (2**60 + 1, str(2**60)),
]  # fmt: skip


@pytest.mark.parametrize(("own", "label"), SAME)
def test_the_same_class(own: Label, label: Label) -> None:
    """What a client writes for a class names it in every type in which JSON or CSV can bring it."""
    assert same(own, label)


@pytest.mark.parametrize(("own", "label"), OTHER)
def test_another_class(own: Label, label: Label) -> None:
    """Texts are compared as texts, and what reads as another number is another class."""
    assert not same(own, label)


@pytest.mark.parametrize(
    ("output", "positive", "negative"),
    [(NUMBERED, 1, 0), (NUMBERED, "1", "0.0"), (NUMBERED, True, False), (NAMED, "good", "bad"), (TRUTH, "true", 0), (FLOATS, 1, "0")],
)
def test_of_a_classifier(output: Output, positive: Label, negative: Label) -> None:
    """Right or wrong, the loss, and which class is the true one, by either label."""
    assert (is_right(output, positive), is_right(output, negative)) == (True, False)
    assert (loss("error", output, positive), loss("error", output, negative)) == (0.0, 1.0)
    assert loss("log_loss", output, positive) == pytest.approx(-math.log(0.8))
    assert loss("log_loss", output, negative) == pytest.approx(-math.log(0.2))
    assert (is_positive(output, positive), is_positive(output, negative)) == (True, False)
    assert (best_loss(output), score(output)) == ("log_loss", 0.8)


def test_of_a_regressor() -> None:
    """Squared and absolute distance; a value is neither right nor wrong."""
    assert (loss("squared", VALUE, 1), loss("absolute", VALUE, 1.0), best_loss(VALUE)) == (4.0, 2.0, "squared")
    assert (is_right(VALUE, 3.0), true_class(VALUE, 3.0), score(VALUE), is_positive(VALUE, 3.0)) == (None, None, None, None)


@pytest.mark.parametrize(
    ("kind", "output", "label"),
    [
        ("squared", VALUE, "3.0"), ("absolute", VALUE, "x"), ("squared", NUMBERED, 1), ("absolute", NUMBERED, 1), ("error", VALUE, 3.0),
        ("log_loss", VALUE, 3.0), ("log_loss", Output(label="good"), "good"),
    ],
)  # fmt: skip
def test_what_there_is_no_loss_of(kind: Loss, output: Output, label: Label) -> None:
    """None, where the answer lacks what the loss needs or the label is a text: no 0, no error."""
    assert loss(kind, output, label) is None


def test_of_a_classifier_without_probabilities() -> None:
    """It is right or wrong, and no more."""
    output = Output(label="good")
    assert (best_loss(output), loss("error", output, "bad"), score(output), is_positive(output, "good")) == ("error", 1.0, None, None)


def test_a_class_that_the_model_does_not_have() -> None:
    """It was given no probability, which costs the most that there is, and the row is neither positive nor negative."""
    assert loss("log_loss", NAMED, "new") == pytest.approx(-math.log(LEAST_PROBABILITY))
    assert (true_class(NAMED, "new"), is_positive(NAMED, "new"), is_right(NAMED, "new")) == (None, None, False)


def test_three_classes() -> None:
    """There is a log loss, and no score."""
    output = Output(label=2, probabilities={"0": 0.1, "1": 0.2, "2": 0.7})
    assert (loss("log_loss", output, 1), score(output), is_positive(output, 2)) == (pytest.approx(-math.log(0.2)), None, None)


@pytest.mark.parametrize(("value", "label"), [(1e300, -1e300), (1e200, 0), (0.0, 0.0)])
def test_extremes_are_finite(value: float, label: Label) -> None:
    """A loss that no number can hold is the largest that there is; one of nothing is 0."""
    for kind in ("squared", "absolute"):
        found = loss(kind, Output(value=value), label)
        assert found is not None
        assert 0.0 <= found < math.inf


@given(st.floats(1e-9, 1.0 - 1e-9), st.booleans())
def test_as_sklearn_has_it(probability: float, label: bool) -> None:
    """The log loss is scikit-learn's where neither clips."""
    found = loss("log_loss", Output(label=1, probabilities={"0": 1.0 - probability, "1": probability}), label)
    assert found == pytest.approx(log_loss([int(label)], [probability], labels=[0, 1]), abs=1e-9)


@given(st.floats(0, 1.001), st.booleans())
def test_bounds_of_the_log_loss(probability: float, label: bool) -> None:
    """It is never below 0, though single precision may answer more than 1, and never beyond ln 1e15."""
    found = loss("log_loss", Output(label=1, probabilities={"0": 1.0 - probability, "1": probability}), label)
    assert found is not None
    assert 0.0 <= found <= -math.log(LEAST_PROBABILITY)
