"""How well scores rank the rows of a class before the others: the area under the ROC curve, and average precision."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from core.errors import Refused
from experiments.batch.answers import BoolArray, Labelled
from experiments.batch.bootstrap import Resampled, weights
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
        raise Refused("the classes are separated in a fixed way: these rows do not say how much the area varies")
    reach = float(special.ndtri(1.0 - alpha / 2.0)) * found.se / (found.area * (1.0 - found.area))
    middle = float(special.logit(found.area))
    return float(special.expit(middle - reach)), float(special.expit(middle + reach))


class Ranked:
    """The rows of a binary problem in the order of their scores, so that average precision under any weights is a few sums."""

    def __init__(self, positive: BoolArray, scores: FloatArray) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._positive = positive[self._order].astype(np.float64)
        ordered = scores[self._order]
        self._last = np.append(np.flatnonzero(np.diff(ordered)), ordered.size - 1)

    def average_precision(self, weights: FloatArray) -> float:
        """Σ (recall step) · precision over the thresholds, tied scores being one (Zhu 2004); NaN without a positive row."""
        ordered = weights[self._order]
        hits = np.cumsum(ordered * self._positive)[self._last]
        chosen = np.cumsum(ordered)[self._last]
        if hits[-1] == 0.0:
            return math.nan
        steps = np.diff(hits, prepend=0.0)
        return float((steps * hits / np.where(chosen > 0.0, chosen, 1.0)).sum() / hits[-1])

    def curve(self) -> list[tuple[float, float]]:
        """At most 200 points (share of the others, share of the positive rows) of the ROC curve, from (0, 0) to (1, 1)."""
        hits = np.append(0.0, np.cumsum(self._positive)[self._last])
        misses = np.append(0.0, np.cumsum(1.0 - self._positive)[self._last])
        if hits[-1] == 0.0 or misses[-1] == 0.0:
            return []
        kept = np.unique(np.linspace(0, hits.size - 1, min(hits.size, _CURVE)).round().astype(int))
        return [(float(x), float(y)) for x, y in zip(misses[kept] / misses[-1], hits[kept] / hits[-1], strict=True)]


def ranked(answers: Labelled) -> Ranked:
    """The rows in the order of the positive class's probability. Raises Refused without probabilities or a positive class."""
    if answers.probabilities is None or answers.positive is None:
        raise Refused("it is of two classes with probabilities")
    return Ranked(answers.truth == answers.positive, answers.probabilities[:, answers.positive])


def average_precisions(answers: list[Labelled], resamples: int, rng: np.random.Generator) -> Resampled:
    """The average precision of one model, or the first's less the second's, with its resamples.

    Without acceleration, which would take as many sorts as there are rows: the interval corrects for bias alone. Raises Refused as
    `ranked` does.
    """
    models = [ranked(each) for each in answers]
    rows = answers[0].truth.size

    def of(given: FloatArray) -> float:
        values = [each.average_precision(given) for each in models]
        return values[0] if len(values) == 1 else values[0] - values[1]

    return Resampled(of(np.ones(rows)), np.array([of(drawn) for drawn in weights(rows, resamples, rng)]))
