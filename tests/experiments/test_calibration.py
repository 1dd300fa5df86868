"""Error rates by seeded simulation of the product's own formulas, watched at every look.

A claim fails when the 99.9 % Clopper-Pearson interval of the simulated rate excludes it. The simulation runs thousands of
experiments side by side through `strata.compare`, `strata.overlap`, `always_valid.clock` and `always_valid.log_evidence`,
which take arrays; that `looks.look` does the same with them, look by look, is a test of its own. The figures stand in
docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest
from scipy import stats

from experiments.design import Design
from experiments.effect import FEWEST_HARM
from experiments.evidence import NO_EVIDENCE
from experiments.looks import look
from experiments.methods import always_valid, srm
from experiments.methods.joint import alone
from experiments.methods.means import NEAR_ZERO
from experiments.methods.strata import compare, overlap
from experiments.methods.summary import Moments, Summary
from experiments.metric import Metric
from experiments.snapshot import ArmCounts, Phase, Snapshot
from experiments.tracking import FEWEST_SUCCESS

ALPHA, POWER, LOOKS = 0.05, 0.8, 195

CV2 = math.exp(1.0) / 0.1 - 1.0
"""Squared coefficient of variation of `revenue`: 26.2."""

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Draw: TypeAlias = Callable[[np.random.Generator, int, int, int], tuple[Array, Array]]
"""(rng, experiments, units, look) → sum and sum of squares of the units' values, per experiment."""


Look: TypeAlias = tuple[Moments, Moments]
"""Control and treatment at a look, of shape (experiments, phases)."""


class Step(NamedTuple):
    """What happens between two looks: units that mature in a phase, by arm."""

    phase: int
    control: int
    treatment: int


class Watched(NamedTuple):
    """Per experiment, the largest log evidence over the looks that count."""

    better: Array
    worse: Array


def revenue(lift: float = 0.0, spread: Callable[[int], float] = lambda look: 1.0) -> Draw:
    """One unit in ten buys, for a log-normal sum (σ = 1): coefficient of variation 5.1, skewness 14."""

    def draw(rng: np.random.Generator, experiments: int, units: int, look: int) -> tuple[Array, Array]:
        buys = rng.random((experiments, units), dtype=np.float32) < 0.1
        values = np.zeros(buys.shape)
        values[buys] = (1.0 + lift) * spread(look) * np.exp(rng.standard_normal(int(buys.sum())))
        return values.sum(1), (values * values).sum(1)

    return draw


def conversion(rate: Callable[[int], float]) -> Draw:
    """A unit converts or not, with a rate that may change from look to look."""

    def draw(rng: np.random.Generator, experiments: int, units: int, look: int) -> tuple[Array, Array]:
        converted = rng.binomial(units, rate(look), experiments).astype(np.float64)
        return converted, converted

    return draw


def mature(rng: np.random.Generator, experiments: int, steps: Sequence[Step], control: Draw, treatment: Draw) -> list[Look]:
    """After each step the moments of both arms."""
    shape = experiments, max(step.phase for step in steps) + 1
    totals = [[np.zeros(shape) for _ in range(3)] for _ in range(2)]
    looks = []
    for number, step in enumerate(steps):
        for (n, total, squares), units, draw in zip(totals, (step.control, step.treatment), (control, treatment), strict=True):
            values, squared = draw(rng, experiments, units, number)
            n[:, step.phase] += units
            total[:, step.phase] += values
            squares[:, step.phase] += squared
        looks.append((moments(*totals[0]), moments(*totals[1])))
    return looks


def moments(n: Array, total: Array, squares: Array) -> Moments:
    mean = total / np.maximum(n, 1.0)
    return Moments(n.copy(), mean, np.maximum(squares - n * mean * mean, 0.0) / np.maximum(n - 1.0, 1.0))


def pooled(*arms: Moments) -> Moments:
    """All phases of all these arms as one sample."""
    n = sum(arm.n.sum(-1) for arm in arms)
    total = sum((arm.n * arm.mean).sum(-1) for arm in arms)
    squares = sum(((arm.n - 1.0) * arm.variance + arm.n * arm.mean**2).sum(-1, where=arm.n > 0) for arm in arms)
    return moments(np.asarray(n), np.asarray(total), np.asarray(squares))


def watch(looks: Sequence[Look], relative_mde: float, guarded: bool = True) -> Watched:
    """What `looks.look` gathers: mean and variance frozen, V a running maximum, evidence only of looks with units enough.

    Not `guarded`: with Welch's standard error alone, for comparison.
    """
    mean = variance = np.full(1, np.nan)
    v = better = worse = np.zeros(1)
    c = always_valid.tuning(ALPHA)
    for control, treatment in looks:
        both, strata, units = pooled(control, treatment), compare(control, treatment), fewest(control, treatment)
        ready = (units >= FEWEST_HARM) & (both.mean > NEAR_ZERO * np.sqrt(both.variance / both.n))
        mean, variance = (np.where(np.isnan(old) & ready, new, old) for old, new in ((mean, both.mean), (variance, both.variance)))
        sums = overlap(strata if guarded else strata._replace(guarded=strata.se2))
        v = np.where(np.isnan(mean), v, np.maximum(v, sums.v))
        x = always_valid.clock(v, variance, relative_mde * mean, ALPHA, POWER)
        z = sums.u / np.sqrt(np.where(v > 0.0, v, np.nan))
        better = np.where(units >= FEWEST_SUCCESS, np.fmax(better, always_valid.log_evidence(z, x, c)), better)
        worse = np.where(units >= FEWEST_HARM, np.fmax(worse, always_valid.log_evidence(-z, x, c)), worse)
    return Watched(better, worse)


def fewest(control: Moments, treatment: Moments) -> Array:
    """The units of the smaller arm, in phases that have both."""
    used = compare(control, treatment).weight > 0.0
    return np.minimum(control.n.sum(-1, where=used), treatment.n.sum(-1, where=used))


def t_test_at_every_look(looks: Sequence[Look]) -> Array:
    """Whether a one-sided test that knows nothing of the other looks ever rejects, from 500 units an arm on."""
    hits = np.zeros(1, dtype=bool)
    for control, treatment in looks:
        strata = compare(control, treatment)
        z = strata.estimate[:, -1] / np.sqrt(strata.se2[:, -1])
        hits = hits | ((fewest(control, treatment) >= FEWEST_SUCCESS) & (z > stats.norm.ppf(1.0 - ALPHA)))
    return hits


def pooled_t_test_at_the_end(looks: Sequence[Look]) -> Array:
    """Whether one two-sided test of all phases thrown together rejects at the end."""
    control, treatment = (pooled(side) for side in looks[-1])
    z = (treatment.mean - control.mean) / np.sqrt(control.variance / control.n + treatment.variance / treatment.n)
    return np.abs(z) > stats.norm.ppf(1.0 - ALPHA / 2.0)


def rejections(log_maxima: Array, alpha: float = ALPHA) -> Array:
    return log_maxima >= -math.log(alpha)


def interval(hits: Array) -> tuple[float, float]:
    """The 99.9 % Clopper-Pearson interval of a simulated rate."""
    found = stats.binomtest(int(hits.sum()), hits.size).proportion_ci(0.999, method="exact")
    return float(found.low), float(found.high)


def at_most(hits: Array, claim: float) -> None:
    assert interval(hits)[0] <= claim, f"{hits.mean():.4f} of {hits.size}, claimed at most {claim}"


def more_than(hits: Array, level: float) -> None:
    assert interval(hits)[0] > level, f"{hits.mean():.4f} of {hits.size}, expected more than {level}"


def say(**hits: Array) -> None:
    """The rates, for docs/statistics.md: `pytest tests/experiments/test_calibration.py -rP` shows them."""
    print(", ".join(f"{name} {found.mean():.2%}" for name, found in hits.items()), f"of {next(iter(hits.values())).size}")


@pytest.mark.parametrize(("control", "treatment"), [(60, 60), (285, 15)], ids=["50/50", "5/95"])
def test_watching_costs_nothing(rng: np.random.Generator, control: int, treatment: int) -> None:
    """Without an effect, skewed revenue watched at 195 looks promotes at most 5 % and rolls back at most 5 %; a t test at
    every look rejects far more often."""
    looks = mature(rng, 4000, [Step(0, control, treatment)] * LOOKS, revenue(), revenue())
    better, worse = map(rejections, watch(looks, 0.2))
    naive = t_test_at_every_look(looks)
    say(better=better, worse=worse, either=better | worse, naive=naive)
    at_most(better, 0.05)
    at_most(worse, 0.05)
    more_than(naive, 0.05)


@pytest.mark.parametrize(("control", "treatment"), [(2, 2), (38, 2)], ids=["50/50", "5/95"])
def test_harm_from_20_units(rng: np.random.Generator, control: int, treatment: int) -> None:
    """Watched from 20 treated units to 390 with a clock that is fast (an MDE of the whole mean), harm is falsely shown in at
    most 5 %; at 5/95 Welch's standard error alone would show it in more."""
    looks = mature(rng, 3000, [Step(0, control, treatment)] * LOOKS, revenue(), revenue())
    worse, by_welch = rejections(watch(looks, 1.0).worse), rejections(watch(looks, 1.0, guarded=False).worse)
    say(worse=worse, by_welch=by_welch)
    at_most(worse, 0.05)
    if control > treatment:
        more_than(by_welch, 0.05)


def falling(look: int) -> float:
    """The base rate over a ramp: 10 %, 5 %, 2 %."""
    return (0.10, 0.05, 0.02)[look // 65]


def test_a_ramp_by_weights(rng: np.random.Generator) -> None:
    """5 → 20 → 50 % by weights while the base rate falls: at most 5 %, where the pooled comparison is nearly always wrong."""
    shifts = ((380, 20), (320, 80), (200, 200))
    looks = mature(rng, 4000, [Step(k // 65, *shifts[k // 65]) for k in range(LOOKS)], conversion(falling), conversion(falling))
    better, worse = map(rejections, watch(looks, 0.1))
    thrown_together = pooled_t_test_at_the_end(looks)
    say(better=better, worse=worse, pooled=thrown_together)
    at_most(better, 0.05)
    at_most(worse, 0.05)
    more_than(thrown_together, 0.9)


def test_a_ramp_by_enrolment(rng: np.random.Generator) -> None:
    """5 → 20 → 50 % of units enrolled at an even split, one phase, while the base rate falls: at most 5 %."""
    steps = [Step(0, units, units) for k in range(LOOKS) for units in [(20, 80, 200)[k // 65]]]
    better, worse = map(rejections, watch(mature(rng, 4000, steps, conversion(falling), conversion(falling)), 0.1))
    say(better=better, worse=worse)
    at_most(better, 0.05)
    at_most(worse, 0.05)


def test_a_variance_that_doubles(rng: np.random.Generator) -> None:
    """Where a new phase is twice as noisy, information falls and the clock does not: at most 5 %."""
    draw = revenue(spread=lambda look: 1.0 if look < 98 else math.sqrt(2.0))
    better, worse = map(rejections, watch(mature(rng, 4000, [Step(k // 98, 60, 60) for k in range(LOOKS)], draw, draw), 0.2))
    say(better=better, worse=worse)
    at_most(better, 0.05)
    at_most(worse, 0.05)


def test_power(rng: np.random.Generator) -> None:
    """A true lift of the MDE, watched to 1.8 times the fixed-horizon sample, is shown in more than 70 %, and harm in none."""
    planned = CV2 * (1.0 + 1.3**2) * ((stats.norm.ppf(1.0 - ALPHA) + stats.norm.ppf(POWER)) / 0.3) ** 2  # units an arm
    units = round(1.8 * planned / LOOKS)
    better, worse = map(rejections, watch(mature(rng, 2000, [Step(0, units, units)] * LOOKS, revenue(), revenue(0.3)), 0.3))
    print(f"{units * LOOKS} units an arm")
    say(better=better, worse=worse)
    more_than(better, 0.7)
    at_most(worse, 0.001)


@pytest.mark.parametrize("weights", [(50.0, 50.0), (90.0, 10.0), (60.0, 30.0, 10.0)], ids=["50/50", "90/10", "60/30/10"])
def test_sample_ratio(rng: np.random.Generator, weights: tuple[float, ...]) -> None:
    """Watched at 195 looks the alarm rings falsely in at most .1 %; with 1 unit in 20 of the last arm lost it rings in most."""
    kept = np.append(np.array(weights[:-1]), 0.95 * weights[-1])
    false, lost = (alarms(rng, weights, np.array(true), experiments) for true, experiments in ((weights, 20_000), (kept, 1000)))
    say(false=false, lost=lost)
    at_most(false, srm.ALARM)
    more_than(lost, 0.9)


def alarms(rng: np.random.Generator, weights: tuple[float, ...], true: Array, experiments: int) -> Array:
    """Whether the alarm ever rings while 1000 units a look enter in the shares `true`."""
    counts, best = np.zeros((experiments, len(weights))), np.zeros(experiments)
    for _ in range(LOOKS):
        counts += rng.multinomial(1000, true / true.sum(), experiments)
        best = np.maximum(best, srm.log_evidence(counts, weights))
    return rejections(best, srm.ALARM)


def test_the_simulation_is_what_look_does(rng: np.random.Generator) -> None:
    """Three of those experiments, with two phases, taken through `look` one look at a time, gather the same evidence."""
    steps = [Step(k // 30, 57, 15) for k in range(60)]
    seen = mature(rng, 3, steps, revenue(), revenue(0.5))
    expected = watch(seen, 0.2)
    design = Design(metrics=[Metric(name="revenue")], mde=0.2, relative=True, window_seconds=1.0, look_every_seconds=300.0)
    for i in range(3):
        evidence = NO_EVIDENCE
        for number, (control, treatment) in enumerate(seen):
            evidence = look(design, snapshot(number, control, treatment, i), evidence)
        track = evidence.track("treatment", "revenue")
        assert evidence.looks == len(steps)
        assert track.better.log_evidence == pytest.approx(expected.better[i], rel=1e-9, abs=1e-9)
        assert track.worse.log_evidence == pytest.approx(expected.worse[i], rel=1e-9, abs=1e-9)
    assert expected.better.max() > 0.5


def snapshot(number: int, control: Moments, treatment: Moments, i: int) -> Snapshot:
    phases = []
    for k in range(control.n.shape[1]):
        arms = {arm: side for arm, side in (("control", control), ("treatment", treatment)) if side.n[i, k] > 0}
        counts = {arm: counted(Moments(*(float(column[i, k]) for column in side[:3]))) for arm, side in arms.items()}
        phases.append(Phase(k + 1, {"control": 57.0, "treatment": 15.0}, 0.0, None, counts))
    return Snapshot(0.0, 300.0 * (number + 1), phases)


def counted(one: Any) -> ArmCounts:
    n = int(one.n)
    return ArmCounts(n, n, n, {"revenue": alone(Summary(n, one.mean, one.variance * (n - 1)))})
