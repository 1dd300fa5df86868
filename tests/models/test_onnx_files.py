"""Registering ONNX files that others have exported."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest
import skl2onnx
from onnx import TensorProto
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

from core.errors import Rejected
from models.draft import UNCHECKED
from tests.models import onnx_graphs as graphs
from tests.models.model_zoo import data, fitted
from tests.models.workshop import reload


@pytest.mark.parametrize("sample", ["iris", None])
def test_an_onnx_file_serves_as_it_is(workshop, sample):
    """skl2onnx's own export, ZipMap included, answers as the estimator does."""
    model = fitted("logistic-classes")
    package = workshop.build(skl2onnx.to_onnx(model, np.zeros((1, 4), dtype=np.float32)), ".onnx", sample=sample)
    card = package.card
    assert (card.format, card.compiled, card.tolerance) == ("onnx", None, 1e-4)
    assert card.signature.classes == ("setosa", "versicolor", "virginica")
    assert card.signature.names == (tuple(data("iris").features) if sample else ("x0", "x1", "x2", "x3"))
    assert card.notes == (() if sample else (UNCHECKED,))
    (output,) = reload(package).predict([data("iris").given[100].tolist()])
    assert output.label == "virginica"
    assert list(output.probabilities.values()) == pytest.approx(model.predict_proba(data("iris").given[100:101])[0], abs=1e-4)


def test_an_onnx_file_of_columns_is_served_by_name(workshop):
    """The sample's columns are matched by the inputs' names; a missing text is an empty one."""
    path = workshop.folder / "sample.csv"
    path.write_text("city,age,more\nTurku,1.5,x\nÅbo,2,y\n,3,z\n", encoding="utf-8")
    package = workshop.build(graphs.columns(), ".onnx", sample=path, target=None)
    assert package.card.signature.names == ("age", "city")
    assert [output.value for output in reload(package).predict([[1.5, "Turku"], [2.0, "Åbo"], [3.0, None]])] == [101.5, 2.0, 10.0]


@pytest.mark.parametrize(
    ("model", "note"),
    [
        (graphs.anonymous(), "the graph does not name its classes, so their probabilities are left out"),
        (graphs.classifier(transform="NONE"), "the graph's scores are no probabilities and are left out"),
    ],
)
def test_scores_that_are_no_probabilities_are_left_out(workshop, model, note):
    """The label serves alone, and the card says why."""
    width = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    path = workshop.folder / "sample.csv"
    pd.DataFrame(np.eye(4)[:, :width], columns=list("abc")[:width]).to_csv(path, index=False)
    package = workshop.build(model, ".onnx", sample=path, target=None)
    assert package.card.notes == (note,)
    assert reload(package).predict([[0.0, 1.0, 0.0][:width]])[0].probabilities is msgspec.UNSET


def test_a_graph_with_data_elsewhere_is_refused(workshop):
    """Nothing is loaded, whatever the path."""
    model = graphs.linear()
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")
    with pytest.raises(Rejected, match=r"model\.onnx: the ONNX file keeps its tensor 'weights' in another file"):
        workshop.build(model, ".onnx")


def test_an_onnx_model_that_answers_nonsense_is_refused(workshop):
    """A value that is not finite on the sample."""
    path = workshop.folder / "sample.csv"
    path.write_text("a,b\n1e308,1e308\n", encoding="utf-8")
    with pytest.raises(Rejected, match=r"answered a number that is not finite, tried on its own sample"):
        workshop.build(graphs.linear(), ".onnx", sample=path, target=None)


def test_a_foreign_export_in_float64_is_compared_as_such(workshop):
    """Its golden rows may differ by 1e-9 only."""
    doubles = skl2onnx.convert_sklearn(fitted("ridge"), initial_types=[("X", DoubleTensorType([None, 10]))])
    floats = skl2onnx.convert_sklearn(fitted("ridge"), initial_types=[("X", FloatTensorType([None, 10]))])
    assert workshop.build(doubles, ".onnx", sample="diabetes").card.tolerance == 1e-9
    assert workshop.build(floats, ".onnx", sample="diabetes").card.tolerance == 1e-4
