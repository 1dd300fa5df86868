"""The three models: what they are, how they are trained, and how they get into the registry."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.ids import VersionId
from flows import register
from routing.changes import Who
from server.demo.readings import FEATURES, TARGET, Reading, earned
from server.home import Home

MODEL = "shuttle"
SAMPLE_ROWS = 1_000


class Contestant(NamedTuple):
    """A model that is to be trained on the first `rows` readings."""

    title: str
    alias: str | None
    features: tuple[str, ...]
    rows: int
    make: Callable[[], Any]


class Trained(NamedTuple):
    """A trained model and what it earns per reading on those that it was not trained on."""

    contestant: Contestant
    estimator: Any
    earns: float


def contestants(rows: int) -> list[Contestant]:
    """The old one knows little on purpose: it is the early model that many services still run."""
    return [
        Contestant("old: logistic regression, 2 of the 9 sensors", "champion", ("f2", "f8"), 1_000, _old),
        Contestant("new: random forest of 50 trees, all sensors", "challenger", FEATURES, rows, _new),
        Contestant("next: histogram gradient boosting, all sensors", None, FEATURES, rows, _next),
    ]


def train(contestant: Contestant, training: Sequence[Reading], check: Sequence[Reading]) -> Trained:
    """Fit it, and see what its decisions would have earned on `check`."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # So small a fit is slower on several threads that share busy cores than on one.
    with threadpool_limits(1):
        used = training[: contestant.rows]
        estimator = contestant.make().fit(_table(used, contestant.features), [reading.anomaly for reading in used])
        stops = estimator.predict(_table(check, contestant.features))
    return Trained(contestant, estimator, earned(check, stops))


def write_sample(path: Path, training: Sequence[Reading]) -> None:
    """A CSV file of the first training readings, with their true values."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*FEATURES, TARGET])
        writer.writerows([*(reading.features[name] for name in FEATURES), reading.anomaly] for reading in training[:SAMPLE_ROWS])


def enter(home: Home, trained: Trained, sample: Path, who: Who) -> VersionId:
    """Save the model beside the sample and register that file, as `tiltyard model register` does."""
    from skops import io

    path = sample.with_name(f"{trained.contestant.alias or 'next'}.skops")
    io.dump(trained.estimator, path)
    return register.register(home.store, home.blobs, MODEL, path, who, sample=sample, target=TARGET, alias=trained.contestant.alias)


def _table(readings: Sequence[Reading], features: Sequence[str]) -> Any:
    import pandas as pd

    return pd.DataFrame([[reading.features[name] for name in features] for reading in readings], columns=list(features))


def _old() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())


def _new() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=50, max_depth=8, random_state=1)


def _next() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=40, random_state=1)
