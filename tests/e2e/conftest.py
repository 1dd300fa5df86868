"""The fixtures of all tests against a real server: models, homes, servers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops import io as skops_io

from core.settings import Settings
from flows import register
from routing.changes import Who
from server import home as homes
from tests.e2e.real_server import Server, Worlds

# A pickle names the module of its class: here and in the server it is to be the same one.
sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def diabetes() -> pd.DataFrame:
    """Real rows: ten features and the target."""
    return load_diabetes(as_frame=True).frame


@pytest.fixture(scope="session")
def rows(diabetes: pd.DataFrame) -> list[dict[str, float]]:
    """The features of the real rows."""
    return diabetes.drop(columns="target").to_dict("records")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, diabetes: pd.DataFrame) -> Path:
    """A home with three versions of the model `dia`, all of the diabetes data."""
    directory = tmp_path_factory.mktemp("template")
    sample = directory / "sample.csv"
    diabetes.to_csv(sample, index=False)
    home = homes.create(Settings(home=str(directory / "home")))
    x, y = diabetes.drop(columns="target"), diabetes["target"]
    for number, model in enumerate((Ridge(10.0), LinearRegression(), Ridge(0.1)), 1):
        path = directory / f"{number}.skops"
        skops_io.dump(make_pipeline(StandardScaler(), model).fit(x, y), path)
        register.register(home.store, home.blobs, "dia", path, Who("test", time.time(), "template"), sample=sample, target="target")
    return home.path


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Worlds]:
    """Where a module's servers come from."""
    made = Worlds(tmp_path_factory.mktemp("worlds"), template)
    yield made
    made.close()


@pytest.fixture
def fresh(tmp_path: Path, template: Path) -> Iterator[Worlds]:
    """Where a test's own servers come from."""
    made = Worlds(tmp_path, template)
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(worlds: Worlds) -> Server:
    """One running server for all tests of the module."""
    return worlds.server().start()
