"""The label of a River model is in the output as it is online: its classes, and their kind, are not known before."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyarrow import parquet
from river import neighbors

from flows.predict import Ask, predict
from flows.scoring import score as flow
from flows.scoring import subject
from flows.serving import make_route
from routing import changes
from routing.changes import Who
from routing.plan import Arm
from tests.flows.learning.learning_world import LearningWorld, taught
from tests.flows.scoring.scoring_world import Scoring
from tests.flows.scoring.test_online import MEANS

POINTS = [float(n) for n in range(-3, 4)]


@pytest.fixture
def learning(scoring: Scoring) -> LearningWorld:
    """`river@1`, of which a test publishes a snapshot."""
    return LearningWorld(scoring.world, scoring.folder)


@pytest.fixture
def path(scoring: Scoring) -> Path:
    """A row for each point."""
    return scoring.table("in.parquet", a=POINTS, b=POINTS)


def nearest(*labels: Any) -> Any:
    """A model that has met these labels, one at each point in turn, and answers that of the nearest."""
    model = neighbors.KNNClassifier(n_neighbors=1)
    for point, label in zip(POINTS, islice(cycle(labels), len(POINTS)), strict=True):
        model.learn_one({"a": point, "b": point}, label)
    return model


def online(scoring: Scoring, version: str) -> list[str]:
    """The JSON text of the label that a client gets for each point."""
    found, card = subject.find(scoring.place, version)
    loaded = subject.load(scoring.place, card, subject.newest_snapshot(scoring.place, found, card))
    plan = changes.create("e", {"control": Arm(version, 1)}, {}, 1.0, "s", Who("me", 0.0, ""))
    route = make_route(plan, lambda _: loaded, lambda _: card.signature)
    answers = [predict(route, Ask(None, {"a": point, "b": point}, None), MEANS) for point in POINTS]
    sent = [msgspec.json.decode(msgspec.json.encode(answer), type=dict[str, Any]) for answer in answers]
    return [msgspec.json.encode(one["predictions"][0]["label"]).decode() for one in sent]


def scored(scoring: Scoring, output: str = "out.parquet") -> list[str]:
    """The same as the output says it: a label of a kind is encoded, of a column of JSON texts it stands as it is."""
    labels = [row["label"] for row in parquet.read_table(scoring.folder / output).to_pylist()]
    return labels if kind(scoring) == "json" else [msgspec.json.encode(label).decode() for label in labels]


def kind(scoring: Scoring) -> Any:
    """What the metadata says of labels."""
    return msgspec.json.decode(parquet.read_schema(scoring.folder / "out.parquet").metadata[b"tiltyard"])["label"]


def test_a_target_of_0_and_1_is_answered_as_online(scoring: Scoring, learning: LearningWorld, path: Path) -> None:
    """River answers false and true, and so does the output, in both forms."""
    learning.register_again("own", "a,b,y\n1.0,2.0,1\n2.0,1.5,0\n")
    assert set(online(scoring, "river@2")) <= {"false", "true"}
    scoring.score("river@2", path)
    assert (scored(scoring), kind(scoring)) == (online(scoring, "river@2"), "bool")
    scoring.score("river@2", path, "out.csv")
    cells = [line.split(",")[1] for line in (scoring.folder / "out.csv").read_text().splitlines()]
    assert cells == ['"label"', *online(scoring, "river@2")]


@pytest.mark.parametrize(
    ("model", "expected", "arrow"),
    [
        (taught(3), "bool", "bool"),
        (nearest(False, True), "bool", "bool"),
        (nearest(0, 1, 2), "int", "int64"),
        (nearest(0.5, 1.0), "float", "double"),
        (nearest("true", "1", "cat"), "str", "string"),
        (nearest(0, "0", 1.5), "json", "string"),
        (nearest(1.0, 0), "json", "string"),
        (nearest(2**63, 1), "json", "string"),
    ],
)
def test_labels_are_of_the_kind_that_is_answered(
    scoring: Scoring, learning: LearningWorld, path: Path, model: Any, expected: str, arrow: str
) -> None:
    """Whatever kind the target had where it was registered; of several kinds, or too large for a column, they are JSON texts."""
    learning.publish(1, model)
    scoring.score("river@1", path)
    assert (scored(scoring), kind(scoring)) == (online(scoring, "river@1"), expected)
    assert str(parquet.read_schema(scoring.folder / "out.parquet").field("label").type) == arrow


@pytest.mark.parametrize("labels", [(0, 1), (0, 0, 0, 0, 0, "x", True)])
@pytest.mark.parametrize("output", ["out.parquet", "out.csv"])
def test_the_kind_does_not_tell_where_parts_were_cut(
    scoring: Scoring, learning: LearningWorld, path: Path, monkeypatch: pytest.MonkeyPatch, labels: tuple[Any, ...], output: str
) -> None:
    """Another kind may come after an interruption: the output is the same to the byte."""
    learning.publish(1, nearest(*labels))
    scoring.score("river@1", path, f"whole-{output}")
    monkeypatch.setattr(flow, "CHUNK", 1)
    monkeypatch.setattr(flow, "PART_ROWS", 1)
    order = flow.Order("river@1", path, scoring.folder / output)
    with pytest.raises(ZeroDivisionError):
        flow.score(scoring.place, order, lambda progress: progress.rows < 3 or 1 / 0)
    assert scoring.score("river@1", path, output)["resumed_at"] == 3
    assert (scoring.folder / output).read_bytes() == (scoring.folder / f"whole-{output}").read_bytes()
