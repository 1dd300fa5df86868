"""What the generators bring has the distribution that it says, in any batches; traffic adds up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from experiments.design import Design
from experiments.metric import Metric
from experiments.simulation.allocation import FLOOR, propensity, thompson, ticks
from experiments.simulation.generators import Draw, always, conversion, lognormal, normal, revenue, skewed
from experiments.simulation.traffic import mature, ramp_by_enrolment, ramp_by_weights, split
from experiments.simulation.watching import pooled

DRAWS: list[tuple[str, Draw, float, float]] = [
    ("revenue", revenue(), 0.1 * math.exp(0.5), 0.1 * math.exp(0.5) * math.sqrt(math.e / 0.1 - 1.0)),
    ("skewed", skewed(2.0, 3.0), 2.0, 6.0),
    ("hardly skewed", skewed(2.0, 0.5), 2.0, 1.0),
    ("log-normal", lognormal(3.0, 1.0), 3.0, 3.0),
    ("conversion", conversion(always(0.2)), 0.2, 0.4),
    ("normal", normal(-3.0, 2.0), -3.0, 2.0),
]


@pytest.mark.parametrize(("draw", "mean", "deviation"), [each[1:] for each in DRAWS], ids=[each[0] for each in DRAWS])
def test_mean_and_variance(rng: np.random.Generator, draw: Draw, mean: float, deviation: float) -> None:
    """Means of 400 units are within what chance allows of the mean that was asked for, and so are the variances."""
    batch = draw(rng, np.full(20_000, 400), 0)
    assert stats.ttest_1samp(batch.mean, mean).pvalue > 1e-4
    assert stats.ttest_1samp(batch.m2 / 399.0, deviation**2).pvalue > 1e-4
    assert batch.mean.std() == pytest.approx(deviation / 20.0, rel=0.05)


@pytest.mark.parametrize("draw", [each[1] for each in DRAWS], ids=[each[0] for each in DRAWS])
def test_no_units_bring_nothing(rng: np.random.Generator, draw: Draw) -> None:
    """Experiments without units in a batch have zeros, one unit has no spread, and the others are as ever."""
    batch = draw(rng, np.array([0, 1, 0, 50, 0]), 0)
    assert batch.n.tolist() == [0.0, 1.0, 0.0, 50.0, 0.0]
    assert not batch.mean[[0, 2, 4]].any()
    assert batch.m2[[0, 1, 2, 4]] == pytest.approx(0.0, abs=1e-9)
    for draws in batch:
        assert np.isfinite(draws).all()


def test_batches_merge() -> None:
    """Means and variances after many batches are those of all values at once, phase by phase and thrown together."""
    values: list[Any] = [[[], []], [[], []]]

    def kept(arm: int) -> Draw:
        draw = normal(1e6, 1.0)

        def drawn(rng: np.random.Generator, units: Any, look: int) -> Any:
            batch = draw(rng, units, look)
            values[arm][look // 5].append(batch)
            return batch

        return drawn

    rng = np.random.default_rng(1)
    last = list(mature(rng, 3, ramp_by_weights(40, 10, (0.2, 0.5)), kept(0), kept(1)))[-1]
    for side, arm in ((last.control, 0), (last.treatment, 1)):
        for phase in range(2):
            n, mean, m2 = (np.array([batch[k] for batch in values[arm][phase]]) for k in range(3))
            centre = (n * mean).sum(0) / n.sum(0)
            assert side.n[:, phase] == pytest.approx(n.sum(0))
            assert side.mean[:, phase] == pytest.approx(centre, rel=1e-12)
            assert side.variance[:, phase] == pytest.approx((m2 + n * (mean - centre) ** 2).sum(0) / (n.sum(0) - 1), rel=1e-6)
    assert pooled(last.control, last.treatment).n.tolist() == [400.0] * 3


def test_traffic(rng: np.random.Generator) -> None:
    """All units of a step are in one arm or the other, in the declared shares; ramps move either the split or who takes part."""
    looks = list(mature(rng, 2000, ramp_by_weights(100, 9, (0.05, 0.2, 0.5)), normal(0.0, 1.0), normal(0.0, 1.0)))
    last = looks[-1]
    assert (last.control.n + last.treatment.n == 300.0).all()
    assert (last.treatment.n / 300.0).mean(0) == pytest.approx([0.05, 0.2, 0.5], abs=0.003)
    assert last.shares.tolist() == [0.05, 0.2, 0.5]
    assert looks[2].treatment.n[:, 1:].sum() == 0.0
    assert [step.units for step in ramp_by_enrolment((1, 2, 3), 6)] == [1, 1, 2, 2, 3, 3]
    assert {step.phase for step in [*ramp_by_enrolment((1, 2, 3), 6), *split(5, 4)]} == {0}


def test_the_same_seed_brings_the_same() -> None:
    """Nothing but the generator of random numbers decides."""
    for draw in (revenue(), conversion(always(0.1)), normal(0.0, 1.0)):
        one, two = (list(mature(np.random.default_rng(7), 50, split(30, 4), draw, draw)) for _ in range(2))
        assert all((a.control.mean == b.control.mean).all() for a, b in zip(one, two, strict=True))


def test_thompson_finds_the_better_arm(rng: np.random.Generator) -> None:
    """Propensities go to where conversions are, never below the floor, and the test shows it in the right direction."""
    declared = Design(metrics=[Metric(name="m", kind="binary")], mde=0.5, relative=True, window_seconds=0.5, look_every_seconds=1.0)
    last = list(thompson(rng, 200, 100, 60, 0.1, 0.2))[-1]
    assert np.median(propensity(last)) == 1.0 - FLOOR
    assert propensity(last).min() >= FLOOR
    assert (last.control + last.treatment == 6000.0).all()
    assert last.treatment.mean() > 4000.0
    evidence = [tick.better for tick in ticks(declared, thompson(rng, 200, 100, 100, 0.1, 0.2))]
    assert (np.fmax.reduce(evidence) >= math.log(20.0)).mean() > 0.5
