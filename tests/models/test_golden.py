"""Golden rows and parity."""

from __future__ import annotations

import math

import pytest

from core.errors import ModelFailed
from core.values import Output
from models.golden import MOST, check, choose
from models.parity import difference, largest


class Doubling:
    """A runtime that answers twice the first feature, plus an error."""

    def __init__(self, error=0.0):
        self.error = error
        self.batches = []

    def predict(self, rows):
        self.batches.append(len(rows))
        return [Output(value=2.0 * (row[0] or 0.0) + self.error) for row in rows]


def test_golden_rows_show_the_sample_from_all_sides():
    """The first rows, rows with missing values and the extremes of columns are among at most 16."""
    rows = [(float(index), "x") for index in range(100)]
    rows[60] = (None, "x")
    rows[70], rows[80] = (-5.0, "x"), (999.0, "x")
    golden = choose(rows, Doubling().predict(rows))
    assert len(golden.rows) <= MOST
    for expected in (rows[0], rows[1], rows[60], rows[70], rows[80]):
        assert list(expected) in golden.rows
    assert [output.value for output in golden.outputs] == [2.0 * (row[0] or 0.0) for row in golden.rows]


def test_wide_samples_stay_small():
    """However many columns, there are 16 golden rows at most."""
    rows = [tuple(float((index * column) % 97) for column in range(1, 60)) for index in range(90)]
    assert len(choose(rows, [Output(value=0.0)] * 90).rows) == MOST


def test_a_model_that_answers_as_before_passes():
    """Each row is asked alone, as it will be served; differences within the tolerance pass."""
    rows = [(1.0,), (2.0,)]
    runtime = Doubling(error=1e-10)
    check(runtime, choose(rows, Doubling().predict(rows)), 1e-9)
    assert set(runtime.batches) == {1}


def test_a_model_that_answers_otherwise_is_named():
    """The error says which row, what was expected, what came, and how far apart they are."""
    rows = [(1.0,), (2.0,)]
    with pytest.raises(ModelFailed, match=r'golden row 0 differs by 0\.25: expected \{"value":2\.0\}, got \{"value":2\.5\}'):
        check(Doubling(error=0.5), choose(rows, Doubling().predict(rows)), 1e-9)


@pytest.mark.parametrize(
    ("expected", "answered", "apart"),
    [
        (Output(value=3.0), Output(value=3.0), 0.0),
        (Output(value=0.5), Output(value=0.25), 0.25),
        (Output(value=200.0), Output(value=201.0), 0.005),
        (Output(label="a"), Output(label="a"), 0.0),
        (Output(label="a"), Output(label="b"), math.inf),
        (Output(label=1), Output(label=True), math.inf),
        (Output(label=1, probabilities={"0": 0.2, "1": 0.8}), Output(label=1, probabilities={"0": 0.3, "1": 0.7}), 0.1),
        (Output(label=1, probabilities={"1": 1.0}), Output(label=1), math.inf),
        (Output(label=1, probabilities={"0": 0.2, "1": 0.8}), Output(label=1, probabilities={"1": 0.8, "0": 0.2}), 0.0),
        (Output(label=1, probabilities={"0": 0.2}), Output(label=1, probabilities={"1": 0.2}), math.inf),
        (Output(label=None, probabilities={}), Output(label=None, probabilities={}), 0.0),
        (Output(label=None), Output(label="a"), math.inf),
        (Output(value=None), Output(value=None), 0.0),
        (Output(value=None), Output(value=0.0), math.inf),
    ],
)
def test_difference_between_answers(expected, answered, apart):
    """Relative above 1, absolute below, infinite where labels, their types or classes differ, or one has nothing to say."""
    assert difference(expected, answered) == pytest.approx(apart)


def test_a_different_number_of_answers_is_infinitely_far():
    """Rows that were not answered do not count as equal."""
    assert largest([Output(value=1.0)], []) == math.inf
    assert largest([], []) == 0.0
