"""Caps: a documented order statistic, or a refusal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid, Refused
from experiments.methods.winsor import cap_of


@given(st.integers(0, 2**32 - 1), st.integers(20, 400), st.sampled_from([50, 90, 95, 99, 99.5, 99.9]))
def test_the_cap_is_numpys_inverted_distribution_function(seed: int, n: int, percentile: float) -> None:
    """Rank ⌈n·percentile/100⌉, in whatever order the values come."""
    values = np.random.default_rng(seed).lognormal(size=n)
    found = cap_of(values, percentile)
    assert found == np.sort(values)[math.ceil(round(n * percentile / 100, 9)) - 1]
    assert (values > found).sum() <= n * (100 - percentile) / 100 + 1e-9


def test_ranks_are_not_a_victim_of_rounding() -> None:
    """The 99.9th percentile of 1,000 values is the 999th: 1000 × .999 is above 999 in floating point on some routes."""
    assert cap_of(np.arange(1, 1001), 99.9) == 999.0
    assert cap_of(np.arange(1, 1001), 55) == 550.0


def test_few_values_are_refused() -> None:
    """Below twenty a percentile says little."""
    with pytest.raises(Refused, match="there are 19"):
        cap_of(np.arange(19), 95)
    assert cap_of(np.arange(20), 95) == 18.0


def test_a_cap_that_leaves_nothing_is_refused() -> None:
    """Where 99 of 100 spend nothing the 95th percentile is 0, and capping there would make every unit equal."""
    with pytest.raises(Refused, match="nothing varies"):
        cap_of([0.0] * 99 + [50.0], 95)


@pytest.mark.parametrize("percentile", [0.0, 49.9, 100.0, 101.0, float("nan")])
def test_the_percentile_is_an_upper_one(percentile: float) -> None:
    """Only the upper side is capped."""
    with pytest.raises(Invalid, match="percentile: expected") as error:
        cap_of(np.arange(100), percentile)
    assert error.value.field == "percentile"


def test_values_are_numbers() -> None:
    """NaN never gets in."""
    with pytest.raises(Invalid, match="finite"):
        cap_of([float("nan")] * 30, 95)
