"""Winsorising: values above a cap count as the cap, which trades a little bias for a variance that heavy tails cannot rule."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from core.errors import Invalid, Refused

FEWEST = 20
"""Below this many values an upper percentile is little but their maximum."""


def cap_of(values: ArrayLike, percentile: float) -> float:
    """The cap at a percentile (99.5, say) of the values of all arms together: the order statistic of rank ⌈n·percentile/100⌉.

    Pooled, because a cap per arm would hide a difference in the tails; to be taken once, at the first look, and kept, since a cap that
    follows the outcomes changes what is estimated. With fewer than 100/(100 − percentile) values it is their maximum.
    Raises Refused below 20 values, and where the cap is the smallest value, so that nothing would be left to compare; Invalid for
    a percentile that is not between 50 and 100, or values that are not finite.
    """
    if not 50.0 <= percentile < 100.0:
        raise Invalid(f"percentile: expected at least 50 and below 100, got {percentile:g}", field="percentile")
    array = np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(array).all():
        raise Invalid("values: expected finite numbers", field="values")
    if array.size < FEWEST:
        raise Refused(f"a percentile to cap at needs {FEWEST} values or more, there are {array.size}")
    rank = math.ceil(array.size * Fraction(str(percentile)) / 100)
    cap = float(np.partition(array, rank - 1)[rank - 1])
    if cap <= float(array.min()):
        raise Refused(f"the percentile {percentile:g} is the smallest value, {cap:g}: capped there, nothing varies")
    return cap
