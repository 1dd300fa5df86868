"""A home with versions on scikit-learn's own data: `cancer@1` (champion, a regression), `cancer@2` (a poor tree), `sugar@1` (ridge)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets, linear_model, pipeline, preprocessing, tree
from skops import io as skops_io

from core.settings import Settings
from experiments.batch.suite import parse
from flows import register
from flows.testing import run
from flows.testing.run import Home, Order
from routing.changes import Who
from store import engine
from store.blobs import Blobs

WHO = Who("tester", 100.0, "because")
FEATURES = [f"f{k}" for k in range(8)]


class Sets(NamedTuple):
    """Rows to train on and rows to test on, of both data sets; `kind` and `target` are the true values."""

    cancer: tuple[pd.DataFrame, pd.DataFrame]
    sugar: tuple[pd.DataFrame, pd.DataFrame]


@cache
def sets() -> Sets:
    """Halves, by every other row; `site` is a column that no model takes."""
    bunch = datasets.load_breast_cancer()
    cancer = pd.DataFrame(bunch.data[:, :8], columns=FEATURES).assign(
        kind=np.where(bunch.target == 1, "benign", "malignant"), site=np.arange(569) % 3
    )
    sugar = datasets.load_diabetes(as_frame=True).frame
    return Sets((cancer[::2], cancer[1::2]), (sugar[::2], sugar[1::2]))


class World(NamedTuple):
    """A home, and a folder for files."""

    home: Home
    folder: Path

    def write(self, name: str, frame: pd.DataFrame) -> Path:
        """A data set as a file."""
        path = self.folder / name
        frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
        return path

    def add(self, model: str, estimator: Any, sample: pd.DataFrame, target: str, alias: str | None = None) -> str:
        """Register an estimator."""
        skops_io.dump(estimator, self.folder / "model.skops")
        known = self.write("sample.csv", sample)
        path = self.folder / "model.skops"
        return str(register.register(self.home.store, self.home.blobs, model, path, WHO, sample=known, target=target, alias=alias))

    def test(self, version: str, frame: pd.DataFrame, suite: dict[str, Any] | None = None, **how: Any) -> dict[str, Any]:
        """Test a version on a frame."""
        return run.run(self.home, Order(version, self.write("data.csv", frame), suite=parse(suite or {}), **how), WHO)


def make(folder: Path) -> World:
    """The home with its versions."""
    settings = Settings(home=str(folder / "home"))
    blobs = folder / "home" / "blobs"
    world = World(Home(engine.create(settings), Blobs(blobs), blobs), folder)
    train, sugar = sets().cancer[0].drop(columns="site"), sets().sugar[0]
    x, y = train[FEATURES], train.kind
    good = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()).fit(x, y)
    world.add("cancer", good, train, "kind", "champion")
    world.add("cancer", tree.DecisionTreeClassifier(max_depth=2, random_state=0).fit(x[["f4", "f5"]], y), train, "kind")
    world.add("sugar", linear_model.Ridge(0.1).fit(sugar.drop(columns="target"), sugar.target), sugar, "target")
    return world
