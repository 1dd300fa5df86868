"""Streaming aggregates of huge numbers, of many values, and under clocks that are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import tallies
from models.features.recompute import recompute
from tests.models.features.feature_world import EVERY, LATENESS, WINDOW, Published, happened, view


def test_a_clock_that_is_ahead_makes_nobody_else_late() -> None:
    """An event from the future counts as of when it came."""
    published = Published(view())
    published.take(happened(1300.0, came=1000.0))
    assert published.take(happened(1000.0 - LATENESS / 2, came=1000.0)) == "used"
    published.publish(1000.0)
    assert published.rows["ann"]["count"] == 2


def test_numbers_beyond_all_bounds_are_null() -> None:
    """Finite values that add up to infinity give null: an answer is JSON."""
    published = Published(view({"sum": EVERY["sum"]}))
    for _ in range(2):
        published.take(happened(1000.0, 1.7e308))
    published.publish(1000.0)
    assert published.rows == {"ann": {"sum": None}}


@given(st.sampled_from([0.0, 1e9, -1e12, 1e140]), st.lists(st.tuples(st.floats(0.0, 58.0), st.floats(-1e3, 1e3)), min_size=2, max_size=30))
def test_over_panes_they_are_numpys(offset: float, given: list[tuple[float, float]]) -> None:
    """Joined over panes, mean, variance and quantile are numpy's of all values, also far from zero and for huge numbers."""
    values = np.array([offset + x for _, x in given])
    published = Published(view(lateness=WINDOW))
    for (after, _), x in zip(given, values.tolist(), strict=True):
        published.take(happened(1000.0 + after, x, came=1058.0, what=x))
    published.publish(1058.0)
    found = published.rows["ann"]
    near = {"rel": 1e-9, "abs": 1e-9}
    assert found["mean"] == pytest.approx(values.mean(), **near)
    assert found["quantile"] == pytest.approx(np.quantile(values, 0.9), **near)
    spread = np.ptp(values).item()
    rounding = 1e-13 * abs(offset)
    assert found["var"] == pytest.approx(np.var(values - values[0], ddof=1), rel=1e-9, abs=1e-9 + rounding * spread + rounding * rounding)


@pytest.mark.parametrize("first", [1e200, -1.7e308])
def test_a_variance_beyond_all_bounds_is_null(first: float) -> None:
    """Values of different panes whose distance squared is no number any more end nothing: the other features go on."""
    published = Published(view())
    published.take(happened(1000.0, first))
    published.take(happened(1001.5, 0.0))
    published.publish(1001.5)
    found = published.rows["ann"]
    assert (found["var"], found["mean"], found["count"]) == (None, first / 2.0, 2)
    assert found["quantile"] == pytest.approx((0.9 if first > 0.0 else 0.1) * first, rel=1e-9)
    published.publish(1059.5)
    assert published.rows == recompute(view(), published.taken, 1059.5)


def test_a_pane_keeps_only_so_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one pane quantile and distinct keep the first values; an event that lost one is counted as such, and counts elsewhere."""
    monkeypatch.setattr(tallies, "MOST_VALUES", 3)
    published = Published(view({name: EVERY[name] for name in ("count", "quantile", "distinct")}))
    figures = [published.take(happened(1000.5, float(x), what=what)) for x, what in enumerate(["a", "b", "c", "d", "e"])]
    assert figures == ["used"] * 3 + ["overfull"] * 2
    assert published.take(happened(1000.5, None, what="a")) == "used"
    assert published.take(happened(1001.5, 9.0, what="d")) == "used"
    published.publish(1001.5)
    assert published.rows == recompute(view({name: EVERY[name] for name in ("count", "quantile", "distinct")}), published.taken, 1001.5)
    assert (published.rows["ann"]["count"], published.rows["ann"]["distinct"]) == (7, 4)


def test_what_distinct_keeps_of_texts_is_short() -> None:
    """A long text takes no more room than a short one, and the count goes on after a kill."""
    published = Published(view({"distinct": EVERY["distinct"]}))
    for number in range(100):
        published.take(happened(1000.5, what=f"{'x' * 900}{number}"))
    published.publish(1000.5)
    assert len(published._states["ann"]) < 1200
    published.kill()
    published.take(happened(1000.5, what=f"{'x' * 900}99"))
    published.publish(1000.5)
    assert published.rows == {"ann": {"distinct": 100}}


def test_a_clock_that_was_ahead_makes_nothing_late() -> None:
    """When a server's clock is set back by an hour, what comes then counts as of the time before."""
    published = Published(view())
    published.take(happened(4600.0))
    assert published.take(happened(1000.0)) == "used"
    assert published.take(happened(999.0 - LATENESS, came=1000.0)) == "late"
    published.publish(4600.0)
    assert published.rows["ann"]["count"] == 2


NUMBERS = ("12.5", "true", "-.5e0", "nan", "much", "1_000", "１２", " 7")
"""Three of them are; Python's own reading takes six."""


def test_a_text_that_is_a_number_is_one() -> None:
    """The context of a prediction is logged as texts."""
    published = Published(view({"sum": EVERY["sum"]}))
    assert [published.take(happened(1000.0, x)) for x in NUMBERS] == ["used"] * 3 + ["unusable"] * 5
    published.publish(1000.0)
    assert published.rows == {"ann": {"sum": 13.0}}
