"""Lines in the joint summary of y and x: what ratios and covariate adjustment have in common."""

from __future__ import annotations

import math
from fractions import Fraction

from core.errors import Refused
from experiments.methods.joint import Joint
from experiments.methods.summary import LARGEST, Summary

ROUNDING = 1e-12
"""A residual below this share of the squares it is what is left of is rounding: a million merges leave about 1e-13."""


_SPLITTER = 2.0**27 + 1.0
_LEAST, _MOST = 1e-140, 1e140


def residual(joint: Joint, slope: float) -> float:
    """Σ (y − ȳ − slope (x − x̄))², in squared units of y: 0.0 where only rounding is left, LARGEST where it overflows.

    With a = √m2_y, b = |slope| √m2_x and the correlation r it is (a − b)² + 2ab(1 ∓ r): a sum of what is not negative,
    where m2_y − 2·slope·c + slope²·m2_x could fall below 0.
    """
    root_y, root_x = math.sqrt(joint.y.m2), math.sqrt(joint.x.m2)
    a, b = root_y, abs(slope) * root_x
    if a == 0.0 or b == 0.0:
        return min(a * a + b * b, LARGEST)
    correlation = max(-1.0, min(1.0, math.copysign(1.0, slope) * (joint.c / root_y / root_x)))
    left = (a - b) * (a - b) + 2.0 * a * b * (1.0 - correlation)
    if not left < LARGEST:
        return LARGEST
    return left if left > ROUNDING * (a * a + b * b) else 0.0


def exact_mean(summary: Summary) -> Fraction:
    """The mean with what rounding took from it, as an exact fraction: lines through large means lose nothing in it."""
    return Fraction(summary.mean) + Fraction(summary.rest)


def moved(y: Summary, slope: float, x: Summary, centre: float, m2: float) -> Summary:
    """The summary of y − slope (x − centre) with that `m2`: its mean in twice the precision, by error-free sums and products.

    Ten times as fast as fractions, which take over where the splitting of a product could overflow or underflow. Raises Refused as
    `with_mean` does. Dekker 1971, Knuth's two-sum.
    """
    away, lost = two_sum(x.mean, -centre)
    if not all(_LEAST < abs(value) < _MOST or value == 0.0 for value in (slope, away, y.mean)):
        return with_mean(y.n, exact_mean(y) - Fraction(slope) * (exact_mean(x) - Fraction(centre)), m2)
    product, error = two_product(slope, away)
    mean, rest = two_sum(y.mean, -product)
    return Summary(y.n, *_in_order(mean, rest + (y.rest - error - slope * (lost + x.rest)), m2))


def two_sum(a: float, b: float) -> tuple[float, float]:
    """a + b, and what rounding took from it (Knuth 1969)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def two_product(a: float, b: float) -> tuple[float, float]:
    """a · b, and what rounding took from it (Dekker 1971, with Veltkamp's splitting); for factors within 1e±140."""
    product = a * b
    high_a, low_a = _split(a)
    high_b, low_b = _split(b)
    return product, ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b


def _split(a: float) -> tuple[float, float]:
    """Its upper and lower 26 bits."""
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


def _in_order(mean: float, rest: float, m2: float) -> tuple[float, float, float]:
    """Mean, m2 and rest, of which the rest is what does not fit into the mean."""
    rounded, left = two_sum(mean, rest)
    return rounded, m2, left


def with_mean(n: int, mean: Fraction, m2: float) -> Summary:
    """A summary whose `mean` + `rest` is the given fraction. Raises Refused where that is beyond the range of floating point."""
    try:
        rounded = float(mean)
    except OverflowError:
        raise Refused("the figures are beyond the range of floating point") from None
    return Summary(n, rounded, m2, float(mean - Fraction(rounded)))
