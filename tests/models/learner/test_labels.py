"""Labels as clients write them, and the class that each names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from experiments.losses import same
from models.learner.labels import reader
from models.learner.settings import RiverCard

KINDS = ("int", "float", "bool", "str")


def of(label, kind="classifier"):
    return reader(RiverCard(kind=kind, label=label))


@pytest.mark.parametrize("kind", ["int", "float", "bool"])
@pytest.mark.parametrize("written", [1, 1.0, True, "1", "1.0", "true", "True"])
def test_one_class_however_it_is_written(kind, written):
    """Of the column's own type."""
    found = of(kind)(written)
    assert found == 1
    assert type(found).__name__ == kind


@given(st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from([0.0, 1.0, 2.5, "0", "1", "2.5", "true", "False", "a", "1e0"])))
def test_the_class_is_one_that_the_statistics_take_for_the_same(label):
    """What is learnt as a class is what counts as right where that class was answered."""
    for kind in KINDS:
        try:
            own = of(kind)(label)
        except Invalid:
            continue
        assert same(own, label)


@pytest.mark.parametrize(("written", "found"), [(1, "1"), (1.0, "1"), (2.5, "2.5"), ("01", "01"), (True, "True"), ("a", "a")])
def test_a_class_that_is_a_text(written, found):
    """Texts are taken as they are; a number by the text of its value."""
    assert of("str")(written) == found


@pytest.mark.parametrize("written", [1, 1.0, True, "1", "true"])
def test_a_column_of_unknown_kind_takes_a_label_as_given(written):
    """Nothing is read into it."""
    found = of(None)(written)
    assert (found, type(found)) == (written, type(written))


@pytest.mark.parametrize("card", [RiverCard(kind="regressor", label="int"), RiverCard(kind="forecaster")])
def test_a_number_for_a_regressor_or_forecaster(card):
    """A float, whatever kind of number it was."""
    assert [reader(card)(label) for label in (3, 2.5, True)] == [3.0, 2.5, 1.0]
    assert type(reader(card)(3)) is float


def test_an_anomaly_is_true_or_false():
    """0 and 1 in all ways."""
    assert [of(None, "anomaly")(label) for label in (0, 1.0, "true", "0", False)] == [False, True, True, False, False]


BAD = [
    ("classifier", "int", 1.5, "a whole number, got 1.5"),
    ("classifier", "int", "a", "a whole number, got the text 'a'"),
    ("classifier", "float", "nan", "a number, got the text 'nan'"),
    ("classifier", "float", 10**400, "a number, got 1000"),
    ("classifier", "bool", 2, "0 or 1, false or true, got 2"),
    ("classifier", "bool", "yes", "0 or 1, false or true, got the text 'yes'"),
    ("regressor", "float", "2.5", "a number, got the text '2.5'"),
    ("regressor", "float", float("inf"), "a number, got inf"),
    ("forecaster", None, float("nan"), "a number, got nan"),
    ("anomaly", None, 0.5, "0 or 1, false or true, got 0.5"),
]


@pytest.mark.parametrize(("kind", "column", "written", "message"), BAD)
def test_a_label_that_cannot_be_read_says_what_was_expected(kind, column, written, message):
    """And what came, shortened."""
    with pytest.raises(Invalid) as caught:
        of(column, kind)(written)
    assert caught.value.message.startswith(f"label: expected {message}")
    assert caught.value.field == "label"
    assert len(caught.value.message) < 150
