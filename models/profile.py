"""The profile of a sample: how each feature and the model's answers are distributed, small enough to travel with the card.

It holds counts, so that profiles of further rows over the same edges and categories can be added to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TypeAlias

import msgspec
import numpy as np

from core.values import Output, Value
from models.signature import Signature

BINS = 10
MOST_CATEGORIES = 20
MOST_CLASSES = 20


class Numbers(msgspec.Struct, frozen=True, tag="numbers"):
    """A numeric column. `counts[i]` values lie in edges[i] ≤ x < edges[i+1], the last bin closed; deciles, where distinct.

    `count` includes the `missing`; the others are taken over the values that are present, `sd` with n in the denominator.
    """

    count: int
    missing: int
    mean: float | None
    sd: float | None
    minimum: float | None
    maximum: float | None
    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Categories(msgspec.Struct, frozen=True, tag="categories"):
    """A column of text, booleans or labels: the most frequent values with their counts, and the count of all `other`."""

    count: int
    missing: int
    distinct: int
    top: dict[str, int]
    other: int


Column: TypeAlias = Numbers | Categories


class Profile(msgspec.Struct, frozen=True):
    """Features by name; outputs as `value`, or `label` and `probability of <class>` for at most 20 classes.

    What a model does not say (no label or value yet, no probability of a class that it has not met) is missing.
    """

    rows: int
    features: dict[str, Column]
    outputs: dict[str, Column]


def profile(signature: Signature, columns: Mapping[str, Sequence[Value]], outputs: Sequence[Output]) -> Profile:
    """The profile of a sample's `columns` and of what the model answers to them."""
    features = {
        feature.name: numbers(columns[feature.name]) if feature.kind in {"float", "int"} else categories(columns[feature.name])
        for feature in signature.features
    }
    return Profile(len(outputs), features, _answers(signature, outputs))


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
    return Numbers(
        count=len(values),
        missing=missing,
        mean=float(present.mean()),
        sd=float(present.std()),
        minimum=float(present.min()),
        maximum=float(present.max()),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
    )


def categories(values: Sequence[object]) -> Categories:
    """The profile of text, booleans or labels, None where missing."""
    seen = Counter(str(value) for value in values if value is not None)
    top = dict(seen.most_common(MOST_CATEGORIES))
    present = seen.total()
    return Categories(len(values), len(values) - present, len(seen), top, present - sum(top.values()))


def _answers(signature: Signature, outputs: Sequence[Output]) -> dict[str, Column]:
    if signature.task != "classification":
        return {"value": numbers([output.value if isinstance(output.value, float) else None for output in outputs])}
    columns: dict[str, Column] = {"label": categories([output.label for output in outputs])}
    given = [output.probabilities for output in outputs if isinstance(output.probabilities, dict)]
    for name in list(dict.fromkeys(chain.from_iterable(given)))[:MOST_CLASSES]:
        columns[f"probability of {name}"] = numbers([row.get(name) for row in given])
    return columns
