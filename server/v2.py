"""The Open Inference Protocol V2 (JSON): tensors to rows, answers to tensors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from math import prod
from typing import Any

import msgspec

from core.errors import Invalid
from core.values import Output
from flows.predict import Answer, Ask

_DATATYPES = frozenset(("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"))


class Tensor(msgspec.Struct, frozen=True):
    """A named tensor; `data` is flat or nested, in row-major order."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class Infer(msgspec.Struct, frozen=True):
    """An inference request."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[dict[str, Any]] = []


class Inferred(msgspec.Struct, frozen=True, omit_defaults=True):
    """An inference response."""

    model_name: str
    model_version: str
    parameters: dict[str, Any]
    outputs: list[dict[str, Any]]
    id: str | None = None


def ask_of(request: Infer, names: Sequence[str], unit: str | None, forced: str | None, most_rows: int, keys: Collection[str] = ()) -> Ask:
    """One tensor per feature, or one matrix in the order of `names`; raises Invalid naming the tensor.

    `keys` are the keys of feature views: as names of a tensor they are as good as those of features.
    """
    given = request.parameters.get("unit", unit)
    if given is not None and not isinstance(given, str):
        raise Invalid(f"parameters.unit: expected a string, got {type(given).__name__}", field="parameters.unit")
    if not request.inputs:
        raise Invalid("inputs: expected at least one tensor", field="inputs")
    first = request.inputs[0]
    if len(request.inputs) == 1 and first.name not in names and first.name not in keys and len(first.shape) == 2:
        return Ask(given, None, _matrix(first, len(names), most_rows), forced)
    columns = {tensor.name: _column(tensor, most_rows) for tensor in request.inputs}
    if len(columns) < len(request.inputs):
        raise Invalid("inputs: expected each tensor once", field="inputs")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise Invalid(f"inputs: expected as many rows in every tensor, got {lengths}", field="inputs")
    rows = zip(*columns.values(), strict=True)
    return Ask(given, None, [dict(zip(columns, row, strict=True)) for row in rows], forced)


def answer_of(request_id: str | None, name: str, answer: Answer) -> Inferred:
    """The answer as tensors: `label` and `probabilities`, or `value`; null where a model has learnt too little yet to say.

    The classes of the probabilities are all that any row names, in order of appearance; what a row does not name has 0. What feature views
    tell of themselves is a JSON text, since a parameter can be no object.
    """
    parameters = {"prediction_id": answer.prediction_id, "arm": answer.arm, "plan": answer.plan}
    if answer.fallback:
        parameters["fallback"] = True
    if not answer.logged:
        parameters["logged"] = False
    if answer.features is not None:
        parameters["features"] = msgspec.json.encode(answer.features).decode()
    return Inferred(name, answer.model.rpartition("@")[2], parameters, _tensors(answer.predictions), request_id)


def _matrix(tensor: Tensor, width: int, most_rows: int) -> list[dict[str, Any] | list[Any]]:
    flat = _flat(tensor, most_rows * width)
    if tensor.shape[1] != width:
        raise Invalid(
            f"inputs.{tensor.name}: expected {width} columns, one per feature in order, got {tensor.shape[1]}",
            field=f"inputs.{tensor.name}",
        )
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def _column(tensor: Tensor, most_rows: int) -> list[Any]:
    if len(tensor.shape) not in (1, 2) or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
        raise Invalid(
            f"inputs.{tensor.name}: expected shape [n] or [n, 1] for one feature, got {tensor.shape}", field=f"inputs.{tensor.name}"
        )
    return _flat(tensor, most_rows)


def _flat(tensor: Tensor, most: int) -> list[Any]:
    field = f"inputs.{tensor.name}"
    if tensor.datatype not in _DATATYPES:
        raise Invalid(
            f"{field}.datatype: expected one of {', '.join(sorted(_DATATYPES))}, got {tensor.datatype[:20]!r}", field=f"{field}.datatype"
        )
    nested = tensor.data and isinstance(tensor.data[0], list)
    if nested and not all(isinstance(row, list) for row in tensor.data):
        raise Invalid(f"{field}.data: expected all flat or all nested", field=f"{field}.data")
    if nested and len({len(row) for row in tensor.data}) > 1:
        raise Invalid(f"{field}.data: expected rows of one length", field=f"{field}.data")
    flat = list(chain.from_iterable(tensor.data)) if nested else tensor.data
    if any(size < 0 for size in tensor.shape) or len(flat) != prod(tensor.shape):
        raise Invalid(f"{field}: expected {tensor.shape} values as its shape says, got {len(flat)}", field=field)
    if len(flat) > most:
        raise Invalid(f"{field}: expected at most {most} values, got {len(flat)}", field=field)
    return flat


def _tensors(outputs: Sequence[Output]) -> list[dict[str, Any]]:
    count, first = len(outputs), outputs[0]
    if first.label is msgspec.UNSET:
        return [{"name": "value", "shape": [count], "datatype": "FP64", "data": [one.value for one in outputs]}]
    tensors: list[dict[str, Any]] = [
        {"name": "label", "shape": [count], "datatype": _datatype([one.label for one in outputs]), "data": [one.label for one in outputs]}
    ]
    if first.probabilities is not msgspec.UNSET:
        given = [one.probabilities for one in outputs if one.probabilities is not msgspec.UNSET]
        classes = list(dict.fromkeys(chain.from_iterable(given)))
        data = [row.get(name, 0.0) for row in given for name in classes]
        shape = [count, len(classes)]
        tensors.append({"name": "probabilities", "shape": shape, "datatype": "FP64", "data": data, "parameters": {"classes": classes}})
    return tensors


def _datatype(labels: Sequence[object]) -> str:
    first = next((label for label in labels if label is not None), None)
    return {bool: "BOOL", int: "INT64", float: "FP64"}.get(type(first), "BYTES")
