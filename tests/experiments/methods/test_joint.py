"""Joint summaries: numpy's covariance, in any order, exact at large means, storable whatever the values."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid, Refused
from experiments.methods import summary
from experiments.methods.covariate import cuped, lin
from experiments.methods.joint import NOTHING, Joint, alone, merge, merge_all, of
from experiments.methods.ratio import linearised
from experiments.methods.summary import LARGEST

NUMBERS = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=60)


@given(PAIRS)
def test_of_agrees_with_numpy(pairs: list[tuple[float, float]]) -> None:
    """The co-moment is numpy's covariance times n − 1, and y and x are their own summaries."""
    y, x = np.array(pairs).T
    found = of(y, x)
    assert found.n == len(pairs)
    assert (found.y, found.x) == (summary.of(y), summary.of(x))
    scale = float(np.std(y) * np.std(x)) * len(pairs)
    assert found.c == pytest.approx(np.cov(y, x, ddof=0)[0, 1] * len(pairs), rel=1e-9, abs=1e-9 * scale + 1e-9)


@given(PAIRS, st.integers(1, 10), st.randoms(use_true_random=False))
def test_merge_is_free_of_order(pairs: list[tuple[float, float]], parts: int, shuffle: random.Random) -> None:
    """However the units were split and in whatever order merged, the co-moment is the same."""
    y, x = np.array(pairs).T
    pieces = [of(y[i::parts], x[i::parts]) for i in range(parts)]
    shuffle.shuffle(pieces)
    found, whole = merge_all(pieces), of(y, x)
    assert found.n == whole.n
    assert found.y == summary.merge_all(piece.y for piece in pieces)
    assert found.x == summary.merge_all(piece.x for piece in pieces)
    assert found.c == pytest.approx(whole.c, rel=1e-9, abs=1e-9 * float(np.std(y) * np.std(x)) * len(pairs) + 1e-6)


def test_exact_at_large_means(rng: np.random.Generator) -> None:
    """At means of 1e8 and variances of 1 the covariance is exact to 1e-9, unit by unit: sums of products would lose all of it."""
    x = 1e8 + rng.standard_normal(20_000)
    y = x + rng.standard_normal(20_000)
    exact = float(np.cov(y - 1e8, x - 1e8)[0, 1])
    one_by_one = merge_all(of([a], [b]) for a, b in zip(y, x, strict=True))
    assert of(y, x).c / 19_999 == pytest.approx(exact, rel=1e-9)
    assert one_by_one.c / 19_999 == pytest.approx(exact, rel=1e-9)
    raw = (float(y @ x) - float(y.sum()) * float(x.sum()) / 20_000) / 19_999
    assert abs(raw - exact) > 0.1


def test_nothing_is_neutral() -> None:
    """Merging nothing changes nothing."""
    some = of([1.0, 2.0, 4.0], [3.0, 1.0, 1.0])
    assert merge(NOTHING, some) == merge(some, NOTHING) == some
    assert of([], []) == merge_all([]) == NOTHING


def test_a_summary_alone_is_one_with_x_0() -> None:
    """A metric without a covariate takes part as if x were 0."""
    assert alone(summary.of([1.0, 5.0])) == of([1.0, 5.0], [0.0, 0.0])


@pytest.mark.parametrize(
    ("y", "x"),
    [
        ([1e300, -1e300, 3.0], [1.0, 2.0, 4.0]),
        ([1.0, 2.0, 4.0], [1e300, -1e300, 3.0]),
        ([1.7e308, -1.7e308], [1.7e308, -1.7e308]),
        ([1e200, 2e200, 4e200], [-1e200, 3e200, 1e200]),
    ],
)
def test_values_too_large_are_kept_finite_and_refused(y: list[float], x: list[float]) -> None:
    """Where squares overflow the summary stays storable as JSON, and every estimate from it is refused."""
    ordinary = of([1.0, 2.0, 4.0, 5.0], [3.0, 1.0, 1.0, 2.0])
    for found in (of(y, x), merge_all(of([a], [b]) for a, b in zip(y, x, strict=True)), merge(of(y, x), ordinary)):
        assert LARGEST in (found.y.m2, found.x.m2)
        assert abs(found.c) <= LARGEST
        assert msgspec.json.decode(msgspec.json.encode(found), type=Joint) == found
        for estimate in (lambda arm: cuped(ordinary, arm), lambda arm: lin(arm, ordinary), linearised):
            with pytest.raises(Refused):
                estimate(found)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_invalid(value: float) -> None:
    """NaN and infinities never get in, on either side."""
    for pair in (([1.0, value], [1.0, 2.0]), ([1.0, 2.0], [1.0, value])):
        with pytest.raises(Invalid, match="finite"):
            of(*pair)


def test_pairs_have_two_sides() -> None:
    """A value without a covariate is wrong input, not a shorter sample."""
    with pytest.raises(Invalid, match="as many as covariates, got 2 and 1"):
        of([1.0, 2.0], [1.0])
