"""How probable it is that two samples of one distribution are as far apart. All p values hold for samples of both sizes.

`scipy.stats` takes half a second to import, and who reads what was found needs none of it: the functions that do import it.

The profile is a sample too: with 300 rows in it a window of a million tells no more than one of a few hundred. Sizes may be smaller than
what was counted, where rows are not independent.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from experiments.drift.column import Counts
from experiments.drift.distances import Bins


def harmonic(n: float, m: float) -> float:
    """n m / (n + m): what two samples together tell of a difference, as a number of rows."""
    return n * m / (n + m) if n + m else 0.0


def ks_p(distance: float, n: float, m: float) -> float:
    """Of the two-sided Kolmogorov-Smirnov distance (Smirnov 1939). On cells, with ties and in small samples it is never too small."""
    return float(special.kolmogorov(math.sqrt(harmonic(n, m)) * distance))


def ks_above_p(distance: float, n: float, m: float) -> float:
    """The same of the distance in one direction: exp(−2 D² n m / (n + m))."""
    return math.exp(-2.0 * harmonic(n, m) * distance * distance)


def rank_p(reference: Counts, window: Counts, n: float, m: float) -> float:
    """Two-sided, of Mann and Whitney's test (1947) on the cells in their order, by its normal limit with the correction for ties.

    It sees a shift in about two thirds of the rows that Kolmogorov and Smirnov's needs.
    """
    p, q = (counts / max(counts.sum(), 1) for counts in (reference, window))
    below = np.cumsum(p) - p
    larger = float((q * (below + p / 2)).sum())
    pooled = (n * p + m * q) / max(n + m, 1.0)
    ties = 1.0 - float((pooled**3).sum())
    variance = (n + m + 1.0) * ties / (12.0 * n * m) if n and m else 0.0
    return math.erfc(abs(larger - 0.5) / math.sqrt(2.0 * variance)) if variance > 0 else 1.0


def chi2_p(bins: Bins, n: float, m: float) -> float:
    """Pearson's test of homogeneity (1900), the counts of both scaled to these sizes."""
    p, q = (counts / max(counts.sum(), 1.0) for counts in bins)
    pooled = (n * p + m * q) / max(n + m, 1.0)
    if len(pooled) < 2 or not n or not m:
        return 1.0
    statistic = harmonic(n, m) * float(((q - p) ** 2 / pooled).sum())
    return float(special.chdtrc(len(pooled) - 1, statistic))


def psi_limit(alpha: float, bins: int, n: float, m: float) -> float:
    """What the PSI of that many bins stays below with probability 1 − alpha where nothing has changed; 0.0 for a single bin."""
    return float(special.chdtri(bins - 1, alpha)) / harmonic(n, m) if bins > 1 and harmonic(n, m) else 0.0


def rate_p(reference: int, n: int, window: int, m: int) -> float:
    """Two-sided, of Fisher's exact test that `window` of m come at the rate of `reference` of n: twice the smaller tail."""
    total, found = n + m, reference + window
    if found in (0, total):
        return 1.0
    from scipy import stats

    tails = stats.hypergeom.cdf(window, total, found, m), stats.hypergeom.sf(window - 1, total, found, m)
    return min(1.0, 2.0 * float(min(tails)))


def higher_rate_p(reference: int, n: int, window: int, m: int) -> float:
    """The same, one-sided: that the window's rate is higher."""
    from scipy import stats

    return float(stats.hypergeom.sf(window - 1, n + m, reference + window, m))


def outside_p(outside: int, n: int, m: int) -> float:
    """That so many of m lie outside the range of a sample of n: exact for continuous distributions, else never too small.

    The share of a distribution outside the range of n draws is Beta(2, n − 1), whatever the distribution (Wilks 1942).
    """
    if not outside or n < 2:
        return 1.0
    from scipy import stats

    return float(stats.betabinom.sf(outside - 1, m, 2, n - 1))


def unseen_p(most: int, values: int, n: int, m: int) -> float:
    """That any of so many different values occurs `most` times, and each time in the window of m, never in the sample of n.

    By exchangeability C(m, k)/C(n + m, k) for one value, times their number.
    """
    if not most:
        return 1.0
    log = sum(math.log((m - i) / (n + m - i)) for i in range(min(most, m)))
    return min(1.0, values * math.exp(log))
