"""What units bring: draws of whole batches of units, for thousands of experiments at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from experiments.methods.summary import FloatArray

IntArray: TypeAlias = NDArray[np.int64]


class Batch(NamedTuple):
    """`n` units of each experiment, of shape (experiments,): their mean, and `m2` = Σ (x − mean)². Zeros where n is 0."""

    n: FloatArray
    mean: FloatArray
    m2: FloatArray


Draw: TypeAlias = Callable[[np.random.Generator, IntArray, int], Batch]
"""(rng, units of each experiment, number of the look from 0) → what they bring."""

Level: TypeAlias = Callable[[int], float]
"""A figure that may change from look to look."""


def always(value: float) -> Level:
    """The same at every look."""
    return lambda look: value


STEADY = always(1.0)


def revenue(mean: float = 0.1 * math.exp(0.5), buyers: float = 0.1, spread: Level = STEADY) -> Draw:
    """A share of units buys, for a log-normal sum with σ = 1; `spread` scales the sums.

    With one buyer in ten the coefficient of variation is 5.1 and the skewness 14; in general CV² = e / buyers − 1.
    """
    scale = mean / buyers / math.exp(0.5)

    def draw(rng: np.random.Generator, units: IntArray, look: int) -> Batch:
        bought = rng.binomial(units, buyers)
        values = scale * spread(look) * np.exp(rng.standard_normal(int(bought.sum())))
        return _batch(units, values, bought)

    return draw


def lognormal(mean: float, cv: float) -> Draw:
    """Log-normal sums of every unit, with this coefficient of variation: σ² = log(1 + CV²)."""
    sigma = math.sqrt(math.log1p(cv * cv))
    scale = mean / math.exp(0.5 * sigma * sigma)

    def draw(rng: np.random.Generator, units: IntArray, look: int) -> Batch:
        values = scale * np.exp(sigma * rng.standard_normal(int(units.sum())))
        return _batch(units, values, units)

    return draw


def skewed(mean: float, cv: float) -> Draw:
    """Revenue with this mean and coefficient of variation: the fewer buy the more it varies; below a CV of 1.31 every unit does."""
    buyers = math.e / (1.0 + cv * cv)
    return revenue(mean, buyers) if buyers < 1.0 else lognormal(mean, cv)


def conversion(rate: Level) -> Draw:
    """A unit converts or not."""

    def draw(rng: np.random.Generator, units: IntArray, look: int) -> Batch:
        n, converted = units.astype(np.float64), rng.binomial(units, rate(look)).astype(np.float64)
        share = converted / np.maximum(n, 1.0)
        return Batch(n, share, converted * (1.0 - share))

    return draw


def normal(mean: float, deviation: float) -> Draw:
    """Normal values; the mean of n and their m2 are independent, normal and σ²χ² with n − 1 degrees of freedom (Fisher 1925)."""

    def draw(rng: np.random.Generator, units: IntArray, look: int) -> Batch:
        n = units.astype(np.float64)
        error = deviation / np.sqrt(np.maximum(n, 1.0)) * rng.standard_normal(n.shape)
        m2 = deviation * deviation * np.where(n > 1.0, rng.chisquare(np.maximum(n - 1.0, 1.0)), 0.0)
        return Batch(n, np.where(n > 0.0, mean + error, 0.0), m2)

    return draw


def _batch(units: IntArray, values: FloatArray, counts: IntArray) -> Batch:
    """Of values in consecutive runs of these lengths, one run an experiment; its other units are 0."""
    n, total, squares = units.astype(np.float64), _sums(values, counts), _sums(values * values, counts)
    mean = total / np.maximum(n, 1.0)
    return Batch(n, mean, np.maximum(squares - n * mean * mean, 0.0))


def _sums(values: FloatArray, counts: IntArray) -> FloatArray:
    """The sums of consecutive runs of values, of these lengths."""
    found = np.zeros(counts.shape)
    some = counts > 0
    if some.any():
        found[some] = np.add.reduceat(values, (np.cumsum(counts) - counts)[some])
    return found
