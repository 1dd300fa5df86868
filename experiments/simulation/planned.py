"""How often a planned design would err, and how long it would take: simulated before it is run."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from core.errors import Invalid
from experiments.design import Design
from experiments.methods.summary import FloatArray
from experiments.simulation import horizons
from experiments.simulation.generators import IntArray
from experiments.simulation.plan import Planned, planned_units, units_per_look
from experiments.simulation.rates import rate
from experiments.simulation.traffic import Look, mature, split
from experiments.simulation.watching import BoolArray, clocked, naive
from experiments.simulation.watching import always as always_valid

MOST_STEPS, MOST_VALUES = 1e8, 3e9
"""Experiments × looks, and values drawn one by one: some minutes."""

QUANTILES = {"p10": 0.1, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9}

_CHUNK, _HELD = 1000, 2e6
"""Experiments simulated side by side, and the values that they may hold at once."""


class Ended(NamedTuple):
    """How each experiment ended, and at which look, from 1; `naive` is the look at which a t test would have been significant, or 0."""

    promoted: BoolArray
    rolled_back: BoolArray
    at: FloatArray
    naive: IntArray


def simulate(planned: Planned) -> dict[str, Any]:
    """Rates with 99.9 % intervals and durations in looks, units and days, for each true effect; the same for the same seed.

    An experiment ends with its first decision, rollback before promote, else at the horizon or where the maximum is reached: `kept`.
    Validity checks and the warning of effects too good to be true are not simulated. Raises Invalid naming the field, and Refused.
    """
    design, units = planned.design(), units_per_look(planned)
    _affordable(planned, units)
    days = None if planned.daily_units is None else units / planned.daily_units
    seeds = np.random.SeedSequence(planned.seed).spawn(len(planned.effects))
    return {
        "design": {
            "test": design.sequence,
            "alpha": planned.alpha,
            "power": planned.power,
            "kind": planned.kind,
            "baseline": planned.baseline,
            "sd": planned.deviation,
            "mde": planned.mde,
            "relative": planned.relative,
            "treatment_share": planned.share,
            "looks": planned.looks,
            "units_per_look": units,
            "units": units * planned.looks,
            "days": None if days is None else days * planned.looks,
            "planned_units": planned_units(planned),
        },
        "experiments": planned.experiments,
        "seed": planned.seed,
        "effects": [
            {"effect": effect, **_figures(_run(planned, design, units, effect, seed), planned.looks, units, days)}
            for effect, seed in zip(planned.effects, seeds, strict=True)
        ],
    }


def _run(planned: Planned, design: Design, units: int, effect: float, seed: np.random.SeedSequence) -> Ended:
    size = max(1, min(_CHUNK, round(_HELD / max(1.0, _values(planned, units)))))
    sizes = [min(size, planned.experiments - start) for start in range(0, planned.experiments, size)]
    streams = (np.random.Generator(np.random.PCG64(each)) for each in seed.spawn(len(sizes)))
    parts = [_part(planned, design, units, effect, rng, n) for rng, n in zip(streams, sizes, strict=True)]
    return Ended(*map(np.concatenate, zip(*parts, strict=True)))


def _part(planned: Planned, design: Design, units: int, effect: float, rng: np.random.Generator, experiments: int) -> Ended:
    steps = split(units, planned.looks, planned.share)
    return _ended(design, list(mature(rng, experiments, steps, planned.draw(0.0), planned.draw(effect))), planned.looks)


def _ended(design: Design, looks: list[Look], last: int) -> Ended:
    """The first decision of each experiment; harm is always-valid whatever decides on success."""
    ticks = list(clocked(design, looks))
    watched = always_valid(design, ticks)
    better, end = watched.better, np.full(watched.better.shape, float(last))
    if design.sequence == "fixed-horizon":
        better = horizons.at_the_horizon(design, ticks)
    if design.sequence == "group-sequential":
        made = horizons.interims(design, ticks)
        better, reached = horizons.crossings(design, made), horizons.ends(made)
        end = np.where(reached > 0, reached, last)
    promoted_at = np.where(better > 0, better, math.inf)
    rolled_back_at, stopped = np.where(watched.worse > 0, watched.worse, math.inf), np.minimum(promoted_at, end)
    rolled_back = rolled_back_at <= stopped
    promoted = (promoted_at <= end) & ~rolled_back
    return Ended(promoted, rolled_back, np.where(rolled_back, rolled_back_at, stopped), naive(design.alpha, looks))


def _figures(ended: Ended, looks: int, units: int, days: float | None) -> dict[str, Any]:
    compared = np.where(ended.naive > 0, ended.naive, looks).astype(np.float64)
    return {
        "promoted": _rate(ended.promoted),
        "rolled_back": _rate(ended.rolled_back),
        "kept": _rate(~ended.promoted & ~ended.rolled_back),
        "duration": _duration(ended.at, units, days),
        "naive": {"promoted": _rate(ended.naive > 0), "duration": _duration(compared, units, days)},
    }


def _rate(hits: BoolArray) -> dict[str, float]:
    found = rate(hits)
    low, high = found.interval
    return {"rate": found.value, "lower": low, "upper": high}


def _duration(at: FloatArray, units: int, days: float | None) -> dict[str, dict[str, float] | None]:
    """Quantiles of the look of the decision, of the units that have matured by then, and of days."""
    looks = {name: float(np.quantile(at, q, method="inverted_cdf")) for name, q in QUANTILES.items()}
    return {
        "looks": looks,
        "units": {name: each * units for name, each in looks.items()},
        "days": None if days is None else {name: each * days for name, each in looks.items()},
    }


def _values(planned: Planned, units: int) -> float:
    """Values drawn one by one for an experiment at a look: only revenue needs any."""
    if planned.kind != "revenue":
        return 0.0
    cv = planned.deviation / planned.baseline
    return units * min(1.0, math.e / (1.0 + cv * cv))


def _affordable(planned: Planned, units: int) -> None:
    looks = float(planned.experiments) * planned.looks
    for cost, most in ((looks, MOST_STEPS), (looks * _values(planned, units), MOST_VALUES)):
        if cost > most:
            n = max(1, math.floor(planned.experiments * most / cost))
            raise Invalid(
                f"experiments: expected at most {n:,} of this size, which takes minutes; got {planned.experiments:,}", field="experiments"
            )
