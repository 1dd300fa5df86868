"""Scoring a file: columns, rows that cannot be answered, and files that will not do."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from msgspec.structs import replace
from pyarrow import parquet

from core.errors import Invalid, Malformed, ModelFailed, NotFound, Rejected, TiltyardError
from core.values import Output
from flows.scoring import score as flow
from flows.scoring.parquet_source import ParquetSource
from flows.scoring.subject import Answer
from models.package import Package
from models.signature import Feature, Signature
from tests.flows.learning.learning_world import ROW, LearningWorld, taught
from tests.flows.scoring.scoring_world import Scoring, floats, linear


def test_a_value_for_each_row(scoring: Scoring) -> None:
    """With the row's number, the kept columns as they are, and no error; other columns are nobody's business."""
    path = scoring.table("in.parquet", key=["x", "y"], b=[10.0, 20.0], a=[1.0, 2.0], other=[None, None], when=pa.array([1, 2], pa.date32()))
    found = scoring.score("sum@1", path, keep=("when", "key"))
    assert parquet.read_schema(scoring.folder / "out.parquet").names == ["row", "when", "key", "value", "error"]
    assert [(row["row"], row["key"], row["value"], row["error"]) for row in scoring.rows()] == [(0, "x", 11.0, None), (1, "y", 22.0, None)]
    assert str(scoring.rows()[1]["when"]) == "1970-01-03"
    assert found == {
        "output": str(scoring.folder / "out.parquet"),
        "version": "sum@1",
        "snapshot": 0,
        "rows": 2,
        "answered": 2,
        "errors": {"invalid": 0, "model-failed": 0},
        "first_error": None,
        "resumed_at": 0,
    }
    assert scoring.left() == []


def test_a_label_with_probabilities(scoring: Scoring) -> None:
    """One column for each class, in the order of the classes; the file names the version."""
    scoring.score("sign@1", scoring.table("in.parquet", a=[1.0, -1.0], b=[1.0, 0.0]))
    schema = parquet.read_schema(scoring.folder / "out.parquet")
    assert schema.names == ["row", "label", "probability_no", "probability_yes", "error"]
    assert msgspec.json.decode(schema.metadata[b"tiltyard"]) == {"version": "sign@1", "snapshot": 0, "in_batches": False, "label": "str"}
    assert [row["label"] for row in scoring.rows()] == ["yes", "no"]


@pytest.mark.parametrize(("classes", "kind"), [((0, 1), "int64"), ((False, True), "bool"), (("a", "b"), "string"), ((0.5, 1.5), "double")])
def test_a_label_is_of_its_own_type(scoring: Scoring, classes: tuple[Any, Any], kind: str) -> None:
    """Also where no row could be answered."""
    scoring.add("typed", linear(floats("a"), classes))
    scoring.score("typed@1", scoring.table("in.csv", a=[1.0, -1.0]))
    assert [row["label"] for row in scoring.rows()] == [classes[1], classes[0]]
    for values in ([None], []):
        scoring.score("typed@1", scoring.table("none.parquet", a=pa.array(values, pa.float64())))
        assert str(parquet.read_schema(scoring.folder / "out.parquet").field("label").type) == kind


def test_a_row_that_cannot_be_answered_says_why(scoring: Scoring) -> None:
    """What is a 422 or a 503 online is an error of its row, and the others are answered; all are counted."""
    scoring.add("holes", linear([Feature("a", "float"), Feature("b", "float", nullable=True)]))
    path = scoring.folder / "in.csv"
    path.write_text("a,b\n1,2\nten,2\n,2\n3,\n1\n\n4,inf\n5,6\n")
    found = scoring.score("holes@1", path, keep=("a",))
    errors = [
        None,
        "invalid: features.a: expected a number, got 'ten'",
        "invalid: features.a: expected a number, got null",
        "model-failed: the model failed: unsupported operand type(s) for *: 'NoneType' and 'float'",
        "invalid: line 6: expected 2 values, got 1",
        "invalid: features.b: expected a number, got inf, which is not finite",
        None,
    ]
    rows = scoring.rows()
    assert [row["error"] for row in rows] == errors
    assert [row["value"] for row in rows] == [3.0, None, None, None, None, None, 11.0]
    assert [row["a"] for row in rows] == ["1", "ten", "", "3", None, "4", "5"]
    assert (found["rows"], found["answered"], found["errors"]) == (7, 2, {"invalid": 4, "model-failed": 1})
    assert found["first_error"] == {"row": 1, "error": errors[1]}


def test_batches_say_the_same_of_bad_rows(scoring: Scoring) -> None:
    """A row on which the model fails does not take its batch with it."""
    scoring.add("holes", linear([Feature("a", "float"), Feature("b", "float", nullable=True)]))
    path = scoring.folder / "in.csv"
    path.write_text("a,b\n1,2\nten,2\n3,\n5,6\n")
    assert scoring.score("holes@1", path)["answered"] == scoring.score("holes@1", path, "other.parquet", in_batches=True)["answered"] == 2
    assert scoring.rows() == scoring.rows("other.parquet")


def test_strictly_the_first_bad_row_ends_it(scoring: Scoring, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its number and reason, also where an earlier call was not strict; there is no output then."""
    monkeypatch.setattr(flow, "PART_ROWS", 1000)
    path = scoring.table("in.parquet", a=[1.0] * 1500 + [None] + [1.0] * 1000, b=[1.0] * 2501)
    with pytest.raises(Invalid, match=r"^row 1500: invalid: features\.a: expected a number, got null"):
        scoring.score("sum@1", path, strict=True)
    assert not (scoring.folder / "out.parquet").exists()
    assert scoring.left() == ["out.parquet.parts"]
    monkeypatch.setattr(flow, "_finish", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scoring.score("sum@1", path)
    monkeypatch.undo()
    with pytest.raises(Invalid, match=r"^row 1500: invalid"):
        scoring.score("sum@1", path, strict=True)
    assert scoring.score("sum@1", path)["resumed_at"] == 2501


def test_every_type_of_number_is_a_number(scoring: Scoring) -> None:
    """Of a Parquet file, categories and decimals too; NaN and null are missing, integers keep every digit."""
    scoring.add("kinds", linear([Feature("f", "float", nullable=True), Feature("i", "int"), Feature("s", "bool")]))
    half, small = pa.array([1.5, None], pa.float16()), pa.array([1, 2], pa.uint8())
    for column in (half, pa.array([Decimal("1.50"), None]), pa.array([1.5, float("nan")]), pa.array([1.5, None]).dictionary_encode()):
        scoring.score("kinds@1", scoring.table("in.parquet", f=column, i=small, s=[True, False]))
        first, second = scoring.rows()
        assert (first["value"], first["error"]) == (3.5, None)
        assert str(second["error"]).startswith("model-failed: ")
    scoring.add("whole", linear([Feature("i", "int")]))
    scoring.score("whole@1", scoring.table("in.parquet", i=pa.array([2**53, None, 2**63 - 1], pa.int64())))
    assert [row["value"] for row in scoring.rows()] == [2.0**53, None, 2.0**63]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array(["1"]), "input: column 'a' of in.parquet: expected numbers, got string"),
        (pa.array([True]), "input: column 'a' of in.parquet: expected numbers, got bool"),
        (pa.array([1], pa.timestamp("ns")), "expected numbers, got timestamp"),
        (pa.array([[1.0]]), "expected numbers, got list"),
    ],
)
def test_a_column_of_another_kind_is_refused_at_once(scoring: Scoring, column: Any, said: str) -> None:
    """It is not the fault of a row."""
    with pytest.raises(Invalid, match=said.replace("(", "\\(")):
        scoring.score("sum@1", scoring.table("in.parquet", a=column, b=[1.0]))
    assert scoring.left() == []


@pytest.mark.parametrize(
    ("order", "field", "said"),
    [
        ({"version": "sum@9"}, "version", "no version sum@9"),
        ({"version": "sum"}, "version", "expected MODEL@NUMBER"),
        ({"version": "sum@champion"}, "version", "no alias 'champion'"),
        ({"path": "none.csv"}, "input", "no such file"),
        ({"path": "in.txt"}, "input", "expected a file ending in .parquet or .csv"),
        ({"path": "less.csv"}, "input", "the model takes 'b', which less.csv lacks .feature views are not filled in here."),
        ({"path": "empty.csv"}, "input", "the model takes 'a', 'b', which empty.csv lacks"),
        ({"path": "twice.csv"}, "input", "column 'b' occurs twice"),
        ({"path": "bad.parquet"}, "input", "is not readable as Parquet"),
        ({"path": "bytes.csv"}, "input", "is not readable as CSV"),
        ({"keep": ("c",)}, "keep", "in.csv has no column 'c'"),
        ({"keep": ("a", "a")}, "keep", "column 'a' is named twice"),
        ({"path": "taken.csv", "keep": ("value",)}, "keep", "the output has a column 'value' of its own"),
        ({"path": "nested.parquet", "keep": ("n",), "output": "out.csv"}, "keep", "which has no form in CSV"),
        ({"output": "out.txt"}, "output", "expected a name that ends in .parquet or .csv"),
        ({"output": "in.csv"}, "output", "expected another file than the input"),
        ({"output": "none/out.csv"}, "output", "expected a file in a directory that exists"),
        ({"output": "folder.csv"}, "output", "expected a file in a directory that exists"),
    ],
)
def test_what_will_not_do_is_named(scoring: Scoring, order: dict[str, Any], field: str, said: str) -> None:
    """Before anything is made."""
    (scoring.folder / "folder.csv").mkdir()
    files = {
        "in.csv": b"a,b\n1,2\n",
        "in.txt": b"a,b\n1,2\n",
        "less.csv": b"a\n1\n",
        "empty.csv": b"",
        "twice.csv": b"a,b,b\n1,2,3\n",
        "taken.csv": b"a,b,value\n1,2,3\n",
        "bad.parquet": b"PAR1",
        "bytes.csv": b"a,b\xff\n",
    }
    for name, content in files.items():
        (scoring.folder / name).write_bytes(content)
    scoring.table("nested.parquet", a=[1.0], b=[1.0], n=[[1.0]])
    given = {"version": "sum@1", "path": "in.csv", **order}
    with pytest.raises(TiltyardError, match=said) as caught:
        scoring.score(path=scoring.folder / given.pop("path"), **given)
    assert caught.value.field == field
    assert isinstance(caught.value, Invalid | Malformed | NotFound)
    assert scoring.left() == []


def test_strictly_nothing_scored_leaves_nothing(scoring: Scoring) -> None:
    """A row in the first part ends it: there is nothing to go on from, and the next call is free to be another job."""
    path = scoring.table("in.parquet", a=[1.0, None], b=[1.0, 1.0])
    with pytest.raises(Invalid, match=r"^row 1: invalid"):
        scoring.score("sum@1", path, strict=True)
    assert scoring.left() == []
    assert scoring.score("sum@1", path, keep=("a",))["answered"] == 1


def test_what_was_begun_without_a_part_is_nothing(scoring: Scoring) -> None:
    """A process that was killed before its first part leaves what another job need not heed."""
    (scoring.folder / "out.parquet.parts").mkdir()
    (scoring.folder / "out.parquet.parts" / "job.json").write_text("of another job")
    assert scoring.score("sum@1", scoring.table("in.parquet", a=[1.0], b=[1.0]))["rows"] == 1
    assert scoring.left() == []


@pytest.mark.parametrize(("name", "where"), [("torn.csv", "after line 2503"), ("torn.parquet", "after row")])
def test_a_file_that_breaks_off_keeps_what_was_scored(scoring: Scoring, name: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says where; there is no output, and what was scored stays."""
    monkeypatch.setattr(flow, "PART_ROWS", 1000)
    path = scoring.table(name, a=[0.1 * n for n in range(5000)], b=[0.3 * n for n in range(5000)])
    content = path.read_bytes()
    if name.endswith(".csv"):
        lines = content.splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:2502], b'1,"2"x\n', *lines[2502:]]))
    else:
        path.write_bytes(content[:40_000] + b"\xff" * 200 + content[40_200:])
    with pytest.raises(Malformed, match=where):
        scoring.score("sum@1", path)
    assert not (scoring.folder / "out.parquet").exists()


def test_a_file_without_rows_makes_one_without_rows(scoring: Scoring) -> None:
    """With the columns that it would have."""
    (scoring.folder / "in.csv").write_text("a,b\n")
    for output in ("out.parquet", "out.csv"):
        assert scoring.score("sum@1", scoring.folder / "in.csv", output)["rows"] == 0
        assert scoring.rows(output) == []
    assert (scoring.folder / "out.csv").read_text() == '"row","value","error"\n'


def test_a_model_without_features_answers_each_row(scoring: Scoring) -> None:
    """Whatever columns there are."""
    scoring.add("none", linear([]))
    scoring.score("none@1", scoring.table("in.parquet", other=[1, 2, 3]), keep=("other",))
    assert [(row["other"], row["value"]) for row in scoring.rows()] == [(1, 0.0), (2, 0.0), (3, 0.0)]


@pytest.mark.parametrize("group", [700, 5000])
def test_rows_are_in_order_whatever_the_chunks(scoring: Scoring, group: int) -> None:
    """Row groups, chunks and parts cut the rows otherwise; the output has groups of its own."""
    path = scoring.folder / "in.parquet"
    parquet.write_table(pa.table({"a": [float(n) for n in range(5000)], "b": [0.0] * 5000}), path, row_group_size=group)
    scoring.score("sum@1", path)
    assert [(row["row"], row["value"]) for row in scoring.rows()] == [(n, float(n)) for n in range(5000)]
    assert parquet.ParquetFile(scoring.folder / "out.parquet").num_row_groups == 1


def test_a_version_that_cannot_be_loaded_is_no_row_s_fault(scoring: Scoring) -> None:
    """The reason is that of loading, and nothing is left."""
    package = linear(floats("a"))
    scoring.add("lost", Package(replace(package.card, blobs={"artefact": "0" * 64}), {}))
    with pytest.raises(Rejected, match="cannot be read"):
        scoring.score("lost@1", scoring.table("in.parquet", a=[1.0]))
    assert scoring.left() == []


class TestLearning:
    """A version that learns while it serves."""

    @pytest.fixture
    def learning(self, scoring: Scoring) -> LearningWorld:
        """`river@1`, which has published nothing."""
        return LearningWorld(scoring.world, scoring.folder)

    @pytest.fixture
    def path(self, scoring: Scoring) -> Path:
        """Two rows."""
        return scoring.table("in.parquet", **{name: [value, -value] for name, value in ROW.items()})

    def test_it_answers_by_its_newest_snapshot(self, scoring: Scoring, learning: LearningWorld, path: Path) -> None:
        """As it does online; or as it was registered, where that is asked for. The output says which it was."""
        assert scoring.score("river@1", path)["snapshot"] == 0
        unlearnt = scoring.rows()
        learning.publish(7, taught(5))
        assert scoring.score("river@1", path)["snapshot"] == 7
        expected = taught(5).predict_proba_one(ROW)
        row = scoring.rows()[0]
        assert {True: row["probability_True"], False: row["probability_False"]} == expected
        assert row["label"] is True
        schema = parquet.read_schema(scoring.folder / "out.parquet")
        assert msgspec.json.decode(schema.metadata[b"tiltyard"])["snapshot"] == 7
        assert scoring.score("river@1", path, asked="registered")["snapshot"] == 0
        assert scoring.rows() == unlearnt

    def test_a_snapshot_that_nobody_signed_answers_nothing(self, scoring: Scoring, learning: LearningWorld, path: Path) -> None:
        """It would be code of a stranger."""
        learning.publish(1, taught(1))
        learning.tamper()
        with pytest.raises(Rejected):
            scoring.score("river@1", path)

    def test_it_goes_on_by_the_snapshot_that_it_began_with(
        self, scoring: Scoring, learning: LearningWorld, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever has been learnt meanwhile: all rows are answered by one state."""
        learning.publish(1, taught(1))
        monkeypatch.setattr(flow, "CHUNK", 1)
        monkeypatch.setattr(flow, "PART_ROWS", 1)
        with pytest.raises(ZeroDivisionError):
            flow.score(scoring.place, flow.Order("river@1", path, scoring.folder / "out.parquet"), lambda progress: 1 / 0)
        learning.publish(2, taught(50))
        found = scoring.score("river@1", path)
        assert (found["resumed_at"], found["snapshot"]) == (1, 1)
        assert scoring.rows()[1]["probability_True"] == taught(1).predict_proba_one({name: -value for name, value in ROW.items()})[True]
        assert scoring.score("river@1", path)["snapshot"] == 2

    def test_a_snapshot_kept_with_the_parts_is_verified(
        self, scoring: Scoring, learning: LearningWorld, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who can write beside the output cannot run code."""
        learning.publish(1, taught(1))
        with monkeypatch.context() as patch:
            patch.setattr(flow, "_finish", lambda *given: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                scoring.score("river@1", path)
        kept = scoring.folder / "out.parquet.parts" / "snapshot"
        kept.write_bytes(kept.read_bytes().replace(b"LogisticRegression", b"LogisticRegressioN"))
        with pytest.raises(Rejected):
            scoring.score("river@1", path)
        kept.write_bytes(b"\xc1")
        with pytest.raises(Invalid, match="--restart"):
            scoring.score("river@1", path)
        kept.unlink()
        with pytest.raises(Invalid, match="it is not snapshot 1"):
            scoring.score("river@1", path)
        assert scoring.score("river@1", path, restart=True)["answered"] == 2


def test_a_label_that_cannot_be_written_ends_it(scoring: Scoring) -> None:
    """Rather than being another label in the output."""
    columns = flow.columns_of(linear(floats("a"), ("a", "b")).card, [])
    with pytest.raises(ModelFailed, match="no text that can be written"):
        columns.table(0, [Answer(Output(label="\ud800"), None)], [])


def test_names_and_types_of_parquet_files(scoring: Scoring) -> None:
    """A dot in a name is no path; another column of a shorter name does no harm; a kept category is its text, also in CSV."""
    scoring.add("dots", linear(floats("x.y", "x")))
    category = pa.array(["u", "v", None]).dictionary_encode()
    path = scoring.table("in.parquet", **{"x": [1.0, 2.0, 3.0], "x.y": [10.0, 20.0, 30.0], "x.z": [0, 0, 0], "c": category})
    for output in ("out.parquet", "out.csv"):
        scoring.score("dots@1", path, output, keep=("c", "x.z"))
        assert [(row["c"], row["x.z"], row["value"]) for row in scoring.rows(output)] == [("u", 0, 11.0), ("v", 0, 22.0), (None, 0, 33.0)]


def test_a_struct_of_the_same_name_does_no_harm(scoring: Scoring) -> None:
    """Only the columns of a file count, not what is inside of them."""
    with pytest.raises(Invalid, match=r"the model takes 'b', which in\.parquet lacks"):
        scoring.score("sum@1", scoring.table("in.parquet", a=[1.0], s=[{"b": 1.0}]))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()), pa.null()])
def test_text_of_every_type_is_text(scoring: Scoring, kind: Any) -> None:
    """As several libraries write it; a column of nothing is missing everywhere."""
    values = [None, None] if pa.types.is_null(kind) else ["u", None]
    path = scoring.table("in.parquet", c=pa.array(values, None if pa.types.is_null(kind) else pa.string()).cast(kind))
    [chunk] = ParquetSource(path, Signature((Feature("c", "str"),), "regression"), ["c"]).chunks(0, 10)
    assert (chunk.rows, chunk.kept[0].to_pylist(), chunk.share) == ([{"c": value} for value in values], values, 1.0)
