"""Samples from CSV and Parquet, and the columns that a model takes of them."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from core.errors import Invalid, Malformed
from models.sample import Sample, read, said_of, select

TEXT = """age,count,city,member,score,code
41.5,3,Turku,true,NaN,1e3
,1,,FALSE,.5,12
20,-2,"Åbo, Finland",True,2,-3.
"""


@pytest.fixture
def csv(tmp_path):
    def written(text, encoding="utf-8"):
        path = tmp_path / "sample.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return written


def test_csv_columns_get_their_types(csv):
    """Integers, floats, booleans and text; empty is missing, and so is NaN among numbers."""
    assert read(csv(TEXT)).columns == {
        "age": [41.5, None, 20.0],
        "count": [3, 1, -2],
        "city": ["Turku", None, "Åbo, Finland"],
        "member": [True, False, True],
        "score": [None, 0.5, 2.0],
        "code": [1000.0, 12.0, -3.0],
    }


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", " 2"], [1, 2]),
        (["1", "2", "n/a"], [1, 2, None]),
        (["99999999999999999999"], [1e20]),
        (["1_000"], ["1_000"]),
        (["0x1f"], ["0x1f"]),
        (["nan", "x"], ["nan", "x"]),
        (["true", "maybe"], ["true", "maybe"]),
        (["true", '""'], [True, None]),
        (["NaN", "na"], [None, None]),
    ],
)
def test_a_column_is_as_narrow_as_all_its_values(csv, texts, expected):
    """One value that is no number makes the column text."""
    column = read(csv("c,d\n" + "".join(f"{text},1\n" for text in texts))).columns["c"]
    assert column == expected
    assert [type(value) for value in column] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("a,b\n1,2\n3\n", Invalid, "line 3: expected 2 values, got 1"),
        ("a,a\n1,2\n", Invalid, "column 'a' occurs twice"),
        ("a,b\n", Invalid, "has no rows"),
        ("", Invalid, "has no rows"),
        ('a,b\n"x,2\n', Malformed, "not readable as CSV"),
    ],
)
def test_a_bad_csv_says_where(csv, text, error, message):
    """Ragged lines, doubled and absent columns, broken quotes."""
    with pytest.raises(error, match=message):
        read(csv(text))


def test_other_files_are_refused(csv, tmp_path):
    """No UTF-8, no known suffix, no file, no Parquet."""
    with pytest.raises(Malformed, match="not readable as CSV"):
        read(csv("stadt\nKöln\n", "latin-1"))
    with pytest.raises(Invalid, match=r"expected a file ending in \.csv or \.parquet, got 'sample\.json'"):
        read(tmp_path / "sample.json")
    with pytest.raises(Invalid, match="no such file"):
        read(tmp_path / "absent.csv")
    with pytest.raises(Invalid, match="no such file"):
        read(tmp_path / "absent.parquet")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(Invalid, match="no such file"):
        read(tmp_path / "folder.csv")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(Malformed, match="not readable as Parquet"):
        read(tmp_path / "broken.parquet")


def test_a_broken_parquet_file_is_called_by_its_name(tmp_path):
    """And not by where it lies, which is nobody's business over the network; whether its footer or its pages are broken."""
    path = tmp_path / "sample.parquet"
    pd.DataFrame({"a": range(1000)}).to_parquet(path)
    whole = path.read_bytes()
    for broken in (b"", whole[:-20], bytes(8) + whole[-3000:], b"PAR1" + bytes(500) + whole[504:]):
        path.write_bytes(broken)
        with pytest.raises(Malformed, match=r"^sample: sample\.parquet is not readable as Parquet: ") as caught:
            read(path)
        assert str(tmp_path) not in caught.value.message


def test_a_file_that_may_not_be_read_is_refused(csv, monkeypatch):
    """In the words of the operating system."""
    path = csv("a\n1\n")

    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", forbidden)
    with pytest.raises(Invalid, match="Permission denied"):
        read(path)


def test_parquet_columns_keep_their_types(tmp_path):
    """Numbers, text, booleans and categories come as plain values, missing ones as None; an index is no column."""
    frame = pd.DataFrame(
        {
            "age": [41.5, math.nan],
            "count": pd.array([3, None], dtype="Int64"),
            "city": ["Turku", None],
            "kind": pd.Categorical(["a", "b"]),
            "member": [True, False],
            "big": np.array([2**64 - 1, 1], dtype=np.uint64),
        },
        index=[5, 9],
    )
    frame.to_parquet(tmp_path / "sample.parquet")
    assert read(tmp_path / "sample.parquet").columns == {
        "age": [41.5, None],
        "count": [3, None],
        "city": ["Turku", None],
        "kind": ["a", "b"],
        "member": [True, False],
        "big": [float(2**64 - 1), 1.0],
    }


def test_numbers_of_a_parquet_file_that_no_float_can_be(tmp_path):
    """Decimals and large integers are floats; in a column of texts they keep every digit."""
    frame = pd.DataFrame({"money": [Decimal("1.50"), None], "big": np.array([2**64 - 1, 1], dtype=np.uint64)})
    frame.to_parquet(tmp_path / "sample.parquet")
    found = read(tmp_path / "sample.parquet").columns
    assert found == {"money": [1.5, None], "big": [float(2**64 - 1), 1.0]}
    assert {type(value) for column in found.values() for value in column if value is not None} == {float}
    exact = read(tmp_path / "sample.parquet", {"money", "big"}).columns
    assert exact == {"money": ["1.50", None], "big": [2**64 - 1, 1]}
    assert type(exact["big"][0]) is int


def test_what_is_no_sample_is_called_otherwise(tmp_path):
    """By the field that its reader has for it."""
    with pytest.raises(Invalid, match=r"^file: .*absent.csv: no such file") as caught, said_of("file"):
        read(tmp_path / "absent.csv")
    assert caught.value.field == "file"


TABLE = Sample({"b": [1, 2], "a": [3, 4], "y": [0, 1], "id": ["u", "v"]})


def test_the_models_own_order_decides():
    """A model that knows its columns gets them in its order; the others are left out and reported."""
    chosen, extra = select(TABLE, names=["a", "b"], count=2, target="y")
    assert list(chosen.columns) == ["a", "b"]
    assert chosen.rows() == [(3, 1), (4, 2)]
    assert extra == ("id",)


def test_a_model_without_names_takes_the_columns_as_they_stand():
    """All but the target, in the file's order."""
    chosen, extra = select(TABLE, names=None, count=3, target="y")
    assert (list(chosen.columns), extra) == (["b", "a", "id"], ())


@pytest.mark.parametrize(
    ("names", "count", "target", "message"),
    [
        (["a", "c", "d"], 3, "y", "the model takes 'c', 'd', which the sample lacks"),
        (["a", "y"], 2, "y", "the model takes 'y', which the sample lacks"),
        (None, 3, None, r"the model takes 3 columns, the sample has 4 .*; name the target column with --target"),
        (None, 9, "y", r"the model takes 9 columns, the sample has 3 \('b', 'a', 'id'\)$"),
        (None, 3, "label", "target: the sample has no column 'label'; it has 'b', 'a', 'y', 'id'"),
    ],
)
def test_columns_that_do_not_fit_are_named(names, count, target, message):
    """Missing columns, too many, and a target that is not there."""
    with pytest.raises(Invalid, match=message):
        select(TABLE, names=names, count=count, target=target)


def test_an_infinite_number_is_named(csv):
    """A sample that could not be sent as a request is refused by column."""
    with pytest.raises(Invalid, match="column 'a' holds inf"):
        select(read(csv("a\n1\ninf\n")), names=None, count=1, target=None)
