"""A linear model as an ONNX graph, for those who have no Tiltyard: its coefficients are served without any library here."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from models import graph
from models.linear import Linear
from models.signature import Signature

OPSETS = {"": 18}
IR = 10
"""Of 2024: what reads it need not be new."""


def linear_graph(artefact: bytes, signature: Signature) -> bytes:
    """The graph of the linear model `artefact`: a float64 matrix `X` → `value`, or `label` and `probabilities` in class order.

    Raises Rejected where its labels are of a kind that no tensor holds.
    """
    model = msgspec.json.decode(artefact, type=Linear)
    constants: dict[str, Any] = {
        "coefficients": np.array(model.coefficients, dtype=np.float64).T,
        "intercepts": np.array(model.intercepts, dtype=np.float64),
    }
    nodes, rows = [], "X"
    if model.shift:
        constants |= {"shift": np.array(model.shift), "scale": np.array(model.scale)}
        nodes += [helper.make_node("Sub", ["X", "shift"], ["shifted"]), helper.make_node("Div", ["shifted", "scale"], ["scaled"])]
        rows = "scaled"
    value = "value" if model.link == "identity" else "scores"
    nodes += [
        helper.make_node("MatMul", [rows, "coefficients"], ["products"]),
        helper.make_node("Add", ["products", "intercepts"], [value]),
    ]
    if model.link == "identity":
        outputs = [helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None, 1])]
    else:
        outputs = _classify(model, graph.tensor_of(signature.classes or ()), nodes, constants)
    inputs = [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, len(signature.features)])]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    body = helper.make_graph(nodes, "linear", inputs, outputs, weights)
    opsets = [helper.make_opsetid(domain, number) for domain, number in OPSETS.items()]
    data: bytes = helper.make_model(body, opset_imports=opsets, ir_version=IR, producer_name="tiltyard").SerializeToString()
    return data


def _classify(model: Linear, classes: Any, nodes: list[Any], constants: dict[str, Any]) -> list[Any]:
    """The nodes behind the scores. The label is the class of the highest score, and with two the second where the score is above 0."""
    constants["classes"] = classes
    if model.link == "logistic":
        constants |= {"zero": np.array(0.0), "axis": np.array([1])}
        nodes += [
            helper.make_node("Neg", ["scores"], ["opposite"]),
            helper.make_node("Sigmoid", ["opposite"], ["first"]),
            helper.make_node("Sigmoid", ["scores"], ["second"]),
            helper.make_node("Concat", ["first", "second"], ["probabilities"], axis=1),
            helper.make_node("Greater", ["scores", "zero"], ["above"]),
            helper.make_node("Squeeze", ["above", "axis"], ["flat"]),
            helper.make_node("Cast", ["flat"], ["place"], to=TensorProto.INT64),
        ]
    else:
        nodes += [
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["scores"], ["place"], axis=1, keepdims=0),
        ]
    nodes.append(helper.make_node("Gather", ["classes", "place"], ["label"]))
    kind = helper.np_dtype_to_tensor_dtype(classes.dtype)
    label = helper.make_tensor_value_info("label", kind, [None])
    return [label, helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, [None, len(classes)])]
