"""A training set: the features as they were served, from the journal, each row with what was answered and what turned out to be true.

Nothing is computed again, so no row knows more than its prediction knew. The journal is read three times, up to where it ended at the
beginning: for the labels, for the columns, and for the rows, which are written group by group. In memory are only the labels of the rows
that are wanted, and where their predictions stand, at 8 bytes each.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from core.clock import to_rfc3339
from core.errors import Invalid, Unavailable
from core.events import ENROLLED, FALLBACK, FORCED, PINNED, Event, Observed, Predicted
from core.ids import Address, format_prediction_id, parse_prediction_id
from core.values import START, Label, Position
from experiments.metric import LABEL
from flows.follow import decode
from flows.known import Known
from flows.serving import inputs_of
from flows.views.training_columns import TIMES, Columns, answered, cast, probability
from journal import segments
from journal.reader import Entry, Reader
from models.inputs import Inputs
from store import plans
from store.engine import Store

GROUP_ROWS = 20_000
"""Rows that are held until they are written as one row group."""
_BATCH = 1000

Labels: TypeAlias = Mapping[tuple[Address, int], tuple[Label, float]]
"""By prediction and row the label, and when it was observed."""


class Wanted(NamedTuple):
    """Which rows: of an endpoint, predicted from `start` until before `end` (seconds since the epoch), all or those with a label."""

    endpoint: str
    start: float = float("-inf")
    end: float = float("inf")
    labelled_only: bool = False


class Source(NamedTuple):
    """Where they come from. `tell` is told how many bytes of the journal were read; there are `size_of` to read."""

    store: Store
    journal: Path
    tell: Callable[[int], None]


def size_of(journal: Path) -> int:
    """About how many bytes `write` will read."""
    return 3 * segments.size(journal)


def write(source: Source, wanted: Wanted, path: Path) -> dict[str, Any]:
    """Write the rows to the Parquet file at `path`, whole or not at all; says what it holds, and from when on the journal reaches.

    Raises NotFound for an endpoint that does not exist, Invalid where the file cannot be written, Unavailable where the journal cannot be
    read.
    """
    with source.store.read() as connection:
        plans.current(connection, wanted.endpoint)
    end = segments.end(source.journal)
    labels, reaches = _labels(source, wanted, end)
    inputs, columns = _look(source, wanted, end, labels)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        written = _write_rows(_rows(source, wanted, end, labels, inputs, columns), columns, draft)
        _sync(draft)
        draft.replace(path)
    except OSError as error:
        raise Invalid(f"output: {path} cannot be written: {error.strerror or error}", field="output") from None
    finally:
        draft.unlink(missing_ok=True)
    return {
        "endpoint": wanted.endpoint,
        "path": str(path),
        **written,
        "columns": dict(columns.kinds()),
        "features": columns.names(),
        "journal_from": None if reaches is None else to_rfc3339(reaches),
        "journal_expired": segments.segments(source.journal)[:1] > [START.segment],
    }


class _Places:
    """Where predictions stand, told in the order of the journal."""

    def __init__(self) -> None:
        self._offsets: dict[int, array[int]] = {}

    def add(self, address: Address) -> None:
        """One more."""
        self._offsets.setdefault(address.segment, array("Q")).append(address.offset)

    def __contains__(self, address: Address) -> bool:
        offsets = self._offsets.get(address.segment, ())
        place = bisect_left(offsets, address.offset)
        return place < len(offsets) and offsets[place] == address.offset


def _labels(source: Source, wanted: Wanted, end: Position) -> tuple[Labels, float | None]:
    """The first label of every row that is wanted, and the time of the journal's first event."""
    found: dict[tuple[Address, int], tuple[Label, float]] = {}
    reaches: float | None = None
    places = _Places()
    for address, event in _events(source, end):
        reaches = event.at if reaches is None else reaches
        if isinstance(event, Predicted):
            if _is_wanted(event, wanted):
                places.add(address)
        elif isinstance(event, Observed) and event.metric == LABEL and event.prediction is not None:
            with suppress(Invalid):  # an id that no prediction has
                prediction, row = parse_prediction_id(event.prediction)
                # A label stands behind its prediction, whose id is given out after that is appended.
                if prediction in places:
                    found.setdefault((prediction, row or 0), (event.value, event.timestamp))
    return found, reaches


def _look(source: Source, wanted: Wanted, end: Position, labels: Labels) -> tuple[Callable[[int], Inputs], Columns]:
    """The inputs of each plan, and the columns that the rows have together."""
    inputs, columns, seen = _inputs(source, wanted.endpoint), Columns(), set()
    for address, event in _predictions(source, wanted, end):
        chosen = _chosen(address, event, wanted, labels)
        if not chosen:
            continue
        if event.plan not in seen:
            seen.add(event.plan)
            columns.note_inputs(inputs(event.plan))
        columns.note_answers(event.outputs[number] for number in chosen)
        for number in chosen:
            if (address, number) in labels:
                columns.note_label(labels[address, number][0])
    return inputs, columns


def _rows(
    source: Source, wanted: Wanted, end: Position, labels: Labels, inputs: Callable[[int], Inputs], columns: Columns
) -> Iterator[dict[str, Any]]:
    """Column → value, row by row; a column that a row does not have is left out."""
    names = columns.names()
    for address, event in _predictions(source, wanted, end):
        chosen = _chosen(address, event, wanted, labels)
        if not chosen:
            continue
        prediction, said = format_prediction_id(address), _said(event)
        features = [names[name] for name in inputs(event.plan).names]
        for number in chosen:
            label, at = labels.get((address, number), (None, None))
            yield {
                "prediction_id": prediction if len(event.rows) == 1 else f"{prediction}.{number}",
                **said,
                **dict(zip(features, event.rows[number], strict=True)),
                **_answer(event, number),
                "label": label,
                "label_at": at,
            }


def _said(event: Predicted) -> dict[str, Any]:
    """What all rows of a prediction have in common."""
    return {
        "at": event.at,
        "unit": event.unit,
        "arm": event.arm,
        "model_version": event.version,
        "snapshot": event.snapshot,
        "plan": event.plan,
        "propensity": event.propensity,
        "enrolled": bool(event.flags & ENROLLED),
        "fallback": bool(event.flags & FALLBACK),
        "forced": bool(event.flags & FORCED),
        "pinned": bool(event.flags & PINNED),
    }


def _answer(event: Predicted, number: int) -> dict[str, Any]:
    output = event.outputs[number]
    shares = output.probabilities if isinstance(output.probabilities, dict) else {}
    return {**answered(output), **{probability(name): share for name, share in shares.items()}}


def _chosen(address: Address, event: Predicted, wanted: Wanted, labels: Labels) -> list[int]:
    """Which rows of a prediction are wanted."""
    return [number for number in range(len(event.rows)) if not wanted.labelled_only or (address, number) in labels]


def _inputs(source: Source, endpoint: str) -> Callable[[int], Inputs]:
    known = Known()

    @cache
    def inputs(number: int) -> Inputs:
        with source.store.read() as connection:
            return inputs_of(known.plan(connection, endpoint, number), lambda version: known.card(connection, version).signature)

    return inputs


def _predictions(source: Source, wanted: Wanted, end: Position) -> Iterator[tuple[Address, Predicted]]:
    for address, event in _events(source, end):
        if isinstance(event, Predicted) and _is_wanted(event, wanted):
            yield address, event


def _is_wanted(event: Predicted, wanted: Wanted) -> bool:
    return event.endpoint == wanted.endpoint and wanted.start <= event.at < wanted.end


def _events(source: Source, end: Position) -> Iterator[tuple[Address, Event]]:
    """All events before `end`; raises Unavailable where the journal cannot be read."""
    reader = Reader(source.journal, START)
    try:
        while entries := _read(reader):
            source.tell(sum(entry.next.offset - entry.address.offset for entry in entries))
            for entry in entries:
                if entry.address.position >= end:
                    return
                event = decode(entry)
                if event is not None:
                    yield entry.address, event
    finally:
        reader.close()


def _read(reader: Reader) -> list[Entry]:
    try:
        return reader.read(_BATCH)
    except OSError as error:
        raise Unavailable(f"journal: cannot be read: {error}", code="journal-unreadable") from None


def _write_rows(rows: Iterator[dict[str, Any]], columns: Columns, path: Path) -> dict[str, int]:
    """Write the rows by groups; says how many there are, and how many of them have a label."""
    import pyarrow as pa
    from pyarrow import parquet

    types = {"float": pa.float64(), "int": pa.int64(), "str": pa.string(), "bool": pa.bool_()}
    kinds = columns.kinds()
    schema = pa.schema([(name, pa.timestamp("us", tz="UTC") if name in TIMES else types[kind]) for name, kind in kinds.items()])
    casts = {name: _microseconds if name in TIMES else cast(kind) for name, kind in kinds.items()}
    total = labelled = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for group in _groups(rows):
            total += len(group)
            labelled += sum(row["label_at"] is not None for row in group)
            values = [[change(row.get(name)) for row in group] for name, change in casts.items()]
            arrays = [pa.array(found, field.type) for found, field in zip(values, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return {"rows": total, "labelled": labelled}


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _microseconds(at: float | None) -> int | None:
    return None if at is None else round(at * 1e6)
