"""Worlds of feature views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.flow_world import World
from tests.flows.views.view_world import ViewWorld


@pytest.fixture
def unviewed(bare: World, tmp_path: Path) -> Iterator[ViewWorld]:
    """The endpoint credit."""
    bare.endpoint()
    found = ViewWorld(bare, tmp_path)
    yield found
    found.writer.close()


@pytest.fixture
def world(unviewed: ViewWorld) -> ViewWorld:
    """The same with the view `activity` of the stream clicks."""
    unviewed.declare()
    return unviewed
