"""The cases behind the claims on means: traffic of every shape, α = .05 one-sided."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from experiments.design import Design
from experiments.methods.power import Plan, for_means
from experiments.metric import Kind, Metric
from experiments.simulation import horizons
from experiments.simulation.claims import Case, Claim, Run, about, at_least, at_most
from experiments.simulation.generators import Draw, always, conversion, normal, revenue
from experiments.simulation.traffic import Look, Step, mature, ramp_by_enrolment, ramp_by_weights, split
from experiments.simulation.watching import BoolArray, clocked, naive, pooled
from experiments.simulation.watching import always as always_valid

ALPHA, LOOKS = 0.05, 195
REVENUE = "revenue: 1 unit in 10 buys, log-normal (σ = 1); CV 5.1, skewness 14"
BETTER, WORSE = "shown better", "shown worse"
BY_WELCH = "shown worse with Welch's standard error alone"
NAIVE = "t test at every look from 500 units an arm"
MEAN = 0.1 * math.exp(0.5)
CV = math.sqrt(math.e / 0.1 - 1.0)


def design(mde: float, *, kind: Kind = "continuous", relative: bool = True, **fields: Any) -> Design:
    """One success metric, looked at every second."""
    return Design(
        metrics=[Metric(name="metric", kind=kind)],
        **{"mde": mde, "relative": relative, "alpha": ALPHA, "look_every_seconds": 1.0, "window_seconds": 0.5, **fields},
    )


def watched(
    design: Design, steps: list[Step], control: Draw, treatment: Draw, rng: np.random.Generator, experiments: int
) -> dict[str, BoolArray]:
    """The always-valid test in both directions, and the naive one."""
    looks = list(mature(rng, experiments, steps, control, treatment))
    found = always_valid(design, clocked(design, looks))
    return {BETTER: found.better > 0, WORSE: found.worse > 0, NAIVE: naive(design.alpha, looks) > 0}


def null(design: Design, steps: list[Step], draw: Draw) -> Run:
    """The same in both arms."""
    return partial(watched, design, steps, draw, draw)


BOTH = (at_most(BETTER, ALPHA), at_most(WORSE, ALPHA))


def skewed_revenue() -> list[Case]:
    """Watching costs nothing, at an even split and an uneven one; nor does harm from 20 units."""
    even, uneven, longer = split(120, LOOKS), split(300, LOOKS, 0.05), _to_the_planned_end()
    return [
        Case(
            "always-valid, no effect, 50/50, MDE 20 %",
            REVENUE,
            "195 looks × 120 units",
            null(design(0.2), even, revenue()),
            (*BOTH, at_least(NAIVE, 0.2)),
            20_000,
            4000,
        ),
        Case(
            "always-valid, no effect, 5/95, MDE 20 %",
            REVENUE,
            "195 looks × 300 units",
            null(design(0.2), uneven, revenue()),
            (*BOTH, at_least(NAIVE, 0.1)),
            20_000,
            4000,
        ),
        Case(
            "always-valid, lift of the MDE (30 %), to 1.8 × the fixed sample",
            REVENUE,
            f"195 looks × {longer[0].units} units",
            partial(watched, design(0.3), longer, revenue(), revenue(1.3 * MEAN)),
            (at_least(BETTER, 0.7), at_most(WORSE, 0.001)),
            10_000,
            2000,
        ),
        _harm("50/50", split(4, LOOKS), ()),
        _harm("5/95", split(40, LOOKS, 0.05), (at_least(BY_WELCH, ALPHA),)),
    ]


def _to_the_planned_end() -> list[Step]:
    """1.8 times what a fixed-horizon test of a lift of 30 % needs."""
    needed = for_means(math.sqrt(0.5 * (1.0 + 1.3**2)) * CV, 0.3, Plan(ALPHA, 0.8))
    return split(round(1.8 * (needed.control + needed.treatment) / LOOKS), LOOKS)


def _harm(shares: str, steps: list[Step], compared: tuple[Claim, ...]) -> Case:
    """With a clock that is fast, an MDE of the whole mean, and for comparison with Welch's standard error alone."""
    declared = design(1.0)

    def run(rng: np.random.Generator, experiments: int) -> dict[str, BoolArray]:
        looks = list(mature(rng, experiments, steps, revenue(), revenue()))
        guarded, alone = (always_valid(declared, clocked(declared, looks, guarded=each)) for each in (True, False))
        return {WORSE: guarded.worse > 0, BY_WELCH: alone.worse > 0}

    name, grid = f"harm from 20 units, no effect, {shares}, MDE 100 %", f"195 looks × {steps[0].units} units"
    return Case(name, REVENUE, grid, run, (at_most(WORSE, ALPHA), *compared), 20_000, 4000)


def moving_traffic() -> list[Case]:
    """Ramps while the base rate falls, and a second phase that is noisier."""
    falling = conversion(lambda look: (0.10, 0.05, 0.02)[look // 65])
    by_weights = ramp_by_weights(400, LOOKS, (0.05, 0.2, 0.5))
    noisier = revenue(spread=lambda look: 1.0 if look < 98 else math.sqrt(2.0))
    converting = "conversions at 10 %, 5 %, 2 % in the thirds of the looks"
    together = "two-sided test of the phases thrown together, once"

    def ramp(rng: np.random.Generator, experiments: int) -> dict[str, BoolArray]:
        looks = list(mature(rng, experiments, by_weights, falling, falling))
        declared = design(0.1, kind="binary")
        found = always_valid(declared, clocked(declared, looks))
        return {BETTER: found.better > 0, WORSE: found.worse > 0, together: _thrown_together(looks[-1])}

    return [
        Case(
            "ramp by weights 5 → 20 → 50 %, no effect, MDE 10 %",
            converting,
            "195 looks × 400 units",
            ramp,
            (*BOTH, at_least(together, 0.9)),
            20_000,
            3000,
        ),
        Case(
            "ramp by enrolment 10 → 40 → 100 % at 50/50, no effect, MDE 10 %",
            converting,
            "195 looks × 40, 160, 400 units",
            null(design(0.1, kind="binary"), ramp_by_enrolment((40, 160, 400), LOOKS), falling),
            BOTH,
            20_000,
            3000,
        ),
        Case(
            "variance doubles in a second phase, no effect, MDE 20 %",
            f"{REVENUE}; × √2 from look 99",
            "195 looks × 120 units",
            null(design(0.2), [Step(120, 0.5, k // 98) for k in range(LOOKS)], noisier),
            BOTH,
            20_000,
            3000,
        ),
    ]


def conversions() -> list[Case]:
    """The exact test while fewer than 50 have converted, the normal mixture from then on: both together.

    The last two look as soon as anyone converts. What the exact test spends early and what the mixture spends late then add up:
    the smaller the MDE, the less they have in common.
    """
    found = []
    for rate in (0.001, 0.01, 0.1):
        units = round(4 / rate)
        for shares, share in (("50/50", 0.5), ("5/95", 0.05)):
            found.append(_rare(rate, shares, 0.3, split(units, LOOKS, share), f"195 looks × {units:,} units", 2000))
    slower = [*split(50, 160), *split(200, 400), *split(1000, 200), *split(8000, 200)]
    return [
        *found,
        _rare(0.01, "50/50", 0.45, split(50, 1000), "1,000 looks × 50 units", 1000),
        _rare(0.01, "50/50", 0.1, slower, "160 looks × 50, 400 × 200, 200 × 1,000, 200 × 8,000 units", 1000),
    ]


def _rare(rate: float, shares: str, mde: float, steps: list[Step], grid: str, short: int) -> Case:
    at, draw = f"{100.0 * rate:g} %", conversion(always(rate))
    name = f"conversions at {at}, no effect, {shares}, MDE {100.0 * mde:.0f} %, {len(steps):,} looks"
    generator = f"binary at {at}: exact test below 50 conversions, normal mixture from there"
    return Case(name, generator, grid, null(design(mde, kind="binary"), steps, draw), BOTH, 20_000, short)


def planned_looks() -> list[Case]:
    """Group-sequential tests of 14 looks and one at the horizon, with exactly the sample of a fixed-horizon test."""
    by: dict[str, dict[str, Any]] = {
        "O'Brien-Fleming": {},
        "Pocock": {"spending": "pocock"},
        "power φ = 2": {"spending": "power", "phi": 2.0},
    }
    powers = {"O'Brien-Fleming": 0.78}
    cases = [
        _sequence(f"group-sequential, {name}", "group-sequential", powers.get(name), {"maximum": 1.0, **each}) for name, each in by.items()
    ]
    return [*cases, _sequence("fixed horizon", "fixed-horizon", 0.8, {}), _skewed_sequence()]


def _sequence(name: str, test: str, power: float | None, fields: dict[str, Any]) -> Case:
    declared = design(0.02, relative=False, test=test, horizon_seconds=14.0, **fields)
    needed = for_means(1.0, 0.02, Plan(ALPHA, 0.8))
    steps, shown = split(round((needed.control + needed.treatment) / 14), 14), f"{BETTER} where the effect is the MDE"

    def run(rng: np.random.Generator, experiments: int) -> dict[str, BoolArray]:
        still, moved = (_ended(declared, list(mature(rng, experiments, steps, normal(0.0, 1.0), normal(m, 1.0)))) for m in (0.0, 0.02))
        return {BETTER: still, shown: moved}

    claims = (at_most(BETTER, ALPHA), *(() if power is None else (about(shown, power),)))
    return Case(f"{name}, 1.0 × the fixed sample", "normal; MDE .02 σ", f"14 looks × {steps[0].units:,} units", run, claims, 20_000, 2000)


def _skewed_sequence() -> Case:
    declared = design(0.3, test="group-sequential", maximum=1.0, horizon_seconds=14.0)

    def run(rng: np.random.Generator, experiments: int) -> dict[str, BoolArray]:
        return {BETTER: _ended(declared, list(mature(rng, experiments, split(700, 14), revenue(), revenue())))}

    name = "group-sequential, O'Brien-Fleming, no effect, MDE 30 %"
    return Case(name, REVENUE, "14 looks × 700 units", run, (at_most(BETTER, ALPHA),), 20_000, 2000)


def _ended(declared: Design, looks: list[Look]) -> BoolArray:
    ticks = list(clocked(declared, looks))
    if declared.sequence == "fixed-horizon":
        return horizons.at_the_horizon(declared, ticks) > 0
    return horizons.crossings(declared, horizons.interims(declared, ticks)) > 0


def _thrown_together(look: Look) -> BoolArray:
    """Whether one two-sided z test of all phases as one sample rejects at the end."""
    control, treatment = pooled(look.control), pooled(look.treatment)
    z = (treatment.mean - control.mean) / np.sqrt(control.variance / control.n + treatment.variance / treatment.n)
    return np.asarray(np.abs(z) > 1.959964)
