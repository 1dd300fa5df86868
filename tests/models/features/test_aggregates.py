"""Streaming aggregates: what is published while events come equals a computation from nothing, to the last bit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import stats

from models.features.declaration import Aggregate
from models.features.occurrences import Occurrence
from models.features.recompute import recompute
from tests.models.features.feature_world import EVERY, LATENESS, WINDOW, Published, end_of, happened, histories, view


@given(histories(), st.data())
def test_incremental_equals_recomputed(history: list[Occurrence], data: st.DataObject) -> None:
    """Whatever the order of arrival, the moments of publishing, the kills and the idle times: exactly the numbers of `recompute`."""
    published, at = Published(view()), 0.0
    for one in history:
        published.take(one)
        if data.draw(st.booleans()):
            at = max(at, one.at) + data.draw(st.sampled_from([0.0, 0.5, 30.0, 100.0]))
            published.publish(at)
        if data.draw(st.integers(0, 4)) == 0:
            published.kill()
    at = max(at, end_of(history)) + data.draw(st.sampled_from([0.0, 0.3, 59.5, 61.5]))
    if math.isfinite(at):
        published.publish(at)
        assert published.rows == recompute(view(), history, at)
        assert sum(published.live.figures.values()) == len(history)


@given(histories())
def test_windows_end_without_events(history: list[Occurrence]) -> None:
    """When nothing happens any more only what has no window stays."""
    published = Published(view())
    for one in history:
        published.take(one)
    if not history:
        return
    end = end_of(history)
    published.publish(end)
    published.publish(end + 2 * WINDOW)
    assert published.rows == recompute(view(), history, end + 2 * WINDOW)
    for features in published.rows.values():
        assert "ewm" in features
        assert (features["count"], features["sum"], features["mean"], features["distinct"]) == (0, 0.0, None, 0)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30))
def test_aggregates_are_what_their_names_say(values: list[float]) -> None:
    """Over one window each aggregate is numpy's, up to rounding."""
    published = Published(view())
    for index, x in enumerate(values):
        published.take(happened(1000.0 + index, x, what=str(x)))
    published.publish(1000.0 + len(values))
    found = published.rows["ann"]
    assert found["count"] == found["given"] == len(values)
    assert found["distinct"] == len({str(x) for x in values})
    assert (found["min"], found["max"]) == (min(values), max(values))
    assert found["sum"] == pytest.approx(math.fsum(values), abs=1e-9)
    assert found["mean"] == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert found["quantile"] == pytest.approx(np.quantile(values, 0.9), abs=1e-9)
    if len(values) > 1:
        assert found["var"] == pytest.approx(np.var(values, ddof=1), rel=1e-9, abs=1e-9)
    else:
        assert found["var"] is None


@pytest.mark.parametrize(
    ("name", "river"),
    [
        ("sum", stats.Sum),
        ("mean", stats.Mean),
        ("var", stats.Var),
        ("min", stats.Min),
        ("max", stats.Max),
        ("ewm", lambda: stats.EWMean(0.3)),
    ],
)
def test_inside_a_pane_they_are_rivers(name: str, river: Callable[[], stats.base.Univariate]) -> None:
    """What comes within one pane gives River's own number, to the last bit."""
    published, theirs = Published(view()), river()
    for x in (0.1, 0.7, -3.3, 1e5, 2.2):
        published.take(happened(1000.5, x))
        theirs.update(x)
    published.publish(1000.5)
    assert published.rows["ann"][name] == theirs.get()


def test_a_window_covers_its_last_sixty_panes() -> None:
    """An event counts in the pane of its time and in the 59 after it, and no longer."""
    published = Published(view())
    published.take(happened(1000.9))
    published.publish(1059.99)
    assert published.rows["ann"]["count"] == 1
    published.publish(1060.0)
    assert published.rows["ann"]["count"] == 0


def test_an_entity_with_empty_windows_is_unknown() -> None:
    """Once all windows of an entity are empty it has no row any more: then what is declared for the unknown is served."""
    published = Published(view({"n": EVERY["count"]}))
    published.take(happened(1000.0))
    published.publish(1001.0)
    assert published.rows == {"ann": {"n": 1}}
    published.publish(1061.0)
    assert published.rows == {}
    assert len(published.live) == 0


def test_an_empty_window_beside_a_full_one_is_null() -> None:
    """What is computed does not depend on defaults: they are put in the place of null where it is served."""
    features = {"long": Aggregate("mean", "x", 600.0), "short": Aggregate("mean", "x", 6.0)}
    published = Published(view(features, defaults={"short": -1.0}))
    published.take(happened(1000.0, 5.0))
    published.publish(1100.0)
    assert published.rows == {"ann": {"long": 5.0, "short": None}}


def test_every_event_is_counted_by_what_became_of_it() -> None:
    """Events are used, or counted as late, repeated, without the entity, or without a number where one is needed."""
    published = Published(view())
    assert published.take(happened(1000.0, identity="a")) == "used"
    assert published.take(happened(1000.0, identity="a")) == "duplicates"
    assert published.take(happened(1000.0 - LATENESS)) == "used"
    assert published.take(happened(999.9 - LATENESS, came=1000.0)) == "late"
    assert published.take(happened(1000.0, user=None)) == "keyless"
    assert published.take(happened(1000.0, "much")) == "unusable"
    assert published.live.figures == {"used": 2, "overfull": 0, "duplicates": 1, "late": 1, "keyless": 1, "unusable": 1}


def test_an_event_that_lacks_a_field_counts_in_the_other_features() -> None:
    """A missing or null field is no error: only the features of that field go without the event."""
    published = Published(view())
    assert published.take(happened(1000.0, None)) == "used"
    published.publish(1000.0)
    assert (published.rows["ann"]["count"], published.rows["ann"]["given"], published.rows["ann"]["mean"]) == (1, 0, None)
    assert Published(view({"sum": EVERY["sum"]})).take(happened(1000.0, None)) == "unusable"


def test_an_id_is_remembered_for_ten_minutes() -> None:
    """The same id within ten minutes of journal time is the same event, later another one."""
    published = Published(view())
    published.take(happened(1000.0, identity="a"))
    assert published.take(happened(1600.0, identity="a")) == "duplicates"
    assert published.take(happened(2200.1, identity="a")) == "used"


def test_entities_are_one_whether_text_or_number() -> None:
    """7, 7.0 and "7" name the same entity."""
    published = Published(view({"n": EVERY["count"]}))
    for user in (7, 7.0, "7"):
        published.take(happened(1000.0, user=user))
    published.publish(1000.0)
    assert published.rows == {"7": {"n": 3}}


def test_panes_are_joined_in_the_order_of_time() -> None:
    """Whatever the order of arrival across panes, the same number comes out, to the last bit."""
    published = Published(view({"sum": EVERY["sum"]}))
    for time, x in ((1002.0, 0.1), (1001.0, 0.2), (1000.0, 0.3)):
        published.take(happened(time, x, came=1002.0))
    published.publish(1002.0)
    assert published.rows["ann"]["sum"] == (0.3 + 0.2) + 0.1 != (0.1 + 0.2) + 0.3


def test_a_stored_pane_goes_on_as_if_it_had_stayed() -> None:
    """Every aggregate goes on from its stored state to the last bit, within one pane as well."""
    killed, steady = Published(view()), Published(view())
    for x in (0.1, 0.1234567891, 1 / 3, 2e-7, 0.7):
        for published in (killed, steady):
            published.take(happened(1000.5, x))
            published.publish(1000.5)
        killed.kill()
    killed.take(happened(1000.5, 0.9))
    steady.take(happened(1000.5, 0.9))
    killed.publish(1000.5)
    steady.publish(1000.5)
    assert killed.rows == steady.rows


def test_ids_are_forgotten_when_they_may_be_and_not_before() -> None:
    """An id that is younger than ten minutes is known whatever came after it; older ones take no memory."""
    published = Published(view())
    published.take(happened(1000.0, identity="a"))
    published.take(happened(1350.0, identity="b"))
    assert published.take(happened(1500.0, identity="a")) == "duplicates"
    published.take(happened(2000.0, identity="c"))
    assert len(published.live.repeats) == 2
