"""The promises of drift detection, on real data: thirty features of 569 tumours, skewed, correlated and with ties.

The reference is one half of the rows, the model is fitted to it; what is served is drawn from the other half, from which the model
has seen nothing. The same rows come again and again then, as those of a client may.
"""

from __future__ import annotations

import numpy as np
import pytest

from experiments.drift.judging import Judged, Rule, judge
from experiments.simulation.rates import rate
from flows.watching.comparing import compared, independent
from flows.watching.reference import Reference, reference
from tests.flows.watching.watch_world import DEFAULT, Model, cancer, card_of

HALVES = range(4)


class Half:
    """A version that was registered with one half of the rows, and the other half."""

    def __init__(self, seed: int) -> None:
        x, y, names = cancer()
        self.rng = np.random.default_rng(seed)
        order = self.rng.permutation(len(x))
        mine, self.others = order[: len(x) // 2], order[len(x) // 2 :]
        self.x, self.names, self.sd = x, names, x[mine].std(axis=0)
        self.model = Model(x[mine], y[mine])
        self.outputs = self.model.answer(x)
        found = reference(card_of(x[mine], y[mine], self.model, names))
        assert isinstance(found, Reference)
        self.reference = found

    def window(self, rows: int, shifted: int | None = None, shift: float = 0.5) -> dict[str, Judged]:
        """The judgement of a window of rows; feature number `shifted` is shifted by half of its standard deviation."""
        drawn = self.rng.choice(self.others, rows)
        x, outputs = self.x[drawn], [self.outputs[place] for place in drawn]
        if shifted is not None:
            x[:, shifted] += shift * self.sd[shifted]
            outputs = self.model.answer(x)
        tally = self.reference.tally(x.tolist(), outputs)
        layout = self.reference.layout
        rule = Rule(DEFAULT.alpha, DEFAULT.least_psi, independent(layout, tally, self.reference.repeats))
        return dict(zip((one.name for one in layout.columns), judge(compared(layout, tally), rule), strict=True))


@pytest.fixture(scope="module")
def halves() -> list[Half]:
    """Four ways to halve the rows."""
    return [Half(seed) for seed in HALVES]


def test_no_alarm_in_fifty_windows(halves: list[Half]) -> None:
    """Of two hundred windows in which nothing has changed, fifty for each half, none raises an alarm."""
    alarms = [any(one.alarm for one in half.window(DEFAULT.window).values()) for half in halves for _ in range(50)]
    assert rate(alarms).hits == 0


def test_half_a_standard_deviation_is_found_and_named(halves: list[Half]) -> None:
    """In any one of thirty features, upwards or downwards, within the 2,000 rows of two windows; in the first window mostly."""
    first, found, others = [], [], []
    for number, half in enumerate(halves):
        for feature in range(number % 2, 30, 2):
            shift = 0.5 if (number + feature) % 2 else -0.5
            windows = [half.window(1000, feature, shift) for _ in range(2)]
            named = [{name for name, one in window.items() if one.alarm} for window in windows]
            first.append(half.names[feature] in named[0])
            found.append(any(half.names[feature] in names for names in named))
            others += [bool(names & set(half.names) - {half.names[feature]}) for names in named]
    assert rate(found).value >= 0.95
    assert rate(first).value >= 0.9
    assert rate(others).hits <= 1


def test_rows_that_come_again_are_not_taken_for_new_ones(halves: list[Half]) -> None:
    """A thousand rows drawn from 285 count as about 220: else two halves of the same data would be called different."""
    half = halves[0]
    x = half.x[half.rng.choice(half.others, 1000)]
    tally = half.reference.tally(x.tolist(), half.model.answer(x))
    assert 180 < 1000 * independent(half.reference.layout, tally, half.reference.repeats) < 260
    whole = half.reference.tally(half.x.tolist(), half.model.answer(half.x))
    assert independent(half.reference.layout, whole, half.reference.repeats) == 1.0


def test_the_same_row_all_the_time_is_drift(halves: list[Half]) -> None:
    """A pipeline that is stuck is found, though its rows tell nothing new."""
    half = halves[0]
    x = np.repeat(half.x[half.others[:1]], 1000, axis=0)
    tally = half.reference.tally(x.tolist(), half.model.answer(x))
    rule = Rule(DEFAULT.alpha, DEFAULT.least_psi, independent(half.reference.layout, tally, half.reference.repeats))
    found = judge(compared(half.reference.layout, tally), rule)
    assert sum(one.alarm for one in found) > 20
