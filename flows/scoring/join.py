"""From parts to the output: streamed, counted, and in its place only when it is whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import compute, csv, parquet

from core.errors import Invalid
from flows.scoring.columns import ERROR, LABEL, PROBABILITY, ROW, Columns, Table
from flows.scoring.parts import Part

GROUP_ROWS = 20_000
"""Rows of a row group. Groups are cut anew, so that the output does not tell where the work was interrupted."""


class Counts(NamedTuple):
    """Rows in all, those without an answer by the code of their error, and the first of these."""

    rows: int
    errors: Mapping[str, int]
    first: tuple[int, str] | None


def check_writable(output: Path, kept: Sequence[Any]) -> None:
    """Raises Invalid where a kept column can be no column of such a file: before hours of work, not after."""
    if output.suffix.lower() != ".csv":
        return
    for field in kept:
        try:
            csv.write_csv(pa.table([pa.nulls(1, field.type)], [field.name]), pa.BufferOutputStream())
        except pa.ArrowException:
            raise Invalid(f"keep: column {field.name!r} holds {field.type}, which has no form in CSV", field="keep") from None


def labels_of(parts: Sequence[Part]) -> set[str]:
    """Those that were met, as JSON texts; none where the parts have values."""
    found: set[str] = set()
    for part in parts:
        with parquet.ParquetFile(part.path) as file:
            if LABEL in file.schema_arrow.names:
                found.update(compute.unique(file.read(columns=[LABEL], use_threads=False)[LABEL].drop_null()).to_pylist())
    return found


def write(parts: Sequence[Part], columns: Columns, draft: Path, suffix: str, told: Mapping[str, str]) -> Counts:
    """Write the rows of all parts to `draft` in the form of `suffix`; `columns` are settled; `told` goes into a Parquet file's metadata."""
    schema = columns.schema(_classes(parts)).with_metadata(told)
    rows, errors = 0, dict.fromkeys(("invalid", "model-failed"), 0)
    first: tuple[int, str] | None = None
    with csv.CSVWriter(draft, schema) if suffix == ".csv" else parquet.ParquetWriter(draft, schema) as writer:
        for table in _groups(parts, columns, schema):
            writer.write_table(table)
            failed = table.filter(compute.is_valid(table[ERROR]))
            rows += table.num_rows
            for code in errors:
                errors[code] += compute.sum(compute.starts_with(failed[ERROR], f"{code}: ")).as_py() or 0
            if first is None and failed.num_rows:
                first = failed[ROW][0].as_py(), failed[ERROR][0].as_py()
    return Counts(rows, errors, first)


def _classes(parts: Sequence[Part]) -> list[str]:
    """Those that were met, in the order in which they were."""
    names = (name for part in parts for name in parquet.read_schema(part.path).names if name.startswith(PROBABILITY))
    return list(dict.fromkeys(name.removeprefix(PROBABILITY) for name in names))


def _groups(parts: Sequence[Part], columns: Columns, schema: Any) -> Iterator[Table]:
    """The rows of all parts by groups of one size; the last may be smaller."""
    held = schema.empty_table()
    for part in parts:
        with parquet.ParquetFile(part.path) as file:
            held = pa.concat_tables([held, _widened(file.read(use_threads=False), columns, schema)])
        while held.num_rows >= GROUP_ROWS:
            yield held.slice(0, GROUP_ROWS).combine_chunks()
            held = held.slice(GROUP_ROWS)
    if held.num_rows:
        yield held.combine_chunks()


def _widened(table: Table, columns: Columns, schema: Any) -> Table:
    """With a column for each class that other parts have met, and labels of the kind that all parts have."""
    found = set(table.column_names)
    if columns.said == LABEL:
        place = table.column_names.index(LABEL)
        table = table.set_column(place, schema.field(LABEL), columns.read(table[LABEL]))
    return pa.table([table[name] if name in found else pa.nulls(table.num_rows, schema.field(name).type) for name in schema.names], schema)
