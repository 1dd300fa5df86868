"""The river runtime: a River model answers row by row, of the features by name."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import msgspec

from core.errors import ModelFailed
from core.values import Output, Row
from models.failure import reason
from models.learner.river_model import RiverModel, row_reader
from models.signature import Signature

_LABELS = (str, int, float, bool, type(None))


class RiverRuntime:
    """A River model; what is missing in a row it never sees. A label or value of None: it has learnt too little yet to say."""

    __slots__ = ("_model", "_read")

    def __init__(self, model: Any, signature: Signature) -> None:
        """Raises Rejected where `model` is of no kind that can be served."""
        self._model = RiverModel(model)
        self._read = row_reader(signature)

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """One output per row; raises ModelFailed."""
        try:
            return [_usable(self._model.answer(self._read(row))) for row in rows]
        except ModelFailed:
            raise
        except BaseException as error:  # whatever a model raises is its failure
            raise ModelFailed(f"the model failed: {reason(error)}") from error


def _usable(output: Output) -> Output:
    """The output, a label that is numpy's as a plain one; raises ModelFailed where it cannot be sent."""
    if output.label is msgspec.UNSET:
        _check(output.value)
        return output
    if isinstance(output.probabilities, dict):
        _check(sum(output.probabilities.values()))
    if type(output.label) in _LABELS:
        _check(output.label)
        return output
    plain = getattr(output.label, "item", lambda: output.label)()
    if type(plain) not in _LABELS:
        raise ModelFailed(f"the model answered a {type(plain).__name__}; a label is text, a number or a boolean")
    return _usable(Output(label=plain, probabilities=output.probabilities))


def _check(number: Any) -> None:
    if isinstance(number, float) and not isfinite(number):
        raise ModelFailed("the model answered a number that is not finite")
