"""Lines in the joint summary of y and x: what ratios and covariate adjustment have in common."""

from __future__ import annotations

import math
from fractions import Fraction

from core.errors import Refused
from experiments.methods.joint import Joint
from experiments.methods.summary import LARGEST, Summary

ROUNDING = 1e-12
"""A residual below this share of the squares it is what is left of is rounding: a million merges leave about 1e-13."""


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


def with_mean(n: int, mean: Fraction, m2: float) -> Summary:
    """A summary whose `mean` + `rest` is the given fraction. Raises Refused where that is beyond the range of floating point."""
    try:
        rounded = float(mean)
    except OverflowError:
        raise Refused("the figures are beyond the range of floating point") from None
    return Summary(n, rounded, m2, float(mean - Fraction(rounded)))
