"""The profile of a sample: how each feature, the model's answers and the target are distributed, small enough to travel with the card.

It holds counts, so that profiles of further rows over the same edges and categories can be added to it. What was served later is
compared with it (see `models.drift`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TypeAlias
from zlib import crc32

import msgspec
import numpy as np

from core.values import Output, Value
from models.signature import Signature

BINS = 10
MOST_CATEGORIES = 20
MOST_CLASSES = 20
CELLS = 20
"""Cells of a number: a shift is seen at the cut nearest to it, and none is more than a 20th of the sample from the next."""
MOST_COUNTED = 100
"""A column with more distinct values is counted in buckets."""
BUCKETS = 32


class Numbers(msgspec.Struct, frozen=True, tag="numbers"):
    """A numeric column. `counts[i]` values lie in edges[i] ≤ x < edges[i+1], the last bin closed; deciles, where distinct.

    `count` includes the `missing`; the others are taken over the values that are present, `sd` with n in the denominator. `cells[i]`
    values lie in cuts[i-1] ≤ x < cuts[i], the first cell being what is below the minimum and the last what is above the maximum: none
    of the sample itself. Each distinct value is a cut where there are no more than 20, else the values at each 20th of the sample.
    """

    count: int
    missing: int
    mean: float | None
    sd: float | None
    minimum: float | None
    maximum: float | None
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    cuts: tuple[float, ...] = ()
    cells: tuple[int, ...] = ()


class Categories(msgspec.Struct, frozen=True, tag="categories"):
    """A column of text, booleans or labels: the most frequent values with their counts, and the count of all `other`.

    `buckets` are the counts of all values by `bucket`, () where there are no more than 100 distinct ones: those are all in `rest` or
    `top`. Which values are the most frequent is chance where there are many, so what comes later could not be compared by them.
    """

    count: int
    missing: int
    distinct: int
    top: dict[str, int]
    other: int
    rest: dict[str, int] = {}
    buckets: tuple[int, ...] = ()


Column: TypeAlias = Numbers | Categories


class Profile(msgspec.Struct, frozen=True):
    """Features by name; outputs as `value`, or `label` and `probability of <class>` for at most 20 classes.

    What a model does not say (no label or value yet, no probability of a class that it has not met) is missing. `target` is the
    column of true values, None where none was named, and `losses` by name how far the answers are from it. `repeats` is the
    probability that two rows of the sample are the same.
    """

    rows: int
    features: dict[str, Column]
    outputs: dict[str, Column]
    target: Column | None = None
    losses: dict[str, Numbers] = {}
    repeats: float = 0.0


def profile(
    signature: Signature, columns: Mapping[str, Sequence[Value]], outputs: Sequence[Output], truths: Sequence[Value] | None = None
) -> Profile:
    """The profile of a sample's `columns`, of what the model answers to them, and of its true values where they are known."""
    features = {
        feature.name: numbers(columns[feature.name]) if feature.kind in {"float", "int"} else categories(columns[feature.name])
        for feature in signature.features
    }
    target = None if truths is None else _target(signature, truths)
    return Profile(len(outputs), features, _answers(signature, outputs), target, repeats=_repeats(columns))


def numbers(values: Sequence[Value]) -> Numbers:
    """The profile of numbers, None where missing."""
    present = np.array([value for value in values if value is not None], dtype=np.float64)
    missing = len(values) - len(present)
    if not len(present):
        return Numbers(len(values), missing, None, None, None, None, (), ())
    edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    counts, _ = np.histogram(present, edges)
    cuts = _cuts(present)
    return Numbers(
        count=len(values),
        missing=missing,
        mean=float(present.mean()),
        sd=float(present.std()),
        minimum=float(present.min()),
        maximum=float(present.max()),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        cuts=tuple(cuts.tolist()),
        cells=tuple(np.bincount(np.searchsorted(cuts, present, side="right"), minlength=len(cuts) + 1).tolist()),
    )


def categories(values: Sequence[object]) -> Categories:
    """The profile of text, booleans or labels, None where missing."""
    seen = Counter(str(value) for value in values if value is not None)
    ranked = seen.most_common()
    top, present = dict(ranked[:MOST_CATEGORIES]), seen.total()
    many = len(seen) > MOST_COUNTED
    return Categories(
        count=len(values),
        missing=len(values) - present,
        distinct=len(seen),
        top=top,
        other=present - sum(top.values()),
        rest={} if many else dict(ranked[MOST_CATEGORIES:]),
        buckets=_buckets(seen) if many else (),
    )


def bucket(value: str) -> int:
    """Which of the buckets a value belongs to: the same in every process."""
    return crc32(value.encode()) % BUCKETS


def _buckets(seen: Mapping[str, int]) -> tuple[int, ...]:
    counts = [0] * BUCKETS
    for value, number in seen.items():
        counts[bucket(value)] += number
    return tuple(counts)


def _cuts(present: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Values of the sample itself, so that no two equal ones are parted, and the next number above the largest."""
    distinct = np.unique(present)
    if len(distinct) > CELLS:
        distinct = np.unique(np.quantile(present, np.arange(CELLS) / CELLS, method="inverted_cdf"))
    return np.append(distinct, min(np.nextafter(present.max(), np.inf), sys.float_info.max))


def _target(signature: Signature, truths: Sequence[Value]) -> Column:
    if signature.task == "classification" or any(isinstance(value, str) for value in truths):
        return categories(truths)
    return numbers([None if value is None else float(value) for value in truths])


def _repeats(columns: Mapping[str, Sequence[Value]]) -> float:
    """Of all pairs of different rows, the share of those that are the same."""
    rows = Counter(zip(*columns.values(), strict=True))
    pairs = rows.total() * (rows.total() - 1)
    return sum(number * (number - 1) for number in rows.values()) / pairs if pairs else 0.0


def _answers(signature: Signature, outputs: Sequence[Output]) -> dict[str, Column]:
    if signature.task != "classification":
        return {"value": numbers([output.value if isinstance(output.value, float) else None for output in outputs])}
    columns: dict[str, Column] = {"label": categories([output.label for output in outputs])}
    given = [output.probabilities for output in outputs if isinstance(output.probabilities, dict)]
    for name in list(dict.fromkeys(chain.from_iterable(given)))[:MOST_CLASSES]:
        columns[f"probability of {name}"] = numbers([row.get(name) for row in given])
    return columns
