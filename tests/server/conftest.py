"""A directory of metrics, and a worker that counts there; commands that run in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from server.cli import main
from server.metrics import compact
from server.metrics.hot import HotMetrics, open_metrics
from tests.server.commands_world import Ended, Run


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


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in a home that does not exist yet."""
    monkeypatch.setenv("TILTYARD_HOME", str(tmp_path / "home"))

    def ended(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tiltyard", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        return Ended(cast(int, caught.value.code or 0), *capsys.readouterr())

    return ended
