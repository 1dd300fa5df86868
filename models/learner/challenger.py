"""A fresh copy of a model that learns beside the old one after a drift, until it has learnt enough to stand for itself."""

from __future__ import annotations

from typing import Any

from core.values import Value
from models.failure import reason
from models.learner.river_model import RiverModel


class Challenger:
    """At most one learns at a time; those that have learnt `enough` labels learn no more and wait to be handed out."""

    def __init__(self, enough: int) -> None:
        self._enough = enough
        self._grown: list[Any] = []
        self._failed: str | None = None
        self._learning: RiverModel | None = None
        self._labels = 0

    def __getstate__(self) -> dict[str, Any]:
        # What teaches a model is made of functions, which are no state.
        return {**self.__dict__, "_learning": None if self._learning is None else self._learning.model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._learning = None if state["_learning"] is None else RiverModel(state["_learning"])

    def begin(self, model: Any) -> None:
        """Take `model` over and teach it from now on, in the place of one that was learning."""
        self._learning = RiverModel(model)
        self._labels = 0
        self._failed = None

    def learn(self, x: dict[str, Value], truth: Any) -> None:
        """Teach one row to the one that learns. Where it raises it is dropped, with its reason."""
        if self._learning is None:
            return
        try:
            self._learning.learn(x, truth)
        except BaseException as error:  # whatever a model raises is its failure
            self._failed = reason(error, MemoryError)
            self.drop()
            return
        self._labels += 1
        if self._labels >= self._enough:
            self._grown.append(self._learning.model)
            self.drop()

    def drop(self) -> None:
        """Teach none any more."""
        self._learning = None
        self._labels = 0

    def hand_out(self) -> Any | None:
        """The first of those that have learnt enough, once; None where there is none."""
        return self._grown.pop(0) if self._grown else None

    def describe(self) -> dict[str, Any]:
        """`learning`, the `labels` it has learnt `of` how many, and why the last one `failed` or None."""
        return {"learning": self._learning is not None, "labels": self._labels, "of": self._enough, "failed": self._failed}
