"""The demo, played for real, in the short version."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.demo import contestants, readings

UNITS = 4_000
PATIENCE = 200.0
QUICKLY = 60.0
"""Seconds in which it ends when it is told to; it takes 1 to 3 where nothing else runs."""

pytestmark = pytest.mark.timeout(2 * PATIENCE)


@contextmanager
def demo(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`tiltyard demo`, whose temporary home is made in `directory`."""
    command = [str(Path(sys.executable).with_name("tiltyard")), "demo", *arguments]
    environment = {**os.environ, "TMPDIR": str(directory), "TILTYARD_DATABASE_URL": "sqlite:////nowhere/of-another-server.db"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def left_in(directory: Path) -> list[str]:
    """What stands in `directory`, but for the mark that onnxruntime puts into every temporary directory."""
    return [path.name for path in directory.iterdir() if path.name != ".ses"]


def processes_of(directory: Path) -> list[str]:
    """The processes whose environment names `directory`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory).encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has just ended, or is another user's
            continue
    return found


def played(directory: Path) -> str:
    """What it tells when it is left to run to its end: that is with 0, and leaves no file and no process."""
    with demo(directory, "--units", str(UNITS)) as process:
        told, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert left_in(directory) == []
    assert processes_of(directory) == []
    return told


def test_it_comes_to_a_promotion_and_cleans_up(tmp_path: Path) -> None:
    """On real data the new model is shown to be better and promoted."""
    told = played(tmp_path)
    if "  PROMOTE  " not in told:  # units are dealt out by chance, and one deal in a thousand or so alarms a check
        told = played(tmp_path)
    assert re.search(r"^  PROMOTE  experiment shuttle on endpoint shuttle$", told, re.MULTILINE)
    assert "gives control, and with it all traffic, to shuttle@2" in " ".join(told.split())
    newest = re.search(r"^  PLAN +PHASE.*\n  (.*)$", told, re.MULTILINE)
    assert newest is not None
    assert "control=shuttle@2:1 " in newest[1]
    counted = re.search(r"outcomes +counted (\d+), outside_window (\d+), unanalysed (\d+), quarantined 0, duplicates 0", told)
    assert counted is not None
    assert sum(map(int, counted.groups())) == UNITS
    assert f"answered {UNITS:,} of {UNITS:,} mirrored requests, 0 with an error, 0 dropped" in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_ended_in_the_middle(tmp_path: Path, number: signal.Signals) -> None:
    """Ended while traffic runs, it takes its server and its home with it."""
    with demo(tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("3. Traffic"):
                break
        assert processes_of(tmp_path)
        process.send_signal(number)
        start = time.monotonic()
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == {signal.SIGINT: 1, signal.SIGTERM: 128 + signal.SIGTERM}[number]
    assert "Traceback" not in errors
    assert time.monotonic() - start < QUICKLY
    assert left_in(tmp_path) == []
    assert processes_of(tmp_path) == []


def test_a_home_in_use_is_refused_in_one_line(tmp_path: Path) -> None:
    """A directory that holds something is not touched."""
    (tmp_path / "mine").write_text("precious")
    with demo(tmp_path, "--home", str(tmp_path)) as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors == f"tiltyard: home: expected a new or empty directory, {tmp_path} is not empty\n"
    assert left_in(tmp_path) == ["mine"]


def test_no_model_has_seen_the_live_readings() -> None:
    """Training and comparison end before the live readings begin."""
    everything = readings.load()
    assert len(everything) == readings.TOTAL
    assert readings.LIVE >= 20_000
    assert max(contestant.rows for contestant in contestants.contestants(readings.TRAIN)) <= readings.TRAIN
    assert len(everything) == readings.TRAIN + readings.CHECK + readings.LIVE
