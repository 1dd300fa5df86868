"""Areas and average precision: against the definitions and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from core.errors import Refused
from experiments.batch import ranking
from experiments.methods.delong import area, delong
from tests.experiments.batch.answered import binary, several


def coarse(digits: int, rows: int = 200):
    """Scores with many ties at few digits."""
    a = binary(rows)
    p = np.round(a.probabilities[:, 1], digits)
    return a._replace(probabilities=np.column_stack([1.0 - p, p]))


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_parts_of_an_area(digits: int) -> None:
    """Their squares are DeLong's variance, of one area and, subtracted, of the difference of two."""
    a, b = coarse(digits), binary(200, 7, 2.0, coarse(digits).truth)
    left, right = a.probabilities[:, 1], b.probabilities[:, 1]
    expected = delong(a.truth, left, right)
    (found, ours), (other, theirs) = area(a.truth, left), area(a.truth, right)
    assert (found, other) == pytest.approx((expected.left, expected.right))
    assert np.sqrt(((ours - theirs) ** 2).sum()) == pytest.approx(expected.difference.se)
    wins = np.heaviside(np.subtract.outer(left[a.truth == 1], left[a.truth == 0]), 0.5)
    m, n = wins.shape
    assert (ours**2).sum() == pytest.approx(wins.mean(1).var(ddof=1) / m + wins.mean(0).var(ddof=1) / n)


def test_several_classes() -> None:
    """The mean of each class against the rest; its error is that of many data sets."""
    found = ranking.auc(several(300))
    a = several(300)
    assert found.area == pytest.approx(roc_auc_score(a.truth, a.probabilities, multi_class="ovr"))
    drawn = [ranking.auc(several(300, seed=seed)) for seed in range(300)]
    assert np.mean([one.se for one in drawn]) == pytest.approx(np.std([one.area for one in drawn]), rel=0.12)


def test_the_interval_stays_within_0_and_1() -> None:
    """Near 1 it is not symmetric; at 1 there is none."""
    a = binary(40, noise=0.9)
    low, high = ranking.interval(ranking.auc(a), 0.05)
    assert 0.5 < low < ranking.auc(a).area < high < 1.0
    with pytest.raises(Refused, match="separate"):
        ranking.interval(ranking.auc(binary(40, noise=0.01)), 0.05)


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_average_precision(digits: int) -> None:
    """With ties as without it is scikit-learn's, and its error is the jackknife's: by leaving each row out."""
    a = coarse(digits, 80)
    scores = a.probabilities[:, 1]
    found = ranking.average_precision(a)
    assert found.area == pytest.approx(average_precision_score(a.truth, scores))
    without = np.array([average_precision_score(np.delete(a.truth, k), np.delete(scores, k)) for k in range(80)])
    assert found.parts == pytest.approx((without - without.mean()) * np.sqrt(79 / 80))


def test_the_curve() -> None:
    """From (0, 0) to (1, 1), never falling, at most 200 points; the area below it is about the AUC; [] without one of the classes."""
    a = binary(5000)
    points = np.array(ranking.curve(a))
    assert points[0].tolist() == [0.0, 0.0]
    assert points[-1].tolist() == [1.0, 1.0]
    assert len(points) <= 200
    assert (np.diff(points, axis=0) >= 0).all()
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(ranking.auc(a).area, abs=0.002)
    assert ranking.curve(a._replace(truth=np.zeros(5000, dtype=int))) == []


def test_refused() -> None:
    """Without probabilities, with several classes, or with a class of one row."""
    a = binary(20)
    for answers in (a._replace(probabilities=None), several(20), a._replace(truth=np.eye(20, dtype=int)[0])):
        with pytest.raises(Refused):
            ranking.average_precision(answers)
    with pytest.raises(Refused):
        ranking.auc(a._replace(truth=np.eye(20, dtype=int)[0]))
