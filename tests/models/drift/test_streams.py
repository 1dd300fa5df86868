"""Changes of a column against its own past."""

from __future__ import annotations

import math

import numpy as np

from experiments.simulation.rates import rate
from models.drift.columns import Number, column
from models.drift.streams import MOST_PANES, Streams, standard_means
from models.drift.tally import Layout
from models.profile import categories, numbers

RATE = 0.05


def stream(shift: float, at: int = 20, panes: int = 60, seed: int = 1, columns: int = 5) -> list[np.ndarray]:
    """Standard means of panes; from `at` on those of the second column are shifted."""
    found = np.random.default_rng(seed).normal(size=(panes, columns))
    found[at:, 1] += shift
    return list(found)


def first(streams: Streams, means: list[np.ndarray]) -> tuple[int, list[int]] | None:
    """The first pane with which a change shows, and where."""
    return next(((place, found) for place, each in enumerate(means) if (found := streams.update(each))), None)


def test_a_change_is_found_and_its_column_named() -> None:
    """Half a standard deviation in panes of 250 rows is a shift of 7.9 standard errors: it shows within 16 panes, with no other column."""
    found = first(Streams(RATE), stream(0.5 * math.sqrt(250)))
    assert found is not None
    assert 20 <= found[0] < 36
    assert found[1] == [1]


def test_streams_without_a_change_are_left_alone() -> None:
    """All of them together err at most at their rate, over 60 panes."""
    assert rate([first(Streams(RATE), stream(0.0, seed=seed)) is not None for seed in range(150)]).interval[0] <= RATE


def test_a_new_process_stands_where_the_old_one_stood() -> None:
    """From the means alone: both find the same from there on, also past the point where the older half is forgotten."""
    means = stream(1.0, at=MOST_PANES - 10, panes=MOST_PANES + 60, columns=2)
    one, found, expected = Streams(RATE), [], []
    for place, each in enumerate(means):
        expected.append(one.update(each))
        other = Streams(RATE, one.means) if place % 37 == 0 else one
        if other is not one:
            one = other
    two = Streams(RATE)
    found = [two.update(each) for each in means]
    assert found == expected
    assert any(found)
    assert len(two.means) <= MOST_PANES


def test_a_pane_without_values_says_nothing() -> None:
    """It is passed over."""
    streams = Streams(RATE)
    assert all(streams.update(np.array([math.nan])) == [] for _ in range(30))


def test_means_are_in_units_of_their_standard_error() -> None:
    """Of numeric columns alone, from the values that are present."""
    layout = Layout([made for profiled in (numbers([0.0, 2.0]), categories(["a"]), numbers([5.0])) if (made := column("x", profiled))], 3)
    assert isinstance(layout.columns[0], Number)
    found = standard_means(layout, layout.count(5, [[3.0] * 4 + [None], ["a"] * 5, [None] * 5]))
    assert found[0] == 2.0 * math.sqrt(4)
    assert math.isnan(found[1])
