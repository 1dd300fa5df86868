"""A registry for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.registry.registry_world import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A home with four versions of which nothing is said."""
    return Registry(tmp_path)
