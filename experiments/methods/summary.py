"""What is kept of a metric's values: count, mean and centred second moment, which merge in any order.

Raw sums of squares would cancel at large means: at a mean of 1e8 and a variance of 1 nothing of the variance is left of them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import Invalid, Refused

FloatArray: TypeAlias = NDArray[np.float64]

LARGEST = sys.float_info.max
"""Where `m2` would overflow it stays here, so that it can be stored as JSON, and every statistic of it is refused."""

ROUNDING = 1e-13
"""A standard deviation below this share of the mean is rounding, not spread: merging 0.1 a billion times leaves about 1e-16."""


class Summary(msgspec.Struct, frozen=True, gc=False):
    """`n` values, their mean, and `m2` = Σ (x − mean)².

    The mean is `mean` + `rest`: what rounding would take from the mean, at 1e8 more than a billionth of a variance of 1, is carried on.
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    rest: float = 0.0

    @property
    def variance(self) -> float:
        """m2 / (n − 1), in squared units of the metric; 0.0 where the values do not vary.

        Raises Refused with fewer than 2 values, or where their squares are beyond the range of floating point.
        """
        if self.n < 2:
            raise Refused(f"a variance needs 2 values or more, there are {self.n}")
        if self.m2 >= LARGEST:
            raise Refused("the values are too large for their squares to be represented")
        return _variance(self)


EMPTY = Summary()


def of(values: ArrayLike) -> Summary:
    """The summary of a sequence of finite numbers; raises Invalid where one is not.

    Two passes with a correction for the rounding of the mean (Chan, Golub and LeVeque 1983).
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(array).all():
        raise Invalid("values: expected finite numbers", field="values")
    if array.size == 0:
        return EMPTY
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum()
        mean = float(total / array.size if np.isfinite(total) else (array / array.size).sum())
        centred = array - mean
        rest = float(centred.sum() / array.size)
        m2 = float((centred * centred).sum() - rest * rest * array.size)
    return Summary(array.size, mean, _saturated(m2), rest if math.isfinite(rest) else 0.0)


def merge(left: Summary, right: Summary) -> Summary:
    """The summary of both samples together (Chan, Golub and LeVeque 1979)."""
    if left.n == 0 or right.n == 0:
        return right if left.n == 0 else left
    n = left.n + right.n
    delta = between(left, right)
    step = left.rest + delta * (right.n / n)
    mean = left.mean + step
    if abs(delta) > LARGEST:  # two means at opposite ends of the range
        mean = left.mean * (left.n / n) + right.mean * (right.n / n)
        rest = 0.0
    else:  # what adding the step has rounded off (Knuth's two-sum)
        back = mean - left.mean
        rest = (left.mean - (mean - back)) + (step - back)
    return Summary(n, mean, _saturated(left.m2 + right.m2 + delta * delta * (left.n * (right.n / n))), rest)


def between(left: Summary, right: Summary) -> float:
    """The mean of `right` less that of `left`."""
    return (right.mean - left.mean) + (right.rest - left.rest)


def merge_all(summaries: Iterable[Summary]) -> Summary:
    """All of them together; EMPTY for none."""
    return reduce(merge, summaries, EMPTY)


class Moments(NamedTuple):
    """Many summaries side by side, as arrays of one shape whose last axis is the phase.

    `variance` is 0 where n < 2 and infinite where it overflowed.
    """

    n: FloatArray
    mean: FloatArray
    variance: FloatArray
    rest: FloatArray | float = 0.0


def stack(summaries: Sequence[Summary]) -> Moments:
    """Summaries, one per phase, as arrays of shape (phases,)."""
    return Moments(
        np.array([s.n for s in summaries], dtype=np.float64),
        np.array([s.mean for s in summaries], dtype=np.float64),
        np.array([_variance(s) for s in summaries], dtype=np.float64),
        np.array([s.rest for s in summaries], dtype=np.float64),
    )


def _variance(summary: Summary) -> float:
    if summary.n < 2:
        return 0.0
    if summary.m2 >= LARGEST:
        return float("inf")
    variance = summary.m2 / (summary.n - 1)
    return variance if variance**0.5 > ROUNDING * abs(summary.mean) else 0.0


def _saturated(m2: float) -> float:
    """Between 0 and LARGEST; what is not a number came of infinities and counts as too large."""
    return max(0.0, m2) if m2 < LARGEST else LARGEST
