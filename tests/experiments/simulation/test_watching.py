"""The simulation decides what the product decides: the same experiments through `looks.look`, one look at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from experiments.design import Design
from experiments.evidence import Side, Track
from experiments.methods.means import welch
from experiments.methods.summary import Summary
from experiments.metric import Metric
from experiments.simulation import horizons
from experiments.simulation.generators import always, conversion, normal, revenue
from experiments.simulation.one_by_one import clicks, correlated, latencies, replayed, watched
from experiments.simulation.traffic import Look, Step, mature, ramp_by_weights, split
from experiments.simulation.watching import Tick, clocked, naive
from experiments.simulation.watching import always as always_valid

EXPERIMENTS = 6
SPENDINGS: list[dict[str, Any]] = [{}, {"spending": "pocock"}, {"spending": "power", "phi": 1.5}]


def design(mde: float = 0.2, kind: Any = "continuous", **fields: Any) -> Design:
    times = {"window_seconds": 0.5, "look_every_seconds": 1.0}
    return Design(metrics=[Metric(name="metric", kind=kind)], **{"mde": mde, "relative": True, **times, **fields})


def simulated(rng: np.random.Generator, steps: list[Step], control: Any, treatment: Any) -> list[Look]:
    return list(mature(rng, EXPERIMENTS, steps, control, treatment))


def largest(ticks: list[Tick], side: str, i: int) -> list[float | None]:
    """The running maximum of an experiment's log evidence, from 0 on; None before the first look that counts."""
    found: list[float | None] = []
    for tick in ticks:
        now, before = float(getattr(tick, side)[i]), found[-1] if found else None
        found.append(before if math.isnan(now) else max(before or 0.0, now))
    return found


def agree(sides: list[Side], expected: list[float | None], first: int) -> None:
    """The evidence at every look, and the look of the crossing."""
    assert [side.log_evidence is None for side in sides] == [each is None for each in expected]
    assert [side.log_evidence or 0.0 for side in sides] == pytest.approx([each or 0.0 for each in expected], rel=1e-9, abs=1e-9)
    crossed = sides[-1].crossed
    assert (0 if crossed is None else crossed.look) == first


@pytest.mark.parametrize(
    ("kind", "relative", "mde", "control", "treatment"),
    [
        ("continuous", True, 0.2, revenue(), revenue(0.3)),
        ("continuous", False, 0.03, revenue(), revenue(0.1)),
        ("binary", True, 0.5, conversion(always(0.004)), conversion(always(0.008))),
        ("binary", True, 0.5, conversion(always(0.01)), conversion(always(0.003))),
        ("binary", False, 0.01, conversion(always(0.01)), conversion(always(0.01))),
    ],
    ids=["better revenue", "worse revenue", "more conversions", "fewer conversions", "equal conversions"],
)
def test_always_valid(rng: np.random.Generator, kind: str, relative: bool, mde: float, control: Any, treatment: Any) -> None:
    """Over two phases, the second nearly even: the same evidence at every look in both directions, and the same first crossing;
    of conversions first by the exact test, then by the normal mixture."""
    steps = ramp_by_weights(90, 80, (0.2, 0.45))
    declared, looks = design(mde, kind, relative=relative), simulated(rng, steps, control, treatment)
    ticks = list(clocked(declared, looks))
    found = always_valid(declared, ticks)
    for i in range(EXPERIMENTS):
        tracks = list(replayed(declared, looks, i))
        agree([track.better for track in tracks], largest(ticks, "better", i), found.better[i])
        agree([track.worse for track in tracks], largest(ticks, "worse", i), found.worse[i])
    assert all(largest(ticks, "better", i)[-1] is not None for i in range(EXPERIMENTS))
    assert any(tick.counted.any() for tick in ticks) == (kind == "binary")
    assert not ticks[-1].counted.all()


@pytest.mark.parametrize("fields", SPENDINGS, ids=["obrien-fleming", "pocock", "power"])
@pytest.mark.parametrize("effect", [0.0, 0.1], ids=["no effect", "the MDE"])
def test_group_sequential(rng: np.random.Generator, fields: dict[str, Any], effect: float) -> None:
    """The same interim looks with the same fractions and statistics, the same first crossing of a bound, the same end."""
    declared = design(0.1, relative=False, test="group-sequential", maximum=1.0, interim_looks=5, horizon_seconds=20.0, **fields)
    looks = simulated(rng, split(160, 20), normal(0.0, 1.0), normal(effect, 1.0))
    made = horizons.interims(declared, list(clocked(declared, looks)))
    found = horizons.crossings(declared, made)
    for i in range(EXPERIMENTS):
        tracks = list(replayed(declared, looks, i))
        same_interims(tracks[-1], made, i)
        crossed = tracks[-1].better.crossed
        assert (0 if crossed is None else crossed.look) == found[i]
        ended = [number for number, track in enumerate(tracks, start=1) if track.interims and track.interims[-1].fraction == 1.0]
        assert horizons.ends(made)[i] == (ended[0] if ended else 0)
    assert (found > 0).any() == (effect > 0.0)


def same_interims(track: Track, made: horizons.Interims, i: int) -> None:
    z = made.z[:, i]
    assert len(track.interims) > 3
    assert [each.z for each in track.interims] == pytest.approx(z[np.isfinite(z)].tolist(), rel=1e-9)
    fraction = made.fraction[:, i]
    assert [each.fraction for each in track.interims] == pytest.approx(fraction[np.isfinite(fraction)].tolist(), rel=1e-9)


def test_bounds_are_integrated_only_where_they_matter(rng: np.random.Generator) -> None:
    """Leaving out experiments that are below every possible bound changes no decision."""
    for fields in SPENDINGS:
        declared = design(0.1, relative=False, test="group-sequential", maximum=1.0, horizon_seconds=14.0, **fields)
        looks = list(mature(rng, 200, split(300, 14), normal(0.0, 1.0), normal(0.03, 1.0)))
        made = horizons.interims(declared, list(clocked(declared, looks)))
        all_of_them = [horizons._first(declared, *(each[:, i] for each in made)) for i in range(200)]
        assert horizons.crossings(declared, made).tolist() == all_of_them
        assert 0 < np.count_nonzero(all_of_them) < 200


def test_fixed_horizon(rng: np.random.Generator) -> None:
    """One look, at the horizon, whatever was seen before it and after."""
    declared = design(0.1, relative=False, test="fixed-horizon", horizon_seconds=18.0)
    looks = simulated(rng, split(160, 20), normal(0.0, 1.0), normal(0.05, 1.0))
    found = horizons.at_the_horizon(declared, list(clocked(declared, looks)))
    for i in range(EXPERIMENTS):
        tracks = list(replayed(declared, looks, i))
        crossed = tracks[-1].better.crossed
        assert [len(track.interims) for track in tracks] == [0] * 17 + [1] * 3
        assert (0 if crossed is None else crossed.look) == found[i]
    assert set(found.tolist()) == {0, 18}


def test_no_looks_are_no_simulation() -> None:
    """Without looks there is nothing to say of any experiment, and it is said."""
    with pytest.raises(ValueError, match="no looks"):
        always_valid(design(), [])
    with pytest.raises(ValueError, match="no looks"):
        naive(0.05, [])


def test_the_naive_test_is_welchs(rng: np.random.Generator) -> None:
    """It rejects at the first look at which Welch's one-sided p is below .05, from 500 units an arm on."""
    looks = simulated(rng, split(200, 40), normal(0.0, 1.0), normal(0.05, 1.0))
    found = naive(0.05, looks)
    for i in range(EXPERIMENTS):
        significant = [number for number, look in enumerate(looks, start=1) if _p(look, i) < 0.05]
        assert found[i] == (significant[0] if significant else 0)
    assert found.any()


def _p(look: Look, i: int) -> float:
    sides = [Summary(int(arm.n[i, 0]), float(arm.mean[i, 0]), float(arm.variance[i, 0] * (arm.n[i, 0] - 1))) for arm in look[:2]]
    return 1.0 if min(side.n for side in sides) < 500 else welch(*sides).p_value


@pytest.mark.parametrize(
    ("metric", "arm"),
    [
        (Metric(name="m", covariate="earlier"), correlated),
        (Metric(name="m", covariate="earlier", estimator="lin"), correlated),
        (Metric(name="m", kind="ratio", denominator="views"), clicks),
        (Metric(name="m", kind="quantile", quantile=0.95), latencies(0.95)),
    ],
    ids=["cuped", "lin", "ratio", "quantile"],
)
def test_other_kinds_gather_evidence(rng: np.random.Generator, metric: Metric, arm: Any) -> None:
    """Taken through the product's looks, each has evidence in both directions once 500 units an arm are there."""
    declared = Design(metrics=[metric], mde=0.1, relative=True, window_seconds=0.5, look_every_seconds=1.0)
    track = watched(declared, rng, 11, 50, arm)
    assert track.better.log_evidence is not None
    assert track.worse.log_evidence is not None
    assert watched(declared, rng, 9, 50, arm).better.log_evidence is None
