"""Comparing arms whose shares a bandit moves with what it has seen: the means of such arms are biased, and Welch's test is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from core.errors import Invalid, Refused
from experiments.methods.means import Alternative, Difference, t_test
from experiments.methods.off_policy import Value, check_probabilities
from experiments.methods.summary import ROUNDING, FloatArray


class Play(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One unit: the arm that it got, what it brought, and of each arm the probability that it had and the reward expected.

    Both `propensity` and `estimate` are of before the unit: they may depend on earlier units only.
    """

    reward: float
    arm: str
    propensity: dict[str, float]
    estimate: dict[str, float]


class Adaptive(msgspec.Struct, frozen=True):
    """The contrast treatment − control, and each arm's mean reward; None for another arm whose mean cannot be told."""

    contrast: Difference
    arms: dict[str, Value | None]


class Score(NamedTuple):
    """What units add to S and V; arrays of one shape."""

    s: FloatArray
    v: FloatArray


class _Weighted(NamedTuple):
    """An arm's estimate Q̂, and per unit h (Γ − Q̂) / Σh, whose squares sum to its variance."""

    estimate: float
    errors: FloatArray


def score(reward: ArrayLike, treated: ArrayLike, propensity: ArrayLike, expected: ArrayLike, margin: float = 0.0) -> Score:
    """(A − e)(Y − m̂) of each unit, and its square: their sums S and V make the statistic S/√V. Arrays broadcast.

    `treated` is 1 or true for treatment and 0 for control, `propensity` the probability e of treatment that the unit had,
    `expected` the reward m̂ expected from *earlier units only*: any such guess keeps the test valid, the best has least variance.
    Where the mean rewards differ by `margin`, S is a martingale however e was chosen, and V its quadratic variation, so that
    S/√V with the clock of V goes into the always-valid test: S is to V as Σ h (Δ̂ − margin) is to Σ h² se² with h = Σ e(1 − e).
    The score of Robinson 1988 in the martingale setting of Waudby-Smith et al. 2021.
    """
    y, a = np.asarray(reward, dtype=np.float64), np.asarray(treated, dtype=np.float64)
    s: FloatArray = (a - np.asarray(propensity)) * (y - margin * a - np.asarray(expected))
    return Score(s, s * s)


def adaptive(rows: Sequence[Play], control: str, treatment: str, *, alternative: Alternative = "greater", alpha: float = 0.05) -> Adaptive:
    """The z test of treatment's mean reward minus control's, at a time fixed beforehand, from `rows` in order of time.

    Γ_t(w) = m̂_t(w) + 1{A_t = w} (Y_t − m̂_t(w)) / e_t(w), Q̂(w) = Σ hΓ / Σh with h_t = √e_t(w), and the contrast's variance is
    Σ_t [h_t(T)(Γ_t(T) − Q̂(T)) / Σh(T) − h_t(C)(Γ_t(C) − Q̂(C)) / Σh(C)]²: Hadad, Hirshberg, Zhan, Wager and Athey, "Confidence
    intervals for policy evaluation in adaptive experiments", PNAS 2021, with weights that stabilise the variance.

    Raises Invalid where a row is not what it should be, Refused where either arm was never played or had a propensity of 0,
    or nothing varies.
    """
    if control == treatment:
        raise Invalid(f"treatment: expected another arm than control, got {treatment!r}", field="treatment")
    for index, row in enumerate(rows):
        _check(index, row, (control, treatment))
    of_control, of_treatment = _weighted(rows, control), _weighted(rows, treatment)
    se = _norm(of_treatment.errors - of_control.errors)
    if se <= ROUNDING * max(abs(of_control.estimate), abs(of_treatment.estimate)):
        raise Refused("the rewards are exactly as estimated: a test needs spread")
    contrast = t_test(of_treatment.estimate - of_control.estimate, se, math.inf, 0.0, alternative, alpha)
    others = set().union(*(row.propensity for row in rows)) - {control, treatment}
    arms = {control: _value(of_control), treatment: _value(of_treatment)}
    return Adaptive(contrast, {**arms, **{arm: _other(rows, arm) for arm in sorted(others)}})


def _weighted(rows: Sequence[Play], arm: str) -> _Weighted:
    if not rows:
        raise Refused("there are no rows")
    reward = np.array([row.reward for row in rows])
    e, m = np.array([row.propensity[arm] for row in rows]), np.array([row.estimate[arm] for row in rows])
    played = np.array([row.arm == arm for row in rows])
    if not e.all():
        raise Refused(f"not identifiable: rows[{int((e == 0.0).argmax())}] could not get the arm {arm!r}, its propensity is 0")
    if not played.any():
        raise Refused(f"the arm {arm!r} was never played")
    h = np.sqrt(e)
    with np.errstate(over="ignore", invalid="ignore"):
        gamma = m + played * (reward - m) / e
        estimate = float((h * gamma).sum() / h.sum())
        errors = h * (gamma - estimate) / h.sum()
    if not (math.isfinite(estimate) and np.isfinite(errors).all()):
        raise Refused("the figures are beyond the range of floating point")
    return _Weighted(estimate, errors)


def _value(found: _Weighted) -> Value:
    return Value(found.estimate, _norm(found.errors))


def _other(rows: Sequence[Play], arm: str) -> Value | None:
    """An arm that is not compared: it may have come later, been switched off, or never been played."""
    if not all(arm in row.propensity and arm in row.estimate for row in rows):
        return None
    try:
        return _value(_weighted(rows, arm))
    except Refused:
        return None


def _norm(errors: FloatArray) -> float:
    """√Σ errors², without the overflow of squares."""
    largest = float(np.abs(errors).max())
    return largest * math.sqrt(float(((errors / largest) ** 2).sum())) if largest > 0.0 else 0.0


def _check(index: int, row: Play, arms: Sequence[str]) -> None:
    at = f"rows[{index}]"
    check_probabilities(f"{at}.propensity", row.propensity)
    for name, by_arm in (("propensity", row.propensity), ("estimate", row.estimate)):
        if missing := [arm for arm in arms if arm not in by_arm]:
            raise Invalid(f"{at}.{name}: expected a number for the arm {missing[0]!r}", field=f"{at}.{name}")
    if row.propensity.get(row.arm, 0.0) == 0.0:
        raise Refused(f"not identifiable: {at} got the arm {row.arm!r}, whose propensity was 0")
    for name, numbers in (("reward", [row.reward]), ("estimate", list(row.estimate.values()))):
        if not np.isfinite(numbers).all():
            raise Invalid(f"{at}.{name}: expected finite numbers", field=f"{at}.{name}")
