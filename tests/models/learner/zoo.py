"""River models of every kind, with the rows that they learn from."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from river import (
    anomaly,
    base,
    compose,
    datasets,
    forest,
    linear_model,
    naive_bayes,
    neighbors,
    preprocessing,
    time_series,
    tree,
)

from models.learner.learner import Learner, Lesson
from models.learner.settings import LearnerSettings, RiverCard


class Case(NamedTuple):
    """A model's card, how it is made, and its labelled rows."""

    card: RiverCard
    make: Callable[[], Any]
    rows: Callable[[int], list[tuple[dict[str, Any], Any]]]

    def learner(self, settings: LearnerSettings | None = None) -> Learner:
        """One that has learnt nothing."""
        return Learner(self.card, settings or LearnerSettings(), self.fresh)

    def fresh(self) -> Any:
        """A copy of the same model each time, as the registry holds it: one made anew may draw another seed."""
        return pickle.loads(_registered(self.make))


@cache
def _registered(make: Callable[[], Any]) -> bytes:
    return pickle.dumps(make())


class Taught(base.Classifier):
    """Knows how many rows it learnt; a row can have it do the worst."""

    def __init__(self) -> None:
        self.learnt = 0
        self.held: Any = None

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        if x.get("ask"):
            raise x["ask"]
        return {True: 1 / (2 + self.learnt)}

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        self.learnt += 1
        if x.get("hold"):
            self.held = lambda: y
        if x.get("free"):
            self.held = None
        if x.get("learn"):
            raise x["learn"]


def learner_of(make: Callable[[], Any], card: RiverCard | None = None, probes: Any = (), **settings: Any) -> Learner:
    """One of a model that has learnt nothing, a classifier where no card says otherwise."""
    case = Case(card or BOOL, make, chicks)
    return Learner(case.card, LearnerSettings(**settings), case.fresh, probes)


def lesson(x: dict[str, Any], label: Any, at: float = 1.0) -> Lesson:
    """An example."""
    return Lesson(at, x, label, "", None, True)


def taught(learner: Learner, rows: list[tuple[dict[str, Any], Any]]) -> Learner:
    """The learner after all rows, each of which it learnt."""
    for x, y in rows:
        assert learner.take(lesson(dict(x), y)) is None
    return learner


def of(dataset: Any) -> Callable[[int], list[tuple[dict[str, Any], Any]]]:
    """The first rows of a bundled stream."""
    return lambda count: list(islice(dataset, count))


def chicks(count: int) -> list[tuple[dict[str, Any], float]]:
    """Weights of chicks. All are read: River closes this file only at its end."""
    return list(datasets.ChickWeights())[:count]


def words(count: int) -> list[tuple[dict[str, Any], bool]]:
    """Rows with texts, a number, and now and then a text never seen."""
    rng = random.Random(7)
    made = []
    for _ in range(count):
        town = rng.choice(["Ulm", "Köln", "Bonn", f"v{rng.randrange(50)}"])
        made.append(({"town": town, "plan": rng.choice("abc"), "age": rng.randrange(90)}, (town == "Ulm") ^ (rng.random() < 0.2)))
    return made


def series(count: int) -> list[tuple[dict[str, Any], float]]:
    """A series with a season of twelve."""
    rng = random.Random(3)
    return [({}, 10 + (i % 12) + rng.random()) for i in range(count)]


BOOL, TEXT = RiverCard(kind="classifier", label="bool"), RiverCard(kind="classifier", label="str")
NUMBER, SERIES, ODD = RiverCard(kind="regressor"), RiverCard(kind="forecaster"), RiverCard(kind="anomaly")


def scaled(model: Any) -> Any:
    """The model behind a standard scaler."""
    return preprocessing.StandardScaler() | model


def _mixed() -> Any:
    numbers = compose.SelectType((int, float)) | preprocessing.StandardScaler()
    return compose.TransformerUnion(numbers, compose.SelectType(str) | preprocessing.OneHotEncoder()) | linear_model.LogisticRegression()


CASES = {
    "logistic": Case(BOOL, lambda: scaled(linear_model.LogisticRegression()), of(datasets.Phishing())),
    "bayes": Case(TEXT, naive_bayes.GaussianNB, of(datasets.ImageSegments())),
    "tree": Case(TEXT, lambda: tree.HoeffdingTreeClassifier(grace_period=50), of(datasets.ImageSegments())),
    "forest": Case(BOOL, lambda: forest.ARFClassifier(n_models=3, seed=1), of(datasets.Bananas())),
    "words": Case(BOOL, _mixed, words),
    "neighbours": Case(BOOL, lambda: scaled(neighbors.KNNClassifier()), of(datasets.Bananas())),
    "linear": Case(NUMBER, lambda: scaled(linear_model.LinearRegression()), chicks),
    "regression tree": Case(NUMBER, lambda: tree.HoeffdingTreeRegressor(grace_period=50), chicks),
    "half-space trees": Case(ODD, lambda: preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1), of(datasets.Shuttle())),
    "snarimax": Case(SERIES, lambda: time_series.SNARIMAX(p=12, d=1, q=3), series),
    "holt-winters": Case(SERIES, lambda: time_series.HoltWinters(alpha=0.3, beta=0.1, gamma=0.5, seasonality=12), series),
}
"""By name, models for which going on from a dump must be going on without it."""
