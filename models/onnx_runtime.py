"""The ONNX runtime: compiled models, served without scikit-learn in the process.

A graph takes one matrix of all features or one input per column, and answers a label (an integer or text), with
probabilities where it has them, or a value. `models.graph` brings a foreign graph into that form when it is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnxruntime

from core.errors import ModelFailed, Rejected
from core.values import Output, Row, Value
from models.runtime import Answers, said
from models.signature import Signature

# A model server tells nobody but its operators what it does.
onnxruntime.disable_telemetry_events()

Feed: TypeAlias = Callable[[Sequence[Row]], dict[str, Any]]

FLOATS = {"tensor(double)": np.float64, "tensor(float)": np.float32}
INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


class OnnxRuntime:
    """One session on one thread, safe to call from several threads at once."""

    __slots__ = ("_answers", "_feed", "_label", "_numbers", "_outputs", "_session")

    def __init__(self, graph: bytes, signature: Signature) -> None:
        """Raises Rejected when onnxruntime cannot load `graph`, or its inputs are not those of the signature."""
        try:
            self._session = onnxruntime.InferenceSession(graph, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises types of its own, none of them public
            raise Rejected(f"onnxruntime cannot load the graph: {said(error)}") from None
        self._answers = Answers(signature)
        self._feed = _feeder(self._session.get_inputs(), len(signature.features))
        outputs = {output.name: output.type for output in self._session.get_outputs()}
        self._numbers = next((name for name, kind in outputs.items() if kind in FLOATS), None)
        self._label = next((name for name, kind in outputs.items() if kind not in FLOATS), None)
        self._outputs = [name for name in (self._label, self._numbers) if name is not None]

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """One output per row; raises ModelFailed."""
        try:
            raw = self._session.run(self._outputs, self._feed(rows))
        except Exception as error:  # see above; numpy's ValueError and TypeError for values it cannot convert
            raise ModelFailed(f"the model failed: {said(error)}") from None
        if self._label is None:
            return self._answers.values(raw[0].ravel().tolist(), len(rows))
        return self._answers.labels(raw[0].ravel().tolist(), raw[1].tolist() if len(raw) > 1 else None, len(rows))


def _options() -> onnxruntime.SessionOptions:
    """One thread that never spins, and no memory kept for the largest batch ever seen."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    return options


def _feeder(inputs: Sequence[Any], count: int) -> Feed:
    """How rows become the session's inputs."""
    first = inputs[0]
    if len(inputs) == 1 and len(first.shape) == 2:
        return _matrix(first.name, first.type, count)
    if len(inputs) != count:
        raise Rejected(f"the graph takes {len(inputs)} inputs, the signature has {count} features")
    columns = [(one.name, _column(one.type), (-1, 1) if len(one.shape) == 2 else (-1,)) for one in inputs]

    def feed(rows: Sequence[Row]) -> dict[str, Any]:
        transposed = zip(*rows, strict=True)
        return {name: convert(values).reshape(shape) for (name, convert, shape), values in zip(columns, transposed, strict=True)}

    return feed


def _matrix(name: str, kind: str, count: int) -> Feed:
    """All features in one matrix."""
    if kind in FLOATS:
        number = FLOATS[kind]
        return lambda rows: {name: np.array(rows, dtype=number)}
    convert = _column(kind)
    return lambda rows: {name: convert([value for row in rows for value in row]).reshape(-1, count)}


def _column(kind: str) -> Callable[[Sequence[Value]], Any]:
    """How one column's values become an array; a missing number is NaN, a missing text empty."""
    if kind in FLOATS:
        return lambda values: np.array(values, dtype=FLOATS[kind])
    if kind in INTEGERS:
        return lambda values: np.array([_whole(value) for value in values], dtype=INTEGERS[kind])
    if kind == "tensor(string)":
        return lambda values: np.array(["" if value is None else value for value in values], dtype=object)
    if kind == "tensor(bool)":
        return lambda values: np.array(values, dtype=bool)
    raise Rejected(f"the graph takes {kind}; numbers, text and booleans can be served")


def _whole(value: Value) -> int:
    """An endpoint whose other version takes floats hands over 3.0 for 3; 3.5 is no integer."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"expected an integer, got {value}")
    return int(value)  # type: ignore[arg-type]
