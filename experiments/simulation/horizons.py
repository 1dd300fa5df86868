"""Tests with an end: group-sequential up to a maximum, and one at the horizon. What `tracking` does, on arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from experiments.design import Design
from experiments.methods import group_sequential
from experiments.methods.summary import FloatArray
from experiments.simulation.generators import IntArray
from experiments.simulation.watching import BoolArray, Tick
from experiments.tracking import FEWEST_SUCCESS


class Interims(NamedTuple):
    """Interim looks, as arrays of shape (looks, experiments), NaN where a look was none: share of the maximum by which α is spent,
    statistic, and share that was gathered.
    """

    fraction: FloatArray
    z: FloatArray
    information: FloatArray


def interims(design: Design, ticks: Sequence[Tick]) -> Interims:
    """A look counts once the next of the equal steps of the maximum is gathered, or at the horizon."""
    step, end = 1.0 / design.interim_looks, horizon(design)
    reached = before = np.zeros(1)
    found = []
    for number, tick in enumerate(ticks, start=1):
        information = tick.gathered / design.planned_samples
        fraction = np.minimum(1.0, information if number < end else np.where(np.isnan(information), np.nan, 1.0))
        beyond = (fraction == 1.0) | (np.floor(fraction / step) > np.floor(reached / step))
        ready = (tick.units >= FEWEST_SUCCESS) & np.isfinite(tick.z) & ~tick.counted
        due = (fraction > reached) & (information > before) & beyond & ready
        reached, before = np.where(due, fraction, reached), np.where(due, information, before)
        found.append([np.where(due, each, np.nan) for each in (fraction, tick.z, information)])
    return Interims(*(np.array(each) for each in zip(*found, strict=True)))


def crossings(design: Design, made: Interims) -> IntArray:
    """The look, from 1, at which the bound of the group-sequential test was first crossed; 0 where never.

    Bounds are integrated only where the outcome depends on them: as P(z ≥ bound) is at least what the look spends and at most
    all that was spent by then, most experiments are clearly below every bound.
    """
    lowest = -special.ndtri(_spent(design, made.fraction) * (1.0 + 1e-9))
    possible = (made.z >= lowest).any(0)
    found: IntArray = np.zeros(made.z.shape[1], dtype=np.int64)
    for i in np.flatnonzero(possible):
        found[i] = _first(design, made.fraction[:, i], made.z[:, i], made.information[:, i])
    return found


def ends(made: Interims) -> IntArray:
    """The look, from 1, at which all of α was spent; 0 where it was not."""
    return _number(made.fraction == 1.0)


def at_the_horizon(design: Design, ticks: Sequence[Tick]) -> IntArray:
    """The look, from 1, at which the fixed-horizon test showed success: its only look, the first at the horizon with units enough."""
    critical, made = float(special.ndtri(1.0 - design.alpha)), None
    shown: IntArray = np.zeros(ticks[0].units.size, dtype=np.int64)
    for number, tick in enumerate(ticks, start=1):
        if number < horizon(design):
            continue
        due = (tick.units >= FEWEST_SUCCESS) & np.isfinite(tick.z) & ~tick.counted
        due = due if made is None else due & ~made
        shown[due & (tick.z >= critical)] = number
        made = due if made is None else made | due
    return shown


def horizon(design: Design) -> float:
    """The number of the first look at or after the horizon; infinite without one."""
    return math.inf if design.horizon_seconds is None else math.ceil(design.horizon_seconds / design.look_every_seconds)


def _spent(design: Design, fraction: FloatArray) -> FloatArray:
    """`group_sequential.spent` of an array; NaN stays NaN."""
    if design.spending == "obrien-fleming":
        return np.asarray(2.0 * special.ndtr(special.ndtri(design.alpha / 2.0) / np.sqrt(fraction)))
    if design.phi is None:
        return np.asarray(design.alpha * np.log1p((math.e - 1.0) * fraction))
    return np.asarray(design.alpha * fraction**design.phi)


def _first(design: Design, fraction: FloatArray, z: FloatArray, information: FloatArray) -> int:
    looks = np.flatnonzero(np.isfinite(fraction))
    spent, gathered = fraction[looks].tolist(), information[looks].tolist()
    bounds = group_sequential.bounds(design.alpha, spent, design.spending, design.phi, gathered)
    crossed = [number + 1 for number, bound in zip(looks.tolist(), bounds, strict=True) if bound is not None and z[number] >= bound]
    return min(crossed, default=0)


def _number(holds: BoolArray) -> IntArray:
    """The first row, from 1, that holds in each column; 0 where none does."""
    return np.where(holds.any(0), holds.argmax(0) + 1, 0)
