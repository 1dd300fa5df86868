"""A simulated rate with its uncertainty."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

CONFIDENCE = 0.999
"""Of the interval of a simulated rate: of a hundred true claims one is called false in ten runs or more."""


class Rate(NamedTuple):
    """`hits` of `n` simulated experiments."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """The share."""
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The Clopper-Pearson interval at CONFIDENCE: beta quantiles (Clopper and Pearson 1934)."""
        tail = (1.0 - CONFIDENCE) / 2.0
        low = float(special.betaincinv(self.hits, self.n - self.hits + 1.0, tail)) if self.hits > 0 else 0.0
        high = float(special.betainccinv(self.hits + 1.0, self.n - self.hits, tail)) if self.hits < self.n else 1.0
        return low, high


def rate(hits: ArrayLike) -> Rate:
    """The rate of an array of booleans, one per experiment."""
    found: NDArray[np.bool_] = np.asarray(hits, dtype=np.bool_)
    return Rate(int(np.count_nonzero(found)), found.size)
