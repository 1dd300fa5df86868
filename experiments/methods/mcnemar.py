"""Two models right or wrong on the same rows: only the rows on which they differ tell which is better."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from core.errors import Invalid, Refused
from experiments.methods.summary import FloatArray

MOST = 2**53
"""Counts above are no longer exact as floats."""

SERIES_FROM = 16.0
"""From here on five terms of Stirling's series are exact to rounding; below, the logarithm of the gamma function is."""


class McNemar(msgspec.Struct, frozen=True):
    """Two-sided p values at a fixed sample, and the log evidence that holds at every look."""

    p_exact: float
    p_mid: float
    log_evidence: float


def mcnemar(b: int, c: int) -> McNemar:
    """The tests of `b` rows that only the left model has right against `c` that only the right one has (McNemar 1947).

    Under the null hypothesis b is binomial(b + c, ½): `p_exact` is 2 P(X ≤ min(b, c)), and `p_mid` counts half of
    P(X = min(b, c)) only (Fagerland, Lydersen and Laake 2013, who recommend it). For one row per unit: rows of the same unit
    are no separate witnesses, and counting them as such rejects far too often. Raises Refused without discordant rows.
    """
    for name, count in (("b", b), ("c", c)):
        if not 0 <= count <= MOST:
            raise Invalid(f"{name}: expected a count from 0 to 2^53, got {count}", field=name)
    if b + c == 0:
        raise Refused("the models are right and wrong on the same rows: there are no discordant pairs to compare")
    fewer, more = min(b, c), max(b, c)
    at_most = float(special.betainc(more, fewer + 1.0, 0.5)) if more > 0 else 1.0
    below = float(special.betainc(more + 1.0, fewer, 0.5)) if fewer > 0 else 0.0
    return McNemar(min(1.0, 2.0 * at_most), min(1.0, at_most + below), float(log_evidence(b, c)))


def log_evidence(b: ArrayLike, c: ArrayLike) -> FloatArray:
    """log E = log B(b + ½, c + ½) + (b + c) log 2 − log B(½, ½); arrays of counts ≥ 0 broadcast.

    The likelihood ratio of a coin with Jeffreys' Beta(½, ½) prior to a fair one: a martingale that starts at 1, so that it
    ever reaches 1/α with a probability of at most α (Ville 1939; the mixture of Robbins 1970). Written with Stirling's
    remainders, since the terms as they stand cancel: at 10¹² pairs nothing would be left of them.
    """
    left, right = np.asarray(b, dtype=np.float64), np.asarray(c, dtype=np.float64)
    total = left + right + 1.0
    lean = (left - right) / total
    main = special.xlog1py(left, lean) + special.xlog1py(right, -lean) - 0.5 * np.log(total * (math.pi / 2.0))
    found: FloatArray = main + _remainder(left + 0.5) + _remainder(right + 0.5) - _remainder(total)
    return found


def _remainder(x: FloatArray) -> FloatArray:
    """log Γ(x) − ((x − ½) log x − x + ½ log 2π), for x ≥ ½."""
    y = 1.0 / (x * x)
    series = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / x
    direct = special.gammaln(x) - ((x - 0.5) * np.log(x) - x + 0.5 * math.log(2.0 * math.pi))
    return np.where(x < SERIES_FROM, direct, series)
