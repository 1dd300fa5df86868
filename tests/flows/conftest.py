"""Worlds: an endpoint on which an experiment runs (plan 2), an endpoint with a shadow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from models.features.table import Writer, path_of
from tests.flows.flow_world import World
from tests.flows.serving_world import Serving
from tests.flows.shadow_scene import Scene, classifier, regressor, scenes


@pytest.fixture
def bare(tmp_path: Path) -> World:
    """A home with four versions of a model, and nothing else."""
    return World(tmp_path)


@pytest.fixture
def world(bare: World) -> World:
    """An experiment that began at 0."""
    bare.endpoint()
    bare.begin()
    return bare


@pytest.fixture
def scene(bare: World, tmp_path: Path) -> Iterator[Scene]:
    """Two classifiers."""
    yield from scenes(bare, tmp_path / "journal", classifier)


@pytest.fixture
def values(bare: World, tmp_path: Path) -> Iterator[Scene]:
    """Two regressors."""
    yield from scenes(bare, tmp_path / "journal", regressor)


@pytest.fixture
def serving(bare: World, tmp_path: Path) -> Iterator[Serving]:
    """A worker's routes; no view is declared yet, at the end none is."""
    made = Serving(bare, tmp_path / "views")
    yield made
    made.drop()
    made.opener.poll()


@pytest.fixture
def clicks(serving: Serving) -> Iterator[Writer]:
    """Writes the first generation of the view clicks."""
    with closing(Writer(path_of(serving.directory, "clicks", 1), ("n",))) as made:
        yield made
