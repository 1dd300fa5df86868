"""Has the loss of a model risen: one of River's detectors, told of each loss in the order of the journal."""

from __future__ import annotations

import inspect
from typing import Any

from river import base, drift

from core.errors import Invalid
from models.failure import reason
from models.learner.river_model import Asked
from models.learner.settings import LearnerSettings, RiverKind
from models.runtime import said

LARGEST = 1e150
"""No loss counts as more: its square can still be added up."""
_RECENT = 1 / 64
"""The weight of the newest loss in the recent mean that tells a rise from a fall."""
_ESTIMATES = ("estimation", "variance", "width", "p_value")


def loss_of(kind: RiverKind, truth: Any, asked: Asked) -> float | None:
    """What a detector is told of one answer: 0 or 1 of a classifier, the absolute error of a number; None where nothing was said.

    Of an anomaly detector its score: what is an anomaly is rare and labelled late, while the scores of usual rows rise or fall as soon
    as the rows are no longer those that it has learnt.
    """
    if kind == "anomaly":
        return None if asked.score is None else _bounded(asked.score)
    if asked.said is None:
        return None
    return float(asked.said != truth) if kind == "classifier" else _bounded(abs(asked.said - truth))


class Detector:
    """The detector that the settings name, and what it has found. Raises Invalid where it cannot be made for a model of that kind.

    Most detectors find any change. Where the recent losses are the lower ones the model has got better (as it does when it begins to
    learn): this is no drift. Of an anomaly detector's scores every change is one.
    """

    def __init__(self, kind: RiverKind, settings: LearnerSettings) -> None:
        self._settings = settings
        self._both_ways = kind == "anomaly"
        self._detector = _made(kind, settings)
        self._detections = 0
        self._last: dict[str, float] | None = None
        self._failed: str | None = None
        self._restart()

    def update(self, loss: float, at: float, label: int) -> bool:
        """Whether a drift shows with this loss; `at` is when its label came, `label` how many have been learnt with it."""
        self._seen += 1
        self._mean += (loss - self._mean) / self._seen
        self._recent += (loss - self._recent) * max(_RECENT, 1 / self._seen)
        if not self._finds(loss):
            return False
        rose = self._both_ways or self._recent > self._mean
        self._restart()
        if rose:
            self._detections += 1
            self._last = {"at": at, "label": label}
        return rose

    def renew(self, kind: RiverKind) -> None:
        """Begin anew, with a model that has begun anew; what was found stays told."""
        self._detector = _made(kind, self._settings)
        self._failed = None
        self._restart()

    def describe(self) -> dict[str, Any]:
        """`detector`, `detections`, `last` (`at`, `label`) or None, `estimates` by name, and why it `failed` or None."""
        return {
            "detector": self._settings.detector,
            "detections": self._detections,
            "last": self._last,
            "estimates": {name: float(getattr(self._detector, name)) for name in _ESTIMATES if hasattr(self._detector, name)},
            "failed": self._failed,
        }

    def _finds(self, loss: float) -> bool:
        try:
            self._detector.update(loss)
            return bool(self._detector.drift_detected)
        except BaseException as error:  # no reason to learn no more: it is told, and the detector is left out
            self._failed = reason(error, MemoryError)
            self._detector = _none()
            return False

    def _restart(self) -> None:
        self._seen = 0
        self._mean = self._recent = 0.0


def _none() -> Any:
    return drift.NoDrift()  # type: ignore[no-untyped-call]


def _made(kind: RiverKind, settings: LearnerSettings) -> Any:
    name = settings.detector
    if not name:
        return _none()
    made = getattr(drift, name, None) or getattr(drift.binary, name, None)
    if not inspect.isclass(made) or not issubclass(made, base.DriftDetector | base.BinaryDriftDetector):
        raise Invalid(f"detector: expected a name of river.drift such as ADWIN or KSWIN, got {name[:60]!r}", field="detector")
    if issubclass(made, base.BinaryDriftDetector) and kind != "classifier":
        raise Invalid(f"detector: {name} takes right or wrong, which only a classifier's answers are; expected ADWIN", field="detector")
    return _with_parameters(made, settings)


def _with_parameters(made: Any, settings: LearnerSettings) -> Any:
    known = inspect.signature(made).parameters
    # The same seed each time: else what is found would not follow from the journal.
    given: dict[str, Any] = {"seed": 1} if "seed" in known else {}
    given |= {name: int(value) if value == int(value) else value for name, value in settings.detector_parameters.items()}
    try:
        return made(**given)
    except Exception as error:
        raise Invalid(f"detector_parameters: {settings.detector}: {said(error)}", field="detector_parameters") from None


def _bounded(loss: float) -> float:
    return min(max(loss, -LARGEST), LARGEST)
