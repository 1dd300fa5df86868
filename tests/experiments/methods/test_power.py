"""Sample sizes, against statsmodels where it computes the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import NormalIndPower, zt_ind_solve_power
from statsmodels.stats.proportion import power_proportions_2indep

from core.errors import Invalid, Refused
from experiments.methods.power import Design, Plan, Size, days, for_means, for_proportions

deviations = st.floats(0.01, 1000.0)
effects = st.floats(0.01, 3.0)
plans = st.builds(Plan, st.floats(1e-4, 0.2), st.floats(0.3, 0.99), st.floats(0.05, 20.0), st.just(0.0), st.just("fixed"), st.just(False))


@given(deviations, effects, plans)
def test_means_have_the_planned_power_in_statsmodels(deviation: float, effect: float, plan: Plan) -> None:
    """The z test of a standardised difference, one-sided, with unequal arms, at the size found."""
    found = for_means(deviation, effect * deviation, plan)
    power = NormalIndPower().power(effect, found.control, plan.alpha, ratio=plan.allocation, alternative="larger")
    assert power == pytest.approx(plan.power, rel=1e-9)
    assert found.treatment == pytest.approx(plan.allocation * found.control)


def test_a_size_as_statsmodels_solves_it() -> None:
    """Half a standard deviation, and a tenth with three times as many in treatment."""
    assert for_means(2.0, 1.0, Plan()).control == pytest.approx(zt_ind_solve_power(0.5, alpha=0.05, power=0.8, alternative="larger"))
    expected = zt_ind_solve_power(0.1, alpha=0.01, power=0.9, ratio=3.0, alternative="larger")
    assert for_means(1.0, 0.1, Plan(0.01, 0.9, 3.0)).control == pytest.approx(expected)


@given(deviations, effects, plans)
def test_two_sided_leaves_the_other_tail_out(deviation: float, effect: float, plan: Plan) -> None:
    """The power on its own side is the planned one at half of alpha; statsmodels adds the other tail, at most that half."""
    found = for_means(deviation, effect * deviation, plan._replace(two_sided=True))
    power = NormalIndPower().power(effect, found.control, plan.alpha, ratio=plan.allocation, alternative="two-sided")
    assert plan.power * (1 - 1e-9) <= power <= plan.power + plan.alpha / 2


@given(st.floats(0.02, 0.9), st.floats(-0.5, 0.5), plans)
def test_proportions_have_the_planned_power(control: float, effect: float, plan: Plan) -> None:
    """statsmodels' power of the unpooled z test at the size found is the planned one."""
    treatment = control + effect
    if abs(effect) < 1e-3 or not 0.01 <= treatment <= 0.99:
        return
    found = for_proportions(control, effect, plan)
    se = math.sqrt(treatment * (1 - treatment) / found.treatment + control * (1 - control) / found.control)
    assert stats.norm.sf(stats.norm.isf(plan.alpha) - abs(effect) / se) == pytest.approx(plan.power, rel=1e-9)
    assert found.treatment == pytest.approx(plan.allocation * found.control)


def test_a_rounded_size_has_just_the_power_in_statsmodels() -> None:
    """Of a two-sided test of 10 % against 12 % with twice as many in treatment, whose critical value is not pooled either."""
    found = for_proportions(0.1, 0.02, Plan(power=0.9, allocation=2.0, two_sided=True))
    power = power_proportions_2indep(0.02, 0.1, math.ceil(found.treatment), ratio=found.control / found.treatment, return_results=False)
    assert power == pytest.approx(0.9, abs=0.01)


@given(deviations, effects, st.floats(-0.99, 0.99))
def test_a_covariate_leaves_its_share_of_the_variance(deviation: float, effect: float, correlation: float) -> None:
    """1 − R², whatever the sign of R; for proportions as well."""
    plain, adjusted = Plan(), Plan(correlation=correlation)
    share = 1.0 - correlation**2
    assert for_means(deviation, effect, adjusted).control == pytest.approx(share * for_means(deviation, effect, plain).control)
    assert for_proportions(0.2, 0.01, adjusted).treatment == pytest.approx(share * for_proportions(0.2, 0.01, plain).treatment)


@pytest.mark.parametrize(("design", "inflation"), [("fixed", 1.0), ("group-sequential", 1.055), ("sequential", 1.8)])
def test_looking_early_costs_units(design: Design, inflation: float) -> None:
    """By the stated factor in each arm."""
    fixed, found = for_means(3.0, 0.2, Plan(allocation=0.5)), for_means(3.0, 0.2, Plan(allocation=0.5, design=design))
    assert found == pytest.approx((fixed.control * inflation, fixed.treatment * inflation))


@given(st.floats(1.0, 1e7), st.floats(1.0, 1e7), st.floats(10.0, 1e6), st.floats(0.0, 60.0))
def test_days_are_whole_weeks_that_suffice(control: float, treatment: float, daily: float, window: float) -> None:
    """Enough for all units to enter and mature, and a week less would not be, unless it is the first."""
    found = days(Size(control, treatment), daily, window)
    needed = (control + treatment) / daily + window
    assert found % 7 == 0
    assert found >= 7
    assert found > needed - 1e-6
    assert found == 7 or found - 7 < needed


def test_two_weeks_are_two_weeks() -> None:
    """What rounding adds does not cost another."""
    assert days(Size(0.7 * 1000, 0.7 * 1000), 100.0) == 14
    assert days(Size(700.0, 700.0 * (1 + 1e-12)), 100.0) == 14
    assert days(Size(700.0, 700.1), 100.0) == 21
    assert days(Size(1.0, 1.0), 100.0) == 7


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("sd", lambda: for_means(0.0, 1.0, Plan())),
        ("sd", lambda: for_means(math.nan, 1.0, Plan())),
        ("mde", lambda: for_means(1.0, 0.0, Plan())),
        ("mde", lambda: for_means(1.0, math.inf, Plan())),
        ("mde", lambda: for_proportions(0.1, 0.0, Plan())),
        ("alpha", lambda: for_means(1.0, 1.0, Plan(alpha=0.5))),
        ("power", lambda: for_means(1.0, 1.0, Plan(power=1.0))),
        ("power", lambda: for_means(1.0, 1.0, Plan(power=0.05))),
        ("allocation", lambda: for_means(1.0, 1.0, Plan(allocation=0.0))),
        ("correlation", lambda: for_means(1.0, 1.0, Plan(correlation=1.0))),
        ("baseline", lambda: for_proportions(1.2, 0.1, Plan())),
        ("mde", lambda: for_proportions(0.95, 0.1, Plan())),
        ("daily_units", lambda: days(Size(1.0, 1.0), 0.0)),
        ("window_days", lambda: days(Size(1.0, 1.0), 1.0, -1.0)),
    ],
)
def test_what_is_no_plan_is_named(field: str, call: object) -> None:
    """The error names the field."""
    assert callable(call)
    with pytest.raises(Invalid, match=f"^{field}: expected") as caught:
        call()
    assert caught.value.field == field


@pytest.mark.parametrize(
    "call",
    [
        lambda: for_means(1e300, 1e-300, Plan()),
        lambda: for_means(1e-300, 1e300, Plan()),
        lambda: for_proportions(0.0, 1.0, Plan()),
        lambda: days(Size(1e300, 1e300), 1.0),
        lambda: days(Size(1e300, 1e300), 1e-300),
    ],
)
def test_what_is_out_of_range_is_refused(call: object) -> None:
    """No infinite sample, none of nobody, no test without end."""
    assert callable(call)
    with pytest.raises(Refused):
        call()
