"""p values: against scipy's, and against what they promise where nothing has changed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from experiments.drift import distances, significance
from experiments.drift.column import Counted
from experiments.drift.distances import Bins
from experiments.simulation.rates import rate
from tests.experiments.drift.counted import categories, numbers

N, M = 120, 300
"""Sizes of the sample and the window: the sample is the smaller one, as it often is."""


def ks_p(counted: Counted) -> float:
    """Kolmogorov and Smirnov's."""
    return significance.ks_p(distances.ks(counted.reference, counted.window), *counted.sizes)


def rank_p(counted: Counted) -> float:
    """Mann and Whitney's."""
    return significance.rank_p(counted.reference, counted.window, *counted.sizes)


def chi2_p(counted: Counted) -> float:
    """Pearson's."""
    return significance.chi2_p(distances.bins_of(counted), *counted.sizes)


def outside_p(counted: Counted) -> float:
    """Of what lies outside of the range."""
    return significance.outside_p(counted.outside, *counted.sizes)


@pytest.mark.parametrize(("test", "least"), [(ks_p, 0.02), (rank_p, 0.03), (chi2_p, 0.03), (outside_p, 0.02)])
@pytest.mark.parametrize("kind", ["normal", "skewed", "few values"])
def test_p_values_hold_where_nothing_has_changed(test: Callable[[Counted], float], least: float, kind: str) -> None:
    """At most 5 % are below .05, for a sample that is small itself; and a test that never rejects would be none."""
    rng = np.random.default_rng(11)

    def draw(size: int) -> np.ndarray:
        if kind == "normal":
            return rng.normal(size=size)
        return rng.lognormal(sigma=1.5, size=size) if kind == "skewed" else rng.poisson(2.0, size)

    found = rate([test(numbers(draw(N), draw(M))) <= 0.05 for _ in range(2000)])
    assert found.interval[0] <= 0.05
    if kind != "few values":  # where ties make a test conservative
        assert found.value >= least


def test_the_rank_test_is_scipys() -> None:
    """Where every value is a cut, up to the correction for continuity."""
    rng = np.random.default_rng(6)
    x, y = rng.integers(0, 10, 200), rng.integers(1, 11, 150)
    assert rank_p(numbers(x, y)) == pytest.approx(stats.mannwhitneyu(x, y, use_continuity=False, method="asymptotic").pvalue, rel=0.01)


def test_chi2_is_scipys() -> None:
    """Pearson's statistic of a table of two rows."""
    table = np.array([[120.0, 80, 30], [60, 70, 55]])
    p = significance.chi2_p(Bins(*table), *table.sum(1))
    assert p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)


def test_rates_are_fishers() -> None:
    """One-sided it is Fisher's exact test; two-sided twice the smaller tail; without any occurrence it is 1."""
    fisher = stats.fisher_exact([[30, 170], [20, 380]], alternative="greater").pvalue
    assert significance.higher_rate_p(20, 400, 30, 200) == pytest.approx(fisher)
    assert significance.rate_p(20, 400, 30, 200) == pytest.approx(2 * fisher)
    assert significance.rate_p(0, 400, 0, 200) == significance.rate_p(400, 400, 200, 200) == 1.0


def test_fewer_independent_rows_say_less() -> None:
    """The same shares of fewer rows are less sure, and of no rows they say nothing."""
    bins = Bins(np.array([100.0, 100.0]), np.array([150.0, 50.0]))
    assert significance.chi2_p(bins, 200, 200) < significance.chi2_p(bins, 200, 50) < 0.05
    assert significance.chi2_p(bins, 200, 0) == 1.0
    assert significance.rank_p(np.array([0, 5, 5, 0]), np.array([0, 0, 0, 0]), 10, 0) == 1.0


def test_what_lies_outside_has_an_exact_distribution() -> None:
    """By the order of all values together: the window's largest and smallest ones are outside."""
    k, n, m = 3, 10, 6
    rng = np.random.default_rng(7)
    orders = rng.permuted(np.tile(np.arange(n + m) < n, (40_000, 1)), axis=1)
    outside = np.argmax(orders, axis=1) + np.argmax(orders[:, ::-1], axis=1)
    assert significance.outside_p(k, n, m) == pytest.approx(float((outside >= k).mean()), abs=0.01)
    assert significance.outside_p(0, n, m) == 1.0


def test_an_unseen_value_has_an_exact_bound() -> None:
    """C(m, k)/C(n + m, k) for each of the values."""
    one = math.comb(50, 4) / math.comb(150, 4)
    assert significance.unseen_p(4, 1, 100, 50) == pytest.approx(one)
    assert significance.unseen_p(4, 10, 100, 50) == pytest.approx(10 * one)
    assert significance.unseen_p(0, 10, 100, 50) == 1.0


@pytest.mark.parametrize("values", [12, 90])
def test_unseen_values_and_chi2_hold_with_rare_categories(values: int) -> None:
    """At most 5 % each: categories that the sample happens to miss are none that are new."""
    rng = np.random.default_rng(8)
    shares = 1.0 / np.arange(1, values + 1)
    chi2, unseen = [], []
    for _ in range(1500):
        sample, window = (rng.multinomial(size, shares / shares.sum()) for size in (N, M))
        known = sample > 0
        new = {str(place): int(window[place]) for place in np.flatnonzero(~known & (window > 0))}
        counted = categories(sample[known].tolist(), window[known].tolist(), new)
        chi2.append(chi2_p(counted) <= 0.05)
        unseen.append(significance.unseen_p(max(new.values(), default=0), len(new) + int(known.sum()), N, M) <= 0.05)
    assert rate(chi2).interval[0] <= 0.05
    assert rate(chi2).value >= 0.03
    assert rate(unseen).interval[0] <= 0.05


def test_the_limit_of_psi_is_kept_by_chance() -> None:
    """The PSI of ten bins stays below its limit in about 95 % of windows where nothing has changed: 0.1 does not."""
    rng = np.random.default_rng(9)
    limit = significance.psi_limit(0.05, 10, N, M)
    found = np.array([distances.psi(distances.bins_of(numbers(rng.normal(size=N), rng.normal(size=M)))) for _ in range(2000)])
    assert 0.02 <= rate(found > limit).value <= 0.08
    assert (found > 0.1).mean() > 0.2
    assert significance.psi_limit(0.05, 1, N, M) == 0.0
