"""The life of a unit: what counts, when it matures, when it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.units import Window

WINDOW = Window(10.0, 5.0)
WHOLE = st.integers(0, 1000).map(float)


@pytest.mark.parametrize(
    ("timestamp", "arrived", "counts"),
    [
        (100.0, 100.0, True),
        (99.999, 100.0, False),
        (109.999, 110.0, True),
        (110.0, 110.0, False),
        (105.0, 114.999, True),
        (105.0, 115.0, False),
    ],
)
def test_what_counts(timestamp: float, arrived: float, counts: bool) -> None:
    """The window is [entry, entry + window), and what arrives at or after maturity is too late."""
    assert WINDOW.counts(100.0, timestamp, arrived) is counts


@given(WHOLE, WHOLE, WHOLE, WHOLE)
def test_maturity_read_either_way(entry: float, now: float, seconds: float, lateness: float) -> None:
    """A unit has matured at `now` exactly if it entered by `entered_by(now)`."""
    window = Window(seconds, lateness)
    assert (entry <= window.entered_by(now)) == (window.matures(entry) <= now)


@given(WHOLE, WHOLE, WHOLE)
def test_nothing_counts_for_a_unit_that_has_matured(entry: float, timestamp: float, late: float) -> None:
    """What is summarised at maturity is final."""
    assert not WINDOW.counts(entry, timestamp, WINDOW.matures(entry) + late)


@pytest.mark.parametrize(
    ("phase_end", "state"), [(None, "matured"), (110.0, "matured"), (109.999, "cut"), (100.0, "cut"), (115.0, "matured")]
)
def test_a_window_that_crosses_the_end_of_its_phase_is_cut(phase_end: float | None, state: str) -> None:
    """A unit is analysed where all of its window lay in its entry phase; waiting for late outcomes may reach beyond."""
    assert WINDOW.settle(100.0, phase_end) == state
