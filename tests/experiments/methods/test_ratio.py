"""Ratios: the delta method on explicit data, as a summary like any other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.errors import Refused
from experiments.methods import joint, summary
from experiments.methods.joint import Joint
from experiments.methods.means import Alternative
from experiments.methods.ratio import difference, linearised
from experiments.methods.strata import stratified

ALTERNATIVES: list[Alternative] = ["greater", "less", "two-sided"]
SEEDS = st.integers(0, 2**32 - 1)
NUMERATOR, DENOMINATOR = [3, 0, 2, 5, 1, 4, 2, 6, 0, 3], [4, 1, 3, 6, 2, 5, 2, 7, 1, 5]


def views(seed: int, n: int = 40, rate: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Clicks and views per unit, where units differ in both."""
    rng = np.random.default_rng(seed)
    d = 1 + rng.poisson(rng.gamma(4.0, 2.0, n))
    return rng.binomial(d, rng.beta(8.0 * rate, 8.0 * (1.0 - rate), n)).astype(float), d.astype(float)


def test_a_known_ratio() -> None:
    """Ten units, to the digits that are known."""
    found = linearised(joint.of(NUMERATOR, DENOMINATOR))
    assert round(found.mean, 6) == 0.722222
    assert round(math.sqrt(found.variance / found.n), 7) == 0.0543907


@given(SEEDS, st.integers(1, 6), st.sampled_from([1.0, -1.0]))
def test_it_is_the_summary_of_linearised_values(seed: int, parts: int, sign: float) -> None:
    """Mean, n and variance are those of R + (Y − R·D)/D̄ computed unit by unit, however merged and with either sign of D."""
    y, d = views(seed)
    d = sign * d
    found = linearised(joint.merge_all(joint.of(y[i::parts], d[i::parts]) for i in range(parts)))
    expected = summary.of(y.sum() / d.sum() + (y - y.sum() / d.sum() * d) / d.mean())
    assert found.n == expected.n
    assert found.mean == pytest.approx(y.sum() / d.sum(), rel=1e-12)
    assert found.variance == pytest.approx(expected.variance, rel=1e-9)


@given(SEEDS, st.sampled_from(ALTERNATIVES))
def test_difference_is_a_z_test(seed: int, alternative: Alternative) -> None:
    """Estimate, standard error and p value are those of two independent ratios; bounds are where the test just rejects."""
    (y_c, d_c), (y_t, d_t) = views(seed), views(seed + 1, 60, 0.4)
    found = difference(joint.of(y_c, d_c), joint.of(y_t, d_t), alternative=alternative, alpha=0.1)
    r_c, r_t = y_c.sum() / d_c.sum(), y_t.sum() / d_t.sum()
    variance = sum(np.var(y - r * d, ddof=1) / len(y) / d.mean() ** 2 for y, d, r in ((y_c, d_c, r_c), (y_t, d_t, r_t)))
    assert found.estimate == pytest.approx(r_t - r_c, rel=1e-9, abs=1e-12)
    assert found.se == pytest.approx(math.sqrt(variance), rel=1e-9)
    z = (r_t - r_c) / math.sqrt(variance)
    tails = {"greater": stats.norm.sf(z), "less": stats.norm.cdf(z), "two-sided": 2.0 * stats.norm.sf(abs(z))}
    assert found.p_value == pytest.approx(tails[alternative], rel=1e-9)
    assert found.df is None
    for bound in (found.lower, found.upper):
        if bound is not None:
            again = difference(joint.of(y_c, d_c), joint.of(y_t, d_t), margin=bound, alternative=alternative, alpha=0.1)
            assert again.p_value == pytest.approx(0.1, rel=1e-7)


def test_the_interval_covers() -> None:
    """Over 2,000 experiments of 300 units whose rates differ, 95 % intervals hold the true ratio in about 95 %; seeded."""
    rng, n, hits = np.random.default_rng(20260), 300, 0
    for _ in range(2000):
        p = rng.beta(2.0, 6.0, n)
        d = 1 + rng.poisson(10.0 * p)  # who clicks more also views more
        found = linearised(joint.of(rng.binomial(d, p), d))
        truth = (0.25 + 10.0 * (0.25**2 + 0.25 * 0.75 / 9.0)) / (1.0 + 10.0 * 0.25)
        hits += abs(found.mean - truth) < 1.959964 * math.sqrt(found.variance / n)
    assert 0.93 < hits / 2000 < 0.965


def test_phases_work_on_ratios() -> None:
    """With one phase the stratified test of linearised summaries is the difference of ratios."""
    control, treatment = joint.of(*views(1)), joint.of(*views(2, 70))
    alone, phases = difference(control, treatment), stratified([linearised(control)], [linearised(treatment)])
    assert phases.estimate == pytest.approx(alone.estimate, rel=1e-12)
    assert phases.se == pytest.approx(alone.se, rel=1e-12)


def test_over_a_denominator_of_1_it_is_the_mean(rng: np.random.Generator) -> None:
    """Y/1 is Y, with nothing lost even at a mean of 1e8."""
    y = joint.merge_all(joint.of([value], [1.0]) for value in 1e8 + rng.standard_normal(2000))
    found = linearised(y)
    assert (found.mean, found.rest) == (y.y.mean, y.y.rest)
    assert found.variance == pytest.approx(y.y.variance, rel=1e-12)


@pytest.mark.parametrize("factor", [3.0, 0.1, -7.3])
def test_a_proportion_that_never_varies_has_no_variance(factor: float, rng: np.random.Generator) -> None:
    """Y = r·D leaves rounding, never a negative variance and never a test."""
    d = rng.gamma(2.0, 1.0, 5000) + 1000.0
    pieces = [joint.of(factor * d[i : i + 7], d[i : i + 7]) for i in range(0, 5000, 7)]
    exact = joint.merge_all(pieces)
    assert linearised(exact).variance == 0.0
    with pytest.raises(Refused, match="do not vary"):
        difference(exact, exact)


@pytest.mark.parametrize(
    ("numerator", "denominator", "reason"),
    [
        ([], [], "2 values or more"),
        ([1.0], [2.0], "2 values or more"),
        ([1.0, 2.0], [0.0, 0.0], "within 3 standard errors of 0"),
        ([1.0, 2.0, 3.0], [-1.0, 1.0, 0.5], "within 3 standard errors of 0"),
        ([1e300, -1e300, 1.0], [1.0, 1.0, 2.0], "too large"),
        ([1e200, 1e200], [1e-200, 1e-200], "floating point"),
    ],
)
def test_what_cannot_be_computed_is_refused(numerator: list[float], denominator: list[float], reason: str) -> None:
    """Too few units, a denominator that could be 0, and figures out of range."""
    with pytest.raises(Refused, match=reason):
        _ = linearised(joint.of(numerator, denominator)).variance


def test_variances_out_of_range_are_refused() -> None:
    """A variance that overflows only when divided by the denominator is refused, not infinite."""
    small = Joint(summary.of([1e100, 3e100]), summary.of([1e-100, 1e-100]))
    with pytest.raises(Refused, match="too large"):
        _ = linearised(small).variance
