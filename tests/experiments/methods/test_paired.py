"""Paired differences: the tests of scipy on unit means, and the same at every look."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from core.errors import Invalid, Refused
from experiments.methods import always_valid
from experiments.methods.means import Alternative
from experiments.methods.paired import paired, sequential, unit_means, wilcoxon
from experiments.methods.summary import Summary, of

SEEDS = st.integers(0, 2**32 - 1)
ALTERNATIVES = st.sampled_from(["greater", "less", "two-sided"])


@given(SEEDS, st.integers(2, 80), ALTERNATIVES, st.sampled_from([0.01, 0.05, 0.2]), st.floats(-0.5, 0.5))
def test_one_row_per_unit(seed: int, n: int, alternative: Alternative, alpha: float, margin: float) -> None:
    """Statistic, df, p value and bounds are those of scipy's one-sample t test, and of statsmodels."""
    values = np.random.default_rng(seed).normal(0.2, 1.0, n)
    expected = stats.ttest_1samp(values, margin, alternative=alternative)
    found = paired(values, margin=margin, alternative=alternative, alpha=alpha).test
    assert found.estimate == pytest.approx(values.mean(), rel=1e-9, abs=1e-12)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.df == n - 1
    interval = expected.confidence_interval(1.0 - alpha)
    for bound, other in ((found.lower, interval.low), (found.upper, interval.high)):
        assert bound is None if math.isinf(other) else bound == pytest.approx(other, rel=1e-9, abs=1e-9)
    assert found.se == pytest.approx(DescrStatsW(values).std_mean, rel=1e-9)


@settings(max_examples=40)
@given(SEEDS, st.integers(2, 80), ALTERNATIVES, st.sampled_from([0, 1, 9]))
def test_wilcoxon(seed: int, n: int, alternative: Alternative, digits: int) -> None:
    """The signed-rank p value is scipy's, with zeros and ties (few digits) and without (many), on both sides of its sizes."""
    values = np.random.default_rng(seed).normal(0.3, 1.0, n).round(digits)
    values[0] = 1.0
    expected = stats.wilcoxon(values, alternative=alternative).pvalue
    assert wilcoxon(values, alternative) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 9).flatmap(lambda size: st.sampled_from([size, -size])), min_size=1, max_size=9))
def test_wilcoxon_by_all_signs(values: list[int]) -> None:
    """For few values, ties or none, p is the share of all assignments of signs whose ranks of positive values sum to as much."""
    ranks = stats.rankdata(np.abs(values))
    signs = np.array(np.meshgrid(*[[0, 1]] * len(values))).reshape(len(values), -1)
    expected = (ranks @ signs >= ranks[np.array(values) > 0].sum() - 1e-9).mean()
    assert wilcoxon(values) == pytest.approx(expected, rel=1e-9)


@given(SEEDS, st.integers(2, 30), ALTERNATIVES, st.booleans())
def test_rows_are_averaged_by_unit(seed: int, units: int, alternative: Alternative, named: bool) -> None:
    """With clusters, numbers or names, the tests are those of the unit means, whatever the order of the rows."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([np.arange(units), rng.integers(0, units, 3 * units)])
    rng.shuffle(rows)
    values = rng.normal(0.1, 1.0, rows.size)
    clusters = [f"unit {row}" if named else int(row) for row in rows]
    means = np.array([values[rows == unit].mean() for unit in range(units)])
    found, expected = paired(values, clusters, alternative=alternative), paired(means, alternative=alternative)
    assert sorted(unit_means(values, clusters)) == pytest.approx(sorted(means), rel=1e-9)
    assert found.test.df == units - 1
    assert found.test.p_value == pytest.approx(expected.test.p_value, rel=1e-9)
    assert found.wilcoxon_p == pytest.approx(expected.wilcoxon_p, rel=1e-9)


def test_the_order_of_rows_makes_no_tie() -> None:
    """Two units with the same rows in another order have the same mean to the last bit, as .1 + .2 + .3 has not."""
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    first, second = unit_means([0.1, 0.2, 0.3, 0.3, 0.2, 0.1], ["a", "a", "a", "b", "b", "b"])
    assert first == second


def test_counting_rows_as_units_rejects_too_often(rng: np.random.Generator) -> None:
    """Ten alike rows for each of 40 units, no difference: by unit about 5 % of 2000 tests reject, by row far more."""
    by_unit, by_row = 0, 0
    clusters = [unit for unit in range(40) for _ in range(10)]
    for _ in range(2000):
        values = np.repeat(rng.normal(size=40), 10) + 0.5 * rng.normal(size=400)
        by_unit += stats.ttest_1samp(unit_means(values, clusters), 0.0).pvalue <= 0.05
        by_row += stats.ttest_1samp(values, 0.0).pvalue <= 0.05
    print(f"by unit {by_unit / 2000:.2%}, by row {by_row / 2000:.2%}")
    low, high = stats.binomtest(by_unit, 2000).proportion_ci(0.999)
    assert low <= 0.05 <= high
    assert by_row > 800


@given(st.floats(-2, 2), st.floats(0.1, 5.0), st.integers(2, 10_000), st.floats(0.01, 1.0), ALTERNATIVES)
def test_sequential_is_the_always_valid_test(mean: float, sd: float, n: int, planned: float, alternative: Alternative) -> None:
    """Mean and sd/√n of the unit means, with the clock of the planned standard error; two-sided unless said otherwise."""
    found = sequential(Summary(n, mean, sd * sd * (n - 1)), planned, alternative=alternative)
    expected = always_valid.sequential(mean, sd / math.sqrt(n), planned, alternative=alternative)
    assert found.log_evidence == pytest.approx(expected.log_evidence, rel=1e-9)
    assert (found.lower is None, found.upper is None) == (alternative == "less", alternative == "greater")
    assert sequential(of([1.0, 2.0, 4.0]), 0.5) == sequential(of([1.0, 2.0, 4.0]), 0.5, alternative="two-sided")


def test_watching_costs_nothing(rng: np.random.Generator) -> None:
    """Skewed differences without a mean, watched at 190 looks from 100 to 2000 units: at most 5 % of 2000 are falsely shown."""
    values = rng.exponential(size=(2000, 2000)) - 1.0
    looks = np.arange(100, 2000, 10)
    total, squares = values.cumsum(1)[:, looks - 1], (values * values).cumsum(1)[:, looks - 1]
    se = np.sqrt((squares - total * total / looks) / (looks - 1.0) / looks)
    evidence = always_valid.log_evidence(total / looks / se, (0.03 / se) ** 2, always_valid.tuning(0.05, False), False)
    i, k = 3, 50
    assert sequential(of(values[i, : looks[k]]), 0.03).log_evidence == pytest.approx(evidence[i, k], rel=1e-7)
    shown = (np.asarray(evidence).max(1) >= math.log(20.0)).mean()
    print(f"{shown:.2%} of 2000")
    assert 0.0 < shown <= 0.05


@pytest.mark.parametrize(
    ("differences", "clusters", "reason"),
    [
        ([], None, "there are 0"),
        ([1.0], None, "there are 1"),
        ([1.0, 2.0, 3.0], ["a", "a", "a"], "there are 1"),
        ([0.0, 0.0, 0.0], None, "do not vary"),
        ([0.1] * 100, None, "do not vary"),
        ([1.0, 3.0, 2.0, 2.0], ["a", "a", "b", "b"], "do not vary"),
        ([1e300, -1e300, 1.0], None, "too large"),
        ([1.7e308, 1.7e308, 1.0], ["a", "a", "b"], "too large"),
    ],
)
def test_refused(differences: list[float], clusters: list[str] | None, reason: str) -> None:
    """Fewer than two units, no spread or figures out of range: a reason instead of a p value."""
    with pytest.raises(Refused, match=reason):
        paired(differences, clusters)


def test_refused_where_the_parts_stand_alone() -> None:
    """Ranks of zeros, a summary of one unit, a constant."""
    with pytest.raises(Refused, match="nothing to rank"):
        wilcoxon([0.0, 0.0])
    with pytest.raises(Refused, match="2 units or more"):
        sequential(Summary(1, 3.0, 0.0), 0.1)
    with pytest.raises(Refused, match="do not vary"):
        sequential(Summary(9, 3.0, 0.0), 0.1)


@pytest.mark.parametrize(
    ("differences", "clusters", "field"),
    [([1.0, float("nan")], None, "differences"), ([[1.0], [2.0]], None, "differences"), ([1.0, 2.0], ["a"], "clusters")],
)
def test_invalid(differences: list[float], clusters: list[str] | None, field: str) -> None:
    """The message names what was wrong."""
    with pytest.raises(Invalid, match=f"{field}: expected") as caught:
        paired(differences, clusters)
    assert caught.value.field == field
