"""A foreign ONNX graph, audited and brought into the form that the runtime serves.

Only registration comes here: what is stored has passed, and a worker reads it without the `onnx` package.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.external_data_helper import load_external_data_for_model, uses_external_data

from core.errors import Rejected
from core.values import Label
from models.artefact import MOST_BYTES
from models.runtime import said
from models.signature import Feature, Kind, numbered

_KINDS: dict[int, Kind] = {
    TensorProto.FLOAT: "float",
    TensorProto.DOUBLE: "float",
    TensorProto.INT32: "int",
    TensorProto.INT64: "int",
    TensorProto.STRING: "str",
    TensorProto.BOOL: "bool",
}
_NUMBERS = {TensorProto.FLOAT, TensorProto.DOUBLE}
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Of operators that onnxruntime brings with it; it takes others from libraries, which are code."""
CLASSES = "classes"
"""The constant in which skl2onnx stores the classes."""
_CLASS_ATTRIBUTES = ("classlabels_int64s", "classlabels_strings", "classlabels_ints")


class Described(NamedTuple):
    """What a graph says of itself; `named` where its inputs are columns with names rather than one matrix."""

    features: tuple[Feature, ...]
    named: bool
    classifies: bool
    classes: tuple[Label, ...] | None


def parse(data: bytes) -> ModelProto:
    """The model in `data`; raises Rejected where it is none, fails ONNX's checker, or keeps data in other files."""
    model = _read(data)
    _audit(model)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker has several
        raise Rejected(f"not a valid ONNX file: {said(error)}") from None
    return model


def inline(file: Path) -> bytes | None:
    """The graph in `file` with what it keeps in other files of the same folder; None where it keeps nothing elsewhere.

    Raises Rejected where such a file lies in another folder, is none, or where all of it would be too much for one.
    """
    model = _read(file.read_bytes())
    outside = [tensor for tensor in _tensors(model) if uses_external_data(tensor)]
    if not outside:
        return None
    folder, total = file.parent.resolve(), 0
    for tensor in outside:
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        path = (folder / location).resolve()
        if path.parent != folder or not path.is_file():
            raise Rejected(f"{file.name}: the tensor {tensor.name!r} is in {location[:200]!r}, which is no file of the same folder")
        total += path.stat().st_size
    if total > MOST_BYTES:
        raise Rejected(f"{file.name}: with all of its tensors it has {total} bytes; at most {MOST_BYTES} can be registered")
    try:
        load_external_data_for_model(model, str(folder))
        data: bytes = model.SerializeToString()
    except Exception as error:  # onnx's, protobuf's
        raise Rejected(f"{file.name}: its tensors cannot be read: {said(error)}") from None
    return data


def _read(data: bytes) -> ModelProto:
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's
        raise Rejected(f"not a valid ONNX file: {said(error)}") from None


def _audit(model: ModelProto) -> None:
    """Raises Rejected where anything but this file would be read or run; comes before the checker, which would look for the file."""
    outside = next((tensor.name for tensor in _tensors(model) if uses_external_data(tensor)), None)
    if outside is not None:
        raise Rejected(f"the ONNX file keeps its tensor {outside!r} in another file; save it with the data inside")
    foreign = {node.domain for node in _nodes(model)} - _DOMAINS - {function.domain for function in model.functions}
    if foreign:
        raise Rejected(f"the graph uses operators of {min(foreign)!r}, which onnxruntime does not bring with it")


def without_zipmap(model: ModelProto) -> tuple[Label, ...] | None:
    """Replaces, in place, a ZipMap at the end by the matrix it reads; returns the classes that it named."""
    outputs = {output.name: output for output in model.graph.output}
    for node in model.graph.node:
        if node.op_type == "ZipMap" and node.output[0] in outputs:
            output = outputs[node.output[0]]
            classes = _classes_of(node)
            output.CopyFrom(onnx.helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, [None, len(classes or ())]))
            model.graph.node.remove(node)
            return classes
    return None


def describe(model: ModelProto) -> Described:
    """Features, task and classes of a graph, its ZipMap removed in place. Raises Rejected where it cannot be served."""
    classes = without_zipmap(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    features, named = _features([one for one in model.graph.input if one.name not in constants])
    classifies = _classifies(model.graph)
    return Described(features, named, classifies, (classes or _classes(model.graph)) if classifies else None)


def only_label(model: ModelProto) -> None:
    """Leaves, in place, the label as the graph's only output."""
    for output in [one for one in model.graph.output if one.type.tensor_type.elem_type in _NUMBERS]:
        model.graph.output.remove(output)


def is_double(model: ModelProto) -> bool:
    """Whether all of the numbers that go in and out are float64."""
    ends = [*model.graph.input, *model.graph.output]
    return TensorProto.FLOAT not in {end.type.tensor_type.elem_type for end in ends}


def with_classes(data: bytes, classes: Sequence[Label]) -> bytes:
    """The graph, naming its classes as skl2onnx does where it does not name them by itself."""
    model = _read(data)
    if _classes(model.graph) is None:
        model.graph.initializer.append(numpy_helper.from_array(tensor_of(classes), CLASSES))
    named: bytes = model.SerializeToString()
    return named


def tensor_of(classes: Sequence[Label]) -> Any:
    """Labels as a tensor that the runtime understands; whole numbers as integers, whatever type they had. Raises Rejected."""
    if all(isinstance(label, str) for label in classes):
        return np.array(classes, dtype=object)
    if all(isinstance(label, bool) for label in classes):
        return np.array(classes, dtype=bool)
    if all(isinstance(label, int | float) and float(label).is_integer() for label in classes):
        return np.array([int(label) for label in classes], dtype=np.int64)
    raise Rejected(f"its labels {list(classes)[:5]} cannot be those of an ONNX graph: expected whole numbers, texts or truth values")


def _features(inputs: list[Any]) -> tuple[tuple[Feature, ...], bool]:
    kinds: list[Kind] = []
    for one in inputs:
        kind = _KINDS.get(one.type.tensor_type.elem_type)
        dims = one.type.tensor_type.shape.dim
        if kind is None or len(dims) not in (1, 2):
            raise Rejected(f"the graph's input {one.name!r} is not a matrix or a column of numbers, text or booleans")
        if dims[0].HasField("dim_value"):
            raise Rejected(f"the graph's input {one.name!r} takes exactly {dims[0].dim_value} rows; export it for any number of rows")
        kinds.append(kind)
    widths = [_width(one) for one in inputs]
    if len(inputs) == 1 and widths[0] != 1:
        if widths[0] is None:
            raise Rejected(f"the graph does not say how many columns its input {inputs[0].name!r} has; export it with a fixed number")
        return tuple(Feature(name, kinds[0]) for name in numbered(widths[0])), False
    if not inputs or any(width != 1 for width in widths):
        raise Rejected("the graph takes several matrices; expected one matrix, or one input per column")
    return tuple(Feature(one.name, kind) for one, kind in zip(inputs, kinds, strict=True)), True


def _width(one: Any) -> int | None:
    """The number of columns of an input, None where the graph leaves it open."""
    dims = one.type.tensor_type.shape.dim
    if len(dims) == 1:
        return 1
    return dims[1].dim_value if dims[1].HasField("dim_value") else None


def _classifies(graph: GraphProto) -> bool:
    types = [output.type.tensor_type.elem_type for output in graph.output]
    numbers = [kind for kind in types if kind in _NUMBERS]
    labels = [kind for kind in types if kind in _KINDS and kind not in _NUMBERS]
    if len(numbers) + len(labels) == len(types):
        if len(labels) == 1 and len(numbers) <= 1:
            return True
        dims = graph.output[0].type.tensor_type.shape.dim
        if len(numbers) == 1 and not labels and (len(dims) < 2 or not dims[1].HasField("dim_value") or dims[1].dim_value == 1):
            return False
    found = ", ".join(output.name for output in graph.output)
    raise Rejected(f"the graph answers {found}; expected a label and its probabilities, a label, or one value per row")


def _classes(graph: GraphProto) -> tuple[Label, ...] | None:
    """The classes that the last classifier names, or that skl2onnx stored as the constant `classes`."""
    for node in reversed(graph.node):
        found = _classes_of(node)
        if found:
            return found
    for tensor in graph.initializer:
        if tensor.name == CLASSES:
            values = numpy_helper.to_array(tensor).tolist()
            return tuple(value.decode() if isinstance(value, bytes) else value for value in values)
    return None


def _classes_of(node: NodeProto) -> tuple[Label, ...] | None:
    for attribute in node.attribute:
        if attribute.name in _CLASS_ATTRIBUTES:
            return tuple(attribute.ints) or tuple(text.decode() for text in attribute.strings) or None
    return None


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    graphs = [model.graph, *(graph for info in model.training_info for graph in (info.initialization, info.algorithm))]
    for graph in graphs:
        yield from _tensors_of(graph)
    for function in model.functions:
        for node in function.node:
            yield from _tensors_in(node)


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Every node, those in loops and branches and functions as well."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while nodes:
        node = nodes.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                nodes.extend(graph.node)


def _tensors_of(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_in(node)


def _tensors_in(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.type in (AttributeProto.TENSOR, AttributeProto.TENSORS):
            yield from (attribute.t, *attribute.tensors)
        if attribute.type in (AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS):
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            for graph in (attribute.g, *attribute.graphs):
                yield from _tensors_of(graph)
