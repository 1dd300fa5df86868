"""What is exported is imported again and answers the same; MLflow itself has loaded these forms when they were made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from core.errors import Conflict, NotFound, Rejected
from models.linear import Linear, LinearRuntime
from models.linear_graph import linear_graph
from models.onnx_runtime import OnnxRuntime
from models.parity import SAME, largest
from models.signature import Signature, unseen
from tests.flows.exchange.exchange_world import Exchange

BOOSTERS = Path(__file__).parents[2] / "models" / "boosters"


@pytest.mark.parametrize(
    ("name", "flavour", "dtype"),
    [
        ("logistic", "onnx", "float64"),
        ("logistic-classes", "onnx", "float64"),
        ("ridge", "onnx", "float64"),
        ("forest-classes", "onnx", "float64"),
        ("svc", "onnx", "float32"),
        ("columns", "onnx", "float32"),
        ("one-hot", "onnx", "object"),
        ("calibrated", "sklearn", None),
        ("columns-missing", "sklearn", None),
        ("texts", "sklearn", "str"),
    ],
)
def test_there_and_back(exchange: Exchange, name: str, flavour: str, dtype: str | None) -> None:
    """On its golden rows, to the last digit that the form keeps; the inputs are declared as MLflow hands them over."""
    version = exchange.register(name)
    stored, path = exchange.stored(version), exchange.export(version)
    told = yaml.safe_load((path / "MLmodel").read_text())
    assert set(told["flavors"]) == {"python_function", flavour}
    inputs = msgspec.json.decode(told["signature"]["inputs"])
    assert inputs[0].get("tensor-spec", {}).get("dtype") == dtype
    back = exchange.take(path) if name != "texts" else exchange.take(path, sample=exchange.folder / "sample.csv", target="outcome")
    answers = exchange.loaded(back.version).predict(stored.golden.rows)
    assert largest(stored.golden.outputs, answers) <= stored.card.tolerance
    assert exchange.shown(back.version)["about"]["parameters"]["metadata.tiltyard"] == version


def test_requirements_name_the_captured_releases(exchange: Exchange) -> None:
    """In all three files; the Python release as well."""
    path = exchange.export(exchange.register("calibrated"))
    needed = (path / "requirements.txt").read_text().split()
    versions = exchange.stored("calibrated@1").card.versions
    assert needed == [*(f"{name}=={versions[name]}" for name in ("numpy", "scikit-learn", "skops")), "pandas", "mlflow"]
    assert yaml.safe_load((path / "conda.yaml").read_text())["dependencies"] == [f"python={versions['python']}", "pip", {"pip": needed}]
    assert yaml.safe_load((path / "python_env.yaml").read_text())["python"] == versions["python"]


def test_a_model_with_a_file_of_its_own(exchange: Exchange) -> None:
    """The file goes along as code that MLflow puts on the path, under the name that the pickle asks for."""
    own = exchange.folder / "own.py"
    own.write_text(
        "import numpy as np\nfrom sklearn.base import BaseEstimator, RegressorMixin\n"
        "class Own(RegressorMixin, BaseEstimator):\n"
        "    def fit(self, X, y):\n        self.n_features_in_ = X.shape[1]\n        return self\n"
        "    def predict(self, X):\n        return np.asarray(X)[:, 0] * 2.0\n"
        "def build():\n    return Own().fit(np.ones((2, 10)), [1, 2])\n"
    )
    version = exchange.register("ridge", path=own.with_name("own.py:build"))
    assert exchange.stored(version).card.format == "pickle"
    path = exchange.export(version)
    told = yaml.safe_load((path / "MLmodel").read_text())["flavors"]
    assert (told["sklearn"]["code"], told["python_function"]["code"], told["sklearn"]["serialization_format"]) == ("code", "code", "pickle")
    (code,) = (path / "code").iterdir()
    assert code.read_bytes() == own.read_bytes()
    assert code.name.startswith("tiltyard_code_")
    assert code.stem.encode() in (path / "model.pkl").read_bytes()


def test_the_folder_is_made_as_a_whole_or_not_at_all(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is overwritten, an empty folder is filled, and a failure in the middle leaves nothing."""
    version = exchange.register("ridge")
    exchange.out.mkdir()
    (exchange.out / "mine").touch()
    with pytest.raises(Conflict, match="exists, and is no empty folder"):
        exchange.export(version)
    (exchange.out / "mine").unlink()
    before = set(exchange.folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("flows.exchange.export_mlflow._about", lambda *_: {"a": b"x", "b": None})
        with pytest.raises(TypeError):
            exchange.export(version)
    assert set(exchange.folder.iterdir()) == before
    assert list(exchange.out.iterdir()) == []
    assert (exchange.export(version) / "MLmodel").exists()


def test_what_mlflow_cannot_load_is_refused(exchange: Exchange) -> None:
    """A River model and trees, with what to do instead; a model on another server; and a version that does not exist."""
    own = exchange.folder / "river.py"
    own.write_text("from river import linear_model\ndef build():\n    return linear_model.LinearRegression()\n")
    version = exchange.register("ridge", path=own.with_name("river.py:build"))
    with pytest.raises(Rejected, match=r"no flavour for what is served by river; `tiltyard model pull`"):
        exchange.export(version)
    with pytest.raises(Rejected, match=r"no flavour for what is served by treelite; `tiltyard model pull`"):
        exchange.export(exchange.register("trees", path=BOOSTERS / "values.ubj", rows=None))
    with pytest.raises(Rejected, match="its model is on another server, staging/credit, and not here"):
        exchange.export(exchange.moved(version))
    assert not exchange.out.exists()
    with pytest.raises(NotFound, match="no version ridge@7"):
        exchange.export("ridge@7")


def linear(link: str, classes: tuple[Any, ...] | None, scores: int, *, scaled: bool = True) -> tuple[bytes, Signature]:
    """A linear model of random coefficients on three features."""
    random = np.random.default_rng(scores)
    scale = ([0.5, -1.0, 3.0], [2.0, 0.1, 7.0]) if scaled else ([], [])
    model = Linear(*scale, random.normal(size=(scores, 3)).tolist(), random.normal(size=scores).tolist(), link)  # type: ignore[arg-type]
    task = "regression" if classes is None else "classification"
    return msgspec.json.encode(model), Signature(unseen(["a", "b", "c"]), task, classes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: linear("identity", None, 1),
        lambda: linear("identity", None, 1, scaled=False),
        lambda: linear("logistic", (0, 1), 1),
        lambda: linear("logistic", (False, True), 1),
        lambda: linear("logistic", (-1.0, 1.0), 1),
        lambda: linear("softmax", ("blå", "röd", "grön"), 3),
        lambda: linear("softmax", (3, 5, 7, 9), 4, scaled=False),
    ],
)
def test_a_linear_model_as_a_graph(make: Callable[[], tuple[bytes, Signature]]) -> None:
    """Label by label and digit by digit, far from 0 and at the border between two classes too."""
    data, signature = make()
    rows = [[0.0, 0.0, 0.0], [1e6, -1e6, 3.0], [-1e6, 1e6, 5.0], *np.random.default_rng(1).normal(size=(50, 3)).tolist()]
    graph = OnnxRuntime(linear_graph(data, signature), signature)
    assert largest(LinearRuntime(data, signature).predict(rows), graph.predict(rows)) <= SAME


def test_labels_that_no_tensor_holds() -> None:
    """Are named."""
    with pytest.raises(Rejected, match=r"its labels \[0\.5, 1\.5\]"):
        linear_graph(*linear("logistic", (0.5, 1.5), 1))
