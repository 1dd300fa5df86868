"""Rare conversions, early: an exact test of which arm those who converted were in, valid from the first on.

Under the null hypothesis that treatment does not raise the conversion rate, a unit that converted was in treatment with a
probability θ ≤ e, the share of assignment. With s converting units in treatment and f in control the evidence is

    E = ∫_e^1 θ^s (1 − θ)^f dθ/(1 − e)  /  (e^s (1 − e)^f)

a likelihood ratio averaged over the alternatives θ > e: with every conversion it changes by a factor whose mean is 1 at
θ = e and less below, so it ever reaches 1/α with a probability of at most α (Ville 1939; the mixture is Robbins 1970).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from core.errors import Invalid, Refused
from experiments.methods.summary import FloatArray

DEEP = 1e-200
"""Below this a tail of the beta distribution is taken from its continued fraction: soon after, it is 0 in floating point."""

TERMS = 100
"""Of the continued fraction: in such a tail every digit up to 10⁹ conversions (the same as with 20,000 terms)."""


@np.errstate(over="ignore", invalid="ignore")
def log_evidence(s: ArrayLike, f: ArrayLike, e: ArrayLike) -> FloatArray:
    """log E after s conversions in treatment and f in control at share e in (0, 1); arrays broadcast, 0.0 where s = f = 0.

    For the opposite question exchange s and f, and take 1 − e. It is of the order of s + f, and finite for any count of units.
    """
    s, f, e = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (s, f, e)))
    tail = special.betaincc(s + 1.0, f + 1.0, e)
    deep = tail < DEEP
    log_integral = special.betaln(s + 1.0, f + 1.0) + np.log(np.where(deep, 1.0, tail))
    found = np.asarray(log_integral - s * np.log(e) - (f + 1.0) * np.log1p(-e))
    if deep.any():
        found[deep] = _deep(s[deep], f[deep], e[deep])
    return np.where(s + f == 0.0, 0.0, found)


def evidence(treatment: ArrayLike, control: ArrayLike, share: ArrayLike) -> float:
    """The log evidence over phases, Σ log E: one count of converting units per phase and arm, and treatment's share of the two.

    p = exp(−max(0, the largest over the looks)). Raises Refused where nobody has converted, and Invalid for counts that
    are not whole numbers from 0, or shares that are not between 0 and 1.
    """
    s, f, e = (np.asarray(x, dtype=np.float64) for x in (treatment, control, share))
    for name, given in (("control", f), ("share", e)):
        if given.shape != s.shape:
            raise Invalid(f"{name}: expected one per phase, as for treatment", field=name)
    for name, counts in (("treatment", s), ("control", f)):
        if not (np.isfinite(counts) & (counts >= 0.0) & (counts == np.floor(counts))).all():
            raise Invalid(f"{name}: expected counts of converting units", field=name)
    if not ((e > 0.0) & (e < 1.0)).all():
        raise Invalid("share: expected above 0 and below 1", field="share")
    if s.sum() + f.sum() == 0.0:
        raise Refused("no unit has converted")
    total = float(log_evidence(s, f, e).sum())
    if not math.isfinite(total):
        raise Refused("the figures are beyond the range of floating point")
    return total


def _deep(s: FloatArray, f: FloatArray, e: FloatArray) -> FloatArray:
    """log E far below e: log(e/(f + 1)) less that of the fraction of I_{1−e}(f + 1, s + 1) (DLMF 8.17.22), from its last term back.

    The tail's leading factor, e^(s+1) (1 − e)^(f+1) / (f + 1), cancels what E divides by.
    """
    a, b, x = f + 1.0, s + 1.0, 1.0 - e
    fraction = np.ones_like(a)
    for m in range(TERMS, 0, -1):
        fraction = 1.0 + m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)) / fraction
        fraction = 1.0 - (a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1)) / fraction
    return np.asarray(np.log(e / a) - np.log(fraction))
