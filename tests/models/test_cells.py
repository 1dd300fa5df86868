"""CSV cells of a known kind."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from core.errors import Invalid
from core.values import Value
from models import sample
from models.cells import cell_reader
from models.inputs import Inputs
from models.signature import Feature, Kind


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("float", "1.5", 1.5),
        ("float", " 1e3 ", 1000.0),
        ("float", "7", 7.0),
        ("float", "inf", inf),
        ("float", "0.1000000000000000055511151231257827", 0.1),
        ("int", "007", 7),
        ("int", "-3", -3),
        ("int", "3.0", 3.0),
        ("int", "9223372036854775807", 2**63 - 1),
        ("int", "9223372036854775808", 2**63),
        ("bool", "True", True),
        ("bool", " false ", False),
        ("str", "007", "007"),
        ("str", " a ", " a "),
        ("str", "nan", "nan"),
    ],
)
def test_a_cell_is_read_as_its_kind(kind: Kind, cell: str, value: Value) -> None:
    """Whatever else the column holds."""
    found = cell_reader(kind)(cell)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [(kind, cell) for kind in ("float", "int") for cell in ("", "NA", "n/a", "nan", "NaN", "null", " ")] + [("bool", ""), ("str", "")],
)
def test_what_is_missing_is_none(kind: Kind, cell: str) -> None:
    """By the same words as in a sample."""
    assert cell_reader(kind)(cell) is None


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        *[("float", cell) for cell in ("ten", "1_000", "٣", "1,5", "9" * 5000)],
        *[("int", cell) for cell in ("ten", "1_000", "٣", "3.5", "1e400", "9" * 5000)],
        *[("bool", cell) for cell in ("1", "yes")],
    ],
)
def test_what_is_none_of_the_kind_is_refused_as_online(kind: Kind, cell: str) -> None:
    """Validation finds it, and says what was expected."""
    inputs = Inputs([Feature("x", kind)])
    with pytest.raises(Invalid, match=r"^features\.x: expected .*, got "):
        inputs.read({"x": cell_reader(kind)(cell)}, None)


def test_a_column_is_read_as_a_sample_reads_it(tmp_path: Path) -> None:
    """Where the sample's own column told the kind, the same cells give the same values."""
    columns = {
        "a": ["1", "-2", "", "0003"],
        "b": ["1.25", "nan", "3", "-1e-3"],
        "c": ["x", "", " y", "1.0"],
        "d": ["true", "FALSE", "", "True"],
    }
    lines = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    (tmp_path / "s.csv").write_text("\n".join(lines) + "\n")
    kinds: dict[str, Kind] = {"a": "int", "b": "float", "c": "str", "d": "bool"}
    read = {name: [cell_reader(kinds[name])(cell) for cell in cells] for name, cells in columns.items()}
    assert read == sample.read(tmp_path / "s.csv").columns
