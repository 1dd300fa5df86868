"""Data sets in chunks: each column as what it is known to be, wherever the cuts fall."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.errors import Invalid, Malformed
from models.chunks import Column, chunks
from models.signature import Kind


def read(path: Path, kinds: dict[str, Kind | None], rows: int = 2) -> dict[str, list[Any]]:
    """All of the columns, read so many rows at a time."""
    found: dict[str, list[Any]] = {name: [] for name in kinds}
    expected = 1
    for chunk in chunks(path, [Column(name, kind) for name, kind in kinds.items()], rows):
        assert chunk.first == expected
        for column, values in chunk.values.items():
            found[column.name] += values
        expected += len(values)
    return found


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_cells_of_a_csv_file(tmp_path: Path, rows: int) -> None:
    """By the column's kind: a text that looks like a number stays one, a number in a column of texts as well; what is missing is None."""
    path = tmp_path / "data.csv"
    path.write_text("f,i,b,s,any\n1,3,true,007,1\n 2.5 ,-4,FALSE,x,0.5\nNA,,,,\nred,3.0,1,true,True\n1e3,1_000,no,nan,x y\n")
    assert read(path, {"f": "float", "i": "int", "b": "bool", "s": "str", "any": None}, rows) == {
        "f": [1.0, 2.5, None, "red", 1000.0],
        "i": [3, -4, None, 3.0, "1_000"],
        "b": [True, False, None, "1", "no"],
        "s": ["007", "x", None, "true", "nan"],
        "any": [1, 0.5, None, True, "x y"],
    }


@pytest.mark.parametrize("rows", [1, 100])
def test_values_of_a_parquet_file(tmp_path: Path, rows: int) -> None:
    """As they are stored: NaN is missing, decimals are floats; only the columns that are asked for, under each kind that is asked."""
    path = tmp_path / "data.parquet"
    frame = pd.DataFrame(
        {"f": [1.5, float("nan")], "i": [1, 2], "d": [Decimal("0.5"), None], "s": ["a", None], "more": [object.__name__] * 2}
    )
    frame.to_parquet(path)
    assert read(path, {"f": "float", "i": "int", "d": None, "s": "str"}, rows) == {
        "f": [1.5, None],
        "i": [1, 2],
        "d": [0.5, None],
        "s": ["a", None],
    }
    (chunk,) = chunks(path, [Column("i", "int"), Column("i", "float")], 10)
    assert list(chunk.values) == [Column("i", "int"), Column("i", "float")]


def test_what_is_no_plain_value(tmp_path: Path) -> None:
    """Dates, lists and bytes are their texts: a column of them can cut slices, and a model that is handed one is told which row it is."""
    path = tmp_path / "data.parquet"
    pd.DataFrame({"day": [date(2026, 5, 3)], "list": [[1, 2]], "bytes": [b"x"]}).to_parquet(path)
    assert read(path, {"day": None, "list": None, "bytes": "str"}) == {"day": ["2026-05-03"], "list": ["[1, 2]"], "bytes": ["b'x'"]}


def test_one_column_as_two_kinds(tmp_path: Path) -> None:
    """Two versions may take the same column, one as a number and one as a text."""
    path = tmp_path / "data.csv"
    path.write_text("code\n07\n")
    (chunk,) = chunks(path, [Column("code", "int"), Column("code", "str")], 10)
    assert list(chunk.values.values()) == [[7], ["07"]]


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("d.txt", b"", Invalid, "data: expected a file ending in .csv or .parquet, got 'd.txt'"),
        ("d.csv", None, Invalid, "no such file"),
        ("d.csv", b"x,y\n1\n", Invalid, "data: line 2: expected 2 values, got 1"),
        ("d.csv", b"x,x\n1,2\n", Invalid, "data: column 'x' occurs twice"),
        ("d.csv", b"y\n1\n", Invalid, "data: d.csv has no column 'x'; it has 'y'"),
        ("d.csv", b"", Invalid, "has no column 'x'"),
        ("d.csv", b"x\n\xff\n", Malformed, "not readable as CSV"),
        ("d.csv", b'x\n"1\n', Malformed, "not readable as CSV"),
        ("d.parquet", b"nothing", Malformed, "not readable as Parquet"),
    ],
)
def test_what_will_not_do(tmp_path: Path, name: str, content: bytes | None, error: Any, said: str) -> None:
    """Is named, with what was expected."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error) as caught:
        list(chunks(tmp_path / name, [Column("x", "float")], 10))
    assert said in caught.value.message
