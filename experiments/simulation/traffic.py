"""How units come: look by look, into which phase, and how they are split between two arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from experiments.methods.summary import FloatArray, Moments
from experiments.simulation.generators import Batch, Draw


class Step(NamedTuple):
    """What matures between two looks: so many `units` of a phase, each in treatment with probability `share`."""

    units: int
    share: float = 0.5
    phase: int = 0


class Look(NamedTuple):
    """The arms at a look, as arrays of shape (experiments, phases), and the share of treatment in each phase so far."""

    control: Moments
    treatment: Moments
    shares: FloatArray


def split(units: int, looks: int, share: float = 0.5) -> list[Step]:
    """The same at every look."""
    return [Step(units, share)] * looks


def ramp_by_weights(units: int, looks: int, shares: Sequence[float]) -> list[Step]:
    """The same units at every look, and a phase with each of the shares in turn."""
    return [Step(units, shares[k * len(shares) // looks], k * len(shares) // looks) for k in range(looks)]


def ramp_by_enrolment(units: Sequence[int], looks: int, share: float = 0.5) -> list[Step]:
    """One phase and one split, and more and more units that take part."""
    return [Step(units[k * len(units) // looks], share) for k in range(looks)]


def mature(rng: np.random.Generator, experiments: int, steps: Sequence[Step], control: Draw, treatment: Draw) -> Iterator[Look]:
    """The looks, one after each step; units are assigned one by one, so the arms' sizes vary as they do in traffic."""
    phases = max(step.phase for step in steps) + 1
    c, t = (Batch(*(np.zeros((experiments, phases)) for _ in range(3))) for _ in range(2))
    shares = np.full(phases, 0.5)
    for number, step in enumerate(steps):
        treated = rng.binomial(np.full(experiments, step.units), step.share)
        _add(c, step.phase, control(rng, step.units - treated, number))
        _add(t, step.phase, treatment(rng, treated, number))
        shares[step.phase] = step.share
        yield Look(_moments(c), _moments(t), shares.copy())


def _add(total: Batch, phase: int, batch: Batch) -> None:
    """Merges a batch into the phase, in place (Chan, Golub and LeVeque 1979)."""
    n, mean, m2 = (column[:, phase] for column in total)
    both = n + batch.n
    portion = batch.n / np.maximum(both, 1.0)
    apart = batch.mean - mean
    m2 += batch.m2 + apart * apart * n * portion
    mean += apart * portion
    n += batch.n


def _moments(total: Batch) -> Moments:
    return Moments(total.n.copy(), total.mean.copy(), total.m2 / np.maximum(total.n - 1.0, 1.0))
