"""Summaries from sums: exact where sums are, refused where they have lost the variance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refused
from experiments.calculator.inputs import Sums
from experiments.methods import summary
from experiments.methods.summary import Summary


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30), st.floats(-1e6, 1e6))
def test_sums_hold_six_digits_or_are_refused(values: list[float], shift: float) -> None:
    """Of the variance, wherever the mean is."""
    x = np.array(values) + shift
    expected = summary.of(x)
    exact = np.longdouble(1) * x
    try:
        found = Sums(n=x.size, sum=float(exact.sum()), sum_squares=float((exact * exact).sum())).summary()
    except Refused:
        assert expected.m2 <= 1e-8 * float((x * x).sum()) + 1e-300
        return
    assert found.n == expected.n
    assert found.mean == pytest.approx(expected.mean, rel=1e-12, abs=1e-9)
    assert found.m2 == pytest.approx(expected.m2, rel=2e-6, abs=1e-300)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_whole_numbers_are_exact(successes: int, failures: int) -> None:
    """One failure in a trillion has the variance that it has, and none has none."""
    n = successes + failures
    found = Sums(n=n, sum=successes, sum_squares=successes).summary()
    assert found.m2 == pytest.approx(successes * failures / n if n else 0.0, rel=1e-12)


@pytest.mark.parametrize(("n", "value"), [(1, 0.1), (1, 1e-200), (1, 1e150), (5, 7.0)])
def test_what_does_not_vary(n: int, value: float) -> None:
    """One value, or whole numbers that are all equal."""
    assert Sums(n=n, sum=n * value, sum_squares=n * value * value).summary() == Summary(n, value, 0.0, 0.0)


@pytest.mark.parametrize("mean", [1e8, -1e8])
def test_a_small_spread_far_from_0_is_refused(mean: float) -> None:
    """At a mean of 1e8 and a variance of ¼ nothing of it is left, and the field is named."""
    with pytest.raises(Refused, match=r"^control\.sum_squares: the variance cancels"):
        Sums(n=4, sum=4 * mean + 2, sum_squares=2 * mean**2 + 2 * (mean + 1) ** 2).summary("control")
