"""One home for all tests of this folder: tests of versions add to it, and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows.testing import run
from tests.flows.testing.testing_world import World, make

COST = {
    "latency": {"calls": 500, "p50_ms": 0.1, "p95_ms": 0.2, "p99_ms": 0.3, "rows_per_second": 1000.0},
    "memory": {"peak_bytes": 1_000_000},
}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The home with its versions."""
    return make(tmp_path_factory.mktemp("testing"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Without the processes that measure, which take a second each."""

    def cost(*_: Any) -> dict[str, Any]:
        return COST

    monkeypatch.setattr(run, "measure", cost)
    return cost
