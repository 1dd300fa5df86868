"""Sample ratio mismatch: do the arms hold the shares of units that the weights say?

Where they do not, assignment or logging depends on the arm, and no difference of means can be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from core.errors import Refused
from experiments.methods.summary import FloatArray

CONCENTRATION = 10_000.0
"""Weight of the prior in units: small mismatches, below a per cent, are what matters at scale."""

ALARM = 0.001
"""The p value at which the alarm latches."""

IMPOSSIBLE = 1e6
"""The log evidence of units in an arm of weight 0: beyond any doubt, and still a number in JSON."""

FEWEST_EXPECTED = 5.0
"""Below this expected count in an arm the χ² distribution is no approximation (Cochran 1954)."""


class ChiSquare(msgspec.Struct, frozen=True):
    """Pearson's goodness of fit."""

    statistic: float
    df: int
    p_value: float


class Balance(msgspec.Struct, frozen=True):
    """What the sequential test has seen of a phase: units per arm so far, and their log evidence against the weights."""

    counts: dict[str, int] = {}
    log_evidence: float = 0.0


def chi_square(counts: Sequence[int], expected: Sequence[float]) -> ChiSquare:
    """χ² of counts against shares or weights (Pearson 1900): right once, at a sample size fixed beforehand.

    Raises Refused with fewer than two arms of weight above 0, or an expected count below 5.
    """
    shares = np.asarray(expected, dtype=np.float64)
    seen = np.asarray(counts, dtype=np.float64)[shares > 0.0]
    shares = shares[shares > 0.0]
    if shares.size < 2:
        raise Refused("a ratio needs two arms with a weight above 0")
    due = seen.sum() * shares / shares.sum()
    if due.min() < FEWEST_EXPECTED:
        raise Refused(f"an arm is expected to have {due.min():.3g} units: χ² needs {FEWEST_EXPECTED:g}")
    statistic, df = float(((seen - due) ** 2 / due).sum()), shares.size - 1
    return ChiSquare(statistic, df, float(special.chdtrc(df, statistic)))


def log_evidence(counts: ArrayLike, expected: ArrayLike, concentration: float = CONCENTRATION) -> FloatArray:
    """log of the Dirichlet-multinomial over the multinomial likelihood of `counts` (shape [..., arms]); shape [...].

    Multiplying batch by batch, with α += counts after each, telescopes to this function of the totals, so the evidence
    does not depend on how entries were batched. Lindon and Malek, "Anytime-valid inference for multinomial count data",
    NeurIPS 2022, with α₀ = concentration · θ₀. All weights must be above 0.
    """
    x = np.asarray(counts, dtype=np.float64)
    theta = np.asarray(expected, dtype=np.float64)
    theta = theta / theta.sum()
    alpha = concentration * theta
    arms = special.gammaln(alpha + x) - special.gammaln(alpha) - x * np.log(theta)
    total: FloatArray = special.gammaln(concentration) - special.gammaln(concentration + x.sum(-1)) + arms.sum(-1)
    return total


def update(seen: Balance, counts: Mapping[str, int], weights: Mapping[str, float]) -> Balance:
    """The state of a phase after `counts` units have entered each arm so far (cumulative).

    A count that falls (a unit taken out afterwards) is passed over: the test is on how units entered.
    """
    latest = {arm: max(seen.counts.get(arm, 0), counts.get(arm, 0)) for arm in weights}
    weighted = [arm for arm, weight in weights.items() if weight > 0.0]
    if any(latest[arm] for arm in weights if arm not in weighted):
        return Balance(latest, IMPOSSIBLE)
    if len(weighted) < 2:
        return Balance(latest, 0.0)
    return Balance(latest, float(log_evidence([latest[arm] for arm in weighted], [weights[arm] for arm in weighted])))


def total_evidence(phases: Mapping[int, Balance]) -> float:
    """The log evidence of all phases: their products, since each starts from its own weights."""
    return math.fsum(balance.log_evidence for balance in phases.values())
