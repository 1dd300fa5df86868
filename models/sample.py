"""The sample that a model is registered with: a CSV or Parquet file, read into columns of plain values.

Registration comes here, serving never does.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import Invalid, Malformed
from core.values import Row, Value

MISSING = frozenset({"", "nan", "na", "n/a", "null"})
"""What stands for a missing number, in any case; a missing text is empty."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}\Z")
_NUMBER = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf(inity)?)\Z", re.IGNORECASE)
_BOOLEANS = {"true": True, "false": False}


class Sample(NamedTuple):
    """Columns by name, in the file's order; None is a missing value."""

    columns: dict[str, list[Value]]

    def rows(self) -> list[Row]:
        """The same, row by row; without columns one row of nothing, which is what a model is asked that takes no features."""
        return list(zip(*self.columns.values(), strict=True)) or [()]


def read(path: Path, texts: Container[str] = ()) -> Sample:
    """The columns of a `.csv` or `.parquet` file; raises Malformed where it cannot be read, Invalid where it will not do.

    In a CSV file the columns `texts` are texts as they are written, whatever they look like; in a Parquet file they keep every digit.
    """
    readers: dict[str, Callable[[Path, Container[str]], Sample]] = {".csv": _read_csv, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise Invalid(f"sample: expected a file ending in .csv or .parquet, got {path.name!r}", field="sample")
    if not path.is_file():
        raise Invalid(f"sample: {path}: no such file", field="sample")
    try:
        sample = reader(path, texts)
    except OSError as error:
        raise Invalid(f"sample: {path}: {error.strerror or error}", field="sample") from None
    if not sample.columns or not next(iter(sample.columns.values())):
        raise Invalid(f"sample: {path.name} has no rows", field="sample")
    return sample


@contextmanager
def said_of(field: str) -> Iterator[None]:
    """What is said of a sample in here is said of `field`: who reads a file that is no sample calls it otherwise."""
    try:
        yield
    except (Invalid, Malformed) as error:
        raise type(error)(error.message.replace("sample:", f"{field}:", 1), field=field) from None


def select(sample: Sample, *, names: Sequence[str] | None, count: int | None, target: str | None) -> tuple[Sample, tuple[str, ...]]:
    """The columns that the model takes, in its order, and the names of those left out.

    `names` and `count` are what the model was fitted on, None where it does not say; `target` is never an input. Raises
    Invalid naming the columns that are missing or too many.
    """
    if target is not None and target not in sample.columns:
        raise Invalid(f"target: the sample has no column {target!r}; it has {_listed(sample.columns)}", field="target")
    given = [name for name in sample.columns if name != target]
    if names is not None:
        missing = [name for name in names if name not in given]
        if missing:
            raise Invalid(f"sample: the model takes {_listed(missing)}, which the sample lacks", field="sample")
    elif count is not None and len(given) != count:
        hint = "; name the target column with --target" if target is None and len(given) == count + 1 else ""
        raise Invalid(f"sample: the model takes {count} columns, the sample has {len(given)} ({_listed(given)}){hint}", field="sample")
    chosen = list(names or given)
    return Sample({name: _finite(name, sample.columns[name]) for name in chosen}), tuple(name for name in given if name not in chosen)


def _finite(name: str, values: list[Value]) -> list[Value]:
    for value in values:
        if isinstance(value, float) and not isfinite(value):
            raise Invalid(f"sample: column {name!r} holds {value}; numbers must be finite, missing ones empty", field=name)
    return values


def _listed(names: Sequence[str] | dict[str, Any]) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _read_csv(path: Path, texts: Container[str]) -> Sample:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            rows = [_cells(cells, header, lines.line_num) for cells in lines if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"sample: {path.name} is not readable as CSV: {error}", field="sample") from None
    _check_unique(header)
    columns = zip(*rows, strict=True) if rows else ((),) * len(header)
    return Sample(
        {
            name: [cell or None for cell in cells] if name in texts else _typed(name, cells)
            for name, cells in zip(header, columns, strict=True)
        }
    )


def _cells(cells: list[str], header: list[str], line: int) -> list[str]:
    if len(cells) != len(header):
        raise Invalid(f"sample: line {line}: expected {len(header)} values, got {len(cells)}", field="sample")
    return cells


def _check_unique(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"sample: column {twice[0]!r} occurs twice", field="sample")


def _typed(name: str, texts: Sequence[str]) -> list[Value]:
    """The narrowest of integer, number, boolean and text that all values of the column are."""
    stripped = [text.strip() for text in texts]
    numbers = [text for text in stripped if text.lower() not in MISSING]
    if numbers and all(map(_INTEGER.match, numbers)):
        return [None if text.lower() in MISSING else int(text) for text in stripped]
    if all(map(_NUMBER.match, numbers)):
        return [None if text.lower() in MISSING else float(text) for text in stripped]
    if all(text.lower() in _BOOLEANS or not text for text in stripped):
        return [_BOOLEANS.get(text.lower()) for text in stripped]
    return [text or None for text in texts]


def _read_parquet(path: Path, texts: Container[str]) -> Sample:
    import pyarrow as pa
    from pyarrow import parquet

    with path.open("rb") as file:  # a file and no path, which pyarrow would repeat in its errors
        try:
            table = parquet.ParquetFile(file).read()
        except (pa.ArrowException, OSError) as error:
            said = " ".join(str(error).split())[:200]
            raise Malformed(f"sample: {path.name} is not readable as Parquet: {said}", field="sample") from None
    names = [name for name in table.column_names if not name.startswith("__index_level_")]  # pandas stores its index so
    _check_unique(names)
    return Sample({name: _plain(table.column(name).to_pylist(), exact=name in texts) for name in names})


def _plain(values: list[Any], *, exact: bool) -> list[Value]:
    """A Parquet column's values: NaN is a missing number; decimals, and integers beyond 64 bits, are floats.

    `exact`: decimals are their texts, and integers stay what they are.
    """
    if exact:
        values = [str(value) if type(value) is Decimal else value for value in values]
    elif any(type(value) is Decimal or (type(value) is int and abs(value) >= 2**63) for value in values):
        return [None if value is None else float(value) for value in values]
    return [None if value is None or value != value else value for value in values]
