"""Intervals by resampling rows: the bias-corrected and accelerated bootstrap (BCa) of Efron 1987, with the p value that belongs to it.

Percentiles of the resampled values are off where a metric is biased or skewed, as a root mean squared error or an F1 is; BCa corrects for
both. Rows are drawn without strata: how often a class comes is chance in the data too. Resamples are drawn as counts of rows, so that a
mean is a product, and a resample of a confusion table is one draw from a multinomial distribution, whatever the number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import special

from core.errors import Refused
from experiments.methods.summary import FloatArray

RESAMPLES = 1000

MOST_GROUPS = 20_000

MOST_UNDEFINED = 0.05
"""Where the metric is undefined in a larger share of the resamples (a class that none of them has), there is no interval."""

ROUNDING = 1e-12
"""Resampled values that vary by less than this share of the largest do not vary."""

Statistic: TypeAlias = Callable[[FloatArray], FloatArray]
"""A smooth function of means: (…, columns) → (…)."""


class Resampled(NamedTuple):
    """A metric, its values in resamples (resamples,), and the acceleration, a sixth of the skewness of what single rows do to it."""

    value: float
    values: FloatArray
    acceleration: float = 0.0


def weights(rows: int, resamples: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """How often each row comes in each resample: arrays (rows,) that add up to `rows`."""
    for _ in range(resamples):
        yield np.bincount(rng.integers(0, rows, rows, dtype=np.int32), minlength=rows).astype(np.float64)


def of_means(columns: FloatArray, statistics: list[Statistic], resamples: int, rng: np.random.Generator) -> list[Resampled]:
    """Statistics of the means of `columns` (rows, columns), all on the same resamples. Raises Refused with fewer than 2 rows.

    Of many rows groups are resampled in place of rows, each of as many rows chosen at random: the mean of such groups has the variance and
    the skewness of the mean of the rows, estimated from 10,000 groups or more, which adds at most 1.5 % to the error of a standard error.
    """
    rows = columns.shape[0]
    check_rows(rows)
    with np.errstate(all="ignore"):  # what is beyond the range of floating point has no interval
        mean = columns.mean(axis=0)
        held = grouped(columns, rng)
        groups = held.shape[0]
        drawn = np.array([drawn @ held for drawn in weights(groups, resamples, rng)]) / groups
        without = (groups * mean - held) / (groups - 1)
        return [Resampled(float(of(mean)), of(drawn), acceleration(of(without))) for of in statistics]


def grouped(columns: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Rows, or the means of groups of them, moved so that their mean stays that of all: a few rows at the end may make no group."""
    size = -(-columns.shape[0] // MOST_GROUPS)
    if size == 1:
        return columns
    groups = columns.shape[0] // size
    chosen = rng.permutation(columns.shape[0])[: groups * size]
    held: FloatArray = columns[chosen].reshape(groups, size, -1).mean(axis=1)
    held += columns.mean(axis=0) - held.mean(axis=0)
    return held


def acceleration(jackknife: FloatArray, counts: FloatArray | float = 1.0) -> float:
    """Σ d³ / (6 (Σ d²)^1.5), d the mean of the leave-one-out values less each; `counts` rows share a value (Efron 1987, eq. 6.6)."""
    counts = np.broadcast_to(np.asarray(counts, dtype=np.float64), jackknife.shape)
    usable = np.isfinite(jackknife) & (counts > 0)
    values, counts = jackknife[usable], counts[usable]
    if values.size == 0:
        return 0.0
    apart = np.average(values, weights=counts) - values
    scale = float(np.abs(apart).max())
    if scale == 0.0:
        return 0.0
    apart = apart / scale  # the skewness has no unit, and the cubes stay in range
    return float((counts * apart**3).sum() / (6.0 * float((counts * apart**2).sum()) ** 1.5))


def interval(found: Resampled, alpha: float) -> tuple[float, float]:
    """The two-sided BCa interval at confidence 1 − alpha. Raises Refused where the metric is undefined, or does not vary."""
    values = usable(found)
    bias = _bias(values, found.value)
    levels = []
    for z in (special.ndtri(alpha / 2.0), special.ndtri(1.0 - alpha / 2.0)):
        shift = bias + z
        levels.append(special.ndtr(bias + shift / max(1.0 - found.acceleration * shift, 1e-6)))
    lower, upper = np.quantile(values, levels)
    return float(lower), float(upper)


def tail(found: Resampled, at: float = 0.0) -> float:
    """The one-sided p value of the hypothesis that the metric is at least `at`: small where it lies below.

    The level at which the BCa interval's upper bound is `at` (Efron and Tibshirani 1993, eq. 15.34). Of R resamples it is never below
    1/(R + 1). Raises Refused as `interval` does.
    """
    values = usable(found)
    bias = _bias(values, found.value)
    if not values.min() <= at <= values.max():  # no interval reaches so far: more than so many resamples cannot tell
        return 1.0 / (values.size + 1) if at > values.max() else values.size / (values.size + 1)
    apart = special.ndtri(_share(values, at)) - bias
    p = special.ndtr(bias - apart / max(1.0 + found.acceleration * apart, 1e-6))
    least = 1.0 / (values.size + 1)
    return float(min(max(p, least), 1.0 - least))


def usable(found: Resampled) -> FloatArray:
    """The resampled values that are defined. Raises Refused where too many are not, or they do not vary."""
    values = found.values[np.isfinite(found.values)]
    if not math.isfinite(found.value) or values.size < (1.0 - MOST_UNDEFINED) * found.values.size:
        raise Refused("it is undefined in the data, or in more than 5 % of the resamples")
    if np.ptp(values) <= ROUNDING * np.abs(values).max():
        raise Refused("it is the same in all resamples: these rows do not say how much it varies")
    return values


def check_rows(rows: int) -> None:
    """Raises Refused with fewer than 2 rows."""
    if rows < 2:
        raise Refused(f"an interval needs 2 rows or more, there are {rows}")


def _bias(values: FloatArray, value: float) -> float:
    return float(special.ndtri(_share(values, value)))


def _share(values: FloatArray, at: float) -> float:
    """The share of the values below `at`, half of those at it counted; never 0 or 1."""
    share = (np.count_nonzero(values < at) + 0.5 * np.count_nonzero(values == at)) / values.size
    least = 1.0 / (values.size + 1)
    return float(min(max(share, least), 1.0 - least))
