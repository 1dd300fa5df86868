"""A Tiltyard asks another: what the one tells and answers by V2, the other reads as it was meant."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from core.errors import Invalid, ModelFailed, Unavailable
from core.ids import VersionId
from core.settings import Settings
from core.values import Label, Output, Row
from flows.predict import Answer
from models.building import build
from models.inputs import Inputs
from models.package import Package, load
from models.runtime import Runtime
from models.signature import Feature, Signature
from server import home, reader, v2
from server.api import health
from server.v2 import Infer
from tests.flows.flow_world import card
from tests.models.remote.foreign_server import ForeignServer, Request, http

FEATURES = (Feature("income", "float", nullable=True), Feature("city", "str"), Feature("age", "int"), Feature("member", "bool"))
SAMPLE = "income,city,age,member,target\n1.5,Ulm,30,true,{0}\n,Bonn,41,false,{1}\n-2.0,Ulm,52,true,{0}\n3.0,Köln,17,false,{1}\n"


class Classifier:
    """Decides by a row's age; what is missing shows in the probability."""

    def __init__(self, no: Label, yes: Label) -> None:
        self.classes = (no, yes)

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """Label and probabilities."""
        return [self._of(*row) for row in rows]

    def _of(self, income: Any, city: Any, age: Any, member: Any) -> Output:
        assert (type(city), type(age), type(member)) == (str, int, bool)
        share = 0.75 if age > 35 else 0.125 if income is None else 0.25
        shares = {str(self.classes[0]): 1.0 - share, str(self.classes[1]): share}
        return Output(label=self.classes[share > 0.5], probabilities=shares)


class Regression:
    """Knows nothing yet where the income is missing."""

    classes = None

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """Twice the income, or null."""
        return [Output(value=None if row[0] is None else 2.0 * float(row[0])) for row in rows]


class Other:
    """The V2 part of another Tiltyard, by the code that serves it, around a model of this process."""

    def __init__(self, model: Any) -> None:
        self.model: Runtime = model
        task = "regression" if model.classes is None else "classification"
        self.card = replace(card(), signature=Signature(FEATURES, task, model.classes))

    def __call__(self, request: Request, _: socket.socket) -> bytes:
        """Answers a request."""
        if request.method == "GET":
            inputs = [{"name": each.name, "datatype": health._DATATYPE[each.kind], "shape": [-1]} for each in FEATURES]
            return http({"name": "credit", "platform": "tiltyard", "inputs": inputs, "outputs": health._outputs(self.card)})
        asked = msgspec.convert(request.body, Infer)
        inputs = Inputs.union([self.card.signature])
        ask = v2.ask_of(asked, inputs.names, None, None, 1000)
        answer = Answer("p1-0-0000000000000001", "credit", "control", "credit@1", 1, self.model.predict(inputs.read(None, ask.instances)))
        return http(msgspec.json.encode(v2.answer_of(asked.id, "credit", answer)))


@pytest.fixture
def other() -> Iterator[ForeignServer]:
    """The other server."""
    made = ForeignServer(lambda _request, _socket: http({}))
    yield made
    made.close()


def registered(other: ForeignServer, model: Any, sample: Path | None = None) -> Package:
    """Here, of the other server's endpoint."""
    other.answer = Other(model)
    target = None if sample is None else "target"
    return build(Path("remote:staging/credit"), sample=sample, target=target, trust_pickle=False, remotes=other.remotes)


def ask(other: ForeignServer, made: Package, rows: Sequence[Row]) -> list[Output]:
    """What it answers here."""
    loaded = load(made.card, {made.card.blobs[role]: content for role, content in made.blobs.items()}.__getitem__, other.remotes)
    outputs = loaded.predict(rows)
    loaded.served.runtime.settle()  # type: ignore[attr-defined]
    return outputs


ROWS: list[Row] = [(1.0, "Ulm", 20, True), (None, "Köln", 21, False), (2.0, "Bonn", 50, True)]


@pytest.mark.parametrize("classes", [("no", "yes"), (0, 1), (False, True)], ids=["text", "integers", "booleans"])
def test_labels_probabilities_and_missing_values_come_through(other: ForeignServer, tmp_path: Path, classes: tuple[Label, Label]) -> None:
    """Of the classes' own types, whatever the sample's target looks like, and with every kind of feature."""
    sample = tmp_path / "sample.csv"
    sample.write_text(SAMPLE.format(*(str(each).lower() for each in classes)))
    model = Classifier(*classes)
    made = registered(other, model, sample)
    assert made.card.signature.features[0].nullable
    assert [feature.kind for feature in made.card.signature.features] == ["float", "str", "int", "bool"]
    assert made.card.signature.classes == classes
    assert [type(each) for each in made.card.signature.classes or ()] == [type(each) for each in classes]
    assert ask(other, made, ROWS) == model.predict(ROWS)


def test_classes_are_known_without_a_sample(other: ForeignServer) -> None:
    """The other server names them; only that values may be missing is not told."""
    made = registered(other, Classifier("no", "yes"))
    assert made.card.signature.classes == ("no", "yes")
    assert ask(other, made, ROWS[:1]) == Classifier("no", "yes").predict(ROWS[:1])
    with pytest.raises(ModelFailed, match="'income' is missing"):
        ask(other, made, ROWS)


def test_a_value_that_is_not_known_yet_is_null_here_too(other: ForeignServer, tmp_path: Path) -> None:
    """As of a model that learns there."""
    sample = tmp_path / "sample.csv"
    sample.write_text(SAMPLE.format(1, 2))
    made = registered(other, Regression(), sample)
    assert ask(other, made, ROWS) == [Output(value=2.0), Output(value=None), Output(value=4.0)]


def test_a_shadow_that_cannot_answer_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process ends as one that cannot go on now: no event is to blame, and the requests wait for it."""

    def load(_: VersionId) -> None:
        raise ModelFailed("remote staging/credit: the server 'staging' did not answer within 2 s")

    monkeypatch.setattr(reader, "loader", lambda *_: load)
    with pytest.raises(Unavailable, match=r"credit@1 cannot answer now: remote staging/credit: the server 'staging' did not answer"):
        reader._answering(home.create(Settings(home=str(tmp_path))), VersionId("credit", 1))


def test_a_wrong_setting_is_told_before_a_home_is_opened(tmp_path: Path) -> None:
    """By whatever opens one, and none is made."""
    with pytest.raises(Invalid, match=r"^TILTYARD_REMOTES: expected NAME=URL"):
        home.create(Settings(home=str(tmp_path / "home"), remotes="staging"))
    assert not (tmp_path / "home").exists()
