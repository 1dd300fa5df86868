"""Models of other servers are registered by asking them, on real data: what they take is told, what they answer is seen."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge

from core.errors import Invalid, ModelFailed, Rejected, TiltyardError
from core.values import Output
from models import package
from models.building import build
from models.package import Loaded, Package
from models.remote.description import Role
from models.remote.registering import LIVE, NO_SAMPLE
from models.remote.servers import NONE
from tests.models.remote.foreign_server import ForeignServer, Model, Request, http

Tensors = Mapping[str, tuple[str, list[int], list[Any]]]

IRIS = load_iris(as_frame=True).frame.sample(frac=1.0, random_state=1)
DIABETES = load_diabetes(as_frame=True).frame
SPECIES = IRIS.assign(target=IRIS["target"].map({0: "setosa", 1: "versicolor", 2: "virginica"}))
CLASSIFIER = LogisticRegression(max_iter=1000).fit(IRIS.drop(columns="target").to_numpy(), IRIS["target"])
REGRESSION = Ridge().fit(DIABETES.drop(columns="target").to_numpy(), DIABETES["target"])
TWO = IRIS[IRIS["target"] < 2]
BINARY = LogisticRegression().fit(TWO.drop(columns="target").to_numpy(), TWO["target"])


def matrix(inputs: list[dict[str, Any]]) -> np.ndarray:
    """The rows of a request, in one tensor or in one for each feature."""
    if len(inputs) == 1:
        return np.array(inputs[0]["data"]).reshape(inputs[0]["shape"])
    return np.column_stack([each["data"] for each in inputs])


def label_and_probabilities(inputs: list[dict[str, Any]]) -> Tensors:
    """As skl2onnx's graphs answer in Triton and in OpenVINO's server."""
    x = matrix(inputs)
    shares = CLASSIFIER.predict_proba(x)
    labels = CLASSIFIER.predict(x).tolist()
    return {"label": ("INT64", [len(x)], labels), "probabilities": ("FP32", list(shares.shape), shares.ravel().tolist())}


def predict_alone(inputs: list[dict[str, Any]]) -> Tensors:
    """As MLServer's scikit-learn runtime, which answers predict_proba only where it is asked for it."""
    x = matrix(inputs)
    return {"predict": ("INT64", [len(x), 1], [[label] for label in CLASSIFIER.predict(x).tolist()])}


def predict_both(inputs: list[dict[str, Any]]) -> Tensors:
    """The same, where both are asked for."""
    shares = CLASSIFIER.predict_proba(matrix(inputs))
    return {**predict_alone(inputs), "predict_proba": ("FP64", list(shares.shape), shares.tolist())}


def value(inputs: list[dict[str, Any]]) -> Tensors:
    """A regression."""
    x = matrix(inputs)
    return {"variable": ("FP32", [len(x), 1], REGRESSION.predict(x).tolist())}


def one_share(inputs: list[dict[str, Any]]) -> Tensors:
    """The probability of the second of two classes, as boosted trees answer it."""
    x = matrix(inputs)
    return {"output__0": ("FP32", [len(x)], BINARY.predict_proba(x)[:, 1].tolist())}


def shares_alone(inputs: list[dict[str, Any]]) -> Tensors:
    """Probabilities without a label."""
    return {"scores": label_and_probabilities(inputs)["probabilities"]}


MATRIX = [("float_input", "FP32", [-1, 4])]
WIDE = [("X", "FP64", [-1, 10])]
COLUMNS = [(name, "FP64", [-1, 1]) for name in IRIS.columns[:4]]


class Registry(NamedTuple):
    """Registers what the foreign server serves."""

    foreign: ForeignServer
    folder: Path

    def __call__(
        self,
        model: Callable[..., bytes],
        sample: pd.DataFrame | None = IRIS,
        outputs: Mapping[Role, str] | None = None,
        target: str | None = "target",
        **more: Any,
    ) -> Package:
        self.foreign.answer = model
        path = None
        if sample is not None:
            path = self.folder / "sample.csv"
            sample.to_csv(path, index=False)
        known = target if sample is not None else None
        return build(
            Path("remote:staging/credit"),
            sample=path,
            target=known,
            trust_pickle=False,
            remotes=self.foreign.remotes,
            remote_outputs=outputs or {},
            **more,
        )

    def refused(self, *given: Any, error: type[TiltyardError] = Rejected, **more: Any) -> str:
        """Why it is not registered."""
        with pytest.raises(error) as caught:
            self(*given, **more)
        return caught.value.message

    def load(self, made: Package) -> Loaded:
        """As a worker loads it."""
        blobs = {made.card.blobs[role]: content for role, content in made.blobs.items()}
        return package.load(made.card, blobs.__getitem__, self.foreign.remotes)


@pytest.fixture
def registry(foreign: ForeignServer, tmp_path: Path) -> Registry:
    """Of the foreign server."""
    return Registry(foreign, tmp_path)


def answers(registry: Registry, made: Package, row: list[float]) -> Output:
    """What a worker that has loaded it answers to a row."""
    loaded = registry.load(made)
    [output] = loaded.predict([row])
    loaded.served.runtime.settle()  # type: ignore[attr-defined]
    return output


@pytest.mark.parametrize("inputs", [MATRIX, COLUMNS, [("x", "FP64", [-1, -1])]], ids=["matrix", "columns", "matrix of any width"])
@pytest.mark.parametrize("species", [False, True])
def test_a_label_with_probabilities_is_read_as_such(registry: Registry, inputs: list[tuple[str, str, list[int]]], species: bool) -> None:
    """Label and probabilities go by their types and shapes, whatever they are called; classes are those of the target."""

    def model(given: list[dict[str, Any]]) -> Tensors:
        found = dict(label_and_probabilities(given))
        if species:
            names = ["setosa", "versicolor", "virginica"]
            found["label"] = ("BYTES", found["label"][1], [names[label] for label in found["label"][2]])
        return {"a": found["probabilities"], "b": found["label"]}

    made = registry(Model(inputs, model), SPECIES if species else IRIS)
    card = made.card
    assert (card.format, card.runtime, card.task, card.remote, card.source) == (
        "remote",
        "remote",
        "classification",
        "staging/credit",
        "remote:staging/credit",
    )
    assert card.signature.classes == (("setosa", "versicolor", "virginica") if species else (0, 1, 2))
    assert [(feature.name, feature.kind) for feature in card.signature.features] == [(name, "float") for name in IRIS.columns[:4]]
    assert card.profile is not None
    assert LIVE in card.notes
    row = IRIS.iloc[0, :4].tolist()
    expected = CLASSIFIER.predict_proba([row])[0]
    found = answers(registry, made, row)
    assert found.label == card.signature.classes[int(expected.argmax())]
    assert list(found.probabilities.values()) == pytest.approx(expected)
    assert "127.0.0.1" not in str(card) + str(made.blobs)


def test_a_regression(registry: Registry) -> None:
    """A single output of fractions is a value."""
    made = registry(Model(WIDE, value), DIABETES)
    assert (made.card.task, made.card.signature.classes) == ("regression", None)
    row = DIABETES.iloc[0, :10].tolist()
    assert answers(registry, made, row).value == pytest.approx(REGRESSION.predict([row])[0])


def test_a_server_that_tells_nothing_is_sent_one_matrix(registry: Registry) -> None:
    """As MLServer does; its single output of integers is a label, of any class."""
    made = registry(Model([], predict_alone))
    assert (made.card.task, made.card.signature.classes) == ("classification", None)
    assert "asks staging/credit: one matrix; label from 'predict'" in made.card.notes
    assert registry.foreign.requests[-1].body["inputs"][0]["name"] == "input-0"
    assert answers(registry, made, IRIS.iloc[0, :4].tolist()) == Output(label=int(CLASSIFIER.predict([IRIS.iloc[0, :4]])[0]))


def test_outputs_that_are_named_are_asked_for(registry: Registry) -> None:
    """MLServer answers probabilities only then."""
    made = registry(Model([], predict_both), outputs={"label": "predict", "probabilities": "predict_proba"})
    assert made.card.signature.classes == (0, 1, 2)
    assert registry.foreign.requests[-1].body["outputs"] == [{"name": "predict"}, {"name": "predict_proba"}]
    assert answers(registry, made, IRIS.iloc[0, :4].tolist()).probabilities is not msgspec.UNSET


def test_integers_are_values_where_the_truth_has_fractions(registry: Registry) -> None:
    """A regression may round what it answers."""

    def rounded(inputs: list[dict[str, Any]]) -> Tensors:
        return {"y": ("INT32", [len(matrix(inputs))], [round(each) for each in value(inputs)["variable"][2]])}

    fractions = DIABETES.assign(target=DIABETES["target"] + 0.5)
    assert registry(Model(WIDE, rounded), fractions).card.task == "regression"


def test_probabilities_alone_make_the_label(registry: Registry) -> None:
    """The most probable class of the target's."""
    made = registry(Model(MATRIX, shares_alone), SPECIES)
    row = IRIS.iloc[0, :4].tolist()
    names = ["setosa", "versicolor", "virginica"]
    assert answers(registry, made, row).label == names[int(CLASSIFIER.predict([row])[0])]
    assert "give a sample and its target" in registry.refused(Model(MATRIX, shares_alone), SPECIES.drop(columns="target"), target=None)


def test_one_column_can_be_said_to_be_a_probability(registry: Registry) -> None:
    """Of itself it is a value: nothing in the answer says otherwise."""
    assert registry(Model(MATRIX, one_share), TWO).card.task == "regression"
    made = registry(Model(MATRIX, one_share), TWO, outputs={"probabilities": "output__0"})
    row = TWO.iloc[0, :4].tolist()
    found = answers(registry, made, row)
    assert list(found.probabilities.values()) == pytest.approx(BINARY.predict_proba([row])[0])
    text = SPECIES[IRIS["target"] < 2]
    assert "the target holds no numbers" in registry.refused(Model(MATRIX, one_share), text)


def test_columns_in_another_order_than_the_classes_are_left_out(registry: Registry) -> None:
    """The labels of the sample show it: probabilities of the wrong classes are worse than none."""

    def turned(inputs: list[dict[str, Any]]) -> Tensors:
        shares = CLASSIFIER.predict_proba(matrix(inputs))[:, [1, 2, 0]]
        return {**label_and_probabilities(inputs), "probabilities": ("FP32", list(shares.shape), shares.tolist())}

    made = registry(Model(MATRIX, turned))
    assert any("do not stand for the classes in sorted order" in note for note in made.card.notes)
    assert answers(registry, made, IRIS.iloc[0, :4].tolist()).probabilities is msgspec.UNSET


def test_scores_that_are_no_probabilities_are_left_out(registry: Registry) -> None:
    """With a note; so are those of which nobody knows the classes."""

    def scores(inputs: list[dict[str, Any]]) -> Tensors:
        found = CLASSIFIER.decision_function(matrix(inputs))
        return {**label_and_probabilities(inputs), "probabilities": ("FP32", list(found.shape), found.tolist())}

    assert any("holds no probabilities" in note for note in registry(Model(MATRIX, scores)).card.notes)
    made = registry(Model(MATRIX, label_and_probabilities), target=None, sample=IRIS.drop(columns="target"))
    assert any("give a sample and its target" in note for note in made.card.notes)
    fewer = registry(Model(MATRIX, label_and_probabilities), TWO)
    assert any("has 3 columns, and there are 2 classes" in note for note in fewer.card.notes)


def test_without_a_sample_the_metadata_says_what_is_taken(registry: Registry) -> None:
    """Names, kinds and the number of columns; nothing is compared later, as the card says."""
    made = registry(Model(COLUMNS, label_and_probabilities), None)
    assert made.card.signature.names == tuple(IRIS.columns[:4])
    assert NO_SAMPLE in made.card.notes
    assert "golden" not in made.blobs
    made = registry(Model([("x", "FP32", [-1, 10])], value), None)
    assert made.card.signature.names == tuple(f"x{number}" for number in range(10))
    assert "give a sample" in registry.refused(Model([], predict_alone), None)


def test_a_model_that_takes_one_row_at_a_time(registry: Registry) -> None:
    """Is asked so, which the card notes; one that takes none says why."""
    served = Model(MATRIX, label_and_probabilities)

    def alone(request: Request, found: socket.socket) -> bytes:
        if request.method == "POST" and request.body["inputs"][0]["shape"][0] > 1:
            return http({"error": "batch-size must be <= 1"}, "400 Bad Request")
        return served(request, found)

    made = registry(alone, IRIS[:40])
    assert "asked one row at a time, since 25 at once failed: the server answered 400: batch-size must be <= 1" in made.card.notes
    assert made.card.profile is not None
    assert made.card.profile.rows == 40
    down = Model(MATRIX, lambda _: {})
    refusing = lambda request, found: down(request, found) if request.method == "GET" else http({"error": "down"}, "503 Busy")  # noqa: E731
    assert "the server answered 503: down, tried on its own sample" in registry.refused(refusing)


def test_what_the_sample_holds_must_be_what_the_inputs_take(registry: Registry) -> None:
    """Integers will do for fractions, and are then fractions; nothing else will, and missing values only where they can be sent."""
    whole = IRIS.round().astype(int)
    assert {feature.kind for feature in registry(Model(COLUMNS, label_and_probabilities), whole).card.signature.features} == {"float"}
    integers = [(name, "INT64", [-1]) for name, _, _ in COLUMNS]
    assert {feature.kind for feature in registry(Model(integers, label_and_probabilities), whole).card.signature.features} == {"int"}
    told = registry.refused(Model(integers, label_and_probabilities), error=Invalid)
    assert told == f"sample: column {IRIS.columns[0]!r} holds fractions, the model takes INT64"
    told = registry.refused(Model(COLUMNS, label_and_probabilities), IRIS.astype({IRIS.columns[1]: str}).replace("3.5", "x"), error=Invalid)
    assert "holds text, the model takes FP64" in told
    gaps = IRIS.copy()
    gaps.iloc[3, 2] = np.nan
    assert "has missing values" in registry.refused(Model(COLUMNS, label_and_probabilities), gaps, error=Invalid)
    assert "which the sample lacks" in registry.refused(Model(COLUMNS, label_and_probabilities), DIABETES, error=Invalid)
    assert "takes 4 columns" in registry.refused(Model(MATRIX, label_and_probabilities), DIABETES, error=Invalid)
    more = registry(Model(COLUMNS, label_and_probabilities), IRIS.assign(other=1.0))
    assert "columns of the sample that the model does not take: other" in more.card.notes


TWO_VALUES = Model(MATRIX, lambda inputs: {"a": ("FP32", [len(matrix(inputs))], [1.0] * len(matrix(inputs)))} | value_b(inputs))


def value_b(inputs: list[dict[str, Any]]) -> Tensors:
    """A second value."""
    return {"b": ("FP32", [len(matrix(inputs))], [2.0] * len(matrix(inputs)))}


def test_an_ambiguous_answer_is_refused_with_the_way_out(registry: Registry) -> None:
    """Nothing is guessed; where it is said, it is taken."""
    told = registry.refused(TWO_VALUES)
    assert "the model answers the outputs a (FP32, 1 a row), b (FP32, 1 a row)" in told
    assert "--remote-output label=NAME" in told
    assert registry(TWO_VALUES, outputs={"value": "b"}).card.task == "regression"
    assert "a value, or a label" in registry.refused(TWO_VALUES, outputs={"value": "b", "label": "a"})


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda _r, _s: http({"error": "unknown model"}, "404 Not Found"), "says of /v2/models/credit: 404: unknown model"),
        (lambda _r, _s: http(b"<html>"), "does not tell of the model by the V2 protocol"),
        (Model([("x", "FP128", [-1, 4])], value), "input 'x' takes 'FP128'"),
        (Model([("x", "FP32", [-1, 3, 4])], value), "has the shape [-1, 3, 4]"),
        (Model([("x", "FP32", [-1]), ("y", "FP32", [-1, 2])], value), "has the shape [-1, 2]"),
        (Model(MATRIX, lambda _: {}), "the model answers no outputs"),
        (Model(MATRIX, lambda inputs: {"x": ("INT64", [len(matrix(inputs)), 2], [1, 2] * len(matrix(inputs)))}), "several labels a row"),
        (Model(MATRIX, lambda inputs: {"x": ("FP8", [len(matrix(inputs))], [1] * len(matrix(inputs)))}), "of the datatype 'FP8'"),
    ],
)
def test_what_cannot_be_served_is_refused(registry: Registry, model: Callable[..., bytes], reason: str) -> None:
    """With its reason, and the reference that was to be registered."""
    told = registry.refused(model)
    assert reason in told
    assert told.startswith("remote:staging/credit: ")


def test_options_of_others_do_not_go_together(registry: Registry, tmp_path: Path) -> None:
    """A remote model does not learn here; a file has no outputs to name; a server must be one that is named."""
    assert "only a River model learns" in registry.refused(Model(MATRIX, label_and_probabilities), error=Invalid, learning="off")
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(Invalid, match="remote_output: only a model on another server"):
        build(tmp_path / "model.onnx", sample=None, target=None, trust_pickle=False, remote_outputs={"label": "x"})
    with pytest.raises(Rejected, match="remote:staging/credit: no remote server is called 'staging'"):
        build(Path("remote:staging/credit"), sample=None, target=None, trust_pickle=False, remotes=NONE)


def test_a_server_that_has_changed_its_model_is_found_out(registry: Registry) -> None:
    """The golden rows are asked again at each load, and answered otherwise."""
    made = registry(Model(WIDE, value), DIABETES)
    registry.load(made)

    def other(inputs: list[dict[str, Any]]) -> Tensors:
        return {"variable": ("FP32", [len(matrix(inputs))], (REGRESSION.predict(matrix(inputs)) + 1).tolist())}

    registry.foreign.answer = Model(WIDE, other)
    with pytest.raises(ModelFailed, match="golden row 0 differs"):
        registry.load(made)
    registry.foreign.answer = lambda _request, _socket: http({"error": "down"}, "503 Service Unavailable")
    with pytest.raises(ModelFailed, match="remote staging/credit: the server answered 503: down"):
        registry.load(made)


def test_loading_leaves_no_connection(registry: Registry) -> None:
    """What has loaded a version is another thread than those that ask it later."""
    made = registry(Model(WIDE, value), DIABETES)
    registry.foreign.requests.clear()
    before = registry.foreign.opened
    registry.load(made)
    assert registry.foreign.opened == before + 1
    assert len(registry.foreign.requests) > 16
