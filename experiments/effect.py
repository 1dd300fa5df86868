"""The smallest difference that matters, per metric, in its own units: it sets the clock of the test and guardrails' margins."""

from __future__ import annotations

import math
from collections.abc import Mapping

from core.errors import Refused
from experiments import estimators
from experiments.design import Design
from experiments.evidence import Frozen
from experiments.methods.means import NEAR_ZERO
from experiments.metric import Metric
from experiments.snapshot import CONTROL, Snapshot

FEWEST_HARM = 20
"""Matured units per arm before harm is decided; the blinded variance is frozen at the first look that has them."""


def freeze(design: Design, snapshot: Snapshot, metric: Metric, look: int, fewest: int = FEWEST_HARM) -> Frozen | None:
    """The metric's blinded mean and variance, once control and a treatment have `fewest` matured units and the values vary.

    A relative MDE also waits until the mean is more than 3 standard errors from 0: a share of less would be noise.
    """
    units = {arm: snapshot.matured(arm, metric.name) for arm in snapshot.arms}
    if units[CONTROL] < fewest or max((units[arm] for arm in snapshot.treatments), default=0) < fewest:
        return None
    try:
        pooled = estimators.blinded(metric, snapshot.pooled(metric.name))
        variance = pooled.variance
    except Refused:
        return None
    if variance == 0.0 or (design.relative and abs(pooled.mean) <= NEAR_ZERO * math.sqrt(variance / pooled.n)):
        return None
    return Frozen(pooled.n, pooled.mean, variance, snapshot.at, look)


def effect(design: Design, metric: Metric, frozen: Mapping[str, Frozen]) -> float | None:
    """The difference that matters on this metric, above 0; None until what it needs is frozen, or where it is out of range.

    Success: its own MDE, else the design's. Guardrails: the margin, and without one, like info metrics, the MDE carried over: with a
    relative design the same share of the metric's own mean, else as many of its standard deviations as the MDE is of the first success
    metric's, since the MDE's own units would mean nothing here.
    """
    own = frozen.get(metric.name)
    if own is None:
        return None
    if design.relative:
        return _in_range((metric.mde or metric.margin or design.mde) * abs(own.mean))
    if metric.margin is not None:
        return metric.margin
    if metric.role == "success":
        return metric.mde or design.mde
    first = frozen.get(design.success[0].name)
    return None if first is None else _in_range(design.mde * math.sqrt(own.variance) / math.sqrt(first.variance))


def floor(metric: Metric, effect: float) -> float:
    """The improvement that the tests compare with: below it is harm, above it is success (or, for a guardrail, no harm)."""
    return -effect if metric.role == "guardrail" else 0.0


def _in_range(effect: float) -> float | None:
    return effect if 0.0 < effect < math.inf else None
