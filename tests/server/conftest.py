"""A directory of metrics, and a worker that counts there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.metrics import compact
from server.metrics.hot import HotMetrics, open_metrics


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    home = tmp_path / "metrics"
    compact.clear(home)
    return home


@pytest.fixture
def metrics(directory: Path) -> Iterator[HotMetrics]:
    opened = open_metrics(directory)
    assert isinstance(opened, HotMetrics)
    yield opened
    opened.close()
