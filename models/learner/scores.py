"""Scores of a stream of answers by River's metrics: since start, and over the newest labels."""

from __future__ import annotations

import inspect
from math import isfinite
from typing import Any

from river import metrics, utils

from core.errors import Invalid
from models.learner.river_model import Asked
from models.learner.settings import LearnerSettings, RiverCard

_OF_NUMBERS = ("MAE", "RMSE")


def default_metrics(card: RiverCard) -> tuple[str, ...]:
    """What scores such a model where its settings name nothing.

    LogLoss knows two classes, one of which is true, so texts and numbers, which may be more, have CrossEntropy: of two classes it is
    the same. Of an anomaly detector RollingROCAUC, which ranks scores: River's ROCAUC takes them for probabilities and shows 0 of others.
    """
    if card.kind == "classifier":
        return ("LogLoss" if card.label in ("bool", None) else "CrossEntropy", "Accuracy")
    return ("RollingROCAUC",) if card.kind == "anomaly" else _OF_NUMBERS


class _NoWindow:
    """Stands for the rolling score of a metric that has none."""

    def update(self, truth: Any, said: Any) -> None:
        """Nothing."""

    def get(self) -> None:
        """No value."""


class _Score:
    """One metric, since start and rolling."""

    __slots__ = ("name", "of_labels", "rolling", "scored", "total")

    def __init__(self, name: str, window: int, classifies: bool) -> None:
        made = metric_class(name)
        takes_window = "window_size" in inspect.signature(made).parameters
        self.name = name
        self.total: Any = made(window_size=window) if takes_window else made()
        self.rolling: Any = _NoWindow() if takes_window or not hasattr(made, "revert") else utils.Rolling(made, window_size=window)
        self.of_labels = not classifies or self.total.requires_labels
        self.scored = 0

    def update(self, truth: Any, said: Any) -> None:
        # A row that a metric cannot take (a logarithm of a negative number) is left out of it: it must not cost the model the row.
        try:
            self.total.update(truth, said)
            self.rolling.update(truth, said)
        except Exception:
            return
        self.scored += 1


class Scores:
    """Several metrics of one stream of answers. Raises Invalid(field="metrics") where one is no metric of River's.

    A metric is handed what `river.evaluate.progressive_val_score` hands it: a classifier's probabilities where it takes them, else
    what was said, and nothing where nothing was said.
    """

    __slots__ = ("_of_labels", "_of_shares", "_scores")

    def __init__(self, card: RiverCard, settings: LearnerSettings) -> None:
        names = settings.metrics or default_metrics(card)
        self._scores = [_Score(name, settings.window, card.kind == "classifier") for name in names]
        self._of_labels = [score for score in self._scores if score.of_labels]
        self._of_shares = [score for score in self._scores if not score.of_labels]

    def add(self, truth: Any, asked: Asked) -> None:
        """Count one answer; `truth` in the model's own terms."""
        said, shares, _ = asked
        if shares:
            for score in self._of_shares:
                score.update(truth, shares)
        if said is not None:
            for score in self._of_labels:
                score.update(truth, said)

    def totals(self) -> dict[str, float | None]:
        """By metric name the score since start; None where there is none yet, or it is not finite."""
        return {score.name: _value(score.total) if score.scored else None for score in self._scores}

    def scored(self) -> dict[str, int]:
        """By metric name how many answers the score since start is of."""
        return {score.name: score.scored for score in self._scores}

    def rolling(self) -> dict[str, float | None]:
        """The same over the newest labels; None also of a metric that is rolling by itself (RollingROCAUC) or cannot forget."""
        return {score.name: _value(score.rolling) if score.scored else None for score in self._scores}


def metric_class(name: str) -> Any:
    """River's metric of that name; raises Invalid(field="metrics") where there is none."""
    made = getattr(metrics, name, None)
    if not inspect.isclass(made) or not issubclass(made, metrics.base.Metric) or inspect.isabstract(made):
        raise Invalid(f"metrics: expected names of river.metrics such as Accuracy or MAE, got {name[:60]!r}", field="metrics")
    return made


def _value(metric: Any) -> float | None:
    try:
        value = float(metric.get())
    except Exception:  # too few rows for it, or no number
        return None
    return value if isfinite(value) else None
