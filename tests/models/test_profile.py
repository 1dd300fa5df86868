"""Profiles of samples."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.values import Output
from models.profile import BINS, BUCKETS, CELLS, MOST_CATEGORIES, Profile, categories, numbers, profile
from models.signature import Signature, infer

FINITE = st.floats(-1e12, 1e12)


@given(st.lists(st.none() | FINITE, max_size=60))
@settings(deadline=None)
def test_every_present_number_is_in_one_bin(values):
    """The bins hold all values that are present, between the smallest and the largest, and no more."""
    found = numbers(values)
    present = [value for value in values if value is not None]
    assert (found.count, found.missing) == (len(values), len(values) - len(present))
    assert sum(found.counts) == len(present)
    assert len(found.counts) <= BINS
    if present:
        assert (found.edges[0], found.edges[-1]) == (min(present), max(present)) == (found.minimum, found.maximum)
        assert found.mean == pytest.approx(np.mean(present), rel=1e-9, abs=1e-3)


def test_bins_are_deciles():
    """Ten bins of about equal counts, wherever the values are many."""
    found = numbers(list(np.random.default_rng(5).lognormal(size=1000)))
    assert found.counts == (100,) * 10


def test_the_most_frequent_categories_are_kept():
    """The rest is counted together, so that counts add up."""
    found = categories([*(["a"] * 5), *(["b"] * 3), None, *(f"rare {index}" for index in range(40))])
    assert list(found.top)[:2] == ["a", "b"]
    assert len(found.top) == MOST_CATEGORIES
    assert (found.count, found.missing, found.distinct) == (49, 1, 42)
    assert sum(found.top.values()) + found.other == 48


def test_a_classifiers_answers_are_profiled():
    """Labels as categories, and the distribution of each class's probability."""
    columns = {"x": [1.0, 2.0, 3.0], "city": ["a", "b", None]}
    outputs = [Output(label=1, probabilities={"0": 1 - share, "1": share}) for share in (0.6, 0.7, 0.9)]
    found = profile(Signature(infer(columns), "classification", (0, 1)), columns, outputs)
    assert found.rows == 3
    assert list(found.features) == ["x", "city"]
    assert found.outputs["label"].top == {"1": 3}
    assert found.outputs["probability of 1"].mean == pytest.approx(0.7333, abs=1e-4)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Profile) == found


def test_a_regressions_answers_are_profiled():
    """The distribution of its values."""
    found = profile(Signature(infer({"x": [1, 2]}), "regression"), {"x": [1, 2]}, [Output(value=3.0), Output(value=5.0)])
    assert (found.outputs["value"].mean, found.outputs["value"].sd) == (4.0, 1.0)


def test_what_a_model_does_not_say_is_missing():
    """No value or label yet, and no probability of a class that it had not met; classes are all that any row names."""
    values = profile(Signature(infer({"x": [1, 2]}), "regression"), {"x": [1, 2]}, [Output(value=None), Output(value=5.0)])
    assert (values.outputs["value"].count, values.outputs["value"].missing, values.outputs["value"].mean) == (2, 1, 5.0)
    outputs = [Output(label=None, probabilities={}), Output(label="a", probabilities={"a": 0.75, "b": 0.25})]
    found = profile(Signature(infer({"x": [1, 2]}), "classification"), {"x": [1, 2]}, outputs).outputs
    assert (found["label"].missing, found["label"].top) == (1, {"a": 1})
    assert (found["probability of b"].missing, found["probability of b"].mean) == (1, 0.25)


def test_cells_are_counted_beside_the_bins():
    """Each distinct value where there are few, twentieths where there are many; what lies outside of the range has none of the sample."""
    few = numbers([0.0, 1.0, 1.0, 5.0])
    assert (few.cuts[:-1], few.cells) == ((0.0, 1.0, 5.0), (0, 1, 2, 1, 0))
    assert 5.0 < few.cuts[-1] < 5.0 + 1e-9
    many = numbers(list(np.random.default_rng(5).normal(size=1000)))
    assert len(many.cells) == CELLS + 2
    assert many.cells[0] == many.cells[-1] == 0
    assert many.cells[1:-1] == pytest.approx([50] * CELLS, abs=1)


def test_all_categories_are_counted_where_there_are_not_too_many():
    """One by one up to a hundred, in buckets beyond."""
    some = categories([f"c{index % 30}" for index in range(90)])
    assert sum((some.top | some.rest).values()) == 90
    assert some.buckets == ()
    many = categories([f"c{index}" for index in range(101)])
    assert (many.rest, sum(many.buckets), len(many.buckets)) == ({}, 101, BUCKETS)


def test_the_target_and_repeated_rows_are_known():
    """Labels of a classification are categories, those of a regression numbers; text is never a number."""
    columns = {"x": [1.0, 1.0, 2.0]}
    classes = profile(Signature(infer(columns), "classification"), columns, [Output(label=1)] * 3, [1, 0, None])
    assert (classes.target.top, classes.target.missing) == ({"1": 1, "0": 1}, 1)
    assert classes.repeats == pytest.approx(1 / 3)
    values = profile(Signature(infer(columns), "regression"), columns, [Output(value=1.0)] * 3, [1, 2.5, None])
    assert (values.target.mean, values.target.missing) == (1.75, 1)
    assert profile(Signature(infer(columns), "anomaly"), columns, [Output(value=1.0)] * 3, ["a", "b", "a"]).target.distinct == 2
    assert profile(Signature(infer(columns), "regression"), columns, [Output(value=1.0)] * 3).target is None


def test_a_profile_of_older_days_is_read():
    """What it does not have is empty."""
    numeric = b'{"type":"numbers","count":2,"missing":0,"mean":1.5,"sd":0.5,"minimum":1.0,"maximum":2.0,"edges":[1.0,2.0],"counts":[2]}'
    text = b'{"type":"categories","count":2,"missing":0,"distinct":1,"top":{"a":2},"other":0}'
    old = b'{"rows":2,"features":{"x":' + numeric + b',"c":' + text + b'},"outputs":{}}'
    found = msgspec.json.decode(old, type=Profile)
    assert (found.features["x"].cuts, found.features["c"].rest, found.target, found.losses, found.repeats) == ((), {}, None, {}, 0.0)
