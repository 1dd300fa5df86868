"""Every metric of a set of answers with its interval, or with the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from scipy import special

from core.errors import Refused
from experiments.batch import bootstrap, confusion, ranking
from experiments.batch.answers import Answers, Labelled, Valued, losses
from experiments.batch.bootstrap import Statistic
from experiments.batch.calibration import bins, chances, expected_error
from experiments.batch.ranking import Area
from experiments.losses import LARGEST
from experiments.methods.proportion import proportion
from experiments.methods.summary import FloatArray

Better: TypeAlias = Literal["higher", "lower", "nearer"]
"""What an improvement is; `nearer` to 0."""

OF_CLASSES: Mapping[str, Better] = {
    "accuracy": "higher",
    "balanced_accuracy": "higher",
    "precision_macro": "higher",
    "f1_macro": "higher",
    "precision": "higher",
    "recall": "higher",
    "f1": "higher",
    "auc": "higher",
    "average_precision": "higher",
    "log_loss": "lower",
    "brier": "lower",
    "ece": "lower",
}
OF_VALUES: Mapping[str, Better] = {
    "rmse": "lower",
    "mae": "lower",
    "r2": "higher",
    "bias": "nearer",
    "median_absolute_error": "lower",
    "p95_absolute_error": "lower",
}
BETTER: Mapping[str, Better] = {**OF_CLASSES, **OF_VALUES}
"""All metrics; see `docs/testing.md`."""

_QUANTILES = {"median_absolute_error": 0.5, "p95_absolute_error": 0.95}
EXACT, BCA, DELONG, JACKKNIFE, ORDER = "exact", "bootstrap", "DeLong", "jackknife", "order statistics"
_NO_ECE = "resampling makes a calibration error larger: see the test of calibration"


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A metric's value and its two-sided interval, made by `method`. Without a value or an interval: why, in `refused`."""

    value: float | None
    lower: float | None = None
    upper: float | None = None
    method: str | None = None
    refused: str | None = None


class Asking(msgspec.Struct, frozen=True):
    """How intervals are made: at confidence 1 − `alpha`, from so many resamples, drawn from `rng`."""

    alpha: float
    resamples: int
    rng: np.random.Generator


def figures(answers: Answers, asking: Asking) -> dict[str, Figure]:
    """Every metric of the answers, by name; {} without rows."""
    if answers.truth.size == 0:
        return {}
    return _of_values(answers, asking) if isinstance(answers, Valued) else _of_classes(answers, asking)


def by_class(answers: Labelled, alpha: float) -> list[dict[str, Any]]:
    """Of each class: its rows, precision and recall with exact intervals, and F1."""
    table = confusion.table(answers)
    f1 = _plain(confusion.f1_by_class, table.astype(np.float64))
    found = []
    for k, name in enumerate(answers.classes):
        hits, rows, said = int(table[k, k]), int(table[k].sum()), int(table[:, k].sum())
        shares = {"precision": proportion(hits, said, alpha), "recall": proportion(hits, rows, alpha)}
        found.append({"class": name, "rows": rows, "answers": said, **shares, "f1": float(f1[k]) if rows + said else None})
    return found


def columns(answers: Answers) -> tuple[FloatArray, dict[str, Statistic]]:
    """What metrics are means of: (rows, columns), and each such metric as a function of their means."""
    by_row = losses(answers)
    if isinstance(answers, Labelled):
        given = np.column_stack([*by_row.values()]) if by_row else np.empty((answers.truth.size, 0))
        return given, {name: _column(place) for place, name in enumerate(by_row)}
    # Else the variance of large values cancels; by a median that is one of them, so that equal ones, however large, have none.
    centred = np.clip(answers.truth - np.quantile(answers.truth, 0.5, method="lower"), -LARGEST, LARGEST)
    return np.column_stack([by_row["mse"], by_row["mae"], answers.errors, centred, centred**2]), {
        "rmse": lambda m: np.sqrt(m[..., 0]),
        "mae": _column(1),
        "r2": lambda m: 1.0 - m[..., 0] / (m[..., 4] - m[..., 3] ** 2),
        "bias": _column(2),
    }


def of_mean(answers: Answers, of: Statistic) -> float | None:
    """The metric's value; None where it is not finite."""
    return _finite(float(_plain(of, columns(answers)[0].mean(axis=0))))


def ece(answers: Labelled) -> float | None:
    """The expected calibration error in ten bins of equal counts; None without probabilities."""
    found = chances(answers)
    if found is None:
        return None
    happened, given = found
    return expected_error(happened.astype(np.float64), given, bins(given))


def interval_of(value: float | None, make: Callable[[], tuple[float, float]], method: str) -> Figure:
    """The figure with the interval that `make` computes, or with why it may not."""
    try:
        return Figure(value, *make(), method)
    except Refused as error:
        return Figure(value, refused=error.message)


def _of_classes(answers: Labelled, asking: Asking) -> dict[str, Figure]:
    found = _of_tables(answers, asking)
    found["auc"] = _area(lambda: ranking.auc(answers), asking.alpha, DELONG)
    if answers.probabilities is None:
        return found
    if answers.positive is not None:
        found["average_precision"] = _area(lambda: ranking.average_precision(answers), asking.alpha, JACKKNIFE)
    found.update(_of_means(answers, asking))
    found["ece"] = Figure(ece(answers), refused=_NO_ECE)
    return {name: found[name] for name in OF_CLASSES if name in found}


def _of_tables(answers: Labelled, asking: Asking) -> dict[str, Figure]:
    """Accuracy, precision and recall are shares, whose intervals are exact; the others are resampled."""
    table = confusion.table(answers).astype(np.float64)
    statistics = confusion.statistics(answers.positive)
    values = {name: _finite(float(_plain(of, table))) for name, of in statistics.items()}
    shares = {"accuracy": (int(np.trace(table)), int(table.sum()))}
    if answers.positive is not None:
        p = answers.positive
        shares |= {"precision": (int(table[p, p]), int(table[:, p].sum())), "recall": (int(table[p, p]), int(table[p].sum()))}
    rest = {name: of for name, of in statistics.items() if name not in shares}
    found = {name: _share(*counts, asking.alpha) for name, counts in shares.items()}
    try:
        drawn = confusion.resampled([answers], rest, asking.resamples, asking.rng)
    except Refused as error:
        return found | {name: Figure(values[name], refused=error.message) for name in rest}
    return found | {name: _resampled(values[name], drawn[name], asking.alpha) for name in rest}


def _share(number: int, of: int, alpha: float) -> Figure:
    if of == 0:
        return Figure(None, refused="there is no row that it is of")
    found = proportion(number, of, alpha)
    return Figure(found["share"], found["lower"], found["upper"], EXACT)


def _resampled(value: float | None, found: bootstrap.Resampled, alpha: float) -> Figure:
    return interval_of(value, lambda: bootstrap.interval(found, alpha), BCA)


def _area(make: Callable[[], Area], alpha: float, method: str) -> Figure:
    try:
        found = make()
    except Refused as error:
        return Figure(None, refused=error.message)
    return interval_of(found.area, lambda: ranking.interval(found, alpha), method)


def _of_means(answers: Answers, asking: Asking) -> dict[str, Figure]:
    given, statistics = columns(answers)
    values = {name: _finite(float(_plain(of, given.mean(axis=0)))) for name, of in statistics.items()}
    try:
        drawn = bootstrap.of_means(given, list(statistics.values()), asking.resamples, asking.rng)
    except Refused as error:
        return {name: Figure(values[name], refused=error.message) for name in statistics}
    return {name: _resampled(values[name], one, asking.alpha) for name, one in zip(statistics, drawn, strict=True)}


def _of_values(answers: Valued, asking: Asking) -> dict[str, Figure]:
    sizes = np.sort(np.abs(answers.errors))
    return {**_of_means(answers, asking), **{name: quantile(sizes, q, asking.alpha) for name, q in _QUANTILES.items()}}


def quantile(ordered: FloatArray, q: float, alpha: float) -> Figure:
    """The q-quantile of values in ascending order; its interval is between two of them, whatever their distribution.

    The ranks are quantiles of binomial(n, q), the upper one plus 1 (David and Nagaraja 2003, § 7.1): confidence 1 − alpha or more.
    """
    n = ordered.size
    value = float(np.quantile(ordered, q))
    low, high = _rank(alpha / 2.0, n, q), _rank(1.0 - alpha / 2.0, n, q) + 1
    if low < 1 or high > n:
        return Figure(value, refused=f"{n} rows are too few for the interval of a {q:.0%} quantile")
    return Figure(value, float(ordered[low - 1]), float(ordered[high - 1]), ORDER)


def _rank(level: float, n: int, q: float) -> int:
    """The smallest k with P(binomial(n, q) ≤ k) ≥ level."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if special.bdtr(middle, n, q) >= level else (middle + 1, high)
    return low


def _column(place: int) -> Statistic:
    return lambda means: means[..., place]


def _plain(of: Callable[[FloatArray], FloatArray], given: FloatArray) -> FloatArray:
    with np.errstate(all="ignore"):
        return of(given)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
