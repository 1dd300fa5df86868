"""The one place where raw answers become outputs, and what both runtimes refuse."""

from __future__ import annotations

import math
import subprocess
import sys
import timeit

import numpy as np
import pytest

from core.errors import ModelFailed, Rejected
from core.values import Output
from models.onnx_runtime import OnnxRuntime
from models.runtime import BATCH, Answers, seconds_per_row, whole
from models.signature import Feature, Signature, numbered, unseen
from models.sklearn_runtime import SklearnRuntime
from tests.models.model_zoo import data

REGRESSION = Signature(unseen(("x",)), "regression")


def classification(*classes):
    return Answers(Signature(unseen(("x",)), "classification", classes))


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], [1.0, math.nan], [1.0, math.inf], [-math.inf, math.inf]])
def test_unusable_values_are_failures(values):
    """A regression answers as many finite values as there are rows."""
    with pytest.raises(ModelFailed):
        Answers(REGRESSION).values(values, 2)


def test_huge_values_are_values():
    """Finite numbers whose sum is not finite pass."""
    assert [output.value for output in Answers(REGRESSION).values([1e308, 1e308], 2)] == [1e308, 1e308]


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        ([0, 1, 1], None),
        ([0, 2], None),
        ([0, [1]], None),
        ([0, 1], [[0.5, 0.5]]),
        ([0, 1], [[0.5, 0.5], [1.0]]),
        ([0, 1], [[0.5, 0.5], [math.nan, 0.5]]),
    ],
)
def test_unusable_labels_are_failures(labels, probabilities):
    """A classification answers one of its classes per row, and a finite probability per class."""
    with pytest.raises(ModelFailed):
        classification(0, 1).labels(labels, probabilities, 2)


@pytest.mark.parametrize("classes", [(False, True), (0.0, 1.0), (0, 1)])
def test_labels_become_the_classes_own(classes):
    """A graph answers integers; the client gets the class."""
    (output,) = classification(*classes).labels([1], [[0.25, 0.75]], 1)
    assert output.label is classes[1]
    assert output.probabilities == {str(classes[0]): 0.25, str(classes[1]): 0.75}


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), ValueError("half a pair: \ud800")])
def test_whatever_a_model_raises_is_its_failure(error):
    """Also what would end the process, and what cannot be sent as text."""

    class Raises:
        def predict(self, rows):
            raise error

    runtime = SklearnRuntime(Raises(), REGRESSION, "frame")
    with pytest.raises(ModelFailed) as caught:
        runtime.predict([(1.0,)])
    caught.value.message.encode()


def test_large_samples_are_predicted_in_batches():
    """A model of distances to all rows never sees more than a batch of them."""
    sizes = []

    class Counting:
        def predict(self, rows):
            sizes.append(len(rows))
            return [Output(value=float(row[0])) for row in rows]

    outputs = whole(Counting(), [(index,) for index in range(2 * BATCH + 1)])
    assert sizes == [BATCH, BATCH, 1]
    assert outputs[-1].value == 2 * BATCH


def test_time_is_measured_of_one_row():
    """The median over several runs, of a row alone."""

    class Slow:
        calls = 0

        def predict(self, rows):
            self.calls += 1
            return [Output(value=float(sum(range(20000))))]

    runtime = Slow()
    assert 1e-6 < seconds_per_row(runtime, (1.0,)) < 1.0
    assert runtime.calls >= 6


def test_bytes_that_are_no_graph_are_rejected():
    """With onnxruntime's own words."""
    with pytest.raises(Rejected, match="onnxruntime cannot load the graph"):
        OnnxRuntime(b"no graph", REGRESSION)


def test_a_graph_is_refused_where_its_inputs_are_not_the_signatures(register):
    """The signature of another model does not fit."""
    package = register("columns")
    with pytest.raises(Rejected, match=r"the graph takes \d+ inputs, the signature has 1 features"):
        OnnxRuntime(package.blobs["artefact"], REGRESSION)


def test_text_for_a_number_is_the_models_failure(register):
    """A value that cannot be converted raises ModelFailed and not what numpy raises."""
    package = register("poisson")
    with pytest.raises(ModelFailed, match="could not convert"):
        OnnxRuntime(package.blobs["artefact"], package.card.signature).predict([["x"] * 10])


def test_compiled_answers_add_little_to_the_session(register):
    """One row of 30 numbers costs at most 20 µs beyond the session's own run (5 µs measured; 60 allowed on a busy machine)."""
    package = register("forest")
    runtime = OnnxRuntime(package.blobs["artefact"], package.card.signature)
    matrix = data("cancer").features.to_numpy()[:1]
    row = matrix[0].tolist()
    feed = {runtime._session.get_inputs()[0].name: np.ascontiguousarray(matrix)}
    # Short enough that of so many some are not interrupted.
    alone = min(timeit.repeat(lambda: runtime._session.run(runtime._outputs, feed), number=10, repeat=200))
    together = min(timeit.repeat(lambda: runtime.predict([row]), number=10, repeat=200))
    assert (together - alone) / 10 < 60e-6


LIGHT = """
import sys
import models.onnx_runtime, models.package, models.pool, models.inputs, pathlib, msgspec
from models.card import Card
card = msgspec.json.decode(pathlib.Path(sys.argv[1], "card.json").read_bytes(), type=Card)
loaded = models.package.load(card, lambda digest: pathlib.Path(sys.argv[1], digest).read_bytes())
loaded.predict([loaded.card.signature.blank()])
heavy = {"sklearn", "skl2onnx", "onnx", "pandas", "pyarrow", "scipy", "skops", "joblib"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_serving_a_compiled_model_imports_no_training_library(register, tmp_path):
    """A worker that loads and asks a compiled model holds neither scikit-learn nor skl2onnx, onnx, pandas or pyarrow."""
    import msgspec

    package = register("forest")
    (tmp_path / "card.json").write_bytes(msgspec.json.encode(package.card))
    for role, content in package.blobs.items():
        (tmp_path / package.card.blobs[role]).write_bytes(content)
    done = subprocess.run([sys.executable, "-c", LIGHT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("value", "answer"), [(3, 3.0), (3.0, 3.0), (2**53 + 2, float(2**53 + 2))])
def test_whole_numbers_reach_integer_inputs(integer_graph, value, answer):
    """A graph that takes integers is handed 3 for 3.0, which another version of the endpoint may have made of it."""
    runtime = OnnxRuntime(integer_graph, Signature((Feature("n", "int"),), "regression"))
    assert runtime.predict([[value]])[0].value == answer


def test_a_fraction_for_an_integer_is_the_models_failure(integer_graph):
    """It is not cut off silently."""
    runtime = OnnxRuntime(integer_graph, Signature((Feature("n", "int"),), "regression"))
    with pytest.raises(ModelFailed, match=r"expected an integer, got 3\.5"):
        runtime.predict([[3.5]])


def test_features_without_names_are_numbered():
    """x0, x1, … as far as there are columns."""
    assert numbered(3) == ("x0", "x1", "x2")
