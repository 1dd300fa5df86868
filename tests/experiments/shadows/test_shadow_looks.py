"""Looks at labelled pairs: how often they show a difference that is none, and that what was shown stays shown."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.methods.mcnemar import log_evidence
from experiments.shadows.evidence import EVERY_SECONDS, Looked, Seen, due
from experiments.shadows.looks import ALPHA, FEWEST, FEWEST_FROZEN, look

LOOKS, RUNS, UNITS, ROWS = 195, 200, 2000, 8000


def at(slot: float) -> float:
    """The journal time of a grid point."""
    return slot * EVERY_SECONDS


def seen(means: object, rows: int | None = None, discordant: tuple[int, int] | None = None) -> Seen:
    """These unit means, one row each where not said otherwise."""
    array = np.asarray(means, dtype=np.float64)
    return Seen(array, len(array) if rows is None else rows, discordant)


def arriving(generator: np.random.Generator, effect: float, within: float) -> tuple[bool, bool]:
    """Rows of units that join over time and come again: whether 195 looks show a difference, and whether a naive test ever does.

    `within` is the share of the variance that is within units; losses are skewed, as those of a sure classifier are.
    """
    unit = (generator.random(ROWS) * np.linspace(20, UNITS, ROWS)).astype(int)
    own, noise = generator.exponential(size=UNITS) - 1.0, generator.exponential(size=ROWS) - 1.0
    values = effect + math.sqrt(1.0 - within) * own[unit] + math.sqrt(within) * noise
    total, rows, looked, naive = np.zeros(UNITS), np.zeros(UNITS), Looked(), False
    for number, part in enumerate(np.array_split(np.arange(ROWS), LOOKS), 1):
        total += np.bincount(unit[part], values[part], UNITS)
        rows += np.bincount(unit[part], minlength=UNITS)
        known = rows > 0
        looked = look(looked, seen(total[known] / rows[known], int(rows.sum())), at(number))
        until = values[: part[-1] + 1]
        naive |= number > 5 and abs(until.mean()) > 1.96 * until.std() / math.sqrt(len(until))
    assert looked.looks == LOOKS
    return looked.paired.shown is not None, bool(naive)


def test_false_alarms() -> None:
    """At 195 looks, over clustered skewed rows that arrive over time, at most 5 % of runs show a difference that is none: here 1.5 %.

    A t test of the rows at each look has one in 84 %. The claim fails where the 99.9 % Clopper-Pearson interval excludes it.
    """
    found = np.array([arriving(np.random.default_rng([7, run]), 0.0, 0.3) for run in range(RUNS)])
    alarms, naive = found.sum(axis=0)
    print(f"false alarms in {alarms} of {RUNS} runs, of the naive test in {naive}")
    assert stats.binomtest(int(alarms), RUNS).proportion_ci(0.999, "exact").low <= ALPHA
    assert naive > RUNS / 2


def test_power() -> None:
    """A difference of a tenth of a unit's standard deviation is found in most runs."""
    assert sum(arriving(np.random.default_rng([8, run]), 0.1, 0.3)[0] for run in range(20)) >= 15


def test_the_grid() -> None:
    """No look before the first grid point, one at each, none twice; missed ones are not made up for."""
    assert not due(Looked(), at(0.99))
    first = look(Looked(), seen([0.1, 0.2]), at(3.5))
    assert (first.looks, first.slot, first.at, first.units) == (1, 3, at(3.5), 2)
    assert look(first, seen([9.0] * 3), at(3.9)) == first
    assert look(first, seen([0.1, 0.3]), at(4.0)).looks == 2


def test_nothing_to_look_at() -> None:
    """It is no look."""
    assert look(Looked(), seen([]), at(2)) == Looked(slot=2)


def test_too_few_units() -> None:
    """However far they are off, nothing counts before there are enough; what tunes the test is frozen before."""
    values = np.tile([1.0, 1.1], FEWEST // 2)
    few = look(Looked(), seen(values[: FEWEST_FROZEN - 2]), at(1))
    assert (few.planned_sd, few.paired.estimate) == (None, None)
    some = look(few, seen(values[:-2]), at(2))
    assert some.planned_sd == pytest.approx(0.05, rel=0.01)
    assert (some.paired.estimate, some.paired.log_evidence, some.paired.shown) == (pytest.approx(1.05), None, None)
    enough = look(some, seen(10.0 * values), at(3))
    assert enough.planned_sd == some.planned_sd
    assert enough.paired.shown is not None
    assert (enough.paired.shown.look, enough.paired.shown.units) == (3, FEWEST)


def test_what_was_shown_stays(generator: np.random.Generator) -> None:
    """Also where later looks see the opposite; the largest evidence is kept."""
    values = generator.normal(size=1000)
    first = look(Looked(), seen(values + 1.0), at(1))
    second = look(first, seen(values - 0.1), at(2))
    assert first.paired.shown is not None
    assert (second.paired.shown, second.paired.log_evidence) == (first.paired.shown, first.paired.log_evidence)
    assert second.paired.estimate is not None
    assert second.paired.estimate < 0.0


@pytest.fixture
def generator() -> np.random.Generator:
    """A source of seeded values."""
    return np.random.default_rng(0)


@pytest.mark.parametrize("values", [[0.0] * 600, [0.3] * 600, [1e150, -1e150] * 300], ids=["none", "constant", "huge"])
def test_extremes(values: list[float]) -> None:
    """Without spread there is no evidence; with huge losses all figures are finite."""
    found = look(Looked(), seen(values), at(1)).paired
    assert found.shown is None
    assert all(one is None or math.isfinite(one) for one in (found.estimate, found.se, found.lower, found.upper, found.log_evidence))


def test_right_and_wrong() -> None:
    """One row of each unit brings the evidence of the discordant ones, which may be few; several rows of a unit bring none."""
    found = look(Looked(), seen(np.zeros(40), 40, (2, 20)), at(1))
    assert found.right.log_evidence == pytest.approx(float(log_evidence(2, 20)))
    assert found.right.estimate == pytest.approx((2 - 20) / 40)
    assert found.right.shown is not None
    assert look(Looked(), seen(np.zeros(40), 41, (2, 20)), at(1)).right == Looked().right
    assert look(Looked(), seen(np.zeros(40), 40, None), at(1)).right == Looked().right


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_a_replay_changes_nothing(values: list[float]) -> None:
    """The same look twice is one."""
    once = look(Looked(), seen(values * 20), at(1))
    assert look(once, seen(values * 20), at(1)) == once
