"""How far apart two distributions are that were counted on the same cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from experiments.drift.column import Counted, Counts
from experiments.methods.summary import FloatArray

PSI_BINS = 10


class Bins(NamedTuple):
    """The same counts on fewer cells."""

    reference: FloatArray
    window: FloatArray


def psi(bins: Bins) -> float:
    """The population stability index Σ (q − p) ln(q/p) (Jeffreys' divergence, 1946), half a count added to each bin of both.

    Of two normal distributions of one variance it is (shift / sd)². With equal distributions it is about χ² with bins − 1 degrees of
    freedom times 1/n + 1/m (Yurdakul 2018).
    """
    p, q = (_shares(counts) for counts in bins)
    return float(((q - p) * np.log(q / p)).sum())


def ks(reference: Counts, window: Counts) -> float:
    """The largest difference of the two distribution functions at the cuts between the cells (Smirnov 1939)."""
    return float(np.abs(_differences(reference, window)).max(initial=0.0))


def ks_above(reference: Counts, window: Counts) -> float:
    """The same in one direction: by how much more of the window lies at or above a cut."""
    return float(_differences(reference, window).max(initial=0.0))


def wasserstein(counted: Counted) -> float:
    """The area between the two distribution functions over the sample's range (Vallender 1974), in units of the column.

    Between cuts the functions are taken for lines, for steps where the sample has no value between them. What lies outside of the
    range counts as at its ends.
    """
    cuts = counted.cuts
    if len(cuts) < 2:
        return 0.0
    apart = _differences(counted.reference, counted.window)
    apart[-1] = 0.0
    left, right, width = apart[:-1], apart[1:], np.diff(cuts)
    if counted.discrete:
        return float((np.abs(right) * width).sum())
    sums = np.abs(left) + np.abs(right)
    # Where the line crosses zero the area is that of two triangles.
    crossing = left * right < 0
    triangles = np.divide(left**2 + right**2, 2 * sums, out=np.zeros_like(sums), where=crossing)
    return float((width * np.where(crossing, triangles, sums / 2)).sum())


def bins_of(counted: Counted, least: float = 5.0) -> Bins:
    """The bins on which PSI and χ² are taken.

    Of numbers tenths of the sample, as far as its cells allow, what lies outside of its range in the outermost ones. Of categories the
    cells in which both would expect `least` rows or more were they alike; all others, and all unseen values that are rarer, together.
    Which ones these are is decided by both counts together, and not by the sample alone: the most frequent of many values in a sample
    are less frequent elsewhere.
    """
    if counted.kind == "numbers":
        return _tenths(counted.reference, counted.window)
    unseen = np.array([*counted.unseen.values()], dtype=np.float64)
    reference = np.concatenate([counted.reference, np.zeros(len(unseen))])
    window = np.concatenate([counted.window, unseen])
    n, m = (max(size, 1) for size in counted.sizes)
    rare = (reference + window) * min(n, m) / (n + m) < least
    pooled = Bins(np.append(reference[~rare], reference[rare].sum()), np.append(window[~rare], window[rare].sum() + counted.further))
    full = pooled.reference + pooled.window > 0
    return Bins(pooled.reference[full], pooled.window[full])


def _tenths(reference: Counts, window: Counts) -> Bins:
    if len(reference) < 3:
        return Bins(np.array([reference.sum()], dtype=np.float64), np.array([window.sum()], dtype=np.float64))
    inner, served = reference[1:-1].astype(np.float64), window[1:-1].astype(np.float64)
    inner[0], served[0] = inner[0] + reference[0], served[0] + window[0]
    inner[-1], served[-1] = inner[-1] + reference[-1], served[-1] + window[-1]
    # A bin ends with the cell in which the next tenth of the sample is full.
    tenth = np.ceil(np.cumsum(inner) / max(inner.sum(), 1.0) * PSI_BINS - 1e-9).astype(np.int64)
    tenth = np.unique(tenth, return_inverse=True)[1]
    return Bins(*(np.bincount(tenth, counts).astype(np.float64) for counts in (inner, served)))


def _shares(counts: FloatArray) -> FloatArray:
    found: FloatArray = counts + 0.5
    return found / float(found.sum())


def _differences(reference: Counts, window: Counts) -> FloatArray:
    """F_reference − F_window at each cut."""
    left, right = (np.cumsum(counts)[:-1] / max(counts.sum(), 1) for counts in (reference, window))
    return np.asarray(left - right, dtype=np.float64)
