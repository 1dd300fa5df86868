"""What a confusion table says, and its resamples: tables are (…, true class, answered class), in rows or in shares of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from experiments.batch.answers import IntArray, Labelled
from experiments.batch.bootstrap import Resampled, acceleration, check_rows
from experiments.methods.summary import FloatArray

OfTable: TypeAlias = Callable[[FloatArray], FloatArray]
"""(…, classes, classes) → (…)."""

_AT_ONCE = 2_000_000
"""Cells of tables that are held at once: 16 MB."""


def table(answers: Labelled) -> IntArray:
    """How many rows of each true class (rows) were answered with each class (columns)."""
    k = len(answers.classes)
    found: IntArray = np.bincount(answers.truth * k + answers.said, minlength=k * k).reshape(k, k)
    return found


def accuracy(t: FloatArray) -> FloatArray:
    """The share of right answers."""
    found: FloatArray = np.trace(t, axis1=-2, axis2=-1) / t.sum(axis=(-2, -1))
    return found


def balanced_accuracy(t: FloatArray) -> FloatArray:
    """The mean recall of the classes that occur in the truth (Brodersen et al. 2010)."""
    return _mean(_diagonal(t) / t.sum(axis=-1))


def precision_macro(t: FloatArray) -> FloatArray:
    """The mean precision of the classes that occur; 0 for one that was never answered."""
    hits, answered = _diagonal(t), t.sum(axis=-2)
    occurs = (answered + t.sum(axis=-1)) > 0
    return _mean(np.where(occurs, hits / np.where(answered > 0, answered, 1.0), np.nan))


def f1_macro(t: FloatArray) -> FloatArray:
    """The mean F1 of the classes that occur, in the truth or in the answers."""
    return _mean(f1_by_class(t))


def f1_by_class(t: FloatArray) -> FloatArray:
    """2 · hits / (rows of the class + answers of the class), (…, classes) (van Rijsbergen 1979); NaN for a class that does not occur."""
    found: FloatArray = 2.0 * _diagonal(t) / (t.sum(axis=-1) + t.sum(axis=-2))
    return found


def of_positive(positive: int) -> dict[str, OfTable]:
    """Precision, recall and F1 of one class."""
    return {
        "precision": lambda t: t[..., positive, positive] / t[..., :, positive].sum(axis=-1),
        "recall": lambda t: t[..., positive, positive] / t[..., positive, :].sum(axis=-1),
        "f1": lambda t: f1_by_class(t)[..., positive],
    }


def statistics(positive: int | None) -> dict[str, OfTable]:
    """All that are metrics, by name; those of a positive class only where there is one."""
    every: dict[str, OfTable] = {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "precision_macro": precision_macro,
        "f1_macro": f1_macro,
    }
    return {**every, **({} if positive is None else of_positive(positive))}


def resampled(
    answers: Sequence[Labelled], statistics: Mapping[str, OfTable], resamples: int, rng: np.random.Generator
) -> dict[str, Resampled]:
    """Statistics of one model's table, or the differences of two models' (the first less the second) on the same resampled rows.

    Raises Refused with fewer than 2 rows.
    """
    k, rows = len(answers[0].classes), answers[0].truth.size
    check_rows(rows)
    places, counts = _cells(answers)
    at_once = max(1, _AT_ONCE // max(k * k, counts.size))
    drawn = (rng.multinomial(rows, counts / rows, size=size).astype(np.float64) for size in _sizes(resamples, at_once))
    value = _each(statistics, places, k, [counts[None, :].astype(np.float64)])
    values = _each(statistics, places, k, drawn)
    without = _each(statistics, places, k, _without(counts, at_once))
    return {
        name: Resampled(float(value[name][0]), values[name], acceleration(without[name], counts.astype(np.float64))) for name in statistics
    }


def swapped(
    left: Labelled, right: Labelled, statistics: Mapping[str, OfTable], resamples: int, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """The differences (resamples,) where in each row the two answers belong to the one or the other model by the toss of a coin.

    How many of the rows of one kind are swapped is binomial, so that the number of rows does not matter.
    """
    k = len(left.classes)
    (ours, theirs), counts = _cells([left, right])
    places = [np.append(ours, theirs), np.append(theirs, ours)]  # every kind of row, and then every kind with the answers swapped
    at_once = max(1, _AT_ONCE // max(k * k, 2 * counts.size))
    kept = (rng.binomial(counts, 0.5, size=(size, counts.size)) for size in _sizes(resamples, at_once))
    return _each(statistics, places, k, (np.hstack([some, counts - some]).astype(np.float64) for some in kept))


def _cells(answers: Sequence[Labelled]) -> tuple[list[IntArray], IntArray]:
    """The kinds of rows that occur: for each model their places in its table, and how many rows are of each kind."""
    k = len(answers[0].classes)
    code = answers[0].truth.astype(np.int64)
    for each in answers:
        code = code * k + each.said
    cells, counts = np.unique(code, return_counts=True)
    truth = cells // k ** len(answers)
    return [truth * k + cells // k ** (len(answers) - 1 - place) % k for place in range(len(answers))], counts


def _sizes(resamples: int, at_once: int) -> list[int]:
    return [min(at_once, resamples - start) for start in range(0, resamples, at_once)]


def _without(counts: IntArray, at_once: int) -> Iterator[FloatArray]:
    """The counts with one row less in one cell, for each cell in turn."""
    for start in range(0, counts.size, at_once):
        chosen = np.arange(start, min(start + at_once, counts.size))
        found = np.repeat(counts[None, :].astype(np.float64), chosen.size, axis=0)
        found[np.arange(chosen.size), chosen] -= 1.0
        yield found


def _each(statistics: Mapping[str, OfTable], places: Sequence[IntArray], k: int, given: Iterable[FloatArray]) -> dict[str, FloatArray]:
    """Each statistic, or its difference, of each row of cell counts; `given` are arrays (some, cells)."""
    found: dict[str, list[FloatArray]] = {name: [] for name in statistics}
    for counts in given:
        tables = [_tables(place, k, counts) for place in places]
        with np.errstate(all="ignore"):
            for name, of in statistics.items():
                values = [of(each) for each in tables]
                found[name].append(values[0] if len(values) == 1 else values[0] - values[1])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _tables(place: IntArray, k: int, counts: FloatArray) -> FloatArray:
    found = np.zeros((k * k, counts.shape[0]))
    np.add.at(found, place, counts.T)
    return found.T.reshape(-1, k, k)


def _diagonal(t: FloatArray) -> FloatArray:
    found: FloatArray = np.diagonal(t, axis1=-2, axis2=-1)
    return found


def _mean(by_class: FloatArray) -> FloatArray:
    """Over the classes for which it is defined; NaN where there is none."""
    known = np.isfinite(by_class)
    found: FloatArray = np.where(known, by_class, 0.0).sum(axis=-1) / known.sum(axis=-1)
    return found
