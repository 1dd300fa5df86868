"""Ask versions a whole data set, some thousand rows at a time, and keep of the answers what the statistics need: arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from core.errors import Invalid, ModelFailed
from core.values import Label, Output, Row, Value
from experiments.batch.answers import Answers, Labelled, Valued
from experiments.batch.behaviour import MOST_ROWS
from flows.testing.classes import NONE, Classes
from models.chunks import Column, chunks
from models.inputs import Inputs
from models.package import Loaded
from models.runtime import BATCH
from models.signature import Kind

ROWS = 10_000
"""At a time."""

_ROW = re.compile(r"instances\[(\d+)\]\.?")


class Contestant(NamedTuple):
    """A version that is asked, ready to answer."""

    name: str
    loaded: Loaded
    inputs: Inputs

    @property
    def columns(self) -> list[Column]:
        """What it takes of the data."""
        return [Column(feature.name, feature.kind) for feature in self.loaded.card.signature.features]

    @property
    def classifies(self) -> bool:
        """Whether it answers labels."""
        return self.loaded.card.task == "classification"

    def read(self, rows: Sequence[Sequence[Value]], numbers: Sequence[int]) -> list[list[Value]]:
        """The rows as the model takes them; raises Invalid naming the row by its number in the file, and the feature."""
        try:
            return self.inputs.read(None, [list(row) for row in rows])
        except Invalid as error:
            place = _ROW.match(error.field or "")
            if place is None:
                raise
            row = f"row {numbers[int(place[1])]}"
            message = error.message.replace(place[0].rstrip("."), row, 1).replace(f"{row}.", f"{row}, column ", 1)
            raise Invalid(f"data: {message}", field=(error.field or "")[place.end() :] or "data") from None

    def ask(self, rows: Sequence[Row], numbers: Sequence[int]) -> list[Output]:
        """One output per row, predicted in batches; raises ModelFailed naming the version and the rows."""
        found: list[Output] = []
        for start in range(0, len(rows), BATCH):
            try:
                found += self.loaded.predict(rows[start : start + BATCH])
            except ModelFailed as error:
                last = numbers[min(start + BATCH, len(rows)) - 1]
                raise ModelFailed(f"{self.name}, rows {numbers[start]} to {last} of the data: {error.message}") from error
        return found


class Wanted(NamedTuple):
    """What is read: the true values, and the columns by which slices are cut."""

    path: Path
    target: str
    slices: Sequence[str]


class Gathered(NamedTuple):
    """What the data and the answers come to. `answers` has one entry for each contestant; `unanswered` rows have no value from one of them.

    `samples` are, for each contestant, the same rows as it takes them, at most 2,000 chosen at random. `labels` are the classes by place,
    `unseen` those true ones that no version declares, with their rows. `slices` has one value for each row that was answered.
    """

    answers: list[Answers]
    rows: int
    unlabelled: int
    unanswered: int
    slices: dict[str, list[Value]]
    samples: list[list[list[Value]]]
    labels: list[Label]
    unseen: dict[str, int]


def contestant(name: str, loaded: Loaded) -> Contestant:
    """The version, ready to be asked."""
    return Contestant(name, loaded, Inputs.union([loaded.card.signature]))


def ask(contestants: Sequence[Contestant], wanted: Wanted, rng: np.random.Generator) -> Gathered:
    """All rows that have a true value, answered by all contestants, which answer the same kind of thing.

    Raises Invalid naming the row and the column where one cannot be taken, or where no row has a true value, and ModelFailed where a model
    fails.
    """
    gathering = _Labels(contestants) if contestants[0].classifies else _Values(contestants)
    truth = Column(wanted.target, gathering.target_kind())
    cuts = {name: Column(name, _kind_of(name, contestants)) for name in wanted.slices}
    columns = list(dict.fromkeys([truth, *cuts.values(), *(column for one in contestants for column in one.columns)]))
    sample, cutting = _Sample(rng), _Cutting(cuts)
    total = labelled = 0
    for chunk in chunks(wanted.path, columns, ROWS):
        given = chunk.values[truth]
        kept = [place for place, value in enumerate(given) if value is not None]
        total, labelled = total + len(given), labelled + len(kept)
        if not kept:
            continue
        numbers = [chunk.first + place for place in kept]
        gathering.truth([given[place] for place in kept], numbers, wanted.target)
        rows = [one.read(_rows(chunk.values, one.columns, kept), numbers) for one in contestants]
        for index, one in enumerate(contestants):
            gathering.add(index, one.ask(rows[index], numbers))
        sample.add(list(zip(*rows, strict=True)))
        cutting.add(chunk.values, kept)
    if labelled == 0:
        raise Invalid(f"target: no row of {wanted.path.name} has a value in {wanted.target!r}", field="target")
    answers, usable = gathering.finish()
    if usable.size and not usable.any():
        raise Invalid("data: the models have learnt too little to answer any row", field="data")
    unanswered = int((~usable).sum())
    return Gathered(
        answers, total, total - labelled, unanswered, cutting.values(usable), sample.rows(len(contestants)), *gathering.classes()
    )


def _rows(values: Mapping[Column, Sequence[Value]], columns: Sequence[Column], kept: Sequence[int]) -> list[tuple[Value, ...]]:
    if not columns:
        return [()] * len(kept)
    whole = list(zip(*(values[column] for column in columns), strict=True))
    return whole if len(kept) == len(whole) else [whole[place] for place in kept]


def _kind_of(name: str, contestants: Sequence[Contestant]) -> Kind | None:
    """As the version reads the column where it is a feature, so that its texts stay texts."""
    return next((column.kind for one in contestants for column in one.columns if column.name == name), None)


class _Cutting:
    """The values of the columns by which slices are cut; equal values are one object."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns
        self._values: dict[str, list[Value]] = {name: [] for name in columns}
        self._known: dict[tuple[type, Value], Value] = {}

    def add(self, values: Mapping[Column, Sequence[Value]], kept: Sequence[int]) -> None:
        for name, column in self._columns.items():
            given = values[column]
            self._values[name] += [self._known.setdefault((type(given[place]), given[place]), given[place]) for place in kept]

    def values(self, usable: NDArray[np.bool_]) -> dict[str, list[Value]]:
        if usable.all():
            return self._values
        return {name: [value for value, use in zip(values, usable, strict=True) if use] for name, values in self._values.items()}


class _Sample:
    """At most so many rows, each with the same chance to be among them (Vitter 1985, algorithm R)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._held: list[tuple[int, tuple[list[Value], ...]]] = []
        self._seen = 0

    def add(self, rows: Sequence[tuple[list[Value], ...]]) -> None:
        for row in rows:
            if len(self._held) < MOST_ROWS:
                self._held.append((self._seen, row))
            elif (place := int(self._rng.integers(0, self._seen + 1))) < MOST_ROWS:
                self._held[place] = (self._seen, row)
            self._seen += 1

    def rows(self, contestants: int) -> list[list[list[Value]]]:
        """Of each contestant, in the order of the file."""
        held = [row for _, row in sorted(self._held, key=lambda each: each[0])]
        return [[row[index] for row in held] for index in range(contestants)]


class _Labels:
    """Labels as places among the classes, probabilities as one matrix for each chunk."""

    def __init__(self, contestants: Sequence[Contestant]) -> None:
        self._classes = Classes()
        self._own = [one.loaded.card.signature.classes for one in contestants]
        for own in self._own:
            self._classes.add(own or ())
        self._declared = len(self._classes.labels)
        self._truth: list[NDArray[np.intp]] = []
        self._said: list[list[NDArray[np.intp]]] = [[] for _ in contestants]
        self._shares: list[list[tuple[NDArray[np.float64], list[int]]] | None] = [[] for _ in contestants]

    def target_kind(self) -> Kind | None:
        return "str" if any(isinstance(label, str) for label in self._classes.labels) else None

    def truth(self, values: Sequence[Value], numbers: Sequence[int], target: str) -> None:
        self._truth.append(np.array([self._classes.place(value) for value in values], dtype=np.intp))

    def add(self, index: int, outputs: Sequence[Output]) -> None:
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


class _Values:
    """Values as arrays; a row to which a model has nothing to say is left out for all, and counted."""

    def __init__(self, contestants: Sequence[Contestant]) -> None:
        self._truth: list[NDArray[np.float64]] = []
        self._said: list[list[NDArray[np.float64]]] = [[] for _ in contestants]

    def target_kind(self) -> Kind | None:
        return "float"

    def truth(self, values: Sequence[Value], numbers: Sequence[int], target: str) -> None:
        for value, number in zip(values, numbers, strict=True):
            if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
                raise Invalid(f"data: row {number}, column {target}: expected a number, got {str(value)[:60]!r}", field=target)
        self._truth.append(np.array(values, dtype=np.float64))

    def add(self, index: int, outputs: Sequence[Output]) -> None:
        self._said[index].append(np.array([one.value if isinstance(one.value, int | float) else np.nan for one in outputs]))

    def finish(self) -> tuple[list[Answers], NDArray[np.bool_]]:
        """The answers of each contestant to the rows that all answered, and which those are."""
        truth, said = np.concatenate(self._truth), [np.concatenate(parts) for parts in self._said]
        usable = np.logical_and.reduce(np.isfinite(said))
        return [Valued(truth[usable], each[usable]) for each in said], usable

    def classes(self) -> tuple[list[Label], dict[str, int]]:
        return [], {}
