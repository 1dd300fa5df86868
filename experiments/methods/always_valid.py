"""The always-valid test: a normal mixture, which holds at every look at once.

With z = U/√V and the clock x = V/V*, where V* is what the planned sample would bring, the evidence is

    log M = log 2 − ½ log(1 + cx) + ½ z² cx/(1+cx) + log Φ(z √(cx/(1+cx)))        one-sided
    log M =       − ½ log(1 + cx) + ½ z² cx/(1+cx)                                two-sided

Under the null hypothesis M is (asymptotically) a supermartingale that starts at 1, so it ever reaches 1/α with a
probability of at most α (Ville). Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", Annals of Statistics 2021 (their normal mixtures, one- and two-sided); that it holds for means of
data that are not normal, as samples grow, is Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central
limit theory and asymptotic confidence sequences", 2021.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import msgspec
import numpy as np
from scipy import special

from core.errors import Refused
from experiments.methods.means import Alternative
from experiments.methods.summary import FloatArray

Real: TypeAlias = float | FloatArray
"""One number, or an array of them: the formulas are the same."""


class Sequential(msgspec.Struct, frozen=True):
    """The always-valid test at one look: bounds at confidence 1 − alpha, None on the side that is not tested."""

    c: float
    log_evidence: float
    p_value: float
    lower: float | None
    upper: float | None


@lru_cache(maxsize=64)
def tuning(alpha: float, one_sided: bool = True) -> float:
    """c = −W₋₁(−a²/e) − 1, with a = 2α one-sided and α two-sided: the mixture whose boundary is tightest at x = 1.

    Howard et al. 2021 on tuning normal mixtures, where 1/c is the ratio of the mixture's precision to the planned V.
    Needs alpha < ½ one-sided.
    """
    level = 2.0 * alpha if one_sided else alpha
    return float(-special.lambertw(-(level**2) / math.e, -1).real - 1.0)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def clock(v: Real, variance: Real, effect: Real, alpha: float, power: float) -> Real:
    """x = V / V*, with V* = σ₀⁴ I* and I* = ((z_α + z_β) / effect)².

    `variance` is σ₀², `effect` the smallest difference that matters, in the metric's units. The clock moves on as units
    mature, and is 1 about when a fixed-horizon test of that effect would have its planned power.
    """
    share = effect / (np.sqrt(variance) * (special.ndtri(1.0 - alpha) + special.ndtri(power)))
    return v / variance * share * share


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def log_evidence(z: Real, x: Real, c: float, one_sided: bool = True) -> Real:
    """log M at statistic z and clock x > 0; arrays broadcast. NaN or infinite where the figures leave the range."""
    share = c * x / (1.0 + c * x)
    two_sided = -0.5 * np.log1p(c * x) + 0.5 * z * z * share
    if not one_sided:
        return two_sided
    return math.log(2.0) + two_sided + special.log_ndtr(z * np.sqrt(share))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def boundary(x: Real, alpha: float, one_sided: bool = True) -> Real:
    """The z at which M = 1/α at clock x: reject from there on. In the units of V it is the boundary Σ = z √V.

    Solved by Newton's method for u = z √share in ½u² + log Φ(u) = t, which is increasing and convex, so that from the
    second step on the iterates fall onto the root.
    """
    c = tuning(alpha, one_sided)
    share = c * x / (1.0 + c * x)
    target = -math.log(alpha) + 0.5 * np.log1p(c * x) - (math.log(2.0) if one_sided else 0.0)
    u = np.sqrt(2.0 * target)
    for _ in range(6 if one_sided else 0):
        log_phi = special.log_ndtr(u)
        hazard = np.exp(-0.5 * u * u - 0.5 * math.log(2.0 * math.pi) - log_phi)
        u = u - (0.5 * u * u + log_phi - target) / (u + hazard)
    return u / np.sqrt(share)


def p_value(log_maximum: float) -> float:
    """p = min(1, 1 / max M), from the largest log evidence over the looks."""
    return math.exp(-max(0.0, log_maximum))


def sequential(
    estimate: float, se: float, planned_se: float, *, margin: float = 0.0, alternative: Alternative = "greater", alpha: float = 0.05
) -> Sequential:
    """The test of one estimate whose clock is x = (planned_se / se)²; the bounds do not depend on the margin.

    Raises Refused where a standard error is not above 0, or the figures leave the range of floating point.
    """
    if not (se > 0.0 and planned_se > 0.0):
        raise Refused("a standard error of 0: the test needs spread")
    one_sided = alternative != "two-sided"
    x, z = (planned_se / se) * (planned_se / se), (estimate - margin) / se
    c = tuning(alpha, one_sided)
    evidence = float(log_evidence(-z if alternative == "less" else z, x, c, one_sided))
    reach = float(boundary(x, alpha, one_sided)) * se
    if not (math.isfinite(evidence) and math.isfinite(reach)):
        raise Refused("the figures are beyond the range of floating point")
    return Sequential(
        c,
        evidence,
        p_value(evidence),
        None if alternative == "less" else estimate - reach,
        None if alternative == "greater" else estimate + reach,
    )
