"""What a reader makes of the looks: the evidence of the product's tests, for many experiments at once.

`clocked` is `effect.freeze` and `tracking.track` on arrays, with one success metric to be increased and one treatment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from experiments.design import Design
from experiments.effect import FEWEST_HARM
from experiments.methods import always_valid, conversions
from experiments.methods.means import NEAR_ZERO
from experiments.methods.strata import Overlap, compare, overlap
from experiments.methods.summary import FloatArray, Moments
from experiments.simulation.generators import IntArray
from experiments.simulation.traffic import Look
from experiments.tracking import EXACT_SHARE, FEWEST_CONVERSIONS, FEWEST_SUCCESS

BoolArray = NDArray[np.bool_]


class Tick(NamedTuple):
    """One look at all experiments: `z` the statistic and `x` the clock, NaN where there is no test yet; `units` of the smaller arm.

    `gathered` is V in planned samples as the maximum of a group-sequential test is set, NaN before that.
    `better` and `worse` are the log evidence of this look, NaN where it has none; `counted` says where it is of the exact test.
    """

    z: FloatArray
    x: FloatArray
    gathered: FloatArray
    units: FloatArray
    better: FloatArray
    worse: FloatArray
    counted: BoolArray


class Watched(NamedTuple):
    """The look, from 1, at which each experiment was first shown to be better and worse, 0 where never."""

    better: IntArray
    worse: IntArray


class First:
    """The number of the first look at which something held, and 0 where it has not."""

    def __init__(self, experiments: int) -> None:
        self.look: IntArray = np.zeros(experiments, dtype=np.int64)

    def see(self, number: int, holds: BoolArray) -> None:
        self.look[holds & (self.look == 0)] = number


def clocked(design: Design, looks: Iterable[Look], *, guarded: bool = True) -> Iterator[Tick]:
    """The figures look by look: mean and variance frozen blinded, V a running maximum, the exact test while few have converted.

    Not `guarded`: with Welch's standard error alone, for comparison.
    """
    metric = design.success[0]
    c = always_valid.tuning(design.alpha)
    mean = variance = np.full(1, np.nan)
    at_maximum = (mean, variance)
    spent_better = spent_worse = np.zeros(1, dtype=np.bool_)
    v: FloatArray = np.zeros(1)
    for look in looks:
        strata = compare(look.control, look.treatment)
        sums = overlap(strata if guarded else strata._replace(guarded=strata.se2))
        units = _fewest(look, strata.weight > 0.0)
        mean, variance = _frozen(design, look, mean, variance, FEWEST_HARM)
        at_maximum = _frozen(design, look, *at_maximum, FEWEST_SUCCESS)
        v, z, x = _now(design, sums, v, mean, variance)
        better, worse = (np.array(always_valid.log_evidence(side, x, c)) for side in (z, -z))
        counted = np.zeros(units.shape, dtype=np.bool_)
        if metric.kind == "binary":
            converted = (look.control.n * look.control.mean + look.treatment.n * look.treatment.mean).sum(-1)
            counted = (converted > 0.5) & (np.isnan(z) | (converted < FEWEST_CONVERSIONS - 0.5))
            better[counted], worse[counted] = exact(look, counted)
        better, spent_better = _shared(kept(better, units, FEWEST_SUCCESS), counted, spent_better)
        worse, spent_worse = _shared(kept(worse, units, FEWEST_HARM), counted, spent_worse)
        yield Tick(z, x, _gathered(design, v, at_maximum), units, better, worse, counted)


def always(design: Design, ticks: Iterable[Tick]) -> Watched:
    """The always-valid test in both directions: shown from the look on at which M ≥ 1/α."""
    firsts: tuple[First, First] | None = None
    for number, tick in enumerate(ticks, start=1):
        firsts = firsts or (First(tick.units.size), First(tick.units.size))
        for first, evidence in zip(firsts, (tick.better, tick.worse), strict=True):
            first.see(number, evidence >= -math.log(design.alpha))
    if firsts is None:
        raise ValueError("no looks were made")
    return Watched(firsts[0].look, firsts[1].look)


def naive(alpha: float, looks: Iterable[Look]) -> IntArray:
    """The first look at which a one-sided test that knows nothing of the other looks rejects, from 500 units an arm on; 0 where none.

    In the last phase that has begun, with Welch's standard error.
    """
    critical, first = float(special.ndtri(1.0 - alpha)), None
    for number, look in enumerate(looks, start=1):
        strata = compare(look.control, look.treatment)
        last = int(np.flatnonzero((strata.weight > 0.0).any(0))[-1:].sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            z = strata.estimate[:, last] / np.sqrt(strata.se2[:, last])
        first = first or First(z.size)
        first.see(number, (_fewest(look, strata.weight > 0.0) >= FEWEST_SUCCESS) & (z > critical))
    if first is None:
        raise ValueError("no looks were made")
    return first.look


def exact(look: Look, of: BoolArray) -> tuple[FloatArray, FloatArray]:
    """The log evidence of more and of fewer conversions in treatment by the exact test, over phases, of the chosen experiments."""
    s, f = (np.rint(arm.n[of] * arm.mean[of]) for arm in (look.treatment, look.control))
    return conversions.log_evidence(s, f, look.shares).sum(-1), conversions.log_evidence(f, s, 1.0 - look.shares).sum(-1)


def pooled(*arms: Moments) -> Moments:
    """All phases of all these arms as one sample, of shape (experiments,)."""
    n = np.concatenate([arm.n for arm in arms], -1)
    means, variances = (np.concatenate([column[i] for column in arms], -1) for i in (1, 2))
    total = n.sum(-1)
    mean = (n * means).sum(-1) / np.maximum(total, 1.0)
    m2 = (np.maximum(n - 1.0, 0.0) * variances + n * (means - mean[:, None]) ** 2).sum(-1)
    return Moments(total, mean, m2 / np.maximum(total - 1.0, 1.0))


def _shared(evidence: FloatArray, counted: BoolArray, spent: BoolArray) -> tuple[FloatArray, BoolArray]:
    """With each test's share of α: the exact one's, the rest after it was used, all where it never was; and where it has been used."""
    spent = spent | (counted & ~np.isnan(evidence))
    rest = np.where(spent, math.log1p(-EXACT_SHARE), 0.0)
    return evidence + np.where(counted, math.log(EXACT_SHARE), rest), spent


def _gathered(design: Design, v: FloatArray, frozen: tuple[FloatArray, FloatArray]) -> FloatArray:
    """V in planned samples, as the maximum of a group-sequential test is set; NaN before that."""
    mean, variance = frozen
    effect = design.mde * np.abs(mean) if design.relative else np.full(mean.shape, design.mde)
    return np.asarray(always_valid.clock(v, variance, effect, design.alpha, design.power))


def _frozen(design: Design, look: Look, mean: FloatArray, variance: FloatArray, fewest: int) -> tuple[FloatArray, FloatArray]:
    if not np.isnan(mean).any():
        return mean, variance
    both = pooled(look.control, look.treatment)
    ready = (np.minimum(look.control.n.sum(-1), look.treatment.n.sum(-1)) >= fewest) & (both.variance > 0.0)
    if design.relative:
        ready &= np.abs(both.mean) > NEAR_ZERO * np.sqrt(both.variance / np.maximum(both.n, 1.0))
    new = np.isnan(mean) & ready
    return np.where(new, both.mean, mean), np.where(new, both.variance, variance)


def _now(design: Design, sums: Overlap, v: FloatArray, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """V, z and x; V stays, and the others are NaN, where nothing is frozen or nothing varies."""
    highest = np.maximum(v, sums.v)
    ready = ~np.isnan(mean) & (highest > 0.0)
    safe = np.where(ready, highest, 1.0)
    effect = design.mde * np.abs(mean) if design.relative else np.full(mean.shape, design.mde)
    x = np.asarray(always_valid.clock(safe, variance, effect, design.alpha, design.power))
    z = sums.u / np.sqrt(safe)
    return np.where(ready, highest, v), np.where(ready, z, np.nan), np.where(ready, x, np.nan)


def kept(evidence: FloatArray, units: FloatArray, fewest: int) -> FloatArray:
    """The evidence, NaN where there are too few units or the figures are out of range."""
    return np.where((units >= fewest) & np.isfinite(evidence), evidence, np.nan)


def _fewest(look: Look, used: BoolArray) -> FloatArray:
    """The units of the smaller arm, in phases that have both."""
    return np.asarray(np.minimum(look.control.n.sum(-1, where=used), look.treatment.n.sum(-1, where=used)))
