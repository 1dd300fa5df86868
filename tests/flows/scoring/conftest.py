"""A home to score in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.flow_world import World
from tests.flows.scoring.scoring_world import Scoring, floats, linear


@pytest.fixture
def scoring(bare: World, tmp_path: Path) -> Scoring:
    """`sum@1` answers a + b, `sign@1` the label yes or no."""
    made = Scoring(bare, tmp_path)
    made.add("sum", linear(floats("a", "b")))
    made.add("sign", linear(floats("a", "b"), ("no", "yes")))
    return made
