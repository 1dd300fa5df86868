"""Two scores of the same rows: which of them ranks the positive rows higher."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import Invalid, Refused
from experiments.methods import summary
from experiments.methods.means import Difference, t_test
from experiments.methods.summary import FloatArray

FEWEST = 2
"""Rows of either class below which there is no variance."""


class DeLong(msgspec.Struct, frozen=True):
    """The areas under both curves, and the two-sided test of left − right with its interval."""

    left: float
    right: float
    difference: Difference


def delong(labels: ArrayLike, left: ArrayLike, right: ArrayLike, *, alpha: float = 0.05) -> DeLong:
    """The areas under the ROC curves (AUC) of two scores of the same rows, and the z test of their difference.

    `labels` are 0 and 1 (or false and true), higher scores are to mean 1; all of shape (rows,), rows independent. The
    variance is that of the placements, the share of the other class that a row outranks (DeLong, DeLong and Clarke-Pearson
    1988); found by sorting, in O(n log n), as in Sun and Xu 2014. Raises Invalid where a label is not 0 or 1, a score is not
    finite or the lengths differ; Refused with fewer than 2 rows of a class, or where the difference has no spread.
    """
    positive = _labels(labels)
    placed = [_placements(_scores(scores, name, positive.size), positive) for scores, name in ((left, "left"), (right, "right"))]
    of_positive, of_negative = (placed[0][i] - placed[1][i] for i in (0, 1))
    m, n = of_positive.size, of_negative.size
    # In twice the number of rows of the other class that a row outranks: whole numbers, so that no spread is exactly 0.
    variance = summary.of(of_positive).variance / m / (4.0 * n * n) + summary.of(of_negative).variance / n / (4.0 * m * m)
    if variance == 0.0:
        raise Refused(
            "the difference of the two areas has no spread: the scores rank the rows alike, or each separates them in a fixed way"
        )
    areas = [float(above.sum()) / (2.0 * m * n) for above, _ in placed]
    estimate = float(of_positive.sum()) / (2.0 * m * n)
    return DeLong(areas[0], areas[1], t_test(estimate, math.sqrt(variance), math.inf, 0.0, "two-sided", alpha))


def area(labels: ArrayLike, scores: ArrayLike) -> tuple[float, FloatArray]:
    """The area under one ROC curve, and what each row adds to its error: the squares of the second (rows,) add up to DeLong's variance.

    Those of several scores of the same rows may be averaged and subtracted, and their squares are then the variance of that. Raises
    Invalid and Refused as `delong` does, but for a lack of spread.
    """
    positive = _labels(labels)
    of_positive, of_negative = _placements(_scores(scores, "scores", positive.size), positive)
    m, n = of_positive.size, of_negative.size
    found = float(of_positive.sum()) / (2.0 * m * n)
    parts = np.empty(positive.size)
    parts[positive] = (of_positive / (2.0 * n) - found) / math.sqrt(m * (m - 1.0))
    parts[~positive] = (of_negative / (2.0 * m) - found) / math.sqrt(n * (n - 1.0))
    return found, parts


def _placements(scores: FloatArray, positive: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """For each positive row twice the negatives below it, for each negative twice the positives above it; ties count once."""
    high, low = np.sort(scores[positive]), np.sort(scores[~positive])
    below = np.searchsorted(low, scores[positive], "left") + np.searchsorted(low, scores[positive], "right")
    not_above = np.searchsorted(high, scores[~positive], "left") + np.searchsorted(high, scores[~positive], "right")
    return below.astype(np.float64), (2 * high.size - not_above).astype(np.float64)


def _labels(labels: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "biuf") or not np.isin(array, (0, 1)).all():
        raise Invalid("labels: expected one label for each row, each 0 or 1", field="labels")
    positive: NDArray[np.bool_] = array == 1
    ones = int(positive.sum())
    if min(ones, array.size - ones) < FEWEST:
        raise Refused(f"{ones} rows of class 1 and {array.size - ones} of class 0: each class needs {FEWEST} rows or more")
    return positive


def _scores(scores: ArrayLike, name: str, rows: int) -> FloatArray:
    array = np.asarray(scores, dtype=np.float64)
    if array.shape != (rows,):
        raise Invalid(f"{name}: expected one score for each of {rows} labels, got {array.size}", field=name)
    if not np.isfinite(array).all():
        raise Invalid(f"{name}: expected finite scores", field=name)
    return array
