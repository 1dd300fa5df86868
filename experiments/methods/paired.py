"""Differences between two models on the same rows, of which a unit may have many: one figure per unit, then one sample."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from core.errors import Invalid, Refused
from experiments.methods import always_valid, summary
from experiments.methods.always_valid import Sequential
from experiments.methods.means import Alternative, Difference, t_test
from experiments.methods.summary import FloatArray, Summary

NO_SPREAD = "the differences do not vary from unit to unit: a test needs spread"


class Paired(msgspec.Struct, frozen=True):
    """The t test of the mean difference, and the Wilcoxon signed-rank p value of the same alternative beside it."""

    test: Difference
    wilcoxon_p: float


def paired(
    differences: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    margin: float = 0.0,
    alternative: Alternative = "greater",
    alpha: float = 0.05,
) -> Paired:
    """Both tests of the unit means of `differences` (rows,) against `margin`; degrees of freedom are units − 1.

    `clusters` says of each row whose it is; without it each row is a unit. Rows of a unit are alike, so that counting each as
    a witness rejects far too often. Raises Invalid where a difference is not finite or the lengths differ, Refused with fewer
    than 2 units or without spread. Student 1908; Wilcoxon 1945.
    """
    means = unit_means(differences, clusters)
    found = summary.of(means)
    se = _standard_error(found)
    test = t_test(found.mean, se, found.n - 1.0, margin, alternative, alpha)
    return Paired(test, wilcoxon(means - margin, alternative))


def unit_means(differences: ArrayLike, clusters: Sequence[Hashable] | None = None) -> FloatArray:
    """The mean of each unit's rows, units in the order of their first row. Raises Invalid and Refused as `paired` does."""
    array = np.asarray(differences, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise Invalid("differences: expected a list of finite numbers", field="differences")
    if clusters is None:
        return array
    if len(clusters) != array.size:
        raise Invalid(f"clusters: expected one for each of {array.size} differences, got {len(clusters)}", field="clusters")
    rows: defaultdict[Hashable, list[float]] = defaultdict(list)
    for unit, difference in zip(clusters, array.tolist(), strict=True):
        rows[unit].append(difference)
    try:  # fsum, so that the order of a unit's rows decides no tie between units
        return np.array([math.fsum(values) / len(values) for values in rows.values()])
    except OverflowError as error:
        raise Refused("the differences are too large for their sum to be represented") from error


def wilcoxon(values: ArrayLike, alternative: Alternative = "greater") -> float:
    """The p value of the signed-rank test that `values` (units,) are symmetric about 0 (Wilcoxon 1945).

    Zeros are dropped and ties have their mean rank; the distribution is exact for few values without either, and for very
    few with them, else normal with the variance corrected for ties: the choice is scipy's `auto`. Raises Refused where all
    are 0.
    """
    from scipy import stats  # half a second, which only those who compare models pay

    array = np.asarray(values, dtype=np.float64)
    if not array.any():
        raise Refused("all differences are 0: there is nothing to rank")
    return float(stats.wilcoxon(array, alternative=alternative, method="auto").pvalue)


def sequential(
    differences: Summary, planned_se: float, *, margin: float = 0.0, alternative: Alternative = "two-sided", alpha: float = 0.05
) -> Sequential:
    """The always-valid test of the mean difference, from the summary of its unit means.

    `planned_se` is the standard error at which the test is to be tightest, in units of the difference: the one at the planned
    number of units. Two-sided unless said otherwise, since either model may be the better. Raises Refused with fewer than
    2 units or without spread. See `always_valid`.
    """
    se = _standard_error(differences)
    return always_valid.sequential(differences.mean, se, planned_se, margin=margin, alternative=alternative, alpha=alpha)


def _standard_error(differences: Summary) -> float:
    if differences.n < 2:
        raise Refused(f"a paired test needs 2 units or more, there are {differences.n}")
    se = math.sqrt(differences.variance / differences.n)
    if se == 0.0:
        raise Refused(NO_SPREAD)
    return se
