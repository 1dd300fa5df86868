"""What is said of a shadow: agreement, difference, latency and errors, from totals that merge."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.values import Output
from experiments.shadows.agreement import BOUNDS, Pair, Totals, add, describe


def label(name: str, **probabilities: float) -> Output:
    """A classifier's answer."""
    return Output(label=name, probabilities=probabilities) if probabilities else Output(label=name)


def said(*pairs: Pair) -> dict[str, object]:
    """What is told of these requests."""
    return describe(add(Totals(), pairs))


def test_nothing_yet() -> None:
    """Where there is nothing to tell from, nothing is told: no 0, no 1."""
    found = describe(Totals())
    assert (found["requests"], found["rows"]) == (0, 0)
    assert found["agreement"] is None
    assert found["mean_difference"] is None
    assert found["latency_seconds"] == {"mean": None, "p50_at_most": None, "p99_at_most": None}


def test_labels() -> None:
    """Agreement is the share of rows with the label that users saw; the difference is of that label's probability."""
    found = said(
        Pair([label("a", a=0.9, b=0.1), label("b", a=0.2, b=0.8)], [label("a", a=0.7, b=0.3), label("a", a=0.6, b=0.4)], 0.01, 0.02)
    )
    assert (found["requests"], found["rows"], found["agreement"]) == (1, 2, 0.5)
    assert found["mean_difference"] == pytest.approx((0.2 + 0.4) / 2)


def test_a_class_that_the_shadow_does_not_know() -> None:
    """It gives that class the probability 0."""
    assert said(Pair([label("new", new=0.75)], [label("a", a=1.0)], 0, 0))["mean_difference"] == pytest.approx(0.75)


def test_values() -> None:
    """A regressor has a difference and no agreement."""
    found = said(Pair([Output(value=1.0)], [Output(value=4.0)], 0, 0), Pair([Output(value=1.0)], [Output(value=0.0)], 0, 0))
    assert (found["agreement"], found["mean_difference"]) == (None, 2.0)


def test_labels_without_probabilities() -> None:
    """Then there is agreement and no difference."""
    found = said(Pair([label("a")], [label("a")], 0, 0))
    assert (found["agreement"], found["mean_difference"]) == (1.0, None)


def test_nothing_to_say_yet() -> None:
    """A model that has learnt too little says no label: no probability of it can differ, and no label agrees with it."""
    found = said(Pair([Output(label=None, probabilities={})], [label("a", a=0.75, b=0.25)], 0.1, 0.1))
    assert (found["agreement"], found["mean_difference"]) == (0.0, None)


def test_failures() -> None:
    """A request that the shadow failed is done and an error; it enters neither agreement nor latency."""
    found = said(Pair([label("a")], [label("a")], 0, 0.003), Pair([label("a")], None, 0, 99.0, "broke"))
    assert (found["requests"], found["errors"], found["last_error"], found["rows"]) == (2, 1, "broke", 1)
    assert found["latency_seconds"] == {"mean": pytest.approx(0.003), "p50_at_most": 0.005, "p99_at_most": 0.005}


def test_an_error_is_remembered() -> None:
    """The last error stays where later requests succeed."""
    totals = add(add(Totals(), [Pair([], None, 0, 0, "broke")]), [Pair([label("a")], [label("a")], 0, 0)])
    assert totals.last_error == "broke"


def test_a_wrong_number_of_answers_is_no_comparison() -> None:
    """Rows are compared one to one or not at all."""
    with pytest.raises(ValueError, match="shorter"):
        said(Pair([label("a"), label("a")], [label("a")], 0, 0))


@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds_hold_what_they_say(bound: float) -> None:
    """A latency of exactly a bound is at most that bound; one above the last has no bound."""
    quantiles = said(Pair([], [], 0, bound))["latency_seconds"]
    assert isinstance(quantiles, dict)
    assert quantiles["p50_at_most"] == quantiles["p99_at_most"] == bound


def test_beyond_the_last_bound() -> None:
    """What no bucket bounds is told as unknown."""
    quantiles = said(Pair([], [], 0, 11.0))["latency_seconds"]
    assert isinstance(quantiles, dict)
    assert quantiles["p50_at_most"] is None


LABELS = st.sampled_from("abc").map(lambda name: label(name, a=0.25, b=0.5, c=0.25))
ROWS = st.lists(st.tuples(LABELS, LABELS), max_size=3)
PAIRS = st.builds(
    lambda rows, failed, seconds: Pair(
        [left for left, _ in rows], None if failed else [right for _, right in rows], seconds, seconds / 2, "e" if failed else None
    ),
    ROWS,
    st.booleans(),
    st.floats(0, 20),
)


@given(st.lists(PAIRS, max_size=12), st.integers(1, 5))
def test_batching_does_not_matter(pairs: list[Pair], size: int) -> None:
    """Requests counted in batches and all at once give the same totals."""
    whole = add(Totals(), pairs)
    parts = reduce(add, [pairs[start : start + size] for start in range(0, len(pairs), size)], Totals())
    assert (parts.done, parts.errors, parts.compared, parts.labelled, parts.agreed, parts.latency_histogram, parts.last_error) == (
        whole.done,
        whole.errors,
        whole.compared,
        whole.labelled,
        whole.agreed,
        whole.latency_histogram,
        whole.last_error,
    )
    for left, right in ((parts.latency, whole.latency), (parts.difference, whole.difference)):
        assert (left.n, left.mean, left.m2) == (right.n, pytest.approx(right.mean), pytest.approx(right.m2, abs=1e-9))
