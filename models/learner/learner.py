"""What a learner knows and does, lesson by lesson, without journal or store: so a replay of the same lessons comes to the same state."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

from core.errors import Invalid, ModelFailed
from core.values import Label, Output, Value
from models.learner import labels
from models.learner.challenger import Challenger
from models.learner.drift import Detector, loss_of
from models.learner.pupil import Pupil
from models.learner.scores import Scores
from models.learner.served import Served
from models.learner.settings import LearnerSettings, RiverCard
from models.runtime import said


class Lesson(NamedTuple):
    """One row whose label is known.

    `at` is the journal time of the label, `x` the row as River takes it, `place` the `endpoint/arm` that answered, "" for an example.
    `answered` is the output as it was served, None for an example. `taught`: else it is only scored.
    """

    at: float
    x: dict[str, Value]
    label: Label
    place: str
    answered: Output | None
    taught: bool


class _Kept:
    """All that a learner keeps beside the model itself."""

    def __init__(self, card: RiverCard, settings: LearnerSettings) -> None:
        self.labels = 0
        self.quarantined = 0
        self.challenger = Challenger(settings.fresh_labels)
        self.begin(card, settings)

    def begin(self, card: RiverCard, settings: LearnerSettings) -> None:
        """Scores and detector as if nothing had been learnt yet."""
        self.scores = Scores(card, settings)
        self.served = Served(card, settings)
        self.detector = Detector(card.kind, settings)


class Learner:
    """Learns lessons one after the other: ask, learn, score, look for drift, teach the challenger."""

    __slots__ = ("_card", "_fresh", "_kept", "_pupil", "_settings", "_truth")

    def __init__(self, card: RiverCard, settings: LearnerSettings, fresh: Callable[[], Any]) -> None:
        """`fresh` gives an untouched copy of the registered River object. Raises Invalid where the settings do not fit River."""
        self._set_up(card, settings, fresh, fresh(), _Kept(card, settings))

    @classmethod
    def load(cls, card: RiverCard, settings: LearnerSettings, fresh: Callable[[], Any], model: Any, state: bytes) -> Learner:
        """Goes on from what `dump` gave: `model` is its first part, unpickled, and `state` the second."""
        learner = cls.__new__(cls)
        learner._set_up(card, settings, fresh, model, pickle.loads(state))  # noqa: S301 - written by `dump`, from the store
        return learner

    def _set_up(self, card: RiverCard, settings: LearnerSettings, fresh: Callable[[], Any], model: Any, kept: _Kept) -> None:
        self._card = card
        self._settings = settings
        self._fresh = fresh
        self._truth = labels.reader(card)
        self._pupil = Pupil(model)
        self._kept = kept

    @property
    def labels(self) -> int:
        """How many rows were learnt."""
        return self._kept.labels

    @property
    def quarantined(self) -> int:
        """How many rows could not be learnt."""
        return self._kept.quarantined

    @property
    def model(self) -> Any:
        """The River object, as it is now."""
        return self._pupil.model

    def take(self, lesson: Lesson) -> str | None:
        """Learn and score one row; None, or why it is quarantined: then nothing but the count of such rows has changed."""
        try:
            truth = self._truth(lesson.label)
            if lesson.taught:
                self._teach(lesson, truth)
        except (Invalid, ModelFailed) as error:
            self._kept.quarantined += 1
            return said(error)
        if lesson.answered is not None:
            self._kept.served.add(lesson.place, truth, lesson.answered)
        return None

    def restore(self, model: Any) -> None:
        """Go on from `model`, which is taken over: scores and detector begin anew, a challenger is dropped, counts go on."""
        self._pupil = Pupil(model)
        self._kept.begin(self._card, self._settings)
        self._kept.challenger.drop()

    def grown(self) -> Any | None:
        """A challenger that has learnt enough, handed out once; None where there is none."""
        return self._kept.challenger.hand_out()

    def describe(self) -> dict[str, Any]:
        """All that is told of the learner, as JSON can carry it.

        `labels`, `quarantined`; `scores` and `rolling` by metric of the model asked before it learns; `served` by place the scores of
        the answers as served; `drift`: see `Detector.describe`, with `on_drift` and `challenger`.
        """
        kept = self._kept
        return {
            "labels": kept.labels,
            "quarantined": kept.quarantined,
            "scores": kept.scores.totals(),
            "rolling": kept.scores.rolling(),
            "served": kept.served.describe(),
            "drift": {**kept.detector.describe(), "on_drift": self._settings.on_drift, "challenger": kept.challenger.describe()},
        }

    def dump(self) -> tuple[bytes, bytes]:
        """The model, and all else that the learner needs to go on, both as pickles."""
        return self._pupil.dump(), pickle.dumps(self._kept, protocol=5)

    def _teach(self, lesson: Lesson, truth: Any) -> None:
        kept = self._kept
        asked = self._pupil.take(lesson.x, truth)
        kept.labels += 1
        kept.scores.add(truth, asked)
        loss = loss_of(self._card.kind, truth, asked)
        if loss is not None and kept.detector.update(loss, lesson.at, kept.labels):
            self._react()
        kept.challenger.learn(lesson.x, truth)

    def _react(self) -> None:
        if self._settings.on_drift == "reset":
            self._pupil = Pupil(self._fresh())
            self._kept.detector.renew(self._card.kind)
        elif self._settings.on_drift == "challenger":
            self._kept.challenger.begin(self._fresh())
