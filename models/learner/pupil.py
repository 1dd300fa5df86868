"""A model that is taught, and that a row which it cannot take leaves no trace in."""

from __future__ import annotations

import pickle
from math import isfinite
from time import process_time
from typing import Any

from core.errors import ModelFailed
from core.values import Value
from models.learner.river_model import Asked, RiverModel
from models.runtime import said

LESSONS = 1000
"""So many lessons at least come between two pickles that nobody asked for."""
MOST_LESSONS = 50_000
"""And no more than so many are kept to be taught again."""
SHARE = 20
"""A pickle is renewed when the lessons since have taken so many times as long: it costs a twentieth at most."""


class Pupil:
    """Teaches `model` row by row.

    A model that raises may have changed half of itself. Then it is restored: the last pickle is taught again what came since, being
    asked as well, since a model may change its state (that of its random numbers) while it is asked.
    """

    __slots__ = ("_began", "_model", "_pickled", "_seconds", "_since")

    def __init__(self, model: Any) -> None:
        """Takes `model` over; raises Rejected where it is of no kind that is served, or whatever pickling it raises."""
        self._model = RiverModel(model)
        self._since: list[tuple[dict[str, Value], Any]] = []
        self.dump()

    @property
    def model(self) -> Any:
        """The River object itself, after all that was learnt. Another one may take its place with the next lesson."""
        return self._model.model

    def take(self, x: dict[str, Value], truth: Any) -> Asked:
        """Ask for the answer, then teach the truth.

        Raises ModelFailed with the reason where the model raises or answers a number that is not finite: it has not learnt the row then.
        """
        kept = x.copy()  # as it is before the model has it
        try:
            asked = self._model.ask(x)
            _check(asked)
            self._model.learn(x, truth)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # whatever a model raises is its failure
            self._restore()
            raise ModelFailed(_reason(error)) from None
        self._since.append((kept, truth))
        if len(self._since) % LESSONS == 0:
            self._renew()
        return asked

    def dump(self) -> bytes:
        """The model as a pickle."""
        before = process_time()
        self._pickled = pickle.dumps(self._model.model, protocol=5)
        self._since = []
        self._began = process_time()
        self._seconds = self._began - before
        return self._pickled

    def _renew(self) -> None:
        if len(self._since) >= MOST_LESSONS or process_time() - self._began >= SHARE * self._seconds:
            self.dump()

    def _restore(self) -> None:
        model = RiverModel(pickle.loads(self._pickled))  # noqa: S301 - our own, of this process
        for x, truth in self._since:
            model.ask(x)
            model.learn(x, truth)
        self._model = model
        if self._since:
            self.dump()


def _check(asked: Asked) -> None:
    said, shares, score = asked
    if shares is not None:
        finite = isfinite(sum(shares.values()))
    elif isinstance(said, str):
        return
    else:
        finite = said is None or isfinite(said if score is None else score)
    if not finite:
        raise ModelFailed("the model answered a number that is not finite")


def _reason(error: BaseException) -> str:
    return error.message if isinstance(error, ModelFailed) else f"{type(error).__name__}: {said(error)}"[:300]
