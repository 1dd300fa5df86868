"""What is kept of the rows that were asked: true values and answers as arrays, the columns of slices, some rows as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from core.errors import Invalid
from core.values import Label, Output, Value
from experiments.batch.answers import Answers, Labelled, Valued
from experiments.batch.behaviour import MOST_ROWS
from flows.testing.classes import NONE, Classes
from models.chunks import Column
from models.signature import Kind


class Cutting:
    """The values of the columns by which slices are cut; equal values are one object."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns
        self._values: dict[str, list[Value]] = {name: [] for name in columns}
        self._known: dict[tuple[type, Value], Value] = {}

    def add(self, values: Mapping[Column, Sequence[Value]], kept: Sequence[int]) -> None:
        """The values of these places of a chunk."""
        for name, column in self._columns.items():
            given = values[column]
            self._values[name] += [self._known.setdefault((type(given[place]), given[place]), given[place]) for place in kept]

    def values(self, usable: NDArray[np.bool_]) -> dict[str, list[Value]]:
        """By column, of the rows that are usable."""
        if usable.all():
            return self._values
        return {name: [value for value, use in zip(values, usable, strict=True) if use] for name, values in self._values.items()}


class Sample:
    """At most so many rows, each with the same chance to be among them (Vitter 1985, algorithm R)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._held: list[tuple[int, tuple[list[Value], ...]]] = []
        self._seen = 0

    def add(self, rows: Sequence[tuple[list[Value], ...]]) -> None:
        """Rows, each as every contestant takes it."""
        places = self._rng.integers(0, self._seen + 1 + np.arange(len(rows))).tolist()
        for row, place in zip(rows, places, strict=True):
            if len(self._held) < MOST_ROWS:
                self._held.append((self._seen, row))
            elif place < MOST_ROWS:
                self._held[place] = (self._seen, row)
            self._seen += 1

    def rows(self, contestants: int) -> list[list[list[Value]]]:
        """Of each contestant, in the order of the file."""
        held = [row for _, row in sorted(self._held, key=lambda each: each[0])]
        return [[row[index] for row in held] for index in range(contestants)]


class Labels:
    """Labels as places among the classes, probabilities as one matrix for each chunk."""

    def __init__(self, declared: Sequence[tuple[Label, ...] | None]) -> None:
        """`declared`: the classes of each contestant, None where it declares none."""
        self._classes = Classes()
        self._own = declared
        for own in self._own:
            self._classes.add(own or ())
        self._declared = len(self._classes.labels)
        self._truth: list[NDArray[np.intp]] = []
        self._said: list[list[NDArray[np.intp]]] = [[] for _ in declared]
        self._shares: list[list[tuple[NDArray[np.float64], list[int]]] | None] = [[] for _ in declared]

    def target_kind(self) -> Kind | None:
        """How the column of true values is read."""
        return "str" if any(isinstance(label, str) for label in self._classes.labels) else None

    def truth(self, values: Sequence[Value], numbers: Sequence[int], target: str) -> None:
        """True values, of the rows with these numbers."""
        self._truth.append(np.array([self._classes.place(value) for value in values], dtype=np.intp))

    def add(self, index: int, outputs: Sequence[Output]) -> None:
        """What a contestant answered."""
        place = self._classes.place
        self._said[index].append(np.array([place(None if one.label is UNSET else one.label) for one in outputs], dtype=np.intp))
        held = self._shares[index]
        if held is None:
            return
        if any(one.probabilities is UNSET for one in outputs):
            self._shares[index] = None
            return
        held.append(self._matrix(self._own[index], outputs))

    def _matrix(self, own: tuple[Label, ...] | None, outputs: Sequence[Output]) -> tuple[NDArray[np.float64], list[int]]:
        """The probabilities (rows, classes of the chunk), and the place of each class."""
        if own is not None:
            rows = [list(one.probabilities.values()) for one in outputs if one.probabilities is not UNSET]
            return np.array(rows, dtype=np.float64).reshape(len(outputs), len(own)), [self._classes.place(label) for label in own]
        keys = list(dict.fromkeys(key for one in outputs if one.probabilities is not UNSET for key in one.probabilities))
        rows = [[one.probabilities.get(key, 0.0) for key in keys] for one in outputs if one.probabilities is not UNSET]
        return np.array(rows, dtype=np.float64).reshape(len(outputs), len(keys)), [self._classes.place(key) for key in keys]

    def finish(self) -> tuple[list[Answers], NDArray[np.bool_]]:
        """The answers of each contestant, and which rows they are of: all, since one without an answer counts as wrong."""
        names = tuple(map(str, self._classes.labels))
        truth = np.concatenate(self._truth)
        positive = self._positive()
        found: list[Answers] = [
            Labelled(names, truth, np.concatenate(said), self._whole(shares), positive)
            for said, shares in zip(self._said, self._shares, strict=True)
        ]
        return found, np.ones(truth.size, dtype=bool)

    def _positive(self) -> int | None:
        """The last of two classes, in the version's order, or in the order of the labels where it declares none."""
        if self._declared:
            return 1 if self._declared == 2 else None
        known = [label for label in self._classes.labels if label != NONE]
        if len(known) != 2:
            return None
        last = max(known, key=str) if any(isinstance(label, str) for label in known) else max(known)
        return self._classes.place(last)

    def _whole(self, parts: list[tuple[NDArray[np.float64], list[int]]] | None) -> NDArray[np.float64] | None:
        if parts is None:
            return None
        found = np.zeros((sum(part.shape[0] for part, _ in parts), len(self._classes.labels)))
        start = 0
        for part, places in parts:
            found[start : start + part.shape[0], places] = part
            start += part.shape[0]
        return found

    def classes(self) -> tuple[list[Label], dict[str, int]]:
        """The classes by place; and the true labels that no version declares, with their rows."""
        labels = self._classes.labels
        counts = np.bincount(np.concatenate(self._truth), minlength=len(labels))
        unseen = {} if self._declared == 0 else {str(labels[k]): int(counts[k]) for k in range(self._declared, len(labels)) if counts[k]}
        return labels, unseen


class Values:
    """Values as arrays; a row to which a model has nothing to say is left out for all, and counted."""

    def __init__(self, contestants: int) -> None:
        self._truth: list[NDArray[np.float64]] = []
        self._said: list[list[NDArray[np.float64]]] = [[] for _ in range(contestants)]

    def target_kind(self) -> Kind | None:
        """How the column of true values is read."""
        return "float"

    def truth(self, values: Sequence[Value], numbers: Sequence[int], target: str) -> None:
        """True values, of the rows with these numbers."""
        for value, number in zip(values, numbers, strict=True):
            if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
                raise Invalid(f"data: row {number}, column {target}: expected a number, got {str(value)[:60]!r}", field=target)
        self._truth.append(np.array(values, dtype=np.float64))

    def add(self, index: int, outputs: Sequence[Output]) -> None:
        """What a contestant answered."""
        self._said[index].append(np.array([one.value if isinstance(one.value, int | float) else np.nan for one in outputs]))

    def finish(self) -> tuple[list[Answers], NDArray[np.bool_]]:
        """The answers of each contestant to the rows that all answered, and which those are."""
        truth, said = np.concatenate(self._truth), [np.concatenate(parts) for parts in self._said]
        usable = np.logical_and.reduce(np.isfinite(said))
        return [Valued(truth[usable], each[usable]) for each in said], usable

    def classes(self) -> tuple[list[Label], dict[str, int]]:
        """None."""
        return [], {}
