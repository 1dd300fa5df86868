"""Looks: the moments at which evidence is taken. A reader makes them on a declared grid of journal time; reports never do."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec.structs import replace

from experiments import watches
from experiments.design import Design
from experiments.effect import freeze
from experiments.evidence import Crossing, Evidence, Frozen, Ratio, Side, Track
from experiments.methods import srm
from experiments.snapshot import Snapshot
from experiments.tracking import FEWEST_SUCCESS, track


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
    maxima = {**evidence.maxima, **_new_maxima(design, snapshot, evidence.maxima, number)}
    horizon = design.horizon_seconds is not None and snapshot.at >= snapshot.started + design.horizon_seconds
    tracks = {
        treatment: {
            metric.name: track(design, snapshot, evidence.track(treatment, metric.name), frozen, maxima, treatment, metric, horizon)
            for metric in design.metrics
        }
        for treatment in snapshot.treatments
    }
    return replace(
        evidence,
        looks=number,
        slot=slot(design, snapshot.started, snapshot.at),
        at=snapshot.at,
        frozen=frozen,
        maxima=maxima,
        tracks=_latched(design, tracks, snapshot.at, number),
        ratio=_ratio(snapshot, evidence.ratio, number),
        watches=watches.look(design, snapshot, evidence.watches, number),
    )


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


def reached(log_evidences: Mapping[tuple[str, str], float], weights: Mapping[str, float], alpha: float) -> set[tuple[str, str]]:
    """Weighted Bonferroni on sequential evidence: metric j on each of the arms needs M ≥ 1/(w_j α), with Σ w_j = 1 over metrics × arms."""
    total = math.fsum(weights[metric] for _, metric in log_evidences)
    return {key for key, value in log_evidences.items() if value >= -math.log(weights[key[1]] / total * alpha)}


def _newly_frozen(design: Design, snapshot: Snapshot, known: Mapping[str, Frozen], number: int) -> dict[str, Frozen]:
    found = {metric.name: freeze(design, snapshot, metric, number) for metric in design.metrics if metric.name not in known}
    return {name: value for name, value in found.items() if value is not None}


def _new_maxima(design: Design, snapshot: Snapshot, known: Mapping[str, Frozen], number: int) -> dict[str, Frozen]:
    """What the maximum of a group-sequential test is set by, from as many units on as success is decided."""
    if design.sequence != "group-sequential":
        return {}
    found = {m.name: freeze(design, snapshot, m, number, FEWEST_SUCCESS) for m in design.success if m.name not in known}
    return {name: value for name, value in found.items() if value is not None}


def _latched(design: Design, tracks: dict[str, dict[str, Track]], at: float, number: int) -> dict[str, dict[str, Track]]:
    """The tracks with the crossings of this look: success metrics by Holm over metrics × arms, all else at 1/α."""
    success = {metric.name: metric.weight for metric in design.success}
    family = {(arm, name): track.better.log_evidence or 0.0 for arm, by in tracks.items() for name, track in by.items() if name in success}
    weights = {name: weight for name, weight in success.items() if weight is not None}
    shown = reached(family, weights, design.alpha) if weights else rejected(family, design.alpha)

    def latch(side: Side, reached: bool) -> Side:
        if side.crossed is not None or not reached or side.log_evidence is None:
            return side
        return replace(side, crossed=Crossing(at, number, side.log_evidence))

    def beyond(side: Side) -> bool:
        return side.log_evidence is not None and side.log_evidence >= -math.log(design.alpha)

    return {
        arm: {
            name: replace(
                track,
                better=latch(track.better, (arm, name) in shown if name in success else beyond(track.better)),
                worse=latch(track.worse, beyond(track.worse)),
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
