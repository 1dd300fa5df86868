"""Looks: the moments at which evidence is taken. A reader makes them on a declared grid of journal time; reports never do."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from experiments.design import Design, Metric
from experiments.effect import FEWEST_HARM, effect, floor, freeze
from experiments.evidence import Crossing, Evidence, Frozen, Ratio, Side, Track
from experiments.methods import always_valid, srm
from experiments.methods.strata import Strata, compare, overlap
from experiments.methods.summary import stack
from experiments.snapshot import CONTROL, Snapshot

FEWEST_SUCCESS = 500
"""Matured units per arm before success is decided: with skewed values in small arms the normal approximation is not there yet."""


def slot(design: Design, started: float, at: float) -> int:
    """The number of the last grid point at or before `at`: `started` + slot × look_every_seconds."""
    return math.floor((at - started) / design.look_every_seconds)


def due(design: Design, started: float, at: float, evidence: Evidence) -> bool:
    """Whether a grid point has passed since the last look. Points missed while no reader ran are not made up for."""
    return slot(design, started, at) > evidence.slot


def look(design: Design, snapshot: Snapshot, evidence: Evidence) -> Evidence:
    """The evidence after a look at this snapshot; the same evidence where no look is due, so a replay changes nothing."""
    if not due(design, snapshot.started, snapshot.at, evidence):
        return evidence
    number = evidence.looks + 1
    frozen = {**evidence.frozen, **_newly_frozen(design, snapshot, evidence.frozen, number)}
    tracks = {
        treatment: {metric.name: _track(design, snapshot, evidence, frozen, treatment, metric) for metric in design.metrics}
        for treatment in snapshot.treatments
    }
    return Evidence(
        looks=number,
        slot=slot(design, snapshot.started, snapshot.at),
        at=snapshot.at,
        frozen=frozen,
        tracks=_latched(design, tracks, snapshot.at, number),
        ratio=_ratio(snapshot, evidence.ratio, number),
    )


def strata_of(snapshot: Snapshot, treatment: str, metric: str) -> Strata:
    """The comparison of a treatment with control inside each phase."""
    return compare(stack(snapshot.summaries(CONTROL, metric)), stack(snapshot.summaries(treatment, metric)))


def units_of(snapshot: Snapshot, strata: Strata, arm: str, metric: str) -> int:
    """The arm's matured units in the phases that the comparison uses."""
    return sum(s.n for s, weight in zip(snapshot.summaries(arm, metric), strata.weight, strict=True) if weight > 0.0)


def rejected(log_evidences: Mapping[tuple[str, str], float], alpha: float) -> set[tuple[str, str]]:
    """Holm's step-down on sequential evidence: the k-th largest of m (from 0) needs M ≥ (m − k)/α (Holm 1979).

    Each M is valid at all times together, so p = 1/M is a p value at any look, and Holm holds for p values of any dependence.
    """
    found: set[tuple[str, str]] = set()
    for k, (key, value) in enumerate(sorted(log_evidences.items(), key=lambda item: -item[1])):
        if value < math.log((len(log_evidences) - k) / alpha):
            break
        found.add(key)
    return found


def _newly_frozen(design: Design, snapshot: Snapshot, known: Mapping[str, Frozen], number: int) -> dict[str, Frozen]:
    found = {metric.name: freeze(design, snapshot, metric.name, number) for metric in design.metrics if metric.name not in known}
    return {name: value for name, value in found.items() if value is not None}


def _track(design: Design, snapshot: Snapshot, evidence: Evidence, frozen: Mapping[str, Frozen], treatment: str, metric: Metric) -> Track:
    """The track after this look; unchanged where the metric cannot be tested yet, or its figures are out of range."""
    track, matters = evidence.track(treatment, metric.name), effect(design, metric, frozen)
    if matters is None:
        return track
    strata = strata_of(snapshot, treatment, metric.name)
    sums = overlap(strata)
    v = max(track.v, float(sums.v))
    if not (0.0 < v < math.inf and np.isfinite(sums.u)):
        return track
    x = always_valid.clock(v, frozen[metric.name].variance, matters, design.alpha, design.power)
    z = (metric.sign * float(sums.u) - floor(metric, matters) * float(sums.h)) / math.sqrt(v)
    c = always_valid.tuning(design.alpha)
    units = min(units_of(snapshot, strata, arm, metric.name) for arm in (CONTROL, treatment))
    return Track(
        v,
        _raised(track.better, float(always_valid.log_evidence(z, x, c)), units >= FEWEST_SUCCESS),
        _raised(track.worse, float(always_valid.log_evidence(-z, x, c)), units >= FEWEST_HARM),
    )


def _raised(side: Side, log_evidence: float, counts: bool) -> Side:
    """Evidence before there are units enough is not kept: it would be latched once there are."""
    if not counts or not math.isfinite(log_evidence):
        return side
    return Side(max(0.0 if side.log_evidence is None else side.log_evidence, log_evidence), side.crossed)


def _latched(design: Design, tracks: dict[str, dict[str, Track]], at: float, number: int) -> dict[str, dict[str, Track]]:
    """The tracks with the crossings of this look: success metrics by Holm over metrics × arms, all else at 1/α."""
    success = {metric.name for metric in design.success}
    family = {(arm, name): track.better.log_evidence or 0.0 for arm, by in tracks.items() for name, track in by.items() if name in success}
    shown = rejected(family, design.alpha)

    def latch(side: Side, reached: bool) -> Side:
        if side.crossed is not None or not reached or side.log_evidence is None:
            return side
        return Side(side.log_evidence, Crossing(at, number, side.log_evidence))

    def beyond(side: Side) -> bool:
        return side.log_evidence is not None and side.log_evidence >= -math.log(design.alpha)

    return {
        arm: {
            name: Track(
                track.v,
                latch(track.better, (arm, name) in shown if name in success else beyond(track.better)),
                latch(track.worse, beyond(track.worse)),
            )
            for name, track in by.items()
        }
        for arm, by in tracks.items()
    }


def _ratio(snapshot: Snapshot, seen: Ratio, number: int) -> Ratio:
    phases = dict(seen.phases)
    for phase in snapshot.phases:
        entered = {arm: counts.entered for arm, counts in phase.arms.items()}
        phases[phase.number] = srm.update(phases.get(phase.number, srm.Balance()), entered, phase.weights)
    total = srm.total_evidence(phases)
    alarm = seen.alarm
    if alarm is None and total >= -math.log(srm.ALARM):
        alarm = Crossing(snapshot.at, number, total)
    return Ratio(phases, max(0.0 if seen.log_evidence is None else seen.log_evidence, total), alarm)
