"""Whether a model has come into a state that it cannot leave: tried on a few rows that the registered model can answer and learn."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from math import isfinite
from operator import lt
from typing import Any

from core.errors import ModelFailed
from core.values import Value
from models.failure import reason
from models.learner.river_model import Asked, RiverModel

_PASSED = 2


def check(asked: Asked) -> None:
    """Raises ModelFailed where a number that the model answered is not finite."""
    said, shares, score = asked
    if shares is not None:
        finite = isfinite(sum(shares.values()))
    elif isinstance(said, str):
        return
    else:
        finite = said is None or isfinite(said if score is None else score)
    if not finite:
        raise ModelFailed("the model answered a number that is not finite")


class Trial:
    """Tries models on `probes`, rows as River takes them. `fresh` gives an untouched copy of the registered model.

    A trial changes the model that is tried: it is one that nobody goes on with.
    """

    __slots__ = ("_fresh", "_probes")

    def __init__(self, fresh: Callable[[], Any], probes: Sequence[dict[str, Value]]) -> None:
        self._fresh = fresh
        self._probes = probes

    def is_lost(self, damaged: Any, pickled: bytes, truth: Any) -> bool:
        """Whether the model is to blame, and not the row that it has just failed at: it fails at the probes as well.

        `damaged`: the model as that row has left it; what still answers is not lost, and costs no copy. `pickled`: as it was before. A
        probe counts where the registered model comes further. `truth`: a label that was learnt before, None where there was none.
        """
        if _passes(_reached(damaged, self._probes, truth)):
            return False
        before = _reached(pickle.loads(pickled), self._probes, truth)  # noqa: S301 - our own, of this process
        return not _passes(before) and any(map(lt, before, _reached(self._fresh(), self._probes, truth)))


def _passes(reached: Sequence[int]) -> bool:
    return all(stage == _PASSED for stage in reached)


def _reached(model: Any, probes: Sequence[dict[str, Value]], truth: Any) -> list[int]:
    """How far the model comes with each of the probes: 0, it gives no answer; 1, it does; 2, it learns as well and answers again."""
    tried = RiverModel(model)
    return [_reach(tried, probe, truth) for probe in probes]


def _reach(model: RiverModel, probe: dict[str, Value], truth: Any) -> int:
    answered = 0
    try:
        check(model.ask(probe.copy()))
        answered = 1
        _learn(model, probe, truth)
    except BaseException as error:  # whatever a model raises is its failure
        reason(error, MemoryError)
        return answered
    return _PASSED


def _learn(model: RiverModel, probe: dict[str, Value], truth: Any) -> None:
    """Learn the probe, where a truth is known, and ask again; each time the model gets a row of its own, which it may change."""
    if truth is not None:
        model.learn(probe.copy(), truth)
        check(model.ask(probe.copy()))
