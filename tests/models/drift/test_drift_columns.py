"""Columns of a profile, as later rows are counted on them."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from models.drift.columns import LARGEST, MISSING, UNSEEN, Buckets, Category, Number, column
from models.profile import BUCKETS, categories, numbers

FINITE = st.floats(-1e12, 1e12)


@given(st.lists(st.none() | FINITE, min_size=1, max_size=80))
def test_the_sample_counted_on_its_own_cells_is_its_profile(values):
    """Number by number, and none of them is outside of its range."""
    profiled = numbers(values)
    made = column("x", profiled)
    assert isinstance(made, Number)
    read = made.read(values)
    assert np.bincount(read.codes[read.codes >= 0], minlength=len(made.cells)).tolist() == list(made.cells)
    assert (read.codes == MISSING).sum() == profiled.missing
    if profiled.cuts:
        assert made.cells[0] == made.cells[-1] == 0


def test_numbers_outside_of_the_range_have_cells_of_their_own():
    """The smallest and the largest of the sample are inside."""
    made = column("x", numbers([1.0, 2.0, 5.0]))
    assert made.read([0.9, 1.0, 5.0, 5.1, None]).codes.tolist() == [0, 1, 3, 4, MISSING]


def test_equal_numbers_have_equal_keys():
    """Also 0.0 and -0.0, and 1 and 1.0; missing ones are equal among themselves."""
    keys = column("x", numbers([1.0, 2.0])).read([0.0, -0.0, 1, 1.0, None, None, 1.5]).keys
    assert keys[::2][:3].tolist() == keys[1::2].tolist()
    assert len(set(keys.tolist())) == 4


def test_the_total_is_in_standard_deviations():
    """Of the sample, from its mean; missing values are left out."""
    made = column("x", numbers([1.0, 3.0]))
    assert made.read([4.0, None, 2.0]).total == 2.0


def test_no_number_is_too_large_to_be_added_up():
    """It counts as far away, and the total stays finite."""
    assert column("x", numbers([1.0, 2.0])).read([1.7e308, 1.7e308]).total == 2 * LARGEST


def test_a_card_of_older_days_is_read():
    """Its tenths are the cells; the range is known as well."""
    profiled = numbers(list(np.random.default_rng(1).normal(size=500)))
    older = column("x", replace(profiled, cuts=(), cells=()))
    assert older.cells == (0, *profiled.counts, 0)
    assert older.read([profiled.minimum, profiled.maximum, profiled.maximum + 1e-9]).codes.tolist() == [1, 10, 11]
    constant = column("x", replace(numbers([3.0] * 60), cuts=(), cells=()))
    assert constant.cells == (0, 60, 0)
    assert constant.read([3.0, 2.0, 4.0]).codes.tolist() == [1, 0, 2]
    assert column("c", replace(categories([str(k) for k in range(30)]), rest={})) is None


def test_a_column_without_numbers_has_one_cell():
    """It can still be told that something comes where nothing was."""
    made = column("x", numbers([None] * 60))
    assert (made.cells, made.missing) == ((0,), 60)
    assert made.read([1.0, None]).codes.tolist() == [0, MISSING]


def test_categories_are_counted_each_and_unseen_ones_by_name():
    """As text, as the profile does; equal values have equal keys, different ones different keys."""
    made = column("c", categories([True, True, False, None]))
    assert isinstance(made, Category)
    assert (made.cells, made.missing) == ((2, 1), 1)
    read = made.read([False, None, "odd", "odd", "other", "x" * 500])
    assert read.codes.tolist() == [1, MISSING, UNSEEN, UNSEEN, UNSEEN, UNSEEN]
    assert read.unseen == {"odd": 2, "other": 1, "x" * 100: 1}
    assert len(set(read.keys.tolist())) == 5


def test_many_categories_are_counted_in_buckets():
    """The same value is in the same bucket always, and none is unseen."""
    values = [f"user {k}" for k in range(500)]
    made = column("c", categories(values))
    assert isinstance(made, Buckets)
    assert (len(made.cells), sum(made.cells)) == (BUCKETS, 500)
    codes = made.read([*values, None]).codes
    assert np.bincount(codes[:-1], minlength=BUCKETS).tolist() == list(made.cells)
    assert codes[-1] == MISSING
    assert made.read(["never seen"]).unseen == {}


@pytest.mark.parametrize("value", [1e308, -1e308])
def test_cuts_are_finite(value):
    """Also above the largest number that there is."""
    assert inf not in numbers([value, 1.0]).cuts
