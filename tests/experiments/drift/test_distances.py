"""Distances between two distributions that were counted on the same cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.drift import distances
from experiments.drift.distances import Bins
from tests.experiments.drift.counted import categories, numbers

COUNTS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=12)


def test_psi_by_hand() -> None:
    """0.3 ln 1.5 … of shares 0.5, 0.5 and 0.8, 0.2, with half a count added to each."""
    p, q = np.array([500.5, 500.5]) / 1001, np.array([800.5, 200.5]) / 1001
    expected = ((q - p) * np.log(q / p)).sum()
    assert distances.psi(Bins(np.array([500.0, 500.0]), np.array([800.0, 200.0]))) == pytest.approx(expected)
    assert expected == pytest.approx(0.415, abs=1e-3)


@given(COUNTS)
def test_psi_is_never_negative_nor_infinite(counts: list[tuple[int, int]]) -> None:
    """An empty bin is no reason for an infinite distance."""
    found = distances.psi(Bins(*np.array(counts, dtype=float).T))
    assert 0.0 <= found < 50.0


def test_psi_of_normal_distributions_is_the_squared_shift() -> None:
    """Half a standard deviation gives about 0.25; ten bins lose little of it."""
    rng = np.random.default_rng(1)
    found = distances.psi(distances.bins_of(numbers(rng.normal(size=200_000), rng.normal(0.5, size=200_000))))
    assert found == pytest.approx(0.25, abs=0.015)


def test_ks_is_that_of_scipy_where_every_value_is_a_cut() -> None:
    """Discrete columns lose nothing by being counted, values outside of the sample's range included."""
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 8, 300), rng.integers(-2, 12, 200)
    counted = numbers(x, y)
    assert distances.ks(counted.reference, counted.window) == pytest.approx(stats.ks_2samp(x, y).statistic)


def test_ks_on_cells_is_hardly_smaller() -> None:
    """Twenty cells find a shift nearly as far apart as all values do, and never further."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=500), rng.normal(0.5, size=700)
    counted, exact = numbers(x, y), stats.ks_2samp(x, y).statistic
    assert 0.9 * exact <= distances.ks(counted.reference, counted.window) <= exact


def test_ks_above_looks_one_way() -> None:
    """Larger values are seen, smaller ones are not."""
    larger, smaller = numbers(range(100), range(50, 150)), numbers(range(100), range(-50, 50))
    assert distances.ks_above(larger.reference, larger.window) == pytest.approx(0.5)
    assert distances.ks_above(smaller.reference, smaller.window) == 0.0


def test_wasserstein_is_that_of_scipy() -> None:
    """Within a cell's width for numbers; exactly for discrete columns within the range."""
    rng = np.random.default_rng(4)
    x, y = rng.uniform(size=5000), rng.uniform(size=5000) ** 2
    assert distances.wasserstein(numbers(x, y)) == pytest.approx(stats.wasserstein_distance(x, y), rel=0.05)
    few, others = rng.integers(0, 2, 300), rng.binomial(1, 0.8, 300)
    assert distances.wasserstein(numbers(few, others)) == pytest.approx(stats.wasserstein_distance(few, others))
    assert distances.wasserstein(numbers([3.0] * 50, [3.0] * 50)) == 0.0


def test_wasserstein_of_lines_that_cross() -> None:
    """The area is counted on both sides of the crossing, and does not cancel."""
    x, y = np.arange(1000.0), np.concatenate([np.arange(450.0, 550.0, 0.5)] * 5)
    assert distances.wasserstein(numbers(x, y)) == pytest.approx(stats.wasserstein_distance(x, y), rel=0.05)


def test_bins_of_numbers_are_tenths() -> None:
    """What lies outside of the sample's range is in the outermost ones; no count is lost."""
    rng = np.random.default_rng(5)
    bins = distances.bins_of(numbers(rng.normal(size=1000), rng.normal(0, 3, size=800)))
    assert bins.reference == pytest.approx([100.0] * 10, abs=1.0)
    assert bins.reference.sum() == 1000
    assert bins.window.sum() == 800
    one = distances.bins_of(numbers([1.0] * 60, [0.0] * 20 + [1.0] * 20 + [2.0] * 10))
    assert (one.reference.tolist(), one.window.tolist()) == ([60.0], [50.0])


def test_a_number_of_two_values_has_two_bins() -> None:
    """A flag that is written as 0 and 1 is not lost in one bin."""
    bins = distances.bins_of(numbers([0] * 70 + [1] * 30, [0] * 20 + [1] * 80))
    assert (bins.reference.tolist(), bins.window.tolist()) == ([70.0, 30.0], [20.0, 80.0])


def test_rare_categories_are_taken_together() -> None:
    """Cells in which fewer than five rows are expected make one, with rare unseen values; a frequent unseen value stands alone."""
    bins = distances.bins_of(categories([500, 480, 3, 2, 1], [490, 470, 2, 0, 0], {"new": 60, "odd": 1}, further=2))
    assert bins.reference.tolist() == [500.0, 480.0, 0.0, 6.0]
    assert bins.window.tolist() == [490.0, 470.0, 60.0, 5.0]
