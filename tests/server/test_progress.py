"""The meter of long commands."""

from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from server.cli.progress import Meter


class At(NamedTuple):
    """So far."""

    rows: int
    share: float


class Watch:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Every ten seconds: how far, how fast since the first telling, and how long it will take."""
    watch = Watch()
    meter = Meter(always=True, timer=watch)
    for seconds, rows, share in ((0.0, 1000, 0.5), (5.0, 2000, 0.51), (10.0, 21_000, 0.6), (10.0, 41_000, 0.7)):
        watch.now += seconds
        meter.tell(At(rows, share))
    meter.end()
    assert capsys.readouterr().err.splitlines() == [
        " 50%  1,000 rows",
        " 60%  21,000 rows, 1,333 rows/s, 1 min 0 s left",
        " 70%  41,000 rows, 1,600 rows/s, 38 s left",
    ]


def test_nothing_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a terminal nor asked for."""
    meter = Meter(always=False)
    meter.tell(At(1, 0.5))
    meter.end()
    assert capsys.readouterr().err == ""


def test_one_line_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written over, and ended."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    watch = Watch()
    meter = Meter(always=False, timer=watch)
    meter.tell(At(1000, 0.0))
    watch.now += 1.0
    meter.tell(At(2000, 0.00025))
    meter.end()
    lines = capsys.readouterr().err.split("\r")[1:]
    assert [line.rstrip() for line in lines] == ["  0%  1,000 rows", "  0%  2,000 rows, 1,000 rows/s, 1 h 6 min left"]
    assert len(lines[0]) == 78
    assert lines[-1].endswith("\n")
