"""Worlds in which a version learns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.learning.learn_world import LearnWorld, Make, makers


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a world, and closes it."""
    yield from makers(tmp_path / "home")


@pytest.fixture
def world(make: Make) -> LearnWorld:
    """An endpoint with two arms; a linear regression learns."""
    return make()
