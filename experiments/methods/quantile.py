"""Quantiles, such as p95 latency, with several requests per unit.

Requests of one unit resemble each other, so the variance for independent requests is scaled by how much more the share
below the quantile varies when whole units are drawn. Deng, Knoblich and Lu, "Applying the delta method in metric
analytics", KDD 2018 (section 4).
"""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from core.errors import Invalid, Refused
from experiments.methods.joint import Joint
from experiments.methods.linear import residual
from experiments.methods.summary import EMPTY, LARGEST, Summary

Z = float(special.ndtri(0.975))

FEWEST = 4
"""Requests needed per max(ν/(1 − ν), (1 − ν)/ν): above z² = 3.84, so that the ranks around the quantile exist."""

GAPS = 4
"""Unit ids over a range of at most this many times the requests are counted in place, without sorting them."""


class Clusters(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over units, each with n requests of which I are at or below the quantile: exact integers, so nothing cancels."""

    units: int
    sum_i: int
    sumsq_i: int
    sum_n: int
    sumsq_n: int
    sum_in: int


def of(values: ArrayLike, units: ArrayLike, nu: float) -> Summary:
    """The ν quantile of requests as if it were a mean over units: n units, mean Q, and variance / n the squared se of Q.

    `values` (one per request) and `units` (its unit's id, an integer) have one length; Q is the order statistic of rank
    ⌈nν⌉, the inverse of the empirical distribution function. It is of all requests at once: such summaries compare arms,
    they do not merge. EMPTY without requests. Raises Refused where `quantile_se`
    does, and Invalid for values that are not finite, ids that are not integers or lengths that differ.
    """
    x, ids = np.asarray(values, dtype=np.float64).ravel(), np.asarray(units).ravel()
    _check(x, ids)
    if x.size == 0:
        return EMPTY
    lower, middle, upper = ranks(x.size, nu)
    ordered = np.partition(x, sorted({lower - 1, middle - 1, upper - 1}))
    quantile = float(ordered[middle - 1])
    clusters = _clusters(x <= quantile, ids)
    se = quantile_se(x.size, nu, float(ordered[lower - 1]), float(ordered[upper - 1]), clusters)
    return Summary(clusters.units, quantile, min(se * se * clusters.units * (clusters.units - 1), LARGEST))


def ranks(n: int, nu: float) -> tuple[int, int, int]:
    """The ranks (from 1) of Q_L, Q and Q_U among n requests: ⌈nν − z√(nν(1 − ν))⌉, ⌈nν⌉ and ⌈nν + z√(nν(1 − ν))⌉, z at .975.

    Raises Refused unless n > 4·max(ν/(1 − ν), (1 − ν)/ν), which keeps them within 1..n; Invalid for ν not between 0 and 1.
    """
    _check_size(n, nu)
    middle = n * Fraction(str(nu))  # in floating point 100 × .07 is above 7
    reach = Fraction(Z * math.sqrt(n * nu * (1.0 - nu)))
    return math.ceil(middle - reach), math.ceil(middle), math.ceil(middle + reach)


def quantile_se(n: int, nu: float, q_lower: float, q_upper: float, clusters: Clusters | None = None) -> float:
    """The standard error of the ν quantile of n requests, in the metric's units (Deng, Knoblich and Lu 2018).

    (Q_U − Q_L) / (2z) with the order statistics at `ranks`, as for independent requests; with `clusters` its square is
    multiplied by Var(Ī) / (ν(1 − ν)/n). Raises Refused with too few requests or fewer than 2 units, where Q_L = Q_U, or
    where no unit's share differs from another's; Invalid for figures that cannot be.
    """
    _check_size(n, nu)
    if not q_lower <= q_upper:
        raise Invalid(f"q_upper: expected at least q_lower, {q_lower:g}, got {q_upper:g}", field="q_upper")
    if q_lower == q_upper:
        raise Refused("the values around the quantile are all equal: its standard error cannot be told from them")
    factor = 1.0 if clusters is None else _cluster_factor(n, nu, clusters)
    se = (q_upper / (2.0 * Z) - q_lower / (2.0 * Z)) * math.sqrt(factor)
    if not 0.0 < se <= LARGEST:
        raise Refused("the figures are beyond the range of floating point")
    return se


def share_variance(clusters: Clusters) -> float:
    """Var(Ī) of the share Ī = ΣI/Σn when units are drawn: s²(I − Ī·n) / (K n̄²) over K units (Deng, Knoblich and Lu 2018).

    Raises Refused with fewer than 2 units, Invalid for sums that no requests have.
    """
    k = clusters.units
    if k < 2:
        raise Refused(f"a variance between units needs 2 units or more, there are {k}")
    m2_i = _centred(k, clusters.sumsq_i, clusters.sum_i, clusters.sum_i, "sumsq_I")
    m2_n = _centred(k, clusters.sumsq_n, clusters.sum_n, clusters.sum_n, "sumsq_n")
    c = _centred(k, clusters.sum_in, clusters.sum_i, clusters.sum_n)
    if not (0 <= clusters.sum_i <= clusters.sum_n and clusters.sum_n > 0):
        raise Invalid(f"sum_I: expected 0 to sum_n, {clusters.sum_n}, got {clusters.sum_i}", field="sum_I")
    if c * c > m2_i * m2_n:
        raise Invalid("sum_In: expected no more than sumsq_I and sumsq_n allow", field="sum_In")
    mean = clusters.sum_n / k
    joint = Joint(Summary(k, clusters.sum_i / k, float(m2_i)), Summary(k, mean, float(m2_n)), float(c))
    return residual(joint, clusters.sum_i / clusters.sum_n) / (k - 1) / k / mean / mean


def _cluster_factor(n: int, nu: float, clusters: Clusters) -> float:
    """How many times as large as with independent requests the variance is."""
    if clusters.sum_n != n:
        raise Invalid(f"sum_n: expected n, {n} requests, got {clusters.sum_n}", field="sum_n")
    factor = share_variance(clusters) / (nu * (1.0 - nu) / n)
    if factor == 0.0:
        raise Refused("every unit has the same share of requests below the quantile: there is no variance between units")
    return factor


def _centred(k: int, sum_of_products: int, left: int, right: int, field: str | None = None) -> Fraction:
    """Σ (a − ā)(b − b̄) from sums, exactly; with a field, which is a square, not below 0."""
    centred = sum_of_products - Fraction(left * right, k)
    if field is not None and centred < 0:
        raise Invalid(
            f"{field}: expected at least the squared sum over the units, {left * right / k:g}, got {sum_of_products}", field=field
        )
    return centred


def _clusters(below: NDArray[np.bool_], ids: NDArray[np.int_]) -> Clusters:
    """The sums over units, from whether each request is at or below the quantile, and its unit."""
    least = int(ids.min())
    dense = int(ids.max()) - least <= GAPS * ids.size
    index = ids - least if dense else np.unique(ids, return_inverse=True)[1]
    n = np.bincount(index)
    i = np.bincount(index[below], minlength=n.size)
    return Clusters(
        units=int(np.count_nonzero(n)),
        sum_i=int(i.sum()),
        sumsq_i=int(i @ i),
        sum_n=int(n.sum()),
        sumsq_n=int(n @ n),
        sum_in=int(i @ n),
    )


def _check_size(n: int, nu: float) -> None:
    if not 0.0 < nu < 1.0:
        raise Invalid(f"nu: expected above 0 and below 1, got {nu:g}", field="nu")
    odds = Fraction(str(nu)) / (1 - Fraction(str(nu)))  # in floating point those of .95 are below 19
    least = FEWEST * max(odds, 1 / odds)
    if not n > least:
        raise Refused(f"the {nu:g} quantile needs more than {float(least):.4g} requests, there are {n}")


def _check(values: NDArray[np.float64], ids: NDArray[np.int_]) -> None:
    if values.size != ids.size:
        raise Invalid(f"units: expected as many as values, {values.size}, got {ids.size}", field="units")
    if ids.size and not np.issubdtype(ids.dtype, np.integer):
        raise Invalid("units: expected integers", field="units")
    if not np.isfinite(values).all():
        raise Invalid("values: expected finite numbers", field="values")
