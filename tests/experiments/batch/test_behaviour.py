"""Behaviour: what each change makes of a feature, and how answers are judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import Invalid
from core.values import Output
from experiments.batch.behaviour import changed, judge
from experiments.batch.suite import Behaviour, Change


def rng() -> np.random.Generator:
    """A seeded one."""
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (Change(set=7), [1, None], [7, 7]),
        (Change(set=None), [1, 2], [None, None]),
        (Change(add=2), [1, 2.5, None], [3, 4.5, None]),
        (Change(add=0.5), [1], [1.5]),
        (Change(times=2), [1, -2.5, None], [2, -5.0, None]),
        (Change(replace={"a": "b", "null": "c"}), ["a", "x", None], ["b", "x", "c"]),
        (Change(replace={"1": 2, "true": False}), [1, 3, True], [2, 3, False]),
    ],
)
def test_a_change(change: Change, before: list[Any], after: list[Any]) -> None:
    """What is missing stays missing unless it is set or replaced; a whole number stays one where it can."""
    found = changed(before, change, rng())
    assert found == after
    assert [type(one) for one in found] == [type(one) for one in after]


def test_chance() -> None:
    """Noise is a share of the feature's standard deviation; a permutation holds the same values in another order."""
    values = [float(k) for k in range(500)]
    noisy = np.array(changed(values, Change(noise=0.1), rng())) - np.array(values)
    assert noisy.std() == pytest.approx(0.1 * np.std(values), rel=0.1)
    shuffled = changed(values, Change(permute=True), rng())
    assert shuffled != values
    assert sorted(shuffled) == values
    assert changed([None, None], Change(noise=1), rng()) == [None, None]


@pytest.mark.parametrize("change", [Change(add=1), Change(times=2), Change(noise=0.1)])
@pytest.mark.parametrize("value", ["red", True])
def test_what_is_no_number(change: Change, value: Any) -> None:
    """Cannot be added to."""
    with pytest.raises(Invalid, match="of numbers"):
        changed([1.0, value], change, rng())


def said(label: Any, p: float) -> Output:
    """A classifier's answer."""
    return Output(label=label, probabilities={"no": 1 - p, "yes": p})


def of(check: Behaviour, before: list[Output], after: list[Output], positive: Any = "yes") -> tuple[int, bool, Any]:
    """How many rows did as demanded, whether that passes, and the worst move."""
    found = judge(check, before, after, positive, 0.05)
    return found["number"], found["passed"], found["worst"]


ANY = Change(add=1)


def test_the_label_stays() -> None:
    """Without a tolerance only the label counts; with one every probability."""
    before, after = [said("yes", 0.9), said("yes", 0.6), said("no", 0.2)], [said("yes", 0.6), said("no", 0.4), said("no", 0.2)]
    assert of(Behaviour("x", ANY), before, after) == (2, False, pytest.approx(0.3))
    assert of(Behaviour("x", ANY, share=0.6), before, after)[:2] == (2, True)
    assert of(Behaviour("x", ANY, tolerance=0.2), before, after)[:2] == (2, False)
    assert of(Behaviour("x", ANY, tolerance=0.3), before, after)[:2] == (3, True)


def test_labels_alone() -> None:
    """Of a model without probabilities."""
    assert of(Behaviour("x", ANY), [Output(label=1), Output(label=2)], [Output(label=1), Output(label=3)]) == (1, False, None)
    assert of(Behaviour("x", ANY, tolerance=0.5), [Output(label=1)], [Output(label=3)])[:2] == (0, False)


def test_values() -> None:
    """Stay, but for rounding and the tolerance."""
    before, after = [Output(value=1e6), Output(value=1.0)], [Output(value=1e6 + 1e-4), Output(value=1.5)]
    assert of(Behaviour("x", ANY), before, after, None) == (1, False, 0.5)
    assert of(Behaviour("x", ANY, tolerance=0.5), before, after, None)[:2] == (2, True)


def test_direction() -> None:
    """The value, or the probability of the label, must not fall or not rise by more than the tolerance."""
    before, after = [said("yes", 0.5)] * 3, [said("yes", 0.6), said("no", 0.45), said("yes", 0.5)]
    assert of(Behaviour("x", ANY, "not_fall"), before, after) == (2, False, pytest.approx(0.05))
    assert of(Behaviour("x", ANY, "not_fall", tolerance=0.06), before, after)[:2] == (3, True)
    assert of(Behaviour("x", ANY, "not_rise"), before, after)[0] == 2
    assert of(Behaviour("x", ANY, "not_rise", label="no"), before, after)[0] == 2
    assert of(Behaviour("x", ANY, "not_rise"), [Output(value=1.0)], [Output(value=0.5)], None)[:2] == (1, True)


@pytest.mark.parametrize(
    ("label", "positive", "reason"), [("maybe", "yes", "no probability of 'maybe'"), (None, None, "more than two classes")]
)
def test_which_probability(label: Any, positive: Any, reason: str) -> None:
    """A label that has none, or none named where there are several classes."""
    with pytest.raises(Invalid, match=reason):
        of(Behaviour("x", ANY, "not_fall", label), [said("yes", 0.5)], [said("yes", 0.5)], positive)


def test_nothing_altered() -> None:
    """Has not passed."""
    assert of(Behaviour("x", ANY), [], [])[:2] == (0, False)
