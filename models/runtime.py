"""The protocol of runtimes, and the one place where what a model answered becomes outputs or a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from math import isfinite
from statistics import median
from time import perf_counter
from typing import Any, Protocol

from core.errors import ModelFailed
from core.values import Label, Output, Row
from models.signature import Signature

BATCH = 1000
"""Rows handed over at once where a whole sample is predicted: distances to all neighbours fit into memory."""


class Runtime(Protocol):
    """Something that answers rows, given in the order of its version's signature."""

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """One output per row; raises ModelFailed when the model raises or answers something unusable."""


class Answers:
    """Turns a model's raw answers into outputs: the right number of them, finite, labels of the classes' own types."""

    __slots__ = ("_keys", "_labels")

    def __init__(self, signature: Signature) -> None:
        classes = signature.classes or ()
        self._labels: dict[Any, Label] = {label: label for label in classes}
        self._keys = tuple(map(str, classes))

    def values(self, values: list[float], count: int) -> list[Output]:
        """Outputs of a regression; raises ModelFailed on a wrong count or a value that is not finite."""
        _check(values, count)
        return [Output(value=value) for value in values]

    def labels(self, labels: list[Any], probabilities: list[list[float]] | None, count: int) -> list[Output]:
        """Outputs of a classification; `probabilities` has one list per row, in class order.

        1, 1.0 and True are one key of a dict, so a graph that answers 1 for the class True is answered as True. Raises
        ModelFailed on a wrong count, a label that is no class, or a probability that is not finite.
        """
        try:
            own = list(map(self._labels.__getitem__, labels)) if self._labels else labels
        except (KeyError, TypeError):
            raise ModelFailed(f"the model answered a label that is none of its classes: {str(labels)[:60]}") from None
        if len(own) != count:
            raise ModelFailed(f"the model answered {len(own)} labels for {count} rows")
        if probabilities is None:
            return [Output(label=label) for label in own]
        _check(list(chain.from_iterable(probabilities)), count * len(self._keys))
        keys = self._keys
        return [Output(label=label, probabilities=dict(zip(keys, row, strict=True))) for label, row in zip(own, probabilities, strict=True)]


def _check(numbers: list[float], count: int) -> None:
    if len(numbers) != count:
        raise ModelFailed(f"the model answered {len(numbers)} numbers where {count} were expected")
    # The sum is finite wherever each number is, but for huge ones: only then they are looked at one by one.
    if not isfinite(sum(numbers)) and not all(map(isfinite, numbers)):
        raise ModelFailed("the model answered a number that is not finite")


def said(error: BaseException) -> str:
    """The first 300 characters of what `error` says, in one line and as text that can be sent."""
    return " ".join(str(error).encode(errors="replace").decode().split())[:300]


def whole(runtime: Runtime, rows: Sequence[Row]) -> list[Output]:
    """The outputs of any number of rows, predicted in batches."""
    return [output for batch in _batches(rows) for output in runtime.predict(batch)]


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def seconds_per_row(runtime: Runtime, row: Row, *, budget: float = 0.05, timer: Callable[[], float] = perf_counter) -> float:
    """The median time of predicting `row` alone, in seconds: up to 50 runs within `budget` seconds, at least 3.

    The first runs of a session are slow and not counted. In a process that serves meanwhile `timer` is that of the thread's own work: else
    the time of others would count.
    """
    for _ in range(3):
        runtime.predict([row])
    times: list[float] = []
    until = perf_counter() + budget
    while len(times) < 3 or (len(times) < 50 and perf_counter() < until):
        before = timer()
        runtime.predict([row])
        times.append(timer() - before)
    return median(times)
