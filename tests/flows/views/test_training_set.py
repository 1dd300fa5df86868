"""A training set says what was served: rows, answers and labels of the journal, over plans and models that differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pyarrow import parquet

from core import events
from core.errors import Invalid, NotFound, Unavailable
from core.events import ENROLLED, FALLBACK, PINNED, Observed, Predicted
from core.ids import format_prediction_id, parse_prediction_id
from core.values import Label, Output, Position, Value
from flows import deploy, known
from flows.deploy import ArmSpec
from flows.views import training_set
from flows.views.training_set import Source, Wanted, write
from journal import rotation, segments
from journal.reader import Entry, Reader
from journal.writer import Writer
from models.signature import Feature, Kind, Signature
from store import registry
from tests.flows.flow_world import World, card, order


class Past:
    """The endpoint `trained` with what it has answered."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder, self.journal, self.read = world, folder, folder / "journal", 0
        self.writer = Writer(self.journal)
        for features in ({"x": "int", "c": "str"}, {"z": "bool", "x": "float", "label": "float"}, {"c": "int"}):
            self._register(features)  # type: ignore[arg-type]
        deploy.create(world.place, "trained", {"control": ArmSpec("t@1", 1)}, {}, 1.0, "salt", order(0.0))

    def _register(self, features: dict[str, Kind]) -> None:
        signature = Signature(tuple(Feature(name, kind, nullable=True) for name, kind in features.items()), "regression")
        with self.world.store.write() as connection:
            registry.add_version(connection, "t", known.encode(replace(card(), signature=signature)), "me", 0.0)

    def serve(self, version: str) -> None:
        """One more plan."""
        deploy.set_arms(self.world.place, "trained", {"control": ArmSpec(version, 1)}, {}, None, order(1.0))

    def predict(self, at: float, *rows: list[Value], plan: int = 1, outputs: list[Output] | None = None, **more: Any) -> str:
        """Log an answer to these rows; its id."""
        said = outputs or [Output(value=float(number)) for number in range(len(rows))]
        event = Predicted(at, "trained", plan, "u", "control", 0.25, f"t@{plan}", 0, list(rows), said, 0.001)
        return format_prediction_id(self.writer.append(events.encode(replace(event, **more))))

    def label(self, prediction: str, value: Label, at: float = 50.0, metric: str = "label") -> None:
        """Log an outcome that was observed at `at`."""
        self.writer.append(events.encode(Observed(at + 1.0, prediction, None, None, metric, value, at, None)))

    def _tell(self, count: int) -> None:
        self.read += count

    def write(self, **wanted: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The rows of the file, and what is said of it."""
        path = self.folder / "set.parquet"
        source = Source(self.world.store, self.journal, self._tell)
        said = write(source, Wanted(**{"endpoint": "trained", **wanted}), path)
        return parquet.read_table(path).to_pylist(), said


@pytest.fixture
def past(bare: World, tmp_path: Path) -> Iterator[Past]:
    """Nothing was answered yet."""
    made = Past(bare, tmp_path)
    yield made
    made.writer.close()


def test_a_row_says_who_was_answered_what_by_whom(past: Past) -> None:
    """As it stands in the journal: assignment and flags, features, answer and label, with their times."""
    one = past.predict(10.5, [3, "a\x00\n"], flags=ENROLLED | FALLBACK, snapshot=4)
    past.label(one, 2.5, 11.25)
    rows, said = past.write()
    assert rows[0].pop("at").timestamp() == 10.5
    assert rows[0].pop("label_at").timestamp() == 11.25
    flags = {"enrolled": True, "fallback": True, "forced": False, "pinned": False}
    assignment = {"unit": "u", "arm": "control", "model_version": "t@1", "snapshot": 4, "plan": 1, "propensity": 0.25}
    assert rows == [{"prediction_id": one, **assignment, **flags, "x": 3, "c": "a\x00\n", "answered_value": 0.0, "label": 2.5}]
    assert (said["rows"], said["labelled"], said["journal_from"]) == (1, 1, "1970-01-01T00:00:10.500Z")


def test_each_row_of_a_prediction_has_its_own_label(past: Past) -> None:
    """Under the id by which it was labelled; the first label of a row wins, other outcomes are none."""
    many = past.predict(1.0, [1, "a"], [2, "b"], [3, "c"])
    for name, value in ((f"{many}.1", 1), (f"{many}.1", 7), (many, 0), (f"{many}.9", 5)):
        past.label(name, value)
    past.label(f"{many}.2", 5.0, metric="revenue")
    rows, said = past.write()
    assert [(row["prediction_id"], row["x"], row["label"]) for row in rows] == [
        (f"{many}.0", 1, 0),
        (f"{many}.1", 2, 1),
        (f"{many}.2", 3, None),
    ]
    assert said["labelled"] == 2
    assert [row["x"] for row in past.write(labelled_only=True)[0]] == [1, 2]


def test_plans_with_other_inputs_share_their_columns_by_name(past: Past) -> None:
    """An integer and a float make a float, what a plan lacks is null, and a feature that is called as a column of its own gives way."""
    past.serve("t@2")
    past.predict(1.0, [1, "a"])
    past.predict(2.0, [True, None, 0.5], plan=2)
    rows, said = past.write()
    assert [[row[name] for name in ("x", "c", "z", "feature_label", "label")] for row in rows] == [
        [1.0, "a", None, None, None],
        [None, None, True, 0.5, None],
    ]
    assert isinstance(rows[0]["x"], float)
    assert said["features"] == {"x": "x", "c": "c", "z": "z", "label": "feature_label"}


def test_a_feature_that_was_a_text_and_a_number_is_a_text(past: Past) -> None:
    """Both can be told again."""
    past.serve("t@3")
    past.predict(1.0, [1, "a"])
    past.predict(2.0, [17], plan=2)
    assert [row["c"] for row in past.write()[0]] == ["a", "17"]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([1, 0.5], [1.0, 0.5]),
        ([True, False], [True, False]),
        ([1, "no"], ["1", "no"]),
        ([True, "no"], ["true", "no"]),
        ([True, 2], ["true", "2"]),
        ([2**63, 1], [2.0**63, 1.0]),
    ],
)
def test_labels_of_mixed_kinds_find_one_kind(past: Past, labels: list[Label], found: list[Label]) -> None:
    """Numbers stay numbers; with texts, or with true and false, all are texts. Labels of rows that are not written do not count."""
    for value in labels:
        past.label(past.predict(1.0, [1, "a"]), value)
    past.label(past.predict(1.0, [1, "a"], endpoint="other"), "text")
    past.label(past.predict(99.0, [1, "a"]), "text")
    rows = [row["label"] for row in past.write(end=99.0)[0]]
    assert (rows, [type(row) for row in rows]) == (found, [type(value) for value in found])


def test_probabilities_have_a_column_each(past: Past) -> None:
    """Of all classes that any version knows; a learner that has learnt too little answers nothing."""
    known_classes = Output(label="no", probabilities={"no": 0.75, "yes": 0.25})
    past.predict(1.0, [1, "a"], outputs=[known_classes])
    past.predict(2.0, [1, "a"], outputs=[Output(label="new", probabilities={"no": 0.0, "new": 1.0})])
    past.predict(3.0, [1, "a"], outputs=[Output(label=None)])
    rows = past.write()[0]
    assert [row["answered_label"] for row in rows] == ["no", "new", None]
    shares = [[row[f"answered_probability_{name}"] for name in ("no", "yes", "new")] for row in rows]
    assert shares == [[0.75, 0.25, None], [0.0, None, 1.0], [None, None, None]]


def test_times_bound_the_predictions_not_their_labels(past: Past) -> None:
    """From the one on, before the other; a label may come long after."""
    for at in (1.0, 2.0, 3.0):
        past.label(past.predict(at, [int(at), "a"]), at, 1000.0)
    rows, _ = past.write(start=2.0, end=3.0)
    assert [(row["x"], row["label"]) for row in rows] == [(2, 2.0)]


def test_pinned_rows_stand_beside_the_others(past: Past) -> None:
    """With their flag, as they are outside of any experiment; what the version does not take is null."""
    past.predict(1.0, [None, "a"], flags=PINNED)
    rows, _ = past.write()
    assert [(row["pinned"], row["x"], row["c"]) for row in rows] == [(True, None, "a")]


def test_nothing_predicted_is_a_file_without_rows(past: Past) -> None:
    """Which can be read; an endpoint that does not exist is an error."""
    assert past.write()[0] == []
    with pytest.raises(NotFound):
        past.write(endpoint="nobody")


def test_a_file_that_cannot_be_written_leaves_the_one_before(past: Past) -> None:
    """And no draft beside it."""
    past.predict(1.0, [1, "a"])
    past.write()
    source = Source(past.world.store, past.journal, lambda _: None)
    with pytest.raises(Invalid, match="cannot be written"):
        write(source, Wanted("trained"), past.folder / "missing" / "set.parquet")
    names = lambda: {path.name for path in past.folder.iterdir()} - {"store.db-wal", "store.db-shm"}  # noqa: E731
    before = names()
    past.world.endpoint()
    event = Predicted(2.0, "trained", 9, "u", "control", 1.0, "t@1", 0, [[1, "a"]], [Output(value=1.0)], 0.0)
    past.writer.append(events.encode(event))
    with pytest.raises(NotFound, match="plan 9"):
        past.write()
    assert names() == before
    assert parquet.read_table(past.folder / "set.parquet").num_rows == 1


def test_an_expired_journal_says_how_far_it_reaches(past: Past) -> None:
    """Rows before are gone, and nobody is to think that there were none."""
    past.predict(1.0, [1, "a"])
    rotation.rotate(past.journal, 1)
    past.predict(5.0, [2, "a"])
    past.writer.close()
    past.writer = Writer(past.journal)
    assert past.write()[1]["journal_expired"] is False
    assert segments.expire(past.journal, Position(2, 0), float("inf")) > 0
    rows, said = past.write()
    assert ([row["x"] for row in rows], said["journal_expired"], said["journal_from"]) == ([2], True, "1970-01-01T00:00:05.000Z")


def test_only_labels_of_rows_that_are_wanted_are_held(past: Past) -> None:
    """Those of other endpoints and times may be many more; ids that were never given out are nobody's."""
    wanted = past.predict(5.0, [1, "a"], [2, "b"])
    unwanted = [past.predict(5.0, [1, "a"], endpoint="other"), past.predict(1.0, [1, "a"]), past.predict(9.0, [1, "a"])]
    for name in (f"{wanted}.1", *unwanted, "p9-0-0000000000000001", "p1-1-0000000000000001", "nothing"):
        past.label(name, 1)
    source = Source(past.world.store, past.journal, lambda _: None)
    found, reaches = training_set._labels(source, Wanted("trained", 5.0, 9.0), segments.end(past.journal))
    assert ([*found], reaches) == ([(parse_prediction_id(wanted)[0], 1)], 5.0)


def test_a_journal_that_cannot_be_read_is_not_the_outputs_fault(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it fails at the beginning or when rows are written; nothing is left of the file."""
    past.predict(1.0, [1, "a"])
    reads = Reader.read
    for good in (0, 4):
        times = iter(range(100))

        def fails(reader: Reader, most: int, times: Iterator[int] = times, good: int = good) -> list[Entry]:
            if next(times) < good:
                return reads(reader, most)
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Reader, "read", fails)
        with pytest.raises(Unavailable, match=r"journal: cannot be read: .*Input/output error"):
            past.write()
    assert [path.name for path in past.folder.glob("*set.parquet*")] == []


def test_rows_are_written_group_by_group(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a long history needs no more memory than a short one; progress is told over all that is read."""
    monkeypatch.setattr(training_set, "GROUP_ROWS", 3)
    for number in range(8):
        past.predict(1.0, [number, "a"])
    rows, said = past.write()
    assert ([row["x"] for row in rows], said["rows"]) == (list(range(8)), 8)
    assert parquet.ParquetFile(past.folder / "set.parquet").num_row_groups == 3
    assert 0.5 < past.read / training_set.size_of(past.journal) <= 1.0
