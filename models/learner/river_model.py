"""A River model behind one face: one way to ask it and one to teach it, whatever its kind.

Which of River's methods is asked follows `river.evaluate.progressive_val_score`, so that scores equal River's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from river import base, compose, time_series

from core.errors import Rejected
from core.values import Output, Value
from models.learner.settings import RiverKind
from models.signature import TYPES, Signature

HORIZON = "horizon"
"""The feature of a forecaster that says how many steps ahead; 1 where it is absent."""
FARTHEST = 10_000
"""Steps ahead: a request must not keep a process busy for as long as it likes. Of what lies beyond, a model says nothing."""


class Asked(NamedTuple):
    """What a model said of a row, in its own terms: metrics take it as it is.

    `said` is a label, a number, or None where it has nothing to say yet; `probabilities` by label, None where it gives none; `score`
    an anomaly detector's.
    """

    said: Any
    probabilities: Mapping[Any, float] | None = None
    score: float | None = None


class RiverModel:
    """Asks and teaches `model`, which must be of a kind that can be served."""

    __slots__ = ("_ask", "_derived", "kind", "learn", "model")

    def __init__(self, model: Any) -> None:
        """Raises Rejected where `model` is not of a kind that can be served."""
        self.model = model
        self.kind: RiverKind = kind_of(model)
        self._derived = self.kind == "classifier" and _derives_label(model)
        self._ask: Callable[[dict[str, Value]], Asked] = self._asker()
        self.learn: Callable[[dict[str, Value], Any], None] = self._teacher()
        """Learn one row and its label, as `models.learner.labels` gives it."""

    def ask(self, x: dict[str, Value]) -> Asked:
        """What the model says of the row; whatever River raises."""
        return self._ask(x)

    def answer(self, x: dict[str, Value]) -> Output:
        """The same as it is served."""
        return output_of(self.kind, self._ask(x))

    def _asker(self) -> Callable[[dict[str, Value]], Asked]:
        model = self.model
        if self.kind == "classifier":
            return self._classify if _gives_probabilities(model) else lambda x: Asked(model.predict_one(x))
        if self.kind == "regressor":
            return lambda x: Asked(model.predict_one(x))
        if self.kind == "forecaster":
            return lambda x: Asked(_forecast(model, x))
        if isinstance(model, base.AnomalyFilter):
            return self._filter
        return self._score

    def _classify(self, x: dict[str, Value]) -> Asked:
        shares: dict[Any, float] = dict(self.model.predict_proba_one(x) or {})  # its own dict may change when it learns
        if not self._derived:
            return Asked(self.model.predict_one(x), shares)
        return Asked(max(shares, key=shares.__getitem__) if shares else None, shares)

    def _score(self, x: dict[str, Value]) -> Asked:
        score = self.model.score_one(x)
        return Asked(score, None, score)

    def _filter(self, x: dict[str, Value]) -> Asked:
        score = self.model.score_one(x)
        return Asked(self.model.classify(score), None, score)

    def _teacher(self) -> Callable[[dict[str, Value], Any], None]:
        model = self.model
        if self.kind == "forecaster":
            return lambda x, y: _teach_series(model, x, y)
        if not model._supervised:  # the flag that River's own evaluation reads
            return lambda x, y: model.learn_one(x)
        learn: Callable[[dict[str, Value], Any], None] = model.learn_one
        return learn


def kind_of(model: Any) -> RiverKind:
    """What kind of River model it is; raises Rejected on one that cannot be served."""
    if isinstance(model, time_series.base.Forecaster):
        return "forecaster"
    if isinstance(model, base.SupervisedAnomalyDetector):
        raise Rejected(f"the {type(model).__name__} needs the label to score a row, which is not known when it is served")
    if isinstance(model, base.AnomalyDetector | base.AnomalyFilter):
        return "anomaly"
    if isinstance(model, base.MultiLabelClassifier | base.MultiTargetRegressor):
        raise Rejected(f"the {type(model).__name__} predicts several values per row; one value per row can be served")
    if isinstance(model, base.Classifier):
        return "classifier"
    if isinstance(model, base.Regressor):
        return "regressor"
    raise Rejected(f"the {type(model).__name__} is no River classifier, regressor, forecaster or anomaly detector")


def is_river(model: Any) -> bool:
    """Whether `model` is River's, or derives from what is."""
    return isinstance(model, base.Base)


def output_of(kind: RiverKind, asked: Asked) -> Output:
    """What is served of what a model said; a number as a float, classes in the order of their labels.

    River names classes as it meets them. In their own order, which is scikit-learn's, answers of two models can be compared.
    """
    if kind == "classifier":
        if asked.probabilities is None:
            return Output(label=asked.said)
        return Output(
            label=asked.said, probabilities={str(label): float(asked.probabilities[label]) for label in _ordered(asked.probabilities)}
        )
    number = asked.said if asked.score is None else asked.score
    return Output(value=None if number is None else float(number))


def row_reader(signature: Signature) -> Callable[[Iterable[Value]], dict[str, Value]]:
    """How rows in the signature's order are read as River takes them: what is missing is left out, numbers are of the signature's kinds.

    An endpoint reads a feature for all of its versions together, a whole number as a float where one of them takes floats. To River 4
    and 4.0 are two categories. What is no whole number stays as it is.
    """
    classes = [(feature.name, TYPES[feature.kind]) for feature in signature.features]

    def read(row: Iterable[Value]) -> dict[str, Value]:
        return {
            name: value if value.__class__ is kind else _as(kind, value)
            for (name, kind), value in zip(classes, row, strict=True)
            if value is not None
        }

    return read


def _as(kind: type, value: Value) -> Value:
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return float(value) if kind is float and value.__class__ is int else value


def _ordered(labels: Iterable[Any]) -> list[Any]:
    try:
        return sorted(labels)
    except TypeError:  # numbers and texts
        return sorted(labels, key=str)


def _derives_label(model: Any) -> bool:
    """Whether the label is the one of the largest probability, so that it need not be asked for beside them."""
    last = model
    while isinstance(last, compose.Pipeline):
        last = list(last.steps.values())[-1]
    return type(last).predict_one is base.Classifier.predict_one


def _gives_probabilities(model: Any) -> bool:
    last = model
    while isinstance(last, compose.Pipeline):
        last = list(last.steps.values())[-1]
    return type(last).predict_proba_one is not base.Classifier.predict_proba_one


def _forecast(model: Any, x: dict[str, Value]) -> float | None:
    ahead = max(1, int(x.get(HORIZON, 1) or 1))
    if ahead > FARTHEST:
        return None
    others = _others(x)
    try:
        found: list[float] = model.forecast(horizon=ahead, xs=[others] * ahead if others else None)
    except IndexError:  # what River's forecasters raise where they have seen too little
        return None
    return found[-1]


def _teach_series(model: Any, x: dict[str, Value], y: Any) -> None:
    # What a longer forecast was about is taught by the forecast one step ahead of it: else it would be learnt several times.
    if int(x.get(HORIZON, 1) or 1) <= 1:
        model.learn_one(y, _others(x) or None)


def _others(x: dict[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in x.items() if name != HORIZON}
