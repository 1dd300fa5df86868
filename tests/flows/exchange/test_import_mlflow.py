"""Directories that MLflow has written become versions; what is not theirs, or leads out of them, is refused."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
from onnx import load_model
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from skops import io as skops_io

from core.errors import Invalid, Malformed, Rejected
from flows.exchange import mlmodel
from models.signature import Feature
from tests.flows.exchange.exchange_world import WRITTEN, Exchange
from tests.models.bombs import pickled


def test_a_directory_of_scikit_learn(exchange: Exchange) -> None:
    """Its input example is the sample: signature, golden rows, parity. What MLflow says of it is kept; it answers as the model does."""
    made = exchange.take(WRITTEN / "frame", alias="champion")
    shown = exchange.shown(made.version)
    assert (shown["format"], shown["aliases"], shown["source"]) == ("linear", ["champion"], "model.skops")
    assert [feature["name"] for feature in shown["signature"]["features"]] == ["age", "bmi", "bp"]
    assert shown["about"]["tags"] == ["mlflow"]
    assert shown["about"]["parameters"] == {
        "mlflow.flavour": "sklearn",
        "mlflow.model_uuid": shown["about"]["parameters"]["mlflow.model_uuid"],
        "mlflow.mlflow_version": "3.17.2",
        "mlflow.utc_time_created": shown["about"]["parameters"]["mlflow.utc_time_created"],
        "metadata.team": "ward 7",
        "metadata.folds": 5,
    }
    assert made.notes[0].startswith("its input example of 5 rows served as the sample")
    rows = load_diabetes(as_frame=True).data[["age", "bmi", "bp"]]
    model = skops_io.load(WRITTEN / "frame" / "model.skops")
    answers = exchange.loaded(made.version).predict(rows.head(3).to_numpy().tolist())
    assert [one.value for one in answers] == pytest.approx(model.predict(rows.head(3)))


def test_a_directory_of_onnx_whose_tensors_are_in_another_file(exchange: Exchange) -> None:
    """MLflow writes large tensors beside the graph by default: they are taken into it. Columns have the names of the signature."""
    made = exchange.take(WRITTEN / "network")
    stored = exchange.stored(made.version)
    assert stored.card.signature.names == ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
    assert (stored.card.format, stored.card.signature.classes, len(stored.golden.rows)) == ("onnx", (0, 1, 2), 4)
    assert len(stored.artefact) > 1024 + (WRITTEN / "network" / "model.onnx").stat().st_size - 400
    assert exchange.loaded(made.version).predict([[5.1, 3.5, 1.4, 0.2]])[0].label in (0, 1, 2)


@pytest.mark.parametrize("kept", ["serving_input_path", None])
def test_without_an_example_the_one_for_serving_then_the_signature(exchange: Exchange, kept: str | None) -> None:
    """Names and kinds come from there; without rows there is nothing to compare."""
    path = exchange.written("network")
    info = {"serving_input_path": "serving_input_example.json"} if kept else None
    exchange.change(path, saved_input_example_info=info)
    stored = exchange.stored(exchange.take(path).version)
    assert stored.card.signature.names[0] == "sepal length (cm)"
    assert (stored.golden is not None) == bool(kept)


def test_a_sample_of_ones_own_comes_first(exchange: Exchange) -> None:
    """The example is not looked at."""
    load_diabetes(as_frame=True).frame.head(30).to_csv(exchange.folder / "s.csv", index=False)
    made = exchange.take(WRITTEN / "frame", sample=exchange.folder / "s.csv", target="target")
    assert exchange.shown(made.version)["profile"]["rows"] == 30
    assert not any("example" in note for note in made.notes)


@pytest.mark.parametrize("form", ["pickle", "cloudpickle", None])
def test_pickles_only_with_trust(exchange: Exchange, form: str | None) -> None:
    """Without it nothing is loaded; MLflow's first releases did not say which form it was."""
    path = exchange.written("frame", pickled_model="model.pkl", serialization_format=form)
    (path / "model.pkl").write_bytes(pickled(exchange.folder / "canary"))
    with pytest.raises(Rejected, match=r"--trust-pickle"):
        exchange.take(path)
    assert not (exchange.folder / "canary").exists()
    rows = load_diabetes(as_frame=True)
    (path / "model.pkl").write_bytes(pickle.dumps(Ridge().fit(rows.data[["age", "bmi", "bp"]], rows.target)))
    assert exchange.shown(exchange.take(path, trust_pickle=True).version)["format"] == "linear"


def test_the_directory_does_not_say_whom_to_trust(exchange: Exchange) -> None:
    """Types that MLmodel names as trusted are not, unless the operator's settings name them."""
    path = exchange.written("frame", skops_trusted_types=["tests.models.test_artefact.Custom"])
    from tests.models.test_artefact import Custom

    skops_io.dump(Custom().fit(None, None), path / "model.skops")
    with pytest.raises(Rejected, match=r"types that are not allowed: .*Custom"):
        exchange.take(path)


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        ("frame", "pickled_model", "../outside.skops", r"pickled_model: '\.\./outside\.skops' lies outside"),
        ("frame", "pickled_model", "/etc/passwd", "lies outside"),
        ("frame", "pickled_model", "link.skops", "lies outside"),
        ("frame", "pickled_model", "absent.skops", "has no file 'absent.skops'"),
        ("frame", "pickled_model", None, "expected the name of a file, got nothing"),
        ("frame", "pickled_model", ["a"], "expected the name of a file, got list"),
        ("frame", "pickled_model", "a\0b", r"'a\\x00b' cannot be the name of a file"),
        ("frame", "pickled_model", "n" * 5000, "'n{200}' cannot be the name of a file"),
        ("network", "data", "../outside.skops", "lies outside"),
    ],
)
def test_what_leads_out_of_the_directory_is_refused(exchange: Exchange, name: str, key: str, value: object, message: str) -> None:
    """By `..`, by an absolute path, by a link."""
    path = exchange.written(name, **{key: value})
    (exchange.folder / "outside.skops").write_bytes(b"x")
    (path / "link.skops").symlink_to(exchange.folder / "outside.skops")
    with pytest.raises(Rejected, match=message):
        exchange.take(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "absent.data", "link.data", "", "."])
def test_tensors_are_read_from_the_same_folder_only(exchange: Exchange, location: str) -> None:
    """Whatever the graph says."""
    path = exchange.written("network")
    (exchange.folder / "secret").write_bytes(bytes(2000))
    (path / "link.data").symlink_to(exchange.folder / "secret")
    model = load_model(path / "model.onnx", load_external_data=False)
    outside = next(tensor for tensor in model.graph.initializer if tensor.external_data)
    next(entry for entry in outside.external_data if entry.key == "location").value = location
    (path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Rejected, match="which is no file of the same folder"):
        exchange.take(path)


def doubled(opens: str, closes: str) -> str:
    """Anchors `a0` to `a11`, each of nine times the one before."""
    levels = [f"a{level}: &a{level} {opens}{', '.join([f'*a{level - 1}'] * 9)}{closes}" for level in range(1, 12)]
    return "\n".join(["a0: &a0 {x: 1}", *levels, ""])


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (None, Invalid, "No such file .*; expected a directory that MLflow has written"),
        ("a: [", Malformed, "not readable as YAML"),
        ("[1]", Malformed, "expected a mapping"),
        ("a: 1", Malformed, "expected flavors"),
        ("flavors: {pytorch: {}, python_function: {}}", Rejected, "its flavours are pytorch, python_function; sklearn and onnx"),
        ("flavors: !!python/object/apply:os.system ['touch canary']", Malformed, "not readable as YAML"),
        ("x" * (mlmodel.MOST_BYTES + 1), Rejected, "longer than"),
        ("2001-99-99: x", Malformed, "not readable as YAML: month must be in"),
        ("x: !!float ''", Malformed, "not readable as YAML"),
        (f"x: 1{':1' * 300}.5", Malformed, "a number is longer than 100 characters"),
        (f"flavors: {{? 0x{'f' * 9000} : x}}", Malformed, "a number is longer than 100 characters"),
        (doubled("[", "]") + "flavors: {sklearn: {pickled_model: *a11}}", Rejected, "expected the name of a file, got list"),
        (doubled("{<<: [", "]}") + "flavors: *a11", Malformed, "merge keys are not read"),
    ],
)
def test_what_mlflow_has_not_written(tmp_path: Path, text: str | None, kind: type[Exception], message: str) -> None:
    """No MLmodel, no YAML, a program in YAML, another flavour."""
    if text is not None:
        (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(kind, match=message):
        mlmodel.read(tmp_path)


@pytest.mark.parametrize("name", ["MLmodel", "requirements.txt"])
def test_what_says_what_is_there_lies_there(exchange: Exchange, name: str) -> None:
    """A link that leads elsewhere is not followed, nor a device read; one that stays in the directory is."""
    path = exchange.written("frame")
    (path / name).rename(path / "kept")
    (path / name).symlink_to("kept")
    mlmodel.read(path)
    (path / "kept").rename(exchange.folder / "kept")
    (path / name).unlink()
    (path / name).symlink_to(exchange.folder / "kept")
    with pytest.raises(Rejected, match=f"{name}: lies outside of the directory"):
        mlmodel.read(path)


def test_a_device_is_no_file(tmp_path: Path) -> None:
    """It would be read without end; a pipe would be waited for."""
    (tmp_path / "MLmodel").symlink_to("/dev/zero")
    with pytest.raises(Rejected, match="MLmodel: lies outside of the directory"):
        mlmodel.read(tmp_path)
    (tmp_path / "MLmodel").unlink()
    os.mkfifo(tmp_path / "MLmodel")
    with pytest.raises(Rejected, match="MLmodel: expected a file"):
        mlmodel.read(tmp_path)


@pytest.mark.parametrize(
    ("example", "columns"),
    [
        ({"columns": ["a", "b"], "data": [[1, "x"], [2.5, None]]}, {"a": [1, 2.5], "b": ["x", None]}),
        ({"dataframe_split": {"columns": ["a"], "data": [[1]]}}, {"a": [1]}),
        ({"inputs": {"a": [[1], [2]], "b": [3, 4]}}, {"a": [1, 2], "b": [3, 4]}),
        ([[1, 2], [3, 4]], {"p": [1, 3], "q": [2, 4]}),
        ({"data": [[1, 2]]}, {"p": [1], "q": [2]}),
        ([[1, 2, 3]], {"x0": [1], "x1": [2], "x2": [3]}),
        ([{"a": 1, "b": True}, {"a": 2, "b": False}], {"a": [1, 2], "b": [True, False]}),
        ([[1, 2], [3]], None),
        ([[[1]]], None),
        ([1, 2], None),
        ([], None),
        ({}, None),
        ("text", None),
        ({"a": [1, 2], "b": [3]}, None),
        ({"inputs": {"data": [[1], [2, 3]]}}, None),
    ],
)
def test_the_forms_of_examples(tmp_path: Path, example: object, columns: object) -> None:
    """Frames, matrices, named arrays and records are tables; others are none, and no error."""
    (tmp_path / "model.onnx").touch()
    (tmp_path / "example.json").write_text(json.dumps(example))
    signature = json.dumps([{"type": "double", "name": "p", "required": False}, {"type": "long", "name": "q"}])
    told = {"flavors": {"onnx": {"data": "model.onnx"}}, "signature": {"inputs": signature}}
    (tmp_path / "MLmodel").write_text(json.dumps({**told, "saved_input_example_info": {"artifact_path": "example.json"}}))
    found = mlmodel.read(tmp_path)
    assert (None if found.example is None else found.example.columns) == columns
    assert found.features == (Feature("p", "float", nullable=True), Feature("q", "int"))


def test_metadata_that_cannot_be_kept_is_named(exchange: Exchange) -> None:
    """A name with blanks, a text of pages, too many of them: the model is imported all the same."""
    many = {f"k{number}": number for number in range(300)}
    path = exchange.change(exchange.written("frame"), metadata={"a word": 1, "along": "x" * 501, **many})
    made = exchange.take(path)
    parameters = exchange.shown(made.version)["about"]["parameters"]
    assert (len(parameters), parameters["metadata.k0"]) == (200, 0)
    assert made.notes[1].startswith("cannot be parameters of a version and are left out: metadata.a word, metadata.along, metadata.k")


def test_releases_that_differ_are_told(exchange: Exchange) -> None:
    """Those that the directory asks for, in their minor release."""
    path = exchange.written("frame")
    (path / "requirements.txt").write_text("mlflow==2.0\nscikit-learn==1.2.2\nnumpy==1.26.0 ; python_version > '3'\npandas>=1\n")
    first, second = exchange.take(path).notes[1:]
    assert first.startswith("the directory asks for scikit-learn 1.2.2, here is ")
    assert second.startswith("the directory asks for numpy 1.26.0, here is ")
