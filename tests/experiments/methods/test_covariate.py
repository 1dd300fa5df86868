"""Covariates: CUPED on explicitly transformed data, Lin against least squares, and what both do without a useful x."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.errors import Refused
from experiments.methods import joint, summary
from experiments.methods.covariate import adjusted, cuped, lin, lin_strata, lin_test, theta
from experiments.methods.joint import Joint
from experiments.methods.means import Alternative, welch
from experiments.methods.strata import heterogeneity, overlap, weighted

ALTERNATIVES: list[Alternative] = ["greater", "less", "two-sided"]
SEEDS = st.integers(0, 2**32 - 1)
Arm = tuple[np.ndarray, np.ndarray]


def arm(rng: np.random.Generator, n: int, effect: float = 0.0, slope: float = 1.5) -> Arm:
    """y and x of n units: skewed, and with residuals as large as what x explains."""
    x = rng.gamma(2.0, 3.0, n)
    return effect + slope * x + rng.normal(0.0, 1.0 + x, n), x


def arms(seed: int) -> tuple[Arm, Arm]:
    rng = np.random.default_rng(seed)
    return arm(rng, int(rng.integers(5, 60))), arm(rng, int(rng.integers(5, 60)), 0.5, 2.0)


@given(SEEDS, st.sampled_from(ALTERNATIVES), st.floats(-1.0, 1.0))
def test_cuped_is_welch_on_transformed_data(seed: int, alternative: Alternative, margin: float) -> None:
    """θ, estimate, standard error and p value are those computed from Y − θX unit by unit."""
    (y_c, x_c), (y_t, x_t) = arms(seed)
    cross = sum(np.cov(y, x)[0, 1] * (len(y) - 1) for y, x in ((y_c, x_c), (y_t, x_t)))
    slope = cross / sum(np.var(x) * len(x) for x in (x_c, x_t))
    control, treatment = joint.of(y_c, x_c), joint.of(y_t, x_t)
    expected = stats.ttest_ind(y_t - slope * x_t - margin, y_c - slope * x_c, equal_var=False, alternative=alternative)
    found = cuped(control, treatment, margin=margin, alternative=alternative)
    assert theta([control, treatment]) == pytest.approx(slope, rel=1e-9)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-12)
    variance = np.var(y_t - slope * x_t, ddof=1) / len(y_t) + np.var(y_c - slope * x_c, ddof=1) / len(y_c)
    assert found.se == pytest.approx(math.sqrt(variance), rel=1e-9)
    assert found.df is None
    z = expected.statistic
    tails = {"greater": stats.norm.sf(z), "less": stats.norm.cdf(z), "two-sided": 2.0 * stats.norm.sf(abs(z))}
    assert found.p_value == pytest.approx(tails[alternative], rel=1e-9)


@given(SEEDS, st.floats(-3.0, 3.0), st.floats(-1e3, 1e3), st.integers(1, 5))
def test_adjusted_is_the_summary_of_adjusted_values(seed: int, slope: float, centre: float, parts: int) -> None:
    """From moments alone, however merged: the summary of Y − θ(X − centre)."""
    (y, x), _ = arms(seed)
    found = adjusted(joint.merge_all(joint.of(y[i::parts], x[i::parts]) for i in range(parts)), slope, centre)
    expected = summary.of(y - slope * (x - centre))
    assert found.n == expected.n
    assert found.mean == pytest.approx(expected.mean, rel=1e-9, abs=1e-9)
    assert found.m2 == pytest.approx(expected.m2, rel=1e-9)


def test_differences_do_not_depend_on_the_centre(rng: np.random.Generator) -> None:
    """At means of 1e8 a centre 1e8 away moves the difference by nothing: what rounding takes is carried on."""
    made = [arm(rng, 500, effect) for effect in (0.0, 0.1)]
    control, treatment = (joint.merge_all(joint.of([a + 1e8], [b + 1e8]) for a, b in zip(y, x, strict=True)) for y, x in made)
    slope = theta([control, treatment])
    near, far = ([adjusted(one, slope, centre) for one in (control, treatment)] for centre in (1e8, 0.0))
    assert summary.between(*near) == pytest.approx(summary.between(*far), rel=1e-12)
    (y_c, x_c), (y_t, x_t) = made
    assert summary.between(*far) == pytest.approx((y_t - slope * x_t).mean() - (y_c - slope * x_c).mean(), rel=1e-6)


@given(SEEDS)
def test_lin_is_least_squares_with_interaction(seed: int) -> None:
    """The estimate is statsmodels' coefficient of the arm beside centred x and their product; the first part of Var is per arm."""
    (y_c, x_c), (y_t, x_t) = arms(seed)
    y, x = np.concatenate([y_c, y_t]), np.concatenate([x_c, x_t])
    t = np.repeat([0.0, 1.0], [len(y_c), len(y_t)])
    centred = x - x.mean()
    fit = sm.OLS(y, np.column_stack([np.ones_like(y), t, centred, t * centred])).fit()
    estimate, se = lin(joint.of(y_c, x_c), joint.of(y_t, x_t))
    assert estimate == pytest.approx(fit.params[1], rel=1e-9, abs=1e-9)
    own = sum(sm.OLS(a, sm.add_constant(b)).fit().mse_resid / len(a) for a, b in ((y_c, x_c), (y_t, x_t)))
    assert se**2 == pytest.approx(own + fit.params[3] ** 2 * np.var(x, ddof=1) / len(x), rel=1e-9)
    test = lin_test(joint.of(y_c, x_c), joint.of(y_t, x_t), margin=0.2)
    assert (test.estimate, test.se) == (estimate, se)
    assert test.p_value == pytest.approx(stats.norm.sf((estimate - 0.2) / se), rel=1e-9)


def test_lins_interval_covers_where_slopes_differ() -> None:
    """Over 3,000 experiments with 60 and 240 units and slopes of 1 and 3, 95 % intervals hold the effect in about 95 %; seeded.

    Without the term of the pooled mean they are too short.
    """
    rng, hits, short = np.random.default_rng(20261), 0, 0
    for _ in range(3000):
        x_c, x_t = rng.normal(0.0, 1.0, 240), rng.normal(0.0, 1.0, 60)
        control, treatment = joint.of(x_c + rng.normal(size=240), x_c), joint.of(3.0 * x_t + rng.normal(size=60), x_t)
        estimate, se = lin(control, treatment)
        own = math.sqrt(max(0.0, se**2 - 4.0 / 300.0))
        hits += abs(estimate) < 1.959964 * se
        short += abs(estimate) < 1.959964 * own
    assert 0.935 < hits / 3000 < 0.962
    assert short / 3000 < 0.91


def test_adjusting_pays(rng: np.random.Generator) -> None:
    """With a correlation of .9 both standard errors are about √(1 − .81) of Welch's."""
    x = rng.normal(size=(2, 5000))
    y = 0.9 * x + math.sqrt(0.19) * rng.normal(size=(2, 5000))
    control, treatment = joint.of(y[0], x[0]), joint.of(y[1], x[1])
    plain = welch(control.y, treatment.y).se
    assert cuped(control, treatment).se / plain == pytest.approx(math.sqrt(0.19), rel=0.05)
    assert lin(control, treatment)[1] / plain == pytest.approx(math.sqrt(0.19), rel=0.05)


def test_a_constant_covariate_adjusts_nothing(rng: np.random.Generator) -> None:
    """Where x does not vary θ is 0 and both are the plain difference, x carried along or not."""
    y_c, y_t = rng.normal(size=30), rng.normal(0.5, 2.0, 40)
    plain = welch(summary.of(y_c), summary.of(y_t))
    for control, treatment in (
        (joint.alone(summary.of(y_c)), joint.alone(summary.of(y_t))),
        (joint.merge_all(joint.of([y], [0.1]) for y in y_c), joint.of(y_t, np.full(40, 0.1))),
    ):
        assert theta([control, treatment]) == 0.0
        assert cuped(control, treatment).estimate == pytest.approx(plain.estimate, rel=1e-12)
        assert cuped(control, treatment).se == pytest.approx(plain.se, rel=1e-12)
        assert lin(control, treatment)[0] == pytest.approx(plain.estimate, rel=1e-12)
    assert theta([]) == 0.0


def test_phases_of_lin_are_strata() -> None:
    """Each phase is its own comparison, weighed as without covariate; phases too small weigh 0, and se is guarded upwards."""
    made = [[joint.of(*one) for one in arms(seed)] for seed in range(4)]
    control, treatment = [c for c, _ in made], [t for _, t in made]
    few = joint.of([1.0, 2.0], [1.0, 3.0])
    found = lin_strata([*control, few], [*treatment, treatment[0]])
    for k, (c, t) in enumerate(made):
        estimate, se = lin(c, t)
        assert found.estimate[k] == estimate
        assert found.se2[k] == pytest.approx(se**2, rel=1e-12)
        assert found.guarded[k] >= found.se2[k]
        assert found.weight[k] == pytest.approx(c.n * t.n / (c.n + t.n))
        assert found.units[k] == c.n + t.n
    assert (found.units[4], found.weight[4], found.se2[4]) == (0.0, 0.0, 0.0)
    h, u, v = overlap(found)
    assert weighted(found, found.weight)[0] == pytest.approx(u / h, rel=1e-12)
    assert v >= (found.weight**2 * found.se2).sum()
    assert heterogeneity(found).df == 3
    with pytest.raises(Refused, match="2 matured units"):
        weighted(lin_strata([], []), lin_strata([], []).weight)


def test_the_guard_is_the_pooled_residual_variance(rng: np.random.Generator) -> None:
    """A small quiet arm borrows the spread of the large one, as it does without a covariate."""
    x_c, x_t = rng.normal(size=1000), rng.normal(size=20)
    y_c, y_t = x_c + 3.0 * rng.normal(size=1000), x_t + 0.1 * rng.normal(size=20)
    squares = [float(np.polyfit(x, y, 1, full=True)[1][0]) for y, x in ((y_c, x_c), (y_t, x_t))]
    found = lin_strata([joint.of(y_c, x_c)], [joint.of(y_t, x_t)])
    slopes = found.se2[0] - squares[0] / 998 / 1000 - squares[1] / 18 / 20
    assert found.guarded[0] == pytest.approx(sum(squares) / 1016 * (1 / 1000 + 1 / 20) + slopes, rel=1e-9)
    assert found.guarded[0] > 10.0 * found.se2[0]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_units_are_refused(n: int) -> None:
    """CUPED needs two units in an arm, Lin three."""
    few, many = joint.of(np.arange(n), np.arange(n) ** 2), joint.of([1.0, 2.0, 4.0, 4.0], [3.0, 1.0, 1.0, 2.0])
    for pair in ((few, many), (many, few)):
        with pytest.raises(Refused, match=f"there are {n}"):
            lin(*pair)
        if n < 2:
            with pytest.raises(Refused, match=f"there are {n}"):
                cuped(*pair)


def test_what_x_explains_entirely_is_refused() -> None:
    """Without residual spread there is no test, and no negative variance."""
    x = np.linspace(0.0, 1.0, 50)
    control, treatment = joint.of(0.1 * x, x), joint.of(0.1 * x + 1.0, x)
    for test in (cuped, lin_test):
        with pytest.raises(Refused, match="do not vary"):
            test(control, treatment)


def test_figures_out_of_range_are_refused() -> None:
    """Squares that overflow give a refusal, and in phases an infinite standard error, which is one downstream."""
    huge, ordinary = joint.of([1e300, 2e300, 9e300], [1.0, 2.0, 4.0]), joint.of([1.0, 2.0, 4.0], [3.0, 1.0, 1.0])
    steep = Joint(summary.of([1e150, 2e150, 4e150]), summary.of([1e-160, 2e-160, 1e-160]), 1e-11)
    for control, treatment in ((ordinary, huge), (huge, ordinary), (steep, steep)):
        for estimate in (cuped, lin):
            with pytest.raises(Refused, match="too large"):
                estimate(control, treatment)
    assert math.isinf(lin_strata([ordinary], [huge]).se2[0])
    with pytest.raises(Refused, match="floating point"):
        adjusted(ordinary, 1e200, 1e200)
    with pytest.raises(Refused, match="too large"):
        _ = adjusted(huge, 0.5).variance
