"""What a learner knows and does, lesson by lesson, without journal or store: so a replay of the same lessons comes to the same state."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from core.errors import Invalid, ModelFailed, Rejected
from core.values import Label, Output, Value
from models.failure import reason
from models.learner import labels
from models.learner.challenger import Challenger
from models.learner.drift import Detector, loss_of
from models.learner.pupil import Lost, Pupil
from models.learner.scores import Scores
from models.learner.served import Served
from models.learner.settings import LearnerSettings, RiverCard
from models.learner.trial import Trial
from models.runtime import said

_LAYOUT = 1
"""Of what is kept beside a model: another number where it is made of other parts."""


class Lesson(NamedTuple):
    """One row whose label is known.

    `at` is when the label came (seconds since the epoch), `x` the row as River takes it, `place` the `endpoint/arm` that answered,
    "" for an example. `answered` is the output as it was served, None for an example. `taught`: else it is only scored.
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
        self.usual: Any = None
        """The truth that was learnt last, in the model's own terms."""
        self.broken: dict[str, Any] = {"times": 0, "last": None, "reason": None}
        self.detector = Detector(card.kind, settings)
        self.challenger = Challenger(settings.fresh_labels)
        self.begin(card, settings)

    def begin(self, card: RiverCard, settings: LearnerSettings) -> None:
        """Scores as if nothing had been learnt yet; the detector begins anew, and what was found stays told."""
        self.scores = Scores(card, settings)
        self.served = Served(card, settings)
        self.detector.renew(card.kind)


class Learner:
    """Learns lessons one after the other: ask, learn, score, look for drift, teach the challenger."""

    __slots__ = ("_card", "_fresh", "_kept", "_pupil", "_settings", "_trial", "_truth")

    def __init__(
        self, card: RiverCard, settings: LearnerSettings, fresh: Callable[[], Any], probes: Sequence[dict[str, Value]] = ()
    ) -> None:
        """`fresh` gives an untouched copy of the registered River object. `probes` are rows as River takes them, which that object
        answers: a model that fails at these too, not only at a bad row, begins anew. Raises Invalid where the settings do not fit River.
        """
        self._set_up(card, settings, fresh, probes, fresh(), _Kept(card, settings))

    @classmethod
    def load(
        cls,
        card: RiverCard,
        settings: LearnerSettings,
        fresh: Callable[[], Any],
        model: Any,
        state: bytes,
        probes: Sequence[dict[str, Value]] = (),
    ) -> Learner:
        """Goes on from what `dump` gave: `model` is its first part, unpickled, and `state` the second.

        Raises Rejected where the state cannot be read: other releases may have kept other things.
        """
        learner = cls.__new__(cls)
        learner._set_up(card, settings, fresh, probes, model, _read(state))
        return learner

    def _set_up(
        self,
        card: RiverCard,
        settings: LearnerSettings,
        fresh: Callable[[], Any],
        probes: Sequence[dict[str, Value]],
        model: Any,
        kept: _Kept,
    ) -> None:
        self._card = card
        self._settings = settings
        self._fresh = fresh
        self._trial = Trial(fresh, probes)
        self._truth = labels.reader(card)
        self._kept = kept
        self._go_on(model)

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
            if isinstance(error, Lost):
                self._begin_anew(lesson.at, said(error))
            return said(error)
        if lesson.answered is not None:
            self._kept.served.add(lesson.place, truth, lesson.answered)
        return None

    def restore(self, model: Any) -> None:
        """Go on from `model`, which is taken over: scores and detector begin anew, a challenger is dropped, counts go on.

        Raises Rejected or ModelFailed where it cannot be taught.
        """
        self._go_on(model)
        self._kept.begin(self._card, self._settings)
        self._kept.challenger.drop()

    def grown(self) -> Any | None:
        """A challenger that has learnt enough, handed out once; None where there is none."""
        return self._kept.challenger.hand_out()

    def describe(self) -> dict[str, Any]:
        """All that is told of the learner, as JSON can carry it.

        `labels`, `quarantined`; `broken`: how many `times` the model came into a state that it could not leave and began anew,
        the `last` time (`at`, `label`) and its `reason`, each None where it never did; `scores` (of how many answers: `scored`) and
        `rolling` by metric of the model asked before it learns; `served` by place the scores of the answers as served; `drift`: see
        `Detector.describe`, with `on_drift` and `challenger`.
        """
        kept = self._kept
        return {
            "labels": kept.labels,
            "quarantined": kept.quarantined,
            "broken": kept.broken,
            "scores": kept.scores.totals(),
            "scored": kept.scores.scored(),
            "rolling": kept.scores.rolling(),
            "served": kept.served.describe(),
            "drift": {**kept.detector.describe(), "on_drift": self._settings.on_drift, "challenger": kept.challenger.describe()},
        }

    def dump(self) -> tuple[bytes, bytes]:
        """The model, and all else that the learner needs to go on, both as pickles; raises ModelFailed where that cannot be made."""
        model = self._pupil.dump()
        try:
            return model, pickle.dumps((_LAYOUT, self._kept), protocol=5)
        except BaseException as error:  # a challenger is a model as well
            raise ModelFailed(f"the challenger cannot be pickled: {reason(error, MemoryError)}") from error

    def _go_on(self, model: Any) -> None:
        self._pupil = Pupil(model, self._trial)

    def _begin_anew(self, at: float, why: str) -> None:
        """What a reset after a drift does, because the model can do nothing else."""
        self._reset()
        times = self._kept.broken["times"] + 1
        self._kept.broken = {"times": times, "last": {"at": at, "label": self._kept.labels}, "reason": why}

    def _reset(self) -> None:
        self._go_on(self._fresh())
        self._kept.detector.renew(self._card.kind)

    def _teach(self, lesson: Lesson, truth: Any) -> None:
        kept = self._kept
        row = lesson.x.copy()  # as it is before the model has it
        asked = self._pupil.take(lesson.x, truth, kept.usual)
        kept.labels += 1
        kept.usual = truth
        kept.scores.add(truth, asked)
        loss = loss_of(self._card.kind, truth, asked)
        if loss is not None and kept.detector.update(loss, lesson.at, kept.labels):
            self._react()
        kept.challenger.learn(row, truth)

    def _react(self) -> None:
        if self._settings.on_drift == "reset":
            self._reset()
        elif self._settings.on_drift == "challenger":
            self._kept.challenger.begin(self._fresh())


def _read(state: bytes) -> _Kept:
    try:
        layout, kept = pickle.loads(state)  # noqa: S301 - written by `dump`, its seal verified
    except Exception as error:  # what it names may be called otherwise now
        raise Rejected(f"what the learner kept beside its model cannot be read: {reason(error)}") from error
    if layout != _LAYOUT or not isinstance(kept, _Kept):
        raise Rejected(f"what the learner kept beside its model is of layout {layout!r:.20}; here it is {_LAYOUT}")
    return kept
