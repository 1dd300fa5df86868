"""A store of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import Settings
from store import engine
from store.engine import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return engine.create(Settings(home=str(tmp_path)))
