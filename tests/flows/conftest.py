"""A world with an endpoint on which an experiment runs: plan 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.flow_world import World


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
