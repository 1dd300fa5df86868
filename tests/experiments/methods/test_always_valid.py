"""The normal mixture: its closed form, its boundary, its tuning, its bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from core.errors import Refused
from experiments.methods import always_valid

ALPHAS = st.sampled_from([0.001, 0.01, 0.05, 0.1, 0.3])
CLOCKS = st.floats(-4, 4).map(lambda exponent: 10.0**exponent)
BOTH = pytest.mark.parametrize("one_sided", [True, False], ids=["one-sided", "two-sided"])


@BOTH
@given(z=st.floats(-4, 8), x=st.floats(0.01, 10.0), alpha=ALPHAS)
def test_the_closed_form_is_the_mixture(one_sided: bool, z: float, x: float, alpha: float) -> None:
    """M is the likelihood ratio exp(θ z√x − θ²x/2) averaged over θ from a (half-)normal distribution of variance c."""
    c = always_valid.tuning(alpha, one_sided)
    prior = stats.halfnorm(scale=math.sqrt(c)) if one_sided else stats.norm(scale=math.sqrt(c))
    reach = 12.0 * math.sqrt(c)
    theta = np.linspace(0.0 if one_sided else -reach, reach, 20_001)
    expected = integrate.simpson(np.exp(theta * z * math.sqrt(x) - theta * theta * x / 2.0) * prior.pdf(theta), x=theta)
    assert float(always_valid.log_evidence(z, x, c, one_sided)) == pytest.approx(math.log(expected), rel=1e-6, abs=1e-6)


@BOTH
@given(x=CLOCKS, alpha=ALPHAS)
def test_the_boundary_is_where_m_is_one_over_alpha(one_sided: bool, x: float, alpha: float) -> None:
    """At the boundary log M = log 1/α to 1e-9, and evidence rises with z."""
    c, z = always_valid.tuning(alpha, one_sided), always_valid.boundary(x, alpha, one_sided)
    assert float(always_valid.log_evidence(z, x, c, one_sided)) == pytest.approx(-math.log(alpha), rel=1e-9)
    assert always_valid.log_evidence(1.01 * z, x, c, one_sided) > -math.log(alpha)


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_the_mixture_is_tightest_at_the_planned_sample(alpha: float) -> None:
    """No other c has a lower two-sided boundary at x = 1."""

    def boundary_at_one(c: float) -> float:
        def beyond(z: float) -> float:
            return float(always_valid.log_evidence(z, 1.0, c, one_sided=False)) + math.log(alpha)

        return float(optimize.brentq(beyond, 0.0, 50.0))

    best = optimize.minimize_scalar(boundary_at_one, bounds=(0.5, 100.0), method="bounded")
    assert always_valid.tuning(alpha, one_sided=False) == pytest.approx(best.x, rel=1e-3)


@given(estimate=st.floats(-5, 5), se=st.floats(0.01, 10.0), planned=st.floats(0.01, 10.0), alpha=ALPHAS)
def test_a_bound_is_the_margin_at_which_the_test_just_rejects(estimate: float, se: float, planned: float, alpha: float) -> None:
    """Against the bound itself as margin log M is log 1/α, on each side and on both."""
    low = always_valid.sequential(estimate, se, planned, alpha=alpha).lower
    high = always_valid.sequential(estimate, se, planned, alternative="less", alpha=alpha).upper
    both = always_valid.sequential(estimate, se, planned, alternative="two-sided", alpha=alpha)
    assert low is not None
    assert high is not None
    assert both.lower is not None
    assert both.upper is not None
    for margin, alternative in ((low, "greater"), (high, "less"), (both.lower, "two-sided"), (both.upper, "two-sided")):
        again = always_valid.sequential(estimate, se, planned, margin=margin, alternative=alternative, alpha=alpha)
        assert again.log_evidence == pytest.approx(-math.log(alpha), rel=1e-6)
        assert again.p_value == pytest.approx(alpha, rel=1e-6)
    assert both.lower < low < estimate < high < both.upper


def test_the_clock_is_one_at_the_planned_sample() -> None:
    """In one phase of variance σ₀², x = I/I*: 1 where a fixed test of the effect has its power."""
    variance, effect, n = 4.0, 0.1, 50_000
    h = n / 2.0
    information = h / variance
    planned = ((stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) / effect) ** 2
    assert float(always_valid.clock(h * variance, variance, effect, 0.05, 0.8)) == pytest.approx(information / planned, rel=1e-12)


@pytest.mark.parametrize(("estimate", "se", "planned"), [(1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (1e300, 1e-300, 1.0), (1.0, 1e-300, 1e300)])
def test_what_cannot_be_computed_is_refused(estimate: float, se: float, planned: float) -> None:
    """A standard error of 0, or figures out of range, never give a p value."""
    with pytest.raises(Refused):
        always_valid.sequential(estimate, se, planned)


def test_no_evidence_against_is_p_1() -> None:
    """M below 1 is p = 1, never more."""
    assert always_valid.sequential(-1.0, 0.1, 0.1).p_value == 1.0
