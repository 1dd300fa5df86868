"""Ask versions a whole data set, some thousand rows at a time, and keep of the answers what the statistics need: arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.errors import Invalid, ModelFailed
from core.values import Label, Output, Row, Value
from experiments.batch.answers import Answers
from flows.testing.gathering import Cutting, Labels, Sample, Values
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
    signatures = [one.loaded.card.signature for one in contestants]
    gathering = Labels([each.classes for each in signatures]) if contestants[0].classifies else Values(len(contestants))
    truth = Column(wanted.target, gathering.target_kind())
    cuts = {name: Column(name, _kind_of(name, contestants)) for name in wanted.slices}
    columns = list(dict.fromkeys([truth, *cuts.values(), *(column for one in contestants for column in one.columns)]))
    sample, cutting = Sample(rng), Cutting(cuts)
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
