"""The V2 protocol's JSON from the asking side: rows become tensors, the answer's tensors become columns of plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any

import msgspec

from core.errors import ModelFailed
from core.values import Row, Value
from models.remote.description import KINDS, Description, Input
from models.runtime import said
from models.signature import Kind


class Tensor(msgspec.Struct, frozen=True):
    """A tensor of an answer; `data` is flat or nested, in row-major order."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None

    @property
    def classes(self) -> list[str] | None:
        """The classes of its columns, where it names them, as a Tiltyard does."""
        found = (self.parameters or {}).get("classes")
        return list(map(str, found)) if isinstance(found, list) else None

    def rows(self, count: int) -> list[list[Any]]:
        """What it says of each of `count` rows; raises ModelFailed where its shape and its data are not those of so many."""
        flat = self.data
        while flat and type(flat[0]) is list:
            if not all(type(part) is list for part in flat):
                raise self._odd(count)
            flat = list(chain.from_iterable(flat))
        width = prod(self.shape[1:])
        if not self.shape or self.shape[0] != count or len(flat) != count * width or width < 1:
            raise self._odd(count)
        return [flat[start : start + width] for start in range(0, len(flat), width)]

    def column(self, count: int) -> list[Any]:
        """The one value that it has for each row; raises ModelFailed."""
        rows = self.rows(count)
        if rows and len(rows[0]) != 1:
            raise ModelFailed(f"output {self.name!r} has {len(rows[0])} values a row; expected one")
        return [row[0] for row in rows]

    def _odd(self, count: int) -> ModelFailed:
        return ModelFailed(
            f"output {self.name!r} does not answer {count} rows: its shape is {self.shape[:5]}, its data has {len(self.data)}"
        )


class _Inferred(msgspec.Struct, frozen=True):
    outputs: list[Tensor]
    id: str | None = None


_ANSWER = msgspec.json.Decoder(_Inferred)


def request(description: Description, rows: Sequence[Row], number: str) -> bytes:
    """The body of an inference request of that id; raises ModelFailed where a value is none that the input takes."""
    inputs = description.inputs
    if description.matrix:
        shape = [len(rows), len(rows[0])]
        tensors = [_tensor(description, inputs[0], shape, list(chain.from_iterable(rows)))]
    else:
        columns = zip(*rows, strict=True)
        tensors = [
            _tensor(description, each, [len(rows), 1] if each.two else [len(rows)], column)
            for each, column in zip(inputs, columns, strict=True)
        ]
    body: dict[str, Any] = {"id": number, "inputs": tensors}
    if description.ask:
        body["outputs"] = [{"name": name} for name in description.outputs.values()]
    return msgspec.json.encode(body)


def answer(body: bytes, number: str) -> dict[str, Tensor]:
    """The tensors of an answer by name; raises ModelFailed where it cannot be read, or answers another request."""
    try:
        found = _ANSWER.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ModelFailed(f"the answer is not that of the V2 protocol: {said(error)}") from None
    if found.id not in (None, "", number):
        raise ModelFailed("the answer is that of another request")
    return {tensor.name: tensor for tensor in found.outputs}


def _tensor(description: Description, each: Input, shape: list[int], values: Sequence[Value]) -> dict[str, Any]:
    convert = _CONVERT[KINDS[each.datatype]]
    try:
        data = [None if value is None else convert(value) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelFailed(f"input {each.name!r} takes {each.datatype}: {said(error)}") from None
    if None in data and not description.tiltyard:
        raise ModelFailed(f"input {each.name!r} cannot be told that a value is missing: V2 JSON has no number for it")
    return {"name": each.name, "shape": shape, "datatype": each.datatype, "data": data}


def _whole(value: Any) -> int:
    # An endpoint whose other version takes floats hands over 3.0 for 3; 3.5 is no integer.
    if int(value) != value:
        raise ValueError(f"expected an integer, got {value}")
    return int(value)


_CONVERT: Mapping[Kind, Callable[[Any], Value]] = {"float": float, "int": _whole, "bool": bool, "str": str}
