"""Two versions on the same rows: the differences of their metrics, the first (the version under test) less the second.

Where few rows differ, the bootstrap says "worse" too often: if three rows differ, all against one model, so do they in most resamples.
So the p value is never less than that of the exact test of exchangeable models, in which the two answers to a row are swapped by the
toss of a coin (Fisher 1935, § 21; of recall it is McNemar's exact test of the positive rows): the larger one counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from scipy import special

from core.errors import Refused
from experiments.batch import bootstrap, confusion, ranking
from experiments.batch.answers import Answers, Labelled
from experiments.batch.figures import BETTER, DELONG, JACKKNIFE, Asking, columns
from experiments.batch.ranking import Area
from experiments.methods import mcnemar, multiple
from experiments.methods.proportion import paired_difference
from experiments.methods.summary import FloatArray

BOTH, SWAPS = "paired bootstrap and swaps", "swaps"


class Compared(msgspec.Struct, frozen=True, omit_defaults=True):
    """One metric. `p_worse` is one-sided: small where the first is worse. `p_value` is two-sided, `adjusted` for all compared (Holm).

    `lower` and `upper` are at confidence 1 − alpha. `bound` is the one-sided bound at it on the side of worse: an end of the two-sided
    interval at 1 − 2 alpha. Without an interval: why, in `refused`.
    """

    metric: str
    left: float | None = None
    right: float | None = None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    bound: float | None = None
    p_worse: float | None = None
    p_value: float | None = None
    adjusted: float | None = None
    method: str | None = None
    refused: str | None = None


def compare(left: Answers, right: Answers, asking: Asking) -> dict[str, Any]:
    """The differences of all metrics that both have, each with its test; of classifiers also who is right where the other is wrong.

    The answers are to the same rows; of classifiers the classes are the same and in the same order.
    """
    if left.truth.size < 2:
        return {"metrics": [], "refused": f"a comparison needs 2 rows or more, there are {left.truth.size}"}
    found = list(_differences(left, right, asking))
    tested = [one.p_value for one in found if one.p_value is not None]
    adjusted = iter(multiple.holm(tested).tolist())
    rows = [one if one.p_value is None else msgspec.structs.replace(one, adjusted=next(adjusted)) for one in found]
    result: dict[str, Any] = {"metrics": [msgspec.structs.asdict(one) for one in rows], "tested": len(tested)}
    if isinstance(left, Labelled) and isinstance(right, Labelled):
        b, c = _discordant(left, right)
        both = int((left.right & right.right).sum())
        result["right"] = {"both": both, "only_left": b, "only_right": c, "neither": int(left.truth.size) - both - b - c}
        result["agreement"] = float((left.said == right.said).mean())
    return result


def _differences(left: Answers, right: Answers, asking: Asking) -> Iterator[Compared]:
    if isinstance(left, Labelled) and isinstance(right, Labelled):
        yield _accuracy(left, right, asking.alpha)
        others = {name: of for name, of in confusion.statistics(left.positive).items() if name != "accuracy"}
        swapped = confusion.swapped(left, right, others, asking.resamples, asking.rng)
        for name, found in confusion.resampled([left, right], others, asking.resamples, asking.rng).items():
            ours, theirs = (_of_table(others[name], each) for each in (left, right))
            yield _resampled(name, ours, theirs, found, swapped[name], asking.alpha)
        if left.probabilities is None or right.probabilities is None:
            return
        yield _areas("auc", ranking.auc, left, right, asking.alpha, DELONG)
        if left.positive is not None:
            yield _areas("average_precision", ranking.average_precision, left, right, asking.alpha, JACKKNIFE)
    yield from _means(left, right, asking)


def _means(left: Answers, right: Answers, asking: Asking) -> Iterator[Compared]:
    """Metrics that are functions of means of the rows, from both models' on the same resamples."""
    (ours, statistics), (theirs, _) = columns(left), columns(right)
    size = ours.shape[1]
    differences = [_difference(of, size) for of in statistics.values()]
    drawn = bootstrap.of_means(np.column_stack([ours, theirs]), differences, asking.resamples, asking.rng)
    swapped = _swapped(ours, theirs, differences, asking)
    with np.errstate(all="ignore"):
        values = {name: (_value(of(ours.mean(axis=0))), _value(of(theirs.mean(axis=0)))) for name, of in statistics.items()}
    for name, found, by_chance in zip(statistics, drawn, swapped, strict=True):
        if BETTER[name] == "nearer":  # 0 is best, and a difference says nothing of which is nearer
            continue
        yield _resampled(name, *values[name], found, by_chance, asking.alpha)


def _swapped(ours: FloatArray, theirs: FloatArray, differences: list[bootstrap.Statistic], asking: Asking) -> list[FloatArray]:
    """The differences (resamples,) with the models swapped in rows, or groups of many rows, by the toss of a coin."""
    size = ours.shape[1]
    with np.errstate(all="ignore"):
        held = bootstrap.grouped(np.column_stack([ours, theirs]), asking.rng)
        middle, apart = (held[:, :size] + held[:, size:]) / 2.0, (held[:, :size] - held[:, size:]) / 2.0
        tosses = (asking.rng.choice((-1.0, 1.0), apart.shape[0]) for _ in range(asking.resamples))
        moved = np.array([toss @ apart for toss in tosses]) / apart.shape[0]
        means = np.hstack([middle.mean(axis=0) + moved, middle.mean(axis=0) - moved])
        return [of(means) for of in differences]


def _difference(of: bootstrap.Statistic, size: int) -> bootstrap.Statistic:
    return lambda means: of(means[..., :size]) - of(means[..., size:])


def _accuracy(left: Labelled, right: Labelled, alpha: float) -> Compared:
    """McNemar's mid-p on the rows of which one model alone is right."""
    b, c = _discordant(left, right)
    n = left.truth.size
    lower, upper = paired_difference(b, c, n, alpha)
    bound = paired_difference(b, c, n, 2.0 * alpha)[0]
    shares = float(left.right.mean()), float(right.right.mean()), (b - c) / n
    found = Compared("accuracy", *shares, lower=lower, upper=upper, bound=bound, method="McNemar mid-p")
    try:
        p = mcnemar.mcnemar(b, c).p_mid
    except Refused as error:
        return msgspec.structs.replace(found, refused=error.message)
    worse = p / 2.0 if b < c else 1.0 - p / 2.0 if b > c else 0.5
    return msgspec.structs.replace(found, p_worse=worse, p_value=p)


def _discordant(left: Labelled, right: Labelled) -> tuple[int, int]:
    return int((left.right & ~right.right).sum()), int((~left.right & right.right).sum())


def _areas(metric: str, of: Callable[[Labelled], Area], left: Labelled, right: Labelled, alpha: float, method: str) -> Compared:
    """The z test with the variance of what each row adds to the error of the difference: for the AUC that is DeLong's."""
    try:
        ours, theirs = of(left), of(right)
    except Refused as error:
        return Compared(metric, refused=error.message)
    difference = ours.area - theirs.area
    found = Compared(metric, ours.area, theirs.area, difference, method=method)
    se = math.sqrt(float(((ours.parts - theirs.parts) ** 2).sum()))
    if se == 0.0:
        return msgspec.structs.replace(found, refused="the difference of the two areas has no spread")
    z = difference / se
    reach, one_sided = (float(special.ndtri(1.0 - level)) * se for level in (alpha / 2.0, alpha))
    tests = {"bound": difference - one_sided, "p_worse": float(special.ndtr(z)), "p_value": 2.0 * float(special.ndtr(-abs(z)))}
    return msgspec.structs.replace(found, lower=difference - reach, upper=difference + reach, **tests)


def _resampled(
    metric: str, left: float | None, right: float | None, found: bootstrap.Resampled, swapped: FloatArray, alpha: float
) -> Compared:
    """The interval of the bootstrap, and on either side the larger p value of the two tests; without an interval that of swaps alone."""
    if left is None or right is None:
        return Compared(metric, left, right, refused="it is undefined for one of the two")
    lowest, highest = _by_swaps(left, right, swapped)
    one = Compared(metric, left, right, left - right)
    try:
        below = bootstrap.tail(found)
        lower, upper = bootstrap.interval(found, alpha)
        ends = bootstrap.interval(found, 2.0 * alpha)
    except Refused as error:
        one = msgspec.structs.replace(one, refused=error.message)
        return one if lowest == highest == 1.0 else _tested(one, lowest, highest, SWAPS)
    bound = ends[0] if BETTER[metric] == "higher" else ends[1]
    one = msgspec.structs.replace(one, lower=lower, upper=upper, bound=bound)
    return _tested(one, max(lowest, below), max(highest, 1.0 - below), BOTH)


def _tested(one: Compared, lowest: float, highest: float, method: str) -> Compared:
    worse = lowest if BETTER[one.metric] == "higher" else highest
    return msgspec.structs.replace(one, p_worse=worse, p_value=min(1.0, 2.0 * min(lowest, highest)), method=method)


def _by_swaps(left: float, right: float, swapped: FloatArray) -> tuple[float, float]:
    """The share of swaps with a difference as low as this one, and of those with one as high; the data's own counts as a swap.

    So counted a p value of draws is exact too (Phipson and Smyth 2010). A swap after which the metric is undefined counts on both sides.
    """
    difference, reach = left - right, bootstrap.ROUNDING * max(abs(left), abs(right))
    above, below = int((swapped > difference + reach).sum()), int((swapped < difference - reach).sum())
    return 1.0 - above / (swapped.size + 1), 1.0 - below / (swapped.size + 1)


def _of_table(of: confusion.OfTable, answers: Labelled) -> float | None:
    with np.errstate(all="ignore"):
        return _value(of(confusion.table(answers).astype(np.float64)))


def _value(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
