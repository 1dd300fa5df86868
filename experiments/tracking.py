"""What one look adds to the evidence about one treatment on one metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from scipy import special

from experiments import estimators
from experiments.design import Design
from experiments.effect import FEWEST_HARM, effect, floor
from experiments.evidence import Frozen, Interim, Side, Track
from experiments.methods import always_valid, conversions, group_sequential
from experiments.methods.means import tail_probability
from experiments.methods.strata import Overlap, Strata, overlap
from experiments.metric import Metric
from experiments.snapshot import CONTROL, Snapshot

FEWEST_SUCCESS = 500
"""Matured units per arm before success is decided: with skewed values in small arms the normal approximation is not there yet."""

FEWEST_HARM_LIN = 100
"""Matured units per arm before a regression of each arm shows harm: two coefficients are fitted to the smaller one as well."""

FEWEST_CONVERSIONS = 50
"""Converting units of both arms together, below which a binary metric is judged by the exact test: there is no normal approximation yet."""


EXACT_SHARE = 0.1
"""Of α, what the exact test may spend where it decides at a look; the normal one then has the rest, so that both in turn keep α."""


class Exact(NamedTuple):
    """The exact test of a binary metric: converting units of treatment and control, log evidence that treatment is better and worse."""

    treatment: int
    control: int
    better: float
    worse: float

    @property
    def decides(self) -> bool:
        """Whether too few have converted for the normal test."""
        return self.treatment + self.control < FEWEST_CONVERSIONS


class Now(NamedTuple):
    """The figures of one comparison at one look: `u`, `h` in the direction of the improvement, `v` the clock, `x` its planned share."""

    u: float
    h: float
    v: float
    x: float
    floor: float
    units: int

    @property
    def z(self) -> float:
        """The statistic of the improvement against the floor."""
        return (self.u - self.floor * self.h) / math.sqrt(self.v)


def strata_of(snapshot: Snapshot, treatment: str, metric: Metric) -> Strata:
    """The comparison of a treatment with control inside each phase."""
    return estimators.strata(metric, snapshot.joints(CONTROL, metric.name), snapshot.joints(treatment, metric.name))


def units_of(snapshot: Snapshot, strata: Strata, arm: str, metric: str) -> int:
    """The arm's matured units in the phases that the comparison uses."""
    return sum(joint.n for joint, weight in zip(snapshot.joints(arm, metric), strata.weight, strict=True) if weight > 0.0)


def exact(snapshot: Snapshot, treatment: str, metric: Metric) -> Exact | None:
    """The exact test over all phases; None where the metric is not binary, has a margin, or nobody has converted."""
    if metric.kind != "binary" or metric.role == "guardrail":
        return None
    rows = _conversions(snapshot, treatment, metric.name)
    of_t, of_c = sum(row[0] for row in rows), sum(row[1] for row in rows)
    if of_t + of_c == 0:
        return None
    more = math.fsum(float(conversions.log_evidence(t, c, share)) for t, c, share in rows)
    fewer = math.fsum(float(conversions.log_evidence(c, t, 1.0 - share)) for t, c, share in rows)
    return Exact(of_t, of_c, more, fewer) if metric.direction == "increase" else Exact(of_t, of_c, fewer, more)


def track(
    design: Design,
    snapshot: Snapshot,
    known: Track,
    frozen: Mapping[str, Frozen],
    maxima: Mapping[str, Frozen],
    treatment: str,
    metric: Metric,
    horizon: bool,
) -> Track:
    """The track after this look; unchanged where the metric cannot be tested yet, or its figures are out of range.

    `frozen` and `maxima` are the evidence's; `horizon`: whether the horizon has been reached.
    """
    strata = strata_of(snapshot, treatment, metric)
    units = min(units_of(snapshot, strata, arm, metric.name) for arm in (CONTROL, treatment))
    now = _now(design, known, frozen, metric, overlap(strata), units)
    counted = exact(snapshot, treatment, metric)
    at_any_time = design.sequence == "always-valid" or metric.role != "success"
    if counted is not None and (now is None or counted.decides):
        better = _exactly(known.better, counted.better, units, FEWEST_SUCCESS)
        worse = _exactly(known.worse, counted.worse, units, FEWEST_HARM)
        v = known.v if now is None else now.v
        return Track(v, better if at_any_time else known.better, worse, known.interims, known.limit)
    if now is None:
        return known
    c = always_valid.tuning(design.alpha)
    fewest = FEWEST_HARM_LIN if metric.estimator == "lin" else FEWEST_HARM
    worse = _normally(known.worse, float(always_valid.log_evidence(-now.z, now.x, c)), units, fewest)
    if at_any_time:
        better = _normally(known.better, float(always_valid.log_evidence(now.z, now.x, c)), units, FEWEST_SUCCESS)
        return Track(now.v, better, worse)
    after = Track(now.v, known.better, worse, known.interims, known.limit)
    if design.sequence == "fixed-horizon":
        return _at_the_horizon(design, after, now, metric.sign, horizon)
    planned = effect(design, metric, maxima)
    if planned is None:
        return after
    gathered = (
        float(always_valid.clock(now.v, maxima[metric.name].variance, planned, design.alpha, design.planned_power)) / design.planned_samples
    )
    return _interim(design, after, now, metric.sign, Interim(1.0 if horizon else min(1.0, gathered), now.z, gathered))


def _now(design: Design, known: Track, frozen: Mapping[str, Frozen], metric: Metric, sums: Overlap, units: int) -> Now | None:
    matters = effect(design, metric, frozen)
    v = max(known.v, float(sums.v))
    if matters is None or not (0.0 < v < math.inf and np.isfinite(sums.u)):
        return None
    x = float(always_valid.clock(v, frozen[metric.name].variance, matters, design.alpha, design.planned_power))
    if not 0.0 < x < math.inf:  # a difference that matters so little, or so much, that no clock can be set by it
        return None
    return Now(metric.sign * float(sums.u), float(sums.h), v, x, floor(metric, matters), units)


def _interim(design: Design, known: Track, now: Now, sign: float, interim: Interim) -> Track:
    """The group-sequential test: a look counts once the next of the equal steps of the maximum is gathered, or all of it.

    How much has been is a matter of V alone, which says nothing about the difference, so the spending of α holds (Lan and DeMets 1983).
    """
    last = known.interims[-1] if known.interims else Interim(0.0, 0.0, 0.0)
    step = 1.0 / design.interim_looks
    beyond = interim.fraction == 1.0 or math.floor(interim.fraction / step) > math.floor(last.fraction / step)
    due = beyond and interim.fraction > last.fraction and interim.information > last.information
    if not due or now.units < FEWEST_SUCCESS or not all(map(math.isfinite, interim)):
        return known
    interims = [*known.interims, interim]
    information = [each.information for each in interims]
    p = group_sequential.p_value([(each.fraction, each.z) for each in interims], design.spending, design.phi, information)
    spent = [each.fraction for each in interims]
    bound = group_sequential.bounds(design.alpha, spent, design.spending, design.phi, information)[-1]
    limit = None if bound is None else sign * (now.u - bound * math.sqrt(now.v)) / now.h
    return Track(now.v, _raised(known.better, -math.log(p), now.units, FEWEST_SUCCESS), known.worse, interims, limit)


def _at_the_horizon(design: Design, known: Track, now: Now, sign: float, horizon: bool) -> Track:
    """The fixed-horizon test: once, at the first look at or after the horizon."""
    if not horizon or known.interims or now.units < FEWEST_SUCCESS or not math.isfinite(now.z):
        return known
    p = max(tail_probability(now.z, math.inf, "greater"), group_sequential.SMALLEST)
    reach = float(special.ndtri(1.0 - design.alpha)) * math.sqrt(now.v)
    better = _raised(known.better, -math.log(p), now.units, FEWEST_SUCCESS)
    return Track(now.v, better, known.worse, [Interim(1.0, now.z, 1.0)], sign * (now.u - reach) / now.h)


def _raised(side: Side, log_evidence: float, units: int, fewest: int) -> Side:
    """Evidence before there are units enough is not kept: it would be latched once there are."""
    if units < fewest or not math.isfinite(log_evidence):
        return side
    return replace(side, log_evidence=max(0.0 if side.log_evidence is None else side.log_evidence, log_evidence))


def _exactly(side: Side, log_evidence: float, units: int, fewest: int) -> Side:
    """With its share of α (Bonferroni)."""
    after = _raised(side, log_evidence + math.log(EXACT_SHARE), units, fewest)
    return after if after is side else replace(after, exact=True)


def _normally(side: Side, log_evidence: float, units: int, fewest: int) -> Side:
    """With all of α, or what the exact test has left of it."""
    return _raised(side, log_evidence + (math.log1p(-EXACT_SHARE) if side.exact else 0.0), units, fewest)


def _conversions(snapshot: Snapshot, treatment: str, metric: str) -> list[tuple[int, int, float]]:
    """Converting units of treatment and of control, and treatment's share of the two, in each phase that has both."""
    found = []
    for phase, t, c in zip(snapshot.phases, snapshot.joints(treatment, metric), snapshot.joints(CONTROL, metric), strict=True):
        of_t, of_c = phase.weights.get(treatment, 0.0), phase.weights.get(CONTROL, 0.0)
        if of_t > 0.0 and of_c > 0.0:
            found.append((round(t.n * t.y.mean), round(c.n * c.y.mean), of_t / (of_t + of_c)))
    return found
