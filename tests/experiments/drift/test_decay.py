"""Has the model become worse."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.drift.decay import Decay, DecayLoss, decay
from experiments.drift.judging import Rule
from experiments.simulation.rates import rate
from tests.experiments.drift.counted import numbers

RULE = Rule(alpha=0.001, least_psi=0.1)


def errors(sample: float, served: float, rows: int = 1000) -> Decay:
    """Error rates in a sample of 500 rows and a window."""
    left, right = ([1.0] * round(share * size) + [0.0] * round((1 - share) * size) for share, size in ((sample, 500), (served, rows)))
    return decay(numbers(left, right), "error", RULE)


def test_more_errors_are_decay() -> None:
    """With both rates."""
    found = errors(0.05, 0.15)
    assert (found.alarm, found.reason) == (True, "error rate 0.15, 0.05 on the sample")
    assert (found.reference, found.window) == pytest.approx((0.05, 0.15))
    assert errors(0.0, 0.1).alarm


def test_fewer_errors_are_none() -> None:
    """The test has one side."""
    found = errors(0.15, 0.05)
    assert (found.alarm, found.reason) == (False, "within chance")
    assert found.p_value == pytest.approx(1.0)


def test_a_rise_of_no_size_raises_no_alarm() -> None:
    """However sure it is."""
    found = decay(numbers([1.0] * 5000 + [0.0] * 95_000, [1.0] * 6000 + [0.0] * 94_000), "error", RULE)
    assert (found.alarm, found.reason) == (False, "beyond chance, and too little to matter")


def test_larger_absolute_errors_are_decay() -> None:
    """By their distribution, which no outlier sways: one error of a million is none."""
    rng = np.random.default_rng(1)
    sample = np.abs(rng.normal(size=500))
    assert decay(numbers(sample, np.abs(rng.normal(size=1000)) * 1.6), "absolute", RULE).alarm
    assert not decay(numbers(sample, [*np.abs(rng.normal(size=999)), 1e9]), "absolute", RULE).alarm


@pytest.mark.parametrize("loss", ["error", "absolute"])
def test_decay_errs_at_its_rate(loss: DecayLoss) -> None:
    """Where nothing has changed at most alpha of the p values are below it."""
    rng = np.random.default_rng(2)

    def draw(size: int) -> np.ndarray:
        return rng.binomial(1, 0.1, size).astype(float) if loss == "error" else np.abs(rng.normal(size=size))

    found = [decay(numbers(draw(100), draw(300)), loss, RULE._replace(alpha=0.05)).p_value for _ in range(1500)]
    assert rate([p is not None and p <= 0.05 for p in found]).interval[0] <= 0.05
    assert rate([p is not None and p <= 0.2 for p in found]).value > 0.05


def test_few_losses_are_not_compared() -> None:
    """And no p value is made up."""
    found = errors(0.1, 0.9, rows=20)
    assert (found.alarm, found.p_value) == (False, None)
    assert found.reason == "not compared: 500 losses in the sample and 20 in the window, 50 are needed"
