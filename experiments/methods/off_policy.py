"""What another policy would have earned, from rows that were logged with the probability of what was done."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from core.errors import Invalid, Refused
from experiments.methods import summary
from experiments.methods.summary import FloatArray

FOLDS = 5
"""Parts for cross-fitting; row i is in part i modulo this, so that the same log gives the same figures."""

MEAN_WEIGHT_REACH = 3.0
"""Weights have mean 1 where the propensities are right; further from 1 than this many standard errors, they are not."""

ROUNDED = 1e-3
"""Probabilities written with three digits may miss a sum of 1 by this much."""

OUT_OF_RANGE = "the figures are beyond the range of floating point"


class Logged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row: what was done with which probability, what it brought, and what the target policy would do here.

    `target` has the target's probability of each action, `estimate` the reward that a model, fitted without this row, expects
    of each action that the target may take.
    """

    reward: float
    action: str
    propensity: float
    target: dict[str, float]
    estimate: dict[str, float] | None = None


class Value(msgspec.Struct, frozen=True):
    """An estimate with its standard error, in units of the reward."""

    estimate: float
    se: float


class OffPolicy(msgspec.Struct, frozen=True):
    """The target's mean reward in three ways, the effective sample size and the mean weight."""

    ips: Value
    snips: Value
    dr: Value
    ess: float
    mean_weight: float


def off_policy(rows: Sequence[Logged], *, minimum_ess: float = 100.0) -> OffPolicy:
    """The mean reward of the target policy, with w = π(a|x)/p for the action a that was done with propensity p.

    IPS is mean(w r) (Horvitz and Thompson 1952), SNIPS Σwr/Σw with the standard error of a ratio (Swaminathan and Joachims
    2015), DR mean(Σ_a π q̂(a) + w (r − q̂)) (Dudík, Langford and Li 2011); the effective sample size is (Σw)²/Σw² (Kong 1992).
    Rows are independent. Without estimates of its own q̂ is the mean reward of the action, cross-fitted in 5 parts.

    Raises Invalid where a row is not what it should be, and Refused as "not identifiable" where the log cannot tell: a
    propensity of 0, a target that may do what the log never did or could not do, an effective sample size below
    `minimum_ess`, a mean weight further than 3 standard errors from 1.
    """
    for index, row in enumerate(rows):
        _check(index, row)
    _overlap(rows)
    weights = _weights(rows, minimum_ess)
    reward = np.array([row.reward for row in rows])
    direct, expected = _outcomes(rows)
    mean = float(weights.mean())
    with np.errstate(over="ignore", invalid="ignore"):
        ips = _value(weights * reward)
        ratio = float((weights * reward).sum() / weights.sum())
        spread = _value(weights * (reward - ratio))
        dr = _value(direct + weights * (reward - expected))
    return OffPolicy(ips, Value(ratio, spread.se / mean), dr, effective_size(weights), mean)


def effective_size(weights: FloatArray) -> float:
    """(Σw)²/Σw² (Kong 1992): as many equally weighted rows would be as precise; 0 where all weights are 0."""
    largest = weights.max(initial=0.0)
    if largest == 0.0:
        return 0.0
    share = weights / largest  # whose squares do not overflow
    return float(share.sum() ** 2 / (share * share).sum())


def check_probabilities(name: str, probabilities: Mapping[str, float]) -> None:
    """Raises Invalid, naming the field, unless all are from 0 to 1 and sum to 1, give or take rounding to three digits."""
    total = math.fsum(probabilities.values()) if all(0.0 <= p <= 1.0 for p in probabilities.values()) else math.nan
    if not abs(total - 1.0) <= ROUNDED:
        raise Invalid(f"{name}: expected probabilities that sum to 1, got {dict(probabilities)}", field=name)


def _check(index: int, row: Logged) -> None:
    at = f"rows[{index}]"
    if not 0.0 <= row.propensity <= 1.0:
        raise Invalid(f"{at}.propensity: expected a probability, got {row.propensity}", field=f"{at}.propensity")
    check_probabilities(f"{at}.target", row.target)
    for name, number in (("reward", row.reward), *(("estimate", q) for q in (row.estimate or {}).values())):
        if not math.isfinite(number):
            raise Invalid(f"{at}.{name}: expected a finite number, got {number}", field=f"{at}.{name}")


def _overlap(rows: Sequence[Logged]) -> None:
    """What the target may do, the log must have been able to do, in every row: else nothing is known of it there."""
    taken = {row.action for row in rows}
    for index, row in enumerate(rows):
        if row.propensity == 0.0:
            raise Refused(f"not identifiable: rows[{index}] has a propensity of 0, but was logged")
        for action, probability in row.target.items():
            if probability > 0.0 and action not in taken:
                raise Refused(f"not identifiable: the target may do {action!r}, which the log never did")
            if probability > 0.0 and action != row.action and row.propensity == 1.0:
                raise Refused(
                    f"not identifiable: in rows[{index}] the target may do {action!r}, where the log could do {row.action!r} only"
                )


def _weights(rows: Sequence[Logged], minimum_ess: float) -> FloatArray:
    with np.errstate(over="ignore"):
        weights: FloatArray = np.array([row.target.get(row.action, 0.0) for row in rows]) / np.array([row.propensity for row in rows])
    if not np.isfinite(weights).all():
        raise Refused(OUT_OF_RANGE)
    ess = effective_size(weights)
    if ess < minimum_ess:
        raise Refused(f"not identifiable: the weights leave an effective sample size of {ess:.4g}, below the minimum of {minimum_ess:g}")
    found = _value(weights)
    if abs(found.estimate - 1.0) > MEAN_WEIGHT_REACH * found.se + 1e-9:  # which rounding may make of 1
        raise Refused(
            f"not identifiable: the mean weight is {found.estimate:.4g}, further than {MEAN_WEIGHT_REACH:g} standard errors from 1:"
            " the logged propensities are wrong, or the target does what the log could not"
        )
    return weights


def _value(terms: FloatArray) -> Value:
    """The mean and sd/√n; raises Refused with fewer than 2 rows or out of range."""
    if not np.isfinite(terms).all():
        raise Refused(OUT_OF_RANGE)
    found = summary.of(terms)
    return Value(found.mean, math.sqrt(found.variance / found.n))


def _outcomes(rows: Sequence[Logged]) -> tuple[FloatArray, FloatArray]:
    """Per row Σ_a π(a) q̂(a), and q̂ of what was done (0 where the target would not do it: its weight is 0)."""
    given = [row.estimate is not None for row in rows]
    if any(given) and not all(given):
        raise Invalid(f"rows[{given.index(False)}].estimate: expected in all rows or in none", field="rows")
    models = [row.estimate or {} for row in rows] if any(given) else _cross_fitted(rows)
    for index, (row, model) in enumerate(zip(rows, models, strict=True)):
        if missing := [action for action, probability in row.target.items() if probability > 0.0 and action not in model]:
            raise Invalid(f"rows[{index}].estimate: expected a number for {missing[0]!r}, which the target may do", field="rows")
    pairs = list(zip(rows, models, strict=True))
    direct = np.array([sum(p * model[action] for action, p in row.target.items() if p > 0.0) for row, model in pairs])
    return direct, np.array([model.get(row.action, 0.0) for row, model in pairs])


def _cross_fitted(rows: Sequence[Logged]) -> list[Mapping[str, float]]:
    """For each row the mean reward of each action in the other parts of the log; of all actions, where they lack it."""
    actions = {row.action for row in rows}
    fitted = [_means([row for index, row in enumerate(rows) if index % FOLDS != fold], actions) for fold in range(FOLDS)]
    return [fitted[index % FOLDS] for index in range(len(rows))]


def _means(rows: Sequence[Logged], actions: set[str]) -> Mapping[str, float]:
    rewards: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        rewards[row.action].append(row.reward)
    overall = sum(row.reward for row in rows) / max(1, len(rows))
    return {action: sum(rewards[action]) / len(rewards[action]) if rewards[action] else overall for action in actions}
