"""Differences of means at a fixed horizon: Welch's test, the relative lift, and the interval of one mean."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec
from scipy import special

from core.errors import Refused
from experiments.methods.summary import Summary, between

Alternative: TypeAlias = Literal["greater", "less", "two-sided"]
"""What the test is to show of the estimate: above the margin, below it, or away from it."""

NEAR_ZERO = 3.0
"""A lift is refused where the control mean is within this many standard errors of 0: its denominator could have either sign."""

NO_SPREAD = "the values do not vary: a test needs spread in at least one arm"


class Difference(msgspec.Struct, frozen=True):
    """An estimate with its test. One-sided tests have one bound, and None for the other.

    `df` is infinite (None) where the normal distribution was used.
    """

    estimate: float
    se: float
    statistic: float
    df: float | None
    p_value: float
    lower: float | None
    upper: float | None


def welch(
    control: Summary, treatment: Summary, *, margin: float = 0.0, alternative: Alternative = "greater", alpha: float = 0.05
) -> Difference:
    """Treatment's mean minus control's, tested against `margin`, with unequal variances (Welch 1947).

    Bounds are at confidence 1 − alpha, in the metric's units. Raises Refused with fewer than 2 units in an arm, or without spread.
    """
    v_t, v_c = treatment.variance / treatment.n, control.variance / control.n
    df = _welch_df(v_t, treatment.n, v_c, control.n)
    return t_test(between(control, treatment), math.sqrt(v_t + v_c), df, margin, alternative, alpha)


def relative_lift(
    control: Summary,
    treatment: Summary,
    *,
    margin: float = 0.0,
    alternative: Alternative = "greater",
    alpha: float = 0.05,
    method: Literal["fieller", "delta"] = "fieller",
) -> Difference:
    """The difference as a share of the size of control's mean, with the degrees of freedom of the difference.

    Raises Refused where `welch` does, and where control's mean is within 3 standard errors of 0. See `lift`.
    """
    v_t, v_c = treatment.variance / treatment.n, control.variance / control.n
    df = _welch_df(v_t, treatment.n, v_c, control.n)
    return lift(control.mean, v_c, treatment.mean, v_t, df, margin=margin, alternative=alternative, alpha=alpha, method=method)


def lift(
    control: float,
    control_variance: float,
    treatment: float,
    treatment_variance: float,
    df: float,
    *,
    margin: float = 0.0,
    alternative: Alternative = "greater",
    alpha: float = 0.05,
    method: Literal["fieller", "delta"] = "fieller",
) -> Difference:
    """The lift (T − C) / |C| of two independent means with the variances *of the means*: dividing by |C| keeps an increase positive.

    `fieller` (Fieller 1954) solves (T − ρC)² = t² (v_T + ρ² v_C) for ρ = T / C; `delta` has Var = v_T/C² + T² v_C/C⁴.
    Raises Refused where C is within 3 standard errors of 0, Fieller's set is unbounded, or neither mean varies.
    """
    if abs(control) <= NEAR_ZERO * math.sqrt(control_variance):
        raise Refused(f"the control mean {control:.4g} is within {NEAR_ZERO:g} standard errors of 0: a lift relative to it means nothing")
    # In units of |C|, which keeps the squares of large and small means in range.
    size, sign = abs(control), math.copysign(1.0, control)
    t, v_t, v_c = sign * treatment / size, treatment_variance / size / size, control_variance / size / size
    estimate, se = sign * (t - 1.0), math.sqrt(v_t + t * t * v_c)
    ratio = 1.0 + sign * margin  # the T / C at which the lift is the margin
    spread = math.sqrt(v_t + ratio * ratio * v_c)
    if se == 0.0 or spread == 0.0:
        raise Refused(NO_SPREAD)
    if method == "delta":
        return t_test(estimate, se, df, margin, alternative, alpha)
    statistic = sign * (t - ratio) / spread
    low, high = _fieller(t, v_t, v_c, float(special.stdtrit(df, 1.0 - _tail(alternative, alpha))))
    low, high = sorted((sign * (low - 1.0), sign * (high - 1.0)))
    return _checked(estimate, se, statistic, df, alternative, low, high)


def interval(sample: Summary, alpha: float = 0.05) -> tuple[float, float]:
    """The two-sided t interval of one mean at confidence 1 − alpha. Raises Refused with fewer than 2 units, or without spread."""
    se = math.sqrt(sample.variance / sample.n)
    if se == 0.0:
        raise Refused("the values do not vary: there is no interval")
    reach = float(special.stdtrit(sample.n - 1.0, 1.0 - alpha / 2.0)) * se
    return sample.mean - reach, sample.mean + reach


def t_test(
    estimate: float, se: float, df: float, margin: float = 0.0, alternative: Alternative = "greater", alpha: float = 0.05
) -> Difference:
    """The t test of an estimate with a standard error; `df` = inf is the z test. Raises Refused without spread or out of range."""
    if se == 0.0:
        raise Refused(NO_SPREAD)
    reach = float(special.stdtrit(df, 1.0 - _tail(alternative, alpha))) * se
    return _checked(estimate, se, (estimate - margin) / se, df, alternative, estimate - reach, estimate + reach)


def tail_probability(statistic: float, df: float, alternative: Alternative) -> float:
    """The p value of a t statistic; `df` = inf is the normal distribution."""
    if alternative == "two-sided":
        return 2.0 * float(special.stdtr(df, -abs(statistic)))
    return float(special.stdtr(df, -statistic if alternative == "greater" else statistic))


def _tail(alternative: Alternative, alpha: float) -> float:
    return alpha / 2.0 if alternative == "two-sided" else alpha


def _welch_df(v_t: float, n_t: int, v_c: float, n_c: int) -> float:
    """Welch-Satterthwaite; written in the share of the variance so that no square overflows."""
    if v_t + v_c == 0.0:
        return math.inf
    share = v_t / (v_t + v_c)
    return 1.0 / (share**2 / (n_t - 1) + (1.0 - share) ** 2 / (n_c - 1))


def _fieller(t: float, v_t: float, v_c: float, quantile: float) -> tuple[float, float]:
    """The roots in ρ of (t − ρ)² = q² (v_t + ρ² v_c), where control's mean is 1."""
    q2 = quantile * quantile
    lead = 1.0 - q2 * v_c
    if lead <= 0.0:
        raise Refused("the control mean is too uncertain: every lift is possible at this confidence")
    root = math.sqrt(q2 * (v_t * lead + t * t * v_c))
    return (t - root) / lead, (t + root) / lead


def _checked(estimate: float, se: float, statistic: float, df: float, alternative: Alternative, lower: float, upper: float) -> Difference:
    figures = (estimate, se, statistic, lower, upper)
    if not all(map(math.isfinite, figures)):
        raise Refused("the figures are beyond the range of floating point")
    return Difference(
        estimate,
        se,
        statistic,
        df if math.isfinite(df) else None,
        tail_probability(statistic, df, alternative),
        None if alternative == "less" else float(lower),
        None if alternative == "greater" else float(upper),
    )
