"""Small ONNX graphs as other tools export them, built by hand."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

DOUBLE, FLOAT, INT64, STRING = TensorProto.DOUBLE, TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def model(nodes, inputs, outputs, constants=()) -> ModelProto:
    """A model of `nodes`; `inputs` and `outputs` are (name, type, shape), `constants` are (name, array)."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) if isinstance(one, tuple) else one for one in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def linear(width=2, kind=DOUBLE, rows=None) -> ModelProto:
    """value = the sum of `width` columns, for `rows` rows at a time (None: any number)."""
    weights = np.ones((width, 1), dtype=np.float64 if kind == DOUBLE else np.float32)
    node = helper.make_node("MatMul", ["X", "weights"], ["value"])
    return model([node], [("X", kind, [rows, width])], [("value", kind, [rows, 1])], [("weights", weights)])


def whole_numbers() -> ModelProto:
    """value = the only, integer feature."""
    return model([helper.make_node("Cast", ["n"], ["value"], to=DOUBLE)], [("n", INT64, [None, 1])], [("value", DOUBLE, [None, 1])])


def classifier(*, zipmap=False, named=True, transform="LOGISTIC") -> ModelProto:
    """Two classes `no` and `yes` of two columns, the score being their difference; `named`: the graph names its classes."""
    labels = {"classlabels_strings": ["no", "yes"]} if named else {"classlabels_ints": [0, 1]}
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["X"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=[1.0, -1.0, -1.0, 1.0],
            intercepts=[0.0, 0.0],
            post_transform=transform,
            **labels,
        )
    ]
    outputs = [("label", STRING if named else INT64, [None])]
    if zipmap:
        nodes.append(helper.make_node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", **labels))
        pairs = helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(FLOAT, []))
        outputs.append(helper.make_value_info("probabilities", helper.make_sequence_type_proto(pairs)))
    else:
        outputs.append(("scores", FLOAT, [None, 2]))
    return model(nodes, [("X", FLOAT, [None, 2])], outputs)


def anonymous() -> ModelProto:
    """A label and probabilities of classes that no node names."""
    nodes = [
        helper.make_node("Softmax", ["X"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["X"], ["label"], axis=1, keepdims=0),
    ]
    return model(nodes, [("X", DOUBLE, [None, 3])], [("label", INT64, [None]), ("probabilities", DOUBLE, [None, 3])])


def columns() -> ModelProto:
    """value = age, where city is "Turku" 100 more, where it is empty 7: one input per column, one of them text."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["city"],
            ["extra"],
            domain="ai.onnx.ml",
            keys_strings=["Turku", ""],
            values_floats=[100.0, 7.0],
            default_float=0.0,
        ),
        helper.make_node("Add", ["age", "extra"], ["value"]),
    ]
    return model(nodes, [("age", FLOAT, [None, 1]), ("city", STRING, [None, 1])], [("value", FLOAT, [None, 1])])
