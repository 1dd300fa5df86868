"""Summaries: exact where sums of squares are not, mergeable in any order, storable whatever the values."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid, Refused
from experiments.methods.summary import EMPTY, LARGEST, Summary, merge, merge_all, of, stack

VALUES = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 6)), min_size=1, max_size=60)


@given(VALUES)
def test_of_agrees_with_numpy(values: list[float]) -> None:
    """n, mean and variance are numpy's."""
    found = of(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert found.m2 == pytest.approx(np.var(values) * len(values), rel=1e-9, abs=1e-9)


@given(VALUES, st.integers(1, 10), st.randoms(use_true_random=False))
def test_merge_is_free_of_order(values: list[float], parts: int, shuffle: random.Random) -> None:
    """However the values were split and in whatever order merged, the summary is the same to 1e-9."""
    pieces = [of(values[i::parts]) for i in range(parts)]
    shuffle.shuffle(pieces)
    found, whole = merge_all(pieces), of(values)
    assert found.n == whole.n
    assert found.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-9)
    assert found.m2 == pytest.approx(whole.m2, rel=1e-9, abs=1e-6)


def test_exact_at_a_large_mean(rng: np.random.Generator) -> None:
    """At a mean of 1e8 and a variance of 1 the variance is exact to 1e-9, value by value: sums of squares would lose all of it."""
    values = 1e8 + rng.standard_normal(20_000)
    exact = float(np.var(values - 1e8, ddof=1))
    one_by_one = merge_all(of([value]) for value in values)
    assert of(values).variance == pytest.approx(exact, rel=1e-9)
    assert one_by_one.variance == pytest.approx(exact, rel=1e-9)
    raw = ((values**2).sum() - values.sum() ** 2 / len(values)) / (len(values) - 1)
    assert abs(raw - exact) > 0.1


def test_empty_is_neutral() -> None:
    """Merging nothing changes nothing."""
    some = of([1.0, 2.0, 4.0])
    assert merge(EMPTY, some) == merge(some, EMPTY) == some
    assert of([]) == merge_all([]) == EMPTY


def test_a_constant_has_no_spread() -> None:
    """0.1 merged ten thousand times leaves rounding, and rounding is no variance."""
    found = merge_all(of([0.1] * size) for size in range(1, 150))
    assert found.variance == 0.0
    assert stack([found]).variance[0] == 0.0


@pytest.mark.parametrize("values", [[1e300, -1e300, 3.0], [1.7e308, -1.7e308], [1e200] * 3 + [2e200]])
def test_values_too_large_are_kept_finite_and_refused(values: list[float]) -> None:
    """Where squares overflow the summary stays storable as JSON, and its variance is refused instead of infinite."""
    for found in (of(values), merge_all(of([value]) for value in values), merge(of(values), of([1.0, 2.0]))):
        assert found.m2 == LARGEST
        assert msgspec.json.decode(msgspec.json.encode(found), type=Summary) == found
        with pytest.raises(Refused, match="too large"):
            _ = found.variance


@pytest.mark.parametrize("values", [[], [3.0]])
def test_a_variance_needs_two(values: list[float]) -> None:
    """With fewer there is none, and that is said."""
    with pytest.raises(Refused, match=f"there are {len(values)}"):
        _ = of(values).variance


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_invalid(value: float) -> None:
    """NaN and infinities never get in."""
    with pytest.raises(Invalid, match="finite"):
        of([1.0, value])
