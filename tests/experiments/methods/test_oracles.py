"""Agreement with scipy.stats and statsmodels, on random input, to 1e-9."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from core.errors import Refused
from experiments.looks import rejected
from experiments.methods import srm
from experiments.methods.means import Alternative, interval, relative_lift, welch
from experiments.methods.strata import compare, heterogeneity, stratified
from experiments.methods.summary import Summary, of, stack

ALTERNATIVES: list[Alternative] = ["greater", "less", "two-sided"]
STATSMODELS = {"greater": "larger", "less": "smaller", "two-sided": "two-sided"}
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def samples(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two samples of different size, spread and mean, skewed."""
    rng = np.random.default_rng(draw(SEEDS))
    scale = draw(st.sampled_from([1e-3, 1.0, 1e4]))
    left = rng.gamma(2.0, scale, draw(st.integers(2, 40)))
    right = rng.gamma(draw(st.floats(1.0, 3.0)), 1.7 * scale, draw(st.integers(2, 40)))
    return left, right


def close(value: float | None, expected: float) -> None:
    assert value is not None
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(samples(), st.sampled_from(ALTERNATIVES), st.sampled_from([0.01, 0.05, 0.2]))
def test_welch(pair: tuple[np.ndarray, np.ndarray], alternative: Alternative, alpha: float) -> None:
    """Statistic, degrees of freedom, p value and bounds are those of scipy.stats.ttest_ind(equal_var=False)."""
    control, treatment = pair
    expected = stats.ttest_ind(treatment, control, equal_var=False, alternative=alternative)
    found = welch(of(control), of(treatment), alternative=alternative, alpha=alpha)
    close(found.statistic, expected.statistic)
    close(found.df, expected.df)
    close(found.p_value, expected.pvalue)
    bounds = expected.confidence_interval(1.0 - alpha)
    for bound, other in ((found.lower, bounds.low), (found.upper, bounds.high)):
        assert bound is None if math.isinf(other) else bound == pytest.approx(other, rel=1e-9, abs=1e-9 * abs(found.estimate))


@given(samples(), st.sampled_from(ALTERNATIVES), st.floats(-0.5, 0.5))
def test_welch_against_a_margin(pair: tuple[np.ndarray, np.ndarray], alternative: Alternative, share: float) -> None:
    """The p value against a margin is that of statsmodels' test of a difference `value`."""
    control, treatment = pair
    margin = share * control.mean()
    means = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))
    expected = means.ttest_ind(alternative=STATSMODELS[alternative], usevar="unequal", value=margin)[1]
    close(welch(of(control), of(treatment), margin=margin, alternative=alternative).p_value, expected)


@given(samples(), st.sampled_from([0.01, 0.05, 0.2]))
def test_interval_of_one_mean(pair: tuple[np.ndarray, np.ndarray], alpha: float) -> None:
    """The t interval of one mean is statsmodels'."""
    for found, expected in zip(interval(of(pair[0]), alpha), DescrStatsW(pair[0]).tconfint_mean(alpha), strict=True):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * pair[0].mean())


@given(samples(), st.sampled_from([1.0, -1.0]))
def test_fieller_inverts_its_test(pair: tuple[np.ndarray, np.ndarray], sign: float) -> None:
    """At either end of Fieller's interval the test against that very lift has p = α/2, with negative means too."""
    control, treatment = of(sign * pair[0]), of(sign * pair[1])
    try:
        found = relative_lift(control, treatment, alternative="two-sided", alpha=0.1)
    except Refused:
        assume(False)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < found.estimate < found.upper
    assert relative_lift(control, treatment, margin=found.lower).p_value == pytest.approx(0.05, rel=1e-7)
    assert relative_lift(control, treatment, margin=found.upper, alternative="less").p_value == pytest.approx(0.05, rel=1e-7)


@given(samples(), st.sampled_from(["fieller", "delta"]))
def test_a_lift_has_the_sign_of_its_difference(pair: tuple[np.ndarray, np.ndarray], method: Literal["fieller", "delta"]) -> None:
    """Against 0 Fieller's p value is Welch's, and a rise is a positive lift even where the means are negative."""
    for sign in (1.0, -1.0):
        control, treatment = of(sign * pair[0]), of(sign * pair[1])
        difference = welch(control, treatment)
        try:
            found = relative_lift(control, treatment, method=method)
        except Refused:
            assume(False)
        assert found.estimate == pytest.approx(difference.estimate / abs(control.mean), rel=1e-9)
        if method == "fieller":
            close(found.p_value, difference.p_value)


@given(SEEDS, st.integers(2, 6))
def test_strata(seed: int, phases: int) -> None:
    """Cochran's Q and the population estimate are those of statsmodels' meta-analysis and of plain numpy."""
    rng = np.random.default_rng(seed)
    control = [of(rng.normal(k, 1.0 + k, rng.integers(5, 50))) for k in range(phases)]
    treatment = [of(rng.normal(k + 0.1, 1.0, rng.integers(5, 50))) for k in range(phases)]
    effects = np.array([t.mean - c.mean for c, t in zip(control, treatment, strict=True)])
    variances = np.array([t.variance / t.n + c.variance / c.n for c, t in zip(control, treatment, strict=True)])
    expected = combine_effects(effects, variances)
    found = heterogeneity(compare(stack(control), stack(treatment)))
    close(found.statistic, expected.q)
    close(found.p_value, stats.chi2.sf(expected.q, phases - 1))
    for population in (False, True):
        w = np.array([t.n + c.n if population else t.n * c.n / (t.n + c.n) for c, t in zip(control, treatment, strict=True)])
        test = stratified(control, treatment, population=population)
        close(test.estimate, float((w * effects).sum() / w.sum()))
        z = float((w * effects).sum() / np.sqrt((w**2 * variances).sum()))
        close(test.statistic, z)
        close(test.p_value, stats.norm.sf(z))


@given(st.lists(st.integers(20, 10**6), min_size=2, max_size=6), SEEDS)
def test_chi_square(counts: list[int], seed: int) -> None:
    """χ² is scipy.stats.chisquare."""
    weights = np.random.default_rng(seed).uniform(0.5, 2.0, len(counts))
    expected = stats.chisquare(counts, sum(counts) * weights / weights.sum())
    found = srm.chi_square(counts, weights.tolist())
    close(found.statistic, expected.statistic)
    close(found.p_value, expected.pvalue)


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=5), SEEDS)
def test_dirichlet_multinomial(counts: list[int], seed: int) -> None:
    """The evidence is the ratio of scipy's Dirichlet-multinomial and multinomial probabilities."""
    weights = np.random.default_rng(seed).uniform(0.5, 2.0, len(counts))
    theta = weights / weights.sum()
    n = sum(counts)
    expected = stats.dirichlet_multinomial.logpmf(counts, 10_000 * theta, n) - stats.multinomial.logpmf(counts, n, theta)
    assert float(srm.log_evidence(counts, weights)) == pytest.approx(expected, rel=1e-9, abs=1e-7)


@settings(max_examples=30)
@given(st.lists(st.floats(0.0001, 1.0), min_size=1, max_size=8))
def test_holm(p_values: list[float]) -> None:
    """Which tests are shown is what statsmodels' Holm rejects at p = 1/M."""
    assume(all(abs(p * k - 0.05) > 1e-9 for p in p_values for k in range(1, 9)))  # on a threshold rounding decides
    log_evidences = {("treatment", str(i)): -math.log(p) for i, p in enumerate(p_values)}
    expected = multipletests(p_values, alpha=0.05, method="holm")[0]
    assert rejected(log_evidences, 0.05) == {("treatment", str(i)) for i in np.flatnonzero(expected)}


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_units_are_refused(n: int) -> None:
    """No test of fewer than two units in an arm."""
    few, many = Summary(n, 1.0, 0.0), of([1.0, 2.0, 3.0])
    for test in (welch, relative_lift):
        for pair in ((few, many), (many, few)):
            with pytest.raises(Refused, match="2 values or more"):
                test(*pair)
    with pytest.raises(Refused, match="2 matured units"):
        stratified([few], [many])


def test_no_spread_is_refused() -> None:
    """Two constants give no p value, however far apart."""
    low, high = of([1.0] * 9), of([2.0] * 9)
    for test in (welch, relative_lift):
        with pytest.raises(Refused, match="do not vary"):
            test(low, high)
    with pytest.raises(Refused, match="do not vary"):
        stratified([low], [high])
    with pytest.raises(Refused, match="do not vary"):
        interval(low)


def test_a_lift_on_a_mean_near_zero_is_refused(rng: np.random.Generator) -> None:
    """Within three standard errors of 0 the denominator could have either sign."""
    control, treatment = of(rng.normal(0.1, 1.0, 100)), of(rng.normal(1.0, 1.0, 100))
    with pytest.raises(Refused, match="within 3 standard errors of 0"):
        relative_lift(control, treatment)


def test_fiellers_unbounded_set_is_refused() -> None:
    """At a confidence where every lift is possible none is given."""
    control, treatment = Summary(40, 1.0, 40 * 39 / 10.0), Summary(40, 2.0, 40.0)
    with pytest.raises(Refused, match="every lift is possible"):
        relative_lift(control, treatment, alpha=1e-4)
