"""How many units a test needs, and how many days that takes."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

from scipy import special

from core.errors import Invalid, Refused

Design: TypeAlias = Literal["fixed", "group-sequential", "sequential"]
"""How often the test is looked at: once, up to a declared maximum, or at any time."""

GROUP_SEQUENTIAL = 1.055
"""A group sequential test by O'Brien-Fleming spending at 14 looks needs about this many times the fixed-horizon sample."""

INFLATION = 1.8
"""An always-valid test needs about this many times the fixed-horizon sample (simulated: 1.6 to 1.9 over usual designs)."""

FEWEST_DAYS = 7.0
"""Days of the week differ: a test runs over each of them, and over each as often."""

INFLATIONS: dict[Design, float] = {"fixed": 1.0, "group-sequential": GROUP_SEQUENTIAL, "sequential": INFLATION}

_LONGEST = 1e9
"""Days. Longer than this is never."""

_ROUNDING = 1e-9
"""Weeks. Two weeks and a rounding error are two weeks."""


class Size(NamedTuple):
    """Units per arm, not rounded."""

    control: float
    treatment: float


class Plan(NamedTuple):
    """How a test of size `alpha` is to be run: one- or two-sided, with which `power`, `allocation` n_T / n_C, and `design`.

    `correlation` R is the metric's with a covariate measured before entry, which leaves 1 − R² of the variance (Deng et al. 2013).
    """

    alpha: float = 0.05
    power: float = 0.8
    allocation: float = 1.0
    correlation: float = 0.0
    design: Design = "fixed"
    two_sided: bool = False


def of_each(power: float, guardrails: int) -> float:
    """The power for which each test is planned where a success metric and every guardrail must come out for a promotion: each of the G + 1
    tests may miss a (G + 1)-th of β, so that all hold with `power` (Bonferroni).
    """
    return 1.0 - (1.0 - power) / (guardrails + 1)


def for_means(deviation: float, effect: float, plan: Plan) -> Size:
    """n_C = σ²(1 − R²)(1 + 1/k)(z_α + z_β)²/effect², times the inflation of the design, and n_T = k n_C.

    `deviation` σ and `effect` are in the metric's units. Two-sided, z_α is that of alpha/2, and the other tail is left out.
    Raises Invalid naming the field, and Refused where the figures leave the range of floating point.
    """
    _within("sd", deviation, 0.0, math.inf)
    return _size(deviation, deviation, effect, plan)


def for_proportions(control: float, effect: float, plan: Plan) -> Size:
    """The same for proportions, with variances that are not pooled: p_T(1 − p_T)/k + p_C(1 − p_C) in place of σ²(1 + 1/k).

    `effect` is p_T − p_C, of either sign (Chow, Shao and Wang 2008). Raises as `for_means`, and Refused where neither proportion varies.
    """
    for field, p in (("baseline", control), ("mde", control + effect)):
        if not 0.0 <= p <= 1.0:
            raise Invalid(f"{field}: expected a proportion from 0 to 1, got {p:g}", field=field)
    if control * (1.0 - control) + (control + effect) * (1.0 - control - effect) <= 0.0:
        raise Refused("neither proportion varies: any sample shows their difference")
    return _size(math.sqrt(control * (1.0 - control)), math.sqrt((control + effect) * (1.0 - control - effect)), effect, plan)


def days(size: Size, daily_units: float, window_days: float = 0.0) -> int:
    """n / daily new units + window (and lateness) in days, at least 7, in whole weeks. Raises as `for_means`."""
    _within("daily_units", daily_units, 0.0, math.inf)
    if not 0.0 <= window_days < math.inf:
        raise Invalid(f"window_days: expected a number from 0, got {window_days:g}", field="window_days")
    needed = (size.control + size.treatment) / daily_units + window_days
    if not needed < _LONGEST:
        raise Refused("the test would not end: there are too few new units in a day")
    return 7 * math.ceil(max(needed, FEWEST_DAYS) / 7.0 - _ROUNDING)


def _size(control: float, treatment: float, effect: float, plan: Plan) -> Size:
    """From the standard deviations in each arm; written in ratios to the effect, so that large and small units stay in range."""
    _checked(plan)
    if not 0.0 < abs(effect) < math.inf:
        raise Invalid(f"mde: expected a number other than 0, got {effect:g}", field="mde")
    tail = plan.alpha / 2.0 if plan.two_sided else plan.alpha
    z = -float(special.ndtri(tail)) + float(special.ndtri(plan.power))
    c, t = control / effect, treatment / effect
    n = (c * c + t * t / plan.allocation) * (1.0 - plan.correlation) * (1.0 + plan.correlation) * z * z * INFLATIONS[plan.design]
    if not (0.0 < n < math.inf and 0.0 < plan.allocation * n < math.inf):
        raise Refused("the figures are beyond the range of floating point")
    return Size(n, plan.allocation * n)


def _checked(plan: Plan) -> None:
    _within("alpha", plan.alpha, 0.0, 0.5)
    _within("power", plan.power, plan.alpha, 1.0)
    _within("allocation", plan.allocation, 0.0, math.inf)
    _within("correlation", plan.correlation, -1.0, 1.0)


def _within(field: str, given: float, low: float, high: float) -> None:
    if not low < given < high:
        until = "" if math.isinf(high) else f" and below {high:g}"
        raise Invalid(f"{field}: expected a number above {low:g}{until}, got {given:g}", field=field)
