"""One difference out of several phases, never by pooling.

When a ramp coincides with a falling base rate, the pooled means differ significantly in the wrong direction (Simpson's
paradox). So the arms are compared inside each phase, and only the differences are put together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy import special

from core.errors import Refused
from experiments.methods.means import Alternative, Difference, t_test
from experiments.methods.summary import FloatArray, Moments, Summary, stack


class Strata(NamedTuple):
    """The comparison inside each phase: arrays whose last axis is the phase.

    `weight` is h = n_T n_C / (n_T + n_C), and 0 where an arm has fewer than 2 units: such a phase is in nothing below.
    `se2` is Welch's squared standard error; `guarded` the larger of it and the pooled-variance one, which keeps the
    error rate of small and very unequal arms.
    """

    units: FloatArray
    weight: FloatArray
    estimate: FloatArray
    se2: FloatArray
    guarded: FloatArray


class Overlap(NamedTuple):
    """What the sequential test runs on: `h` = Σ h_s, `u` = Σ h_s Δ_s, `v` = Σ h_s² se_s² with the guarded se."""

    h: FloatArray
    u: FloatArray
    v: FloatArray


class Heterogeneity(msgspec.Struct, frozen=True):
    """Cochran's Q: whether the phases differ by more than chance."""

    statistic: float
    df: int
    p_value: float


def compare(control: Moments, treatment: Moments) -> Strata:
    """The difference treatment − control inside each phase; shapes broadcast."""
    n_c, n_t = control.n, treatment.n
    usable = (n_c >= 2) & (n_t >= 2)
    n_c, n_t = np.where(usable, n_c, 2.0), np.where(usable, n_t, 2.0)
    with np.errstate(over="ignore", invalid="ignore"):
        se2 = treatment.variance / n_t + control.variance / n_c
        pooled = ((n_t - 1.0) * treatment.variance + (n_c - 1.0) * control.variance) / (n_t + n_c - 2.0)
        guarded = np.maximum(se2, pooled * (1.0 / n_t + 1.0 / n_c))
        estimate = (treatment.mean - control.mean) + (treatment.rest - control.rest)
    return Strata(
        np.where(usable, n_t + n_c, 0.0),
        np.where(usable, n_t * n_c / (n_t + n_c), 0.0),
        np.where(usable, estimate, 0.0),
        np.where(usable, se2, 0.0),
        np.where(usable, guarded, 0.0),
    )


def overlap(strata: Strata) -> Overlap:
    """The sums over phases, with the weights that inform most where both arms overlap; may be infinite where values are huge."""
    h = strata.weight
    with np.errstate(over="ignore", invalid="ignore"):
        return Overlap(h.sum(-1), (h * strata.estimate).sum(-1), (h * h * strata.guarded).sum(-1))


def weighted(strata: Strata, weights: FloatArray) -> tuple[float, float]:
    """Estimate and standard error (Welch) of Σ w_s Δ_s / Σ w_s over the phases that have both arms.

    `weights` = `strata.weight` gives the overlap estimate; the units of each phase give the population estimate, what
    the change would have been for all who were there. Raises Refused where no phase has 2 units in both arms.
    """
    w = np.where(strata.weight > 0.0, weights, 0.0)
    total = float(w.sum())
    if total <= 0.0:
        raise Refused("no phase has 2 matured units in both arms")
    w = w / total
    with np.errstate(over="ignore", invalid="ignore"):
        return float((w * strata.estimate).sum()), math.sqrt(float((w * w * strata.se2).sum()))


def stratified(
    control: Sequence[Summary],
    treatment: Sequence[Summary],
    *,
    population: bool = False,
    margin: float = 0.0,
    alternative: Alternative = "greater",
    alpha: float = 0.05,
) -> Difference:
    """The z test of the overlap (or population) estimate from one summary per phase and arm. Raises Refused without spread."""
    strata = compare(stack(control), stack(treatment))
    estimate, se = weighted(strata, strata.units if population else strata.weight)
    return t_test(estimate, se, math.inf, margin, alternative, alpha)


def heterogeneity(strata: Strata) -> Heterogeneity:
    """Q = Σ (Δ_s − Δ̄)² / se_s² with Δ̄ weighted by 1/se_s², χ² with one degree fewer than phases (Cochran 1954).

    Raises Refused with fewer than two phases that have both arms and spread.
    """
    usable = strata.se2 > 0.0
    if usable.sum() < 2:
        raise Refused("fewer than two phases can be compared")
    with np.errstate(all="ignore"):  # what leaves the range is refused
        precision, estimate = 1.0 / strata.se2[usable], strata.estimate[usable]
        centred = estimate - (precision * estimate).sum() / precision.sum()
        q, df = float((precision * centred * centred).sum()), int(usable.sum()) - 1
    if not math.isfinite(q):
        raise Refused("the figures are beyond the range of floating point")
    return Heterogeneity(q, df, float(special.chdtrc(df, q)))
