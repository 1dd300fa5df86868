"""Confusion tables: their resamples against resampling rows, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from experiments.batch import confusion
from experiments.batch.answers import Labelled
from experiments.batch.bootstrap import acceleration
from tests.experiments.batch.answered import binary, several


def direct(answers: list[Labelled], of: confusion.OfTable, rows: np.ndarray) -> float:
    """The statistic of chosen rows, or the difference of two models'."""
    tables = [confusion.table(each._replace(truth=each.truth[rows], said=each.said[rows])).astype(float) for each in answers]
    found = [float(of(table)) for table in tables]
    return found[0] if len(found) == 1 else found[0] - found[1]


def test_the_table() -> None:
    """True classes are rows, answers are columns."""
    a = several(200)
    assert (confusion.table(a) == confusion_matrix(a.truth, a.said)).all()


@pytest.mark.parametrize("two", [False, True])
def test_resampled_tables_are_tables_of_resampled_rows(two: bool) -> None:
    """The same value, acceleration by leaving each row out, and the spread of drawing rows: one model, and the difference of two."""
    a = binary(120, 1)
    answers = [a, binary(120, 2, 2.5, a.truth)] if two else [a]
    found = confusion.resampled(answers, {"f1": confusion.f1_macro}, 4000, np.random.default_rng(0))["f1"]
    rng, every = np.random.default_rng(1), np.arange(120)
    assert found.value == pytest.approx(direct(answers, confusion.f1_macro, every))
    without = np.array([direct(answers, confusion.f1_macro, np.delete(every, k)) for k in every])
    assert found.acceleration == pytest.approx(acceleration(without), abs=1e-9)
    drawn = np.array([direct(answers, confusion.f1_macro, rng.integers(0, 120, 120)) for _ in range(2000)])
    assert found.values.std() == pytest.approx(drawn.std(), rel=0.06)
    assert np.median(found.values) == pytest.approx(np.median(drawn), abs=0.01)


def test_many_classes_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few cells fit at once, the figures are of the same distribution, and the acceleration is the same."""
    a = several(150, 6)
    whole = confusion.resampled([a], confusion.statistics(None), 1000, np.random.default_rng(0))
    monkeypatch.setattr(confusion, "_AT_ONCE", 100)
    parts = confusion.resampled([a], confusion.statistics(None), 1000, np.random.default_rng(0))
    for name, one in whole.items():
        assert parts[name].acceleration == pytest.approx(one.acceleration)
        assert parts[name].values == pytest.approx(one.values)
