"""ONNX graphs of other tools: audited, understood, and brought into the form that is served."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from core.errors import Rejected
from models import graph
from models.onnx_runtime import OnnxRuntime
from models.signature import Feature, Signature
from tests.models import onnx_graphs as graphs


def external(tensor):
    """The tensor made to lie in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def in_a_branch():
    """External data inside of a subgraph's constant."""
    inner = helper.make_node("Constant", [], ["c"], value=external(graphs.linear().graph.initializer[0]))
    branch = helper.make_graph([inner], "branch", [], [helper.make_tensor_value_info("c", TensorProto.DOUBLE, [2, 1])])
    model = graphs.linear()
    model.graph.node.append(helper.make_node("If", ["flag"], ["out"], then_branch=branch, else_branch=branch))
    return model


def in_an_initializer():
    model = graphs.linear()
    external(model.graph.initializer[0])
    return model


@pytest.mark.parametrize("make", [in_an_initializer, in_a_branch])
def test_data_in_other_files_is_refused(make):
    """A graph may not make the server read a file, wherever it hides the reference."""
    with pytest.raises(Rejected, match="keeps its tensor 'weights' in another file"):
        graph.parse(make().SerializeToString())


@pytest.mark.parametrize("data", [b"garbage", graphs.linear().SerializeToString()[:-30], onnx.ModelProto().SerializeToString() + b"\x00"])
def test_what_is_no_graph_is_rejected(data):
    """Garbage and truncated files."""
    with pytest.raises(Rejected, match="not a valid ONNX file"):
        graph.parse(data)


def test_a_graph_that_fails_the_checker_is_rejected():
    """An operator that does not exist."""
    model = graphs.linear()
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(Rejected, match="NoSuchOperator"):
        graph.parse(model.SerializeToString())


def test_a_matrix_of_numbers_and_one_value():
    """The usual regression: features get numbers for names."""
    assert graph.describe(graphs.linear(3)) == graph.Described(
        (Feature("x0", "float"), Feature("x1", "float"), Feature("x2", "float")), named=False, classifies=False, classes=None
    )


def test_one_input_per_column():
    """The inputs' names are the features', with their types."""
    assert graph.describe(graphs.columns()) == graph.Described((Feature("age", "float"), Feature("city", "str")), True, False, None)


@pytest.mark.parametrize(
    ("zipmap", "named", "classes"), [(False, True, ("no", "yes")), (True, True, ("no", "yes")), (False, False, (0, 1))]
)
def test_classes_are_found_in_the_graph(zipmap, named, classes):
    """In a ZipMap or in the classifier itself."""
    described = graph.describe(graphs.classifier(zipmap=zipmap, named=named))
    assert (described.classifies, described.classes) == (True, classes)


def test_a_zipmap_becomes_a_matrix():
    """What skl2onnx puts at the end by default is taken off: the answers are the same."""
    model = graphs.classifier(zipmap=True)
    classes = graph.describe(model).classes
    onnx.checker.check_model(model)
    features = (Feature("x0", "float"), Feature("x1", "float"))
    runtime = OnnxRuntime(model.SerializeToString(), Signature(features, "classification", classes))
    (output,) = runtime.predict([[1.0, 3.0]])
    assert output.label == "yes"
    assert output.probabilities == pytest.approx({"no": 1 / (1 + np.exp(2)), "yes": 1 / (1 + np.exp(-2))}, abs=1e-6)


def test_classes_as_a_constant():
    """skl2onnx names no classes in its linear graphs in float64, but keeps them as a constant."""
    model = graphs.anonymous()
    assert graph.describe(model).classes is None
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([3, 5, 7]), "classes"))
    assert graph.describe(model).classes == (3, 5, 7)


def reshaped(**changes):
    """A regression whose ends are changed: `X` and `value` to (type, shape)."""
    model = graphs.linear()
    for end in (*model.graph.input, *model.graph.output):
        if end.name in changes:
            end.CopyFrom(helper.make_tensor_value_info(end.name, *changes[end.name]))
    return model


def two_matrices():
    model = graphs.linear()
    model.graph.input.append(helper.make_tensor_value_info("Z", TensorProto.DOUBLE, [None, 4]))
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: reshaped(X=(TensorProto.DOUBLE, [None, 3, 8, 8])), "input 'X' is not a matrix or a column"),
        (lambda: reshaped(X=(TensorProto.COMPLEX64, [None, 2])), "input 'X' is not a matrix or a column"),
        (lambda: reshaped(X=(TensorProto.DOUBLE, [1, 2])), "input 'X' takes exactly 1 rows"),
        (lambda: reshaped(X=(TensorProto.DOUBLE, [None, None])), "does not say how many columns its input 'X' has"),
        (two_matrices, "takes several matrices"),
        (lambda: reshaped(value=(TensorProto.DOUBLE, [None, 10])), "the graph answers value; expected a label and its probabilities"),
        (lambda: reshaped(value=(TensorProto.COMPLEX64, [None, 1])), "the graph answers value; expected"),
    ],
)
def test_graphs_that_cannot_be_served_say_why(make, message):
    """Images, fixed batches, unknown widths, several matrices, scores without labels."""
    with pytest.raises(Rejected, match=message):
        graph.describe(make())


def test_only_the_label_can_be_kept():
    """Scores that are no probabilities are taken out of the graph."""
    model = graphs.classifier()
    graph.only_label(model)
    assert [output.name for output in model.graph.output] == ["label"]


@pytest.mark.parametrize(
    ("model", "double"), [(graphs.linear(), True), (graphs.linear(kind=TensorProto.FLOAT), False), (graphs.columns(), False)]
)
def test_the_width_of_its_numbers(model, double):
    """A graph that takes or answers float32 is compared with float32's tolerance."""
    assert graph.is_double(model) is double
