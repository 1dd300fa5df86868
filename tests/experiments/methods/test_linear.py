"""Lines through joint summaries: residuals that never fall below 0, means that lose nothing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refused
from experiments.methods import joint, summary
from experiments.methods.linear import exact_mean, moved, residual, with_mean
from experiments.methods.summary import LARGEST, Summary


@given(st.integers(0, 2**32 - 1), st.floats(-5.0, 5.0))
def test_residual_is_the_centred_sum_of_squares(seed: int, slope: float) -> None:
    """Σ (y − ȳ − b(x − x̄))², as computed unit by unit."""
    rng = np.random.default_rng(seed)
    x = rng.normal(3.0, 2.0, 30)
    y = rng.normal(size=30) + rng.choice([-1.0, 0.0, 2.0]) * x
    centred = y - y.mean() - slope * (x - x.mean())
    assert residual(joint.of(y, x), slope) == pytest.approx(float(centred @ centred), rel=1e-9)


def test_a_residual_close_to_nothing_keeps_its_digits(rng: np.random.Generator) -> None:
    """Where x explains all but a hundred-millionth of y, what is left is right to five digits."""
    x = rng.normal(size=1000)
    y = x + 1e-4 * rng.normal(size=1000)
    centred = (y - x) - (y - x).mean()
    assert residual(joint.of(y, x), 1.0) == pytest.approx(float(centred @ centred), rel=1e-5)


def test_rounding_is_no_residual(rng: np.random.Generator) -> None:
    """A million values of y = 3x merged in a thousand pieces leave exactly 0."""
    x = rng.normal(size=(1000, 1000))
    assert residual(joint.merge_all(joint.of(3.0 * row, row) for row in x), 3.0) == 0.0


def test_without_spread_on_one_side_it_is_the_others() -> None:
    """A constant x takes nothing from y, and a constant y leaves b²·m2_x."""
    assert residual(joint.of([1.0, 3.0], [5.0, 5.0]), 7.0) == pytest.approx(2.0)
    assert residual(joint.of([5.0, 5.0], [1.0, 3.0]), 2.0) == pytest.approx(8.0)
    assert residual(joint.of([5.0, 5.0], [1.0, 1.0]), 2.0) == 0.0


def test_overflow_stays_storable() -> None:
    """A residual beyond the range is LARGEST, which every variance refuses."""
    assert residual(joint.of([1.0, 2.0, 4.0], [1e100, 2e100, 5e100]), 1e100) == LARGEST
    assert residual(joint.of([1.0, 1.0, 1.0], [1e100, 2e100, 5e100]), 1e100) == LARGEST


def test_means_are_exact() -> None:
    """`mean` + `rest` is the fraction to 30 digits, and beyond the range of floating point it is refused."""
    third = Fraction(10**8) + Fraction(1, 3)
    assert abs(exact_mean(with_mean(5, third, 1.0)) - third) < Fraction(1, 10**23)
    assert exact_mean(summary.of([0.5, 1.5])) == 1
    with pytest.raises(Refused, match="floating point"):
        with_mean(5, Fraction(10**400), 1.0)


WIDE = st.floats(-1e9, 1e9) | st.floats(-1e-9, 1e-9) | st.sampled_from([0.0, 1e8, -1e8, 1e160, 1e-160, 1e300])


@given(WIDE, WIDE, WIDE, WIDE, st.floats(-1e-9, 1e-9), st.floats(-1e-9, 1e-9))
def test_moved_is_exact(y: float, slope: float, x: float, centre: float, y_rest: float, x_rest: float) -> None:
    """The mean of y − slope (x − centre) is right to twice the precision of a float, also where all of it cancels."""
    of_y, of_x = Summary(7, y, 1.0, y_rest), Summary(7, x, 1.0, x_rest)
    exact = exact_mean(of_y) - Fraction(slope) * (exact_mean(of_x) - Fraction(centre))
    if abs(exact) > Fraction(LARGEST):
        return
    found = moved(of_y, slope, of_x, centre, 2.0)
    size = abs(Fraction(y)) + abs(Fraction(slope)) * (abs(Fraction(x)) + abs(Fraction(centre))) + Fraction(1, 10**300)
    assert abs(exact_mean(found) - exact) <= size * Fraction(1, 10**30) + abs(Fraction(slope)) * Fraction(1, 10**24) + Fraction(1, 10**24)
    assert (found.n, found.m2) == (7, 2.0)
