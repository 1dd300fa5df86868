"""Small River models of each kind, as they are registered and served, and the rows that they take."""

from __future__ import annotations

import csv
import pickle
import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from river import anomaly, compose, datasets, forest, linear_model, naive_bayes, preprocessing, time_series

TARGET = "target"


class Case(NamedTuple):
    """A model, untrained, and its sample: rows of features and the true value."""

    make: Callable[[], Any]
    kind: str
    task: str
    label: str | None
    rows: Callable[[], list[tuple[dict[str, Any], Any]]]


def phishing() -> list[tuple[dict[str, Any], Any]]:
    """True or false of nine numbers."""
    return list(islice(datasets.Phishing(), 60))


def segments() -> list[tuple[dict[str, Any], Any]]:
    """Seven texts of eighteen numbers."""
    return list(islice(datasets.ImageSegments(), 60))


def line() -> list[tuple[dict[str, Any], Any]]:
    """A number of a number, a text and a number that is sometimes missing."""
    draws = random.Random(1)
    found = []
    for index in range(60):
        a, b = draws.gauss(0, 1), draws.gauss(0, 1)
        row = {"a": a, "colour": draws.choice(["red", "blue"]), "b": None if index % 7 == 3 else b}
        found.append((row, 3 * a - b + (row["colour"] == "red")))
    return found


def tones() -> list[tuple[dict[str, Any], Any]]:
    """Numbers between 0 and 1, without labels."""
    draws = random.Random(2)
    return [({"x": draws.betavariate(8, 2), "y": draws.random()}, None) for _ in range(60)]


def season() -> list[tuple[dict[str, Any], Any]]:
    """A series of numbers; how far ahead is asked is the one feature."""
    return [({"horizon": 1 + index % 3}, 10.0 + index % 4 + index / 10) for index in range(60)]


def series() -> list[tuple[dict[str, Any], Any]]:
    """A series of numbers and nothing else."""
    return [({}, value) for _, value in season()]


def _numbers_and_texts() -> Any:
    return compose.TransformerUnion(
        compose.SelectType(float) | preprocessing.StandardScaler(), compose.SelectType(str) | preprocessing.OneHotEncoder()
    )


CASES = {
    "logistic": Case(
        lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(), "classifier", "classification", "bool", phishing
    ),
    "bayes": Case(naive_bayes.GaussianNB, "classifier", "classification", "str", segments),
    "forest": Case(lambda: forest.ARFClassifier(n_models=3, seed=1), "classifier", "classification", "str", segments),
    "linear": Case(lambda: _numbers_and_texts() | linear_model.LinearRegression(), "regressor", "regression", "float", line),
    "half space": Case(lambda: anomaly.HalfSpaceTrees(n_trees=5, height=4, window_size=20, seed=1), "anomaly", "anomaly", None, tones),
    "quantile": Case(
        lambda: anomaly.QuantileFilter(anomaly.HalfSpaceTrees(n_trees=5, height=4, window_size=20, seed=1), q=0.9),
        "anomaly",
        "anomaly",
        None,
        tones,
    ),
    "holt winters": Case(
        lambda: time_series.HoltWinters(alpha=0.3, beta=0.1, gamma=0.6, seasonality=4), "forecaster", "forecast", "float", season
    ),
    "snarimax": Case(lambda: time_series.SNARIMAX(p=2, d=1, q=1), "forecaster", "forecast", "float", series),
}


def learn(case: Case, model: Any, count: int = 40) -> Any:
    """The model, taught the first rows as River teaches it."""
    for x, y in case.rows()[:count]:
        present = {name: value for name, value in x.items() if value is not None}
        if case.kind == "forecaster":
            if present.get("horizon", 1) == 1:
                model.learn_one(y)
        elif case.kind == "anomaly":
            model.learn_one(present)
        else:
            model.learn_one(present, y)
    return model


def write_sample(path: Path, rows: list[tuple[dict[str, Any], Any]]) -> str | None:
    """The rows as CSV; the name of the column of true values, None where there are none."""
    labelled = rows[0][1] is not None
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow([*rows[0][0], *([TARGET] if labelled else [])])
        lines.writerows([*map(_text, x.values()), *([_text(y)] if labelled else [])] for x, y in rows)
    return TARGET if labelled else None


def write_pickle(path: Path, model: Any) -> Path:
    """The model as a user saves it."""
    path.write_bytes(pickle.dumps(model))
    return path


def _text(value: Any) -> str:
    return (
        "" if value is None else str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, float) else str(value)
    )
