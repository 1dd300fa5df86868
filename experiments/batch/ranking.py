"""How well scores rank the rows of a class before the others: the area under the ROC curve, and average precision."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from core.errors import Refused
from experiments.batch.answers import IntArray, Labelled
from experiments.methods.delong import area
from experiments.methods.summary import FloatArray

_CURVE = 200
"""Points of a curve that are kept for a picture."""


class Area(NamedTuple):
    """An area and what each row adds to its error: the squares of `parts` (rows,) add up to the variance."""

    area: float
    parts: FloatArray

    @property
    def se(self) -> float:
        """The standard error."""
        return math.sqrt(float((self.parts**2).sum()))


def auc(answers: Labelled) -> Area:
    """The area under the ROC curve of the positive class; of more than two classes the mean over each against the rest.

    The mean is over the classes that occur in the truth, each counting once. Its variance is that of a mean of correlated areas (DeLong,
    DeLong and Clarke-Pearson 1988). Raises Refused without probabilities, or where a class has fewer than 2 rows inside or outside.
    """
    if answers.probabilities is None:
        raise Refused("the model gives no probabilities")
    if answers.positive is not None:
        return Area(*area(answers.truth == answers.positive, answers.probabilities[:, answers.positive]))
    found = [Area(*area(answers.truth == k, answers.probabilities[:, k])) for k in np.unique(answers.truth)]
    return Area(float(np.mean([each.area for each in found])), np.mean([each.parts for each in found], axis=0))


def interval(found: Area, alpha: float) -> tuple[float, float]:
    """The two-sided interval at confidence 1 − alpha, on the logit scale, so that it stays within 0 and 1 (Pepe 2003, p. 107).

    Raises Refused where the area is 0 or 1, or has no spread.
    """
    if not 0.0 < found.area < 1.0 or found.se == 0.0:
        raise Refused("all scores are alike, or they separate the classes: these rows do not say how much the area varies")
    reach = float(special.ndtri(1.0 - alpha / 2.0)) * found.se / (found.area * (1.0 - found.area))
    middle = float(special.logit(found.area))
    return float(special.expit(middle - reach)), float(special.expit(middle + reach))


def average_precision(answers: Labelled) -> Area:
    """Σ (recall step) · precision over the thresholds between distinct scores of the positive class (Zhu 2004).

    The variance is the jackknife's (Efron and Stein 1981). Resampled rows come several times, at one score, which makes a ranking look
    better than it is: of 150 rows such intervals held 92 % of the time, those of the jackknife on the logit scale 94 %. Raises Refused
    without probabilities or a positive class, or with fewer than 2 positive rows.
    """
    level, positive, negative = _levels(answers)
    hits = np.cumsum(positive)
    chosen = np.cumsum(positive + negative)
    total = float(hits[-1])
    if total < 2.0:
        raise Refused(f"there are {total:.0f} rows of the class, 2 or more are needed")
    steps = positive * hits / chosen
    less = np.maximum(chosen - 1.0, 1.0)
    before = np.cumsum(steps) - steps
    # One row less at a level leaves what is above it, and takes a row from the denominators, or from both, of all that follows.
    one_negative = (before + _from_here(positive * hits / less)) / total
    one_positive = (before + _from_here(positive * (hits - 1.0) / less) - (hits - 1.0) / less) / (total - 1.0)
    without = np.where(answers.truth == answers.positive, one_positive[level], one_negative[level])
    n = without.size
    return Area(float(steps.sum() / total), (without - without.mean()) * math.sqrt((n - 1.0) / n))


def _from_here(values: FloatArray) -> FloatArray:
    """The sum of each and all that follow."""
    found: FloatArray = np.cumsum(values[::-1])[::-1]
    return found


def _levels(answers: Labelled) -> tuple[IntArray, FloatArray, FloatArray]:
    """The level of each row's score among the distinct ones, the highest first; and how many positive and other rows each level has."""
    if answers.probabilities is None or answers.positive is None:
        raise Refused("it is of two classes with probabilities")
    distinct, level = np.unique(-answers.probabilities[:, answers.positive], return_inverse=True)
    positive = answers.truth == answers.positive
    counts = [np.bincount(level[chosen], minlength=distinct.size).astype(np.float64) for chosen in (positive, ~positive)]
    return level, counts[0], counts[1]


def curve(answers: Labelled) -> list[tuple[float, float]]:
    """At most 200 points (share of the others, share of the positive rows) of the ROC curve, from (0, 0) to (1, 1).

    [] where one of the two has no rows. Raises Refused without probabilities or a positive class.
    """
    _, positive, negative = _levels(answers)
    hits, misses = (np.append(0.0, np.cumsum(counts)) for counts in (positive, negative))
    if hits[-1] == 0.0 or misses[-1] == 0.0:
        return []
    kept = np.unique(np.linspace(0, hits.size - 1, min(hits.size, _CURVE)).round().astype(int))
    return [(float(x), float(y)) for x, y in zip(misses[kept] / misses[-1], hits[kept] / hits[-1], strict=True)]
