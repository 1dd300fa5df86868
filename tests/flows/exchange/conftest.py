"""A home to exchange models with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.exchange.exchange_world import Exchange
from tests.flows.flow_world import World


@pytest.fixture
def exchange(bare: World, tmp_path: Path) -> Exchange:
    """Without models of its own."""
    return Exchange(bare, tmp_path)
