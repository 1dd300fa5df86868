"""Whether a learner can do what its settings say, asked when it is registered: later nobody reads the answer."""

from __future__ import annotations

from math import isfinite
from typing import Any

from river import metrics

from core.errors import Invalid
from models.learner.drift import Detector
from models.learner.scores import Scores, metric_class
from models.learner.settings import LearnerSettings, RiverCard, RiverKind

MOST = 1_000_000
"""Labels in a window, or before a fresh challenger is registered: a window is held in memory."""
MOST_METRICS = 20


def check(settings: LearnerSettings, card: RiverCard, model: Any) -> None:
    """Raises Invalid naming the setting that will not do for `model`, whose card is `card`."""
    if not (settings.late_seconds > 0 and isfinite(settings.late_seconds)):
        raise Invalid(f"late_seconds: expected a number above 0, got {settings.late_seconds}", field="late_seconds")
    _check_between("window", settings.window, 1)
    _check_between("fresh_labels", settings.fresh_labels, 1)
    _check_between("keep_every", settings.keep_every, 0)
    _check_metrics(settings, card, model)
    _check_detector(settings, card.kind)


def _check_between(name: str, value: int, least: int) -> None:
    if not least <= value <= MOST:
        raise Invalid(f"{name}: expected a whole number from {least} to {MOST}, got {value}", field=name)


def _check_metrics(settings: LearnerSettings, card: RiverCard, model: Any) -> None:
    names = settings.metrics
    if len(names) > MOST_METRICS or len(set(names)) < len(names):
        raise Invalid(f"metrics: expected at most {MOST_METRICS} names, each once", field="metrics")
    for name in names:
        metric = _metric(name)
        # River asks this of no forecaster: its metrics are those of a regression.
        if not (isinstance(metric, metrics.base.RegressionMetric) if card.kind == "forecaster" else metric.works_with(model)):
            raise Invalid(f"metrics: {name} does not work with a {type(model).__name__}, a {card.kind}", field="metrics")

    Scores(card, settings)


def _metric(name: str) -> Any:
    try:
        metric = metric_class(name)()
        float(metric.get())
    except (TypeError, NotImplementedError):
        raise Invalid(f"metrics: {name} needs parameters or is no single number, so that no score is kept by it", field="metrics") from None
    return metric


def _check_detector(settings: LearnerSettings, kind: RiverKind) -> None:
    if not settings.detector and settings.detector_parameters:
        raise Invalid("detector_parameters: expected none where no detector is to take them", field="detector_parameters")
    if not settings.detector and settings.on_drift != "alert":
        raise Invalid(f"on_drift: {settings.on_drift} follows a drift, and no detector is to find one", field="on_drift")
    for name, value in settings.detector_parameters.items():
        if not isfinite(value):
            raise Invalid(f"detector_parameters: {name}: expected a finite number, got {value}", field="detector_parameters")
    Detector(kind, settings)
