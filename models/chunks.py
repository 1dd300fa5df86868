"""A labelled data set, read some thousand rows at a time: each column as what it is known to be, never by guessing.

A sample of some hundred rows is read whole (`models.sample`); a data set may be larger than memory.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import Invalid, Malformed
from core.values import Value
from models.cells import cell_reader
from models.signature import Kind


class Column(NamedTuple):
    """One column and how its cells are read; `kind` None: as each looks, a number, true or false, else a text."""

    name: str
    kind: Kind | None


class Chunk(NamedTuple):
    """Rows from number `first` on (the first of the file is 1): the values (rows,) of each column. None is a missing value."""

    first: int
    values: Mapping[Column, Sequence[Value]]


def chunks(path: Path, columns: Sequence[Column], rows: int) -> Iterator[Chunk]:
    """The columns of a `.csv` or `.parquet` file, so many `rows` at a time.

    Raises Malformed where it cannot be read, Invalid where a column is missing. A cell that is not of its column's kind stays what it is:
    whoever checks it can name the row.
    """
    readers: dict[str, Callable[..., Iterator[Chunk]]] = {".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise Invalid(f"data: expected a file ending in .csv or .parquet, got {path.name!r}", field="data")
    if not path.is_file():
        raise Invalid(f"data: {path}: no such file", field="data")
    try:
        yield from reader(path, columns, rows)
    except OSError as error:
        raise Invalid(f"data: {path}: {error.strerror or error}", field="data") from None


def _csv(path: Path, columns: Sequence[Column], size: int) -> Iterator[Chunk]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            places = _places(path, columns, header)
            first, held = 1, []
            for cells in lines:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise Invalid(f"data: line {lines.line_num}: expected {len(header)} values, got {len(cells)}", field="data")
                held.append(cells)
                if len(held) == size:
                    yield _of_cells(first, held, places)
                    first, held = first + size, []
            if held:
                yield _of_cells(first, held, places)
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"data: {path.name} is not readable as CSV: {error}", field="data") from None


def _of_cells(first: int, held: Sequence[Sequence[str]], places: Mapping[Column, int]) -> Chunk:
    by_place = list(zip(*held, strict=True))
    return Chunk(first, {column: [*map(cell_reader(column.kind), by_place[place])] for column, place in places.items()})


def _parquet(path: Path, columns: Sequence[Column], size: int) -> Iterator[Chunk]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _places(path, columns, file.schema_arrow.names)
            first = 1
            for batch in file.iter_batches(batch_size=size, columns=sorted({column.name for column in columns})):
                read = {name: [_plain(value) for value in batch.column(name).to_pylist()] for name in batch.schema.names}
                yield Chunk(first, {column: read[column.name] for column in columns})
                first += batch.num_rows
    except pa.ArrowException as error:
        raise Malformed(f"data: {path.name} is not readable as Parquet: {str(error)[:200]}", field="data") from None


def _places(path: Path, columns: Sequence[Column], header: Sequence[str]) -> dict[Column, int]:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise Invalid(f"data: column {twice[0]!r} occurs twice", field="data")
    missing = [column.name for column in columns if column.name not in header]
    if missing:
        shown = ", ".join(map(repr, header[:10])) + (f" and {len(header) - 10} more" if len(header) > 10 else "")
        raise Invalid(f"data: {path.name} has no column {missing[0]!r}; it has {shown}", field=missing[0])
    return {column: header.index(column.name) for column in columns}


def _plain(value: Any) -> Value:
    """A Parquet value: NaN is a missing number, decimals and integers beyond 64 bits are floats, and what is no plain value is its text."""
    if value is None or value != value:
        return None
    if isinstance(value, Decimal) or (type(value) is int and not -(2**63) <= value < 2**63):
        return float(value)
    return value if isinstance(value, str | int | float | bool) else str(value)
