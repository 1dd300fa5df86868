"""How far two answers to the same row are apart."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from core.values import Output

SAME = 1e-9
"""Tolerance where both sides compute in float64."""
CLOSE = 1e-4
"""Tolerance where one side computes in float32."""


def difference(expected: Output, answered: Output) -> float:
    """The largest difference of the numbers, relative where they are larger than 1.

    Infinite where the labels or the names of the probabilities differ, or one has a number where the other has none.
    """
    if not _same_label(expected.label, answered.label):
        return inf
    left, right = _numbers(expected), _numbers(answered)
    if left.keys() != right.keys():
        return inf
    return max((abs(number - right[name]) / max(1.0, abs(number)) for name, number in left.items()), default=0.0)


def largest(expected: Sequence[Output], answered: Sequence[Output]) -> float:
    """The largest difference over all rows; infinite where a label or the number of rows differs."""
    if len(expected) != len(answered):
        return inf
    return max(map(difference, expected, answered), default=0.0)


def _same_label(left: object, right: object) -> bool:
    return type(left) is type(right) and left == right


def _numbers(output: Output) -> dict[str, float]:
    if isinstance(output.probabilities, dict):
        return output.probabilities
    return {"value": output.value} if isinstance(output.value, float) else {}
