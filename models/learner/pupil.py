"""A model that is taught, and that a row which it cannot take leaves no trace in."""

from __future__ import annotations

import pickle
from time import process_time
from typing import Any

from core.errors import ModelFailed
from core.values import Value
from models.failure import reason
from models.learner.river_model import Asked, RiverModel
from models.learner.trial import Trial, check

LARGEST = 1e100
"""Beyond it a number is not learnt: its square, and what is added up of squares, may be no finite number, and a model that has learnt it
may never answer again. Most models show that only when they learn the next row.
"""
LESSONS = 1000
"""So many lessons at least come between two pickles that nobody asked for."""
MOST_LESSONS = 50_000
"""And no more than so many are kept to be taught again."""
SHARE = 20
"""A pickle is renewed when the lessons since have taken so many times as long: it costs a twentieth at most."""


class Lost(ModelFailed):
    """The model fails at rows that the registered one takes: nothing that it is asked or taught will help it."""


class Pupil:
    """Teaches `model` row by row; `trial` says whether it is lost.

    A model that raises may have changed half of itself. Then it is restored: the last pickle is taught again what came since, being
    asked as well, since a model may change its state (that of its random numbers) while it is asked.
    """

    __slots__ = ("_began", "_model", "_pickled", "_seconds", "_since", "_trial")

    def __init__(self, model: Any, trial: Trial) -> None:
        """Takes `model` over; raises Rejected where it is of no kind that is served, ModelFailed where it cannot be pickled."""
        self._model = RiverModel(model)
        self._trial = trial
        self._since: list[tuple[dict[str, Value], Any]] = []
        self.dump()

    @property
    def model(self) -> Any:
        """The River object itself, after all that was learnt. Another one may take its place with the next lesson."""
        return self._model.model

    def take(self, x: dict[str, Value], truth: Any, usual: Any) -> Asked:
        """Ask for the answer, then teach the truth; `usual` is a truth that was learnt before, None where there was none.

        Raises ModelFailed with the reason where a number is beyond LARGEST, or where the model raises or answers a number that is not
        finite: it has not learnt the row then. Raises Lost where it cannot take the trial's rows either.
        """
        _check_size(x, truth)
        if len(self._since) >= MOST_LESSONS:
            raise ModelFailed(f"the model can no longer be pickled, and has learnt {MOST_LESSONS} rows since it could")
        kept = x.copy()  # as it is before the model has it
        try:
            asked = self._model.ask(x)
            check(asked)
            self._model.learn(x, truth)
        except BaseException as error:  # whatever a model raises is its failure
            raise self._failure(_reason(error), usual) from None
        self._since.append((kept, truth))
        if len(self._since) % LESSONS == 0:
            self._renew()
        return asked

    def dump(self) -> bytes:
        """The model as a pickle; raises ModelFailed where it cannot be pickled."""
        before = process_time()
        try:
            self._pickled = pickle.dumps(self._model.model, protocol=5)
        except BaseException as error:
            raise ModelFailed(f"the model cannot be pickled: {_reason(error)}") from error
        self._since = []
        self._began = process_time()
        self._seconds = self._began - before
        return self._pickled

    def _renew(self) -> None:
        if len(self._since) >= MOST_LESSONS or process_time() - self._began >= SHARE * self._seconds:
            self._try_dump()

    def _try_dump(self) -> None:
        """A new pickle; a model that has grown into what cannot be pickled goes on from the old one."""
        try:
            self.dump()
        except ModelFailed:
            return  # whoever asks for a dump is told

    def _failure(self, why: str, usual: Any) -> ModelFailed:
        damaged = self._model.model
        self._restore()
        return Lost(why) if self._trial.is_lost(damaged, self._pickled, usual) else ModelFailed(why)

    def _restore(self) -> None:
        model = RiverModel(pickle.loads(self._pickled))  # noqa: S301 - our own, of this process
        for x, truth in self._since:
            row = x.copy()
            model.ask(row)
            model.learn(row, truth)
        self._model = model
        if self._since:
            self._try_dump()


def _check_size(x: dict[str, Value], truth: Any) -> None:
    for name, value in x.items():
        if isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:
            raise _too_large(f"features.{name}")
    if truth.__class__ is float and not -LARGEST <= truth <= LARGEST:
        raise _too_large("label")


def _too_large(field: str) -> ModelFailed:
    return ModelFailed(f"{field}: expected a number between -{LARGEST:g} and {LARGEST:g} to learn from")


def _reason(error: BaseException) -> str:
    # How much memory there is does not follow from the journal: a learner without ends, and nothing is quarantined.
    return error.message if isinstance(error, ModelFailed) else reason(error, MemoryError)
