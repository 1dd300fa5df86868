"""Experiments taken one by one through `looks.look`: slow, and of every kind of metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from core.errors import Refused
from experiments.design import Design
from experiments.evidence import NO_EVIDENCE, Track
from experiments.looks import look
from experiments.methods import joint, quantile
from experiments.methods.joint import NOTHING, Joint, alone
from experiments.methods.summary import Moments, Summary
from experiments.simulation.traffic import Look
from experiments.snapshot import CONTROL, ArmCounts, Phase, Snapshot

TREATMENT = "treatment"

Arm: TypeAlias = Callable[[np.random.Generator, int], Joint]
"""(rng, further units) → the arm's summary with them."""


def watched(design: Design, rng: np.random.Generator, looks: int, units: int, arm: Callable[[], Arm]) -> Track:
    """The track of one experiment without an effect: two such arms, `units` in each more at every look."""
    evidence, sides = NO_EVIDENCE, {CONTROL: arm(), TREATMENT: arm()}
    name = design.success[0].name
    for number in range(1, looks + 1):
        joints = {side: draw(rng, units) for side, draw in sides.items()}
        counts = {side: ArmCounts(each.n, each.n, each.n, {name: each}) for side, each in joints.items()}
        evidence = look(design, _snapshot(design, number, [Phase(1, dict.fromkeys(sides, 1.0), 0.0, None, counts)]), evidence)
    return evidence.track(TREATMENT, name)


def replayed(design: Design, looks: list[Look], experiment: int) -> Iterator[Track]:
    """The tracks of one of many simulated experiments after each of its looks."""
    evidence, name = NO_EVIDENCE, design.success[0].name
    for number, (control, treatment, shares) in enumerate(looks, start=1):
        phases = []
        for k, share in enumerate(shares.tolist()):
            sides = {CONTROL: _summary(control, experiment, k), TREATMENT: _summary(treatment, experiment, k)}
            counts = {side: ArmCounts(each.n, each.n, each.n, {name: alone(each)}) for side, each in sides.items()}
            phases.append(Phase(k + 1, {CONTROL: 1.0 - share, TREATMENT: share}, 0.0, None, counts))
        evidence = look(design, _snapshot(design, number, phases), evidence)
        yield evidence.track(TREATMENT, name)


def correlated() -> Arm:
    """Log-normal values whose correlation with a log-normal covariate is about .4: both of a unit's own level."""
    known = NOTHING

    def draw(rng: np.random.Generator, units: int) -> Joint:
        nonlocal known
        level = rng.standard_normal(units)
        y, x = (np.exp(0.5 * (level + rng.standard_normal(units))) for _ in range(2))
        known = joint.merge(known, joint.of(y, x))
        return known

    return draw


def clicks() -> Arm:
    """A ratio: 1 + Poisson(3) views, clicked at a rate of the unit's own that is Beta(2, 18)."""
    known = NOTHING

    def draw(rng: np.random.Generator, units: int) -> Joint:
        nonlocal known
        views = 1 + rng.poisson(3.0, units)
        known = joint.merge(known, joint.of(rng.binomial(views, rng.beta(2.0, 18.0, units)), views))
        return known

    return draw


def latencies(nu: float) -> Callable[[], Arm]:
    """The ν quantile of log-normal latencies, 1 + Poisson(2) a unit, half of whose variance is between units."""

    def arm() -> Arm:
        values, owners = np.zeros(0), np.zeros(0, dtype=np.int64)

        def draw(rng: np.random.Generator, units: int) -> Joint:
            nonlocal values, owners
            requests = 1 + rng.poisson(2.0, units)
            first = 0 if owners.size == 0 else int(owners[-1]) + 1
            level = np.repeat(rng.standard_normal(units), requests)
            values = np.append(values, np.exp(0.5 * (level + rng.standard_normal(level.size))))
            owners = np.append(owners, np.repeat(np.arange(first, first + units), requests))
            try:
                return alone(quantile.of(values, owners, nu))
            except Refused:
                return NOTHING

        return draw

    return arm


def _snapshot(design: Design, number: int, phases: list[Phase]) -> Snapshot:
    return Snapshot(0.0, number * design.look_every_seconds, phases)


def _summary(arm: Moments, experiment: int, phase: int) -> Summary:
    n = int(arm.n[experiment, phase])
    return Summary(n, float(arm.mean[experiment, phase]), float(arm.variance[experiment, phase]) * max(n - 1, 0))
