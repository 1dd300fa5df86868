"""Group sequential tests, one-sided: error spent as information comes in, up to a maximum that was declared.

A path is Brownian motion S(t) over the information fraction t, with z = S(t)/√t. At look k the bound c_k is where

    P(S_1 < c_1, …, S_{k−1} < c_{k−1}, S_k ≥ c_k) = α(t_k) − α(t_{k−1})

so that after each look as much of α has been spent as the spending function says, however many looks there are and
whenever they come (Lan and DeMets 1983). Bounds depend on the looks so far only, so those of a test that is under way
need no maximum reached. The probabilities come by numerical integration over the increments, which are independent and normal
(Armitage, McPherson and Rowe 1969; Jennison and Turnbull 2000, chapter 19).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy import special

from core.errors import Invalid
from experiments.methods.summary import FloatArray

Spending: TypeAlias = Literal["obrien-fleming", "pocock", "power"]
"""The shape of α over the information fraction."""

SMALLEST = 1e-14
"""A look whose increment of α is below this has no bound; what it would have spent is left to the next."""

CLOSEST = 1e-6
"""A look that brings less than this share of its information has no bound either: nothing was learned since the last."""

MOST = 0.5
"""The largest p value: where not even the bounds at this level were crossed it is 1."""

_DEPTH = 7.0
"""Integration starts this many standard deviations below 0: paths from below there are 1e-12 of all."""

_BAND = 10.0
"""Increments beyond this many standard deviations are left out."""

_ABSCISSAE, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_WIDTH = 4.0
"""Standard deviations of the smaller increment, before or after, to a panel of 12 Gauss-Legendre nodes."""

_BLOCK = 256
_MOST_STEPS = 50

_TOLERANCE = 1e-10
"""Of a bound, in standard deviations of the increment. (A grid 2.7 times as fine changed no bound of 20 or 60 looks by 1e-11.)"""

_PRECISION = 1e-10
"""Of log p."""


class _Paths(NamedTuple):
    """Those that have crossed no bound: the probability `mass` of them that is at each of `nodes`, ascending."""

    nodes: FloatArray
    mass: FloatArray


def spent(t: float, alpha: float, spending: Spending = "obrien-fleming", phi: float | None = None) -> float:
    """The share of error spent by information fraction `t` in (0, 1], alpha at 1 (Lan and DeMets 1983).

    O'Brien-Fleming 2 − 2Φ(Φ⁻¹(1 − α/2)/√t), Pocock α ln(1 + (e − 1)t), power α t^φ (Kim and DeMets 1987).
    Raises Invalid where the power is missing, not above 0, or given without need.
    """
    if (spending == "power") != (phi is not None) or (phi is not None and not 0.0 < phi < math.inf):
        raise Invalid("phi: expected a number above 0 with power spending, and none without", field="phi")
    if spending == "obrien-fleming":
        return 2.0 * float(special.ndtr(special.ndtri(alpha / 2.0) / math.sqrt(t)))
    return alpha * (math.log1p((math.e - 1.0) * t) if phi is None else t**phi)


def bounds(
    alpha: float,
    fractions: Sequence[float],
    spending: Spending = "obrien-fleming",
    phi: float | None = None,
    information: Sequence[float] | None = None,
) -> list[float | None]:
    """The bound on z at each look, None where there is none (see SMALLEST and CLOSEST); success is z ≥ bound.

    `fractions` are the looks' shares of the maximum information, strictly increasing in (0, 1]; alpha is below ½. Where a last look
    comes beyond the maximum, or before it at a horizon, what is spent (all) and what has been gathered differ: `information` is then
    what each look had, in any unit, strictly increasing. Raises Invalid naming the field.
    """
    return list(_bounds(alpha, _checked(alpha, fractions, information), spending, phi))


def p_value(
    looks: Sequence[tuple[float, float]],
    spending: Spending = "obrien-fleming",
    phi: float | None = None,
    information: Sequence[float] | None = None,
) -> float:
    """The smallest alpha whose bounds were crossed at one of the looks (information fraction, z) so far.

    Every bound falls as alpha grows (found for all three spendings up to MOST), so the rejection regions are nested: as looks are
    added p can only fall, and under the null hypothesis P(p ≤ α) ≤ α whenever one stops. It is between SMALLEST and MOST, or 1
    where not even the bounds at MOST were crossed. Raises Invalid as `bounds` does, and where a z is not finite.
    """
    points = _checked(MOST, [t for t, _ in looks], information)
    if not all(math.isfinite(z) for _, z in looks):
        raise Invalid("looks: expected finite statistics", field="looks")

    def excess(log_alpha: float) -> float:
        """By how much the bounds at this level were exceeded at best."""
        found = _bounds(math.exp(log_alpha), points, spending, phi)
        return max((z - bound for (_, z), bound in zip(looks, found, strict=True) if bound is not None), default=-math.inf)

    return _smallest(excess)


def _checked(alpha: float, fractions: Sequence[float], information: Sequence[float] | None) -> list[tuple[float, float]]:
    """(fraction at which is spent, information) of each look."""
    if not 0.0 < alpha <= MOST:
        raise Invalid(f"alpha: expected a number above 0 and below {MOST:g}, got {alpha:g}", field="alpha")
    if not fractions:
        raise Invalid("information_fractions: expected one or more", field="information_fractions")
    if not all(last < t <= 1.0 for last, t in zip([0.0, *fractions], fractions, strict=False)):
        raise Invalid("information_fractions: expected strictly increasing numbers above 0 and up to 1", field="information_fractions")
    gathered = fractions if information is None else information
    if len(gathered) != len(fractions) or not all(last < t < math.inf for last, t in zip([0.0, *gathered], gathered, strict=False)):
        raise Invalid("information: expected strictly increasing numbers above 0, one for each look", field="information")
    return list(zip(fractions, gathered, strict=True))


def _bounds(alpha: float, points: Sequence[tuple[float, float]], spending: Spending, phi: float | None) -> Iterator[float | None]:
    paths, last, c, sigma, used = _Paths(np.zeros(1), np.ones(1)), 0.0, 0.0, math.inf, 0.0
    for fraction, t in points:
        increment = spent(fraction, alpha, spending, phi) - used
        if increment < SMALLEST or t - last < CLOSEST * t:
            yield None
            continue
        step = math.sqrt(t - last)
        if last > 0.0:
            paths = _moved(paths, last, c, sigma, step)
        c = _crossing(paths, c, t, step, increment)
        last, sigma, used = t, step, used + increment
        yield c / math.sqrt(t)


def _moved(paths: _Paths, t: float, c: float, sigma: float, step: float) -> _Paths:
    """The paths after an increment of standard deviation `sigma`, at `t` below `c`; `step` is the one to come.

    Both increments are smooth over a panel of this width: the density itself, and what will be integrated against it.
    """
    low = -_DEPTH * math.sqrt(t)
    panels = math.ceil((c - low) / (_WIDTH * min(sigma, step)))
    half = 0.5 * (c - low) / panels
    nodes = (low + half * (2.0 * np.arange(panels)[:, None] + 1.0 + _ABSCISSAE)).ravel()
    return _Paths(nodes, np.tile(half * _WEIGHTS, panels) * _density(paths, nodes, sigma))


def _density(paths: _Paths, at: FloatArray, sigma: float) -> FloatArray:
    """At these places after the increment; in blocks, each with the paths near enough to arrive there."""
    found = np.empty_like(at)
    for start in range(0, at.size, _BLOCK):
        block = at[start : start + _BLOCK]
        near = slice(*np.searchsorted(paths.nodes, (block[0] - _BAND * sigma, block[-1] + _BAND * sigma)))
        away = (block[:, None] - paths.nodes[near]) / sigma
        found[start : start + _BLOCK] = np.exp(-0.5 * away * away) @ paths.mass[near]
    return found / (sigma * math.sqrt(2.0 * math.pi))


def _crossing(paths: _Paths, c: float, t: float, step: float, increment: float) -> float:
    """The bound that paths cross with probability `increment`, by Newton's method on the logarithm.

    It is concave in the bound, as the density is log-concave (Prékopa 1973), so that from above the root the iterates fall onto
    it. P(S ≥ b) and the probability of a jump from `c` to b are both more than is crossed, which gives two such starts.
    """
    quantile = -float(special.ndtri(increment))
    bound = min(quantile * math.sqrt(t), c + quantile * step)
    for _ in range(_MOST_STEPS):
        away = (bound - paths.nodes) / step
        crossed = float(special.ndtr(-away) @ paths.mass)
        density = float(np.exp(-0.5 * away * away) @ paths.mass) / (step * math.sqrt(2.0 * math.pi))
        change = crossed / density * math.log(crossed / increment)
        bound += change
        if abs(change) < _TOLERANCE * step:
            break
    return bound


def _smallest(excess: Callable[[float], float]) -> float:
    """The alpha at which `excess` of log alpha turns from below 0, on the side from 0; 1.0 where it never does.

    Regula falsi, the Illinois algorithm (Dowell and Jarratt 1971): every bound falls as alpha grows, so there is one such place.
    """
    low, high = math.log(SMALLEST), math.log(MOST)
    below, above = excess(low), excess(high)
    if above < 0.0 or below >= 0.0:
        return 1.0 if above < 0.0 else SMALLEST
    moved = 0  # which end was moved last: the other end's value is halved when one is moved twice running
    while high - low > _PRECISION:
        middle = low + (high - low) * below / (below - above) if math.isfinite(below) else 0.5 * (low + high)
        middle = min(max(middle, low + 0.4 * _PRECISION), high - 0.4 * _PRECISION)
        found = excess(middle)
        if found < 0.0:
            above *= 0.5 if moved == -1 else 1.0
            low, below, moved = middle, found, -1
        else:
            below *= 0.5 if moved == 1 else 1.0
            high, above, moved = middle, found, 1
    return math.exp(high)
