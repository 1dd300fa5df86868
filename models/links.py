"""From scores to probabilities, in float64 and without an overflow wherever the scores lie."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp


def logistic(score: float) -> list[float]:
    """The probabilities of two classes, that of the second being 1 / (1 + exp(−score))."""
    share = 1.0 / (1.0 + exp(-score)) if score >= 0.0 else exp(score) / (1.0 + exp(score))
    return [1.0 - share, share]


def softmax(scores: Sequence[float]) -> list[float]:
    """The probabilities of several classes: exp(score) over their sum."""
    highest = max(scores)
    powers = [exp(score - highest) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]
