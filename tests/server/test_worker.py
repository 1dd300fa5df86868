"""A web worker by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SLOW_START = """
import os, sys, time
from core.settings import Settings
from flows.adopt import Adopter
from server import home
from server.worker import Worker

report, reports = Adopter.report, []

def counted(self):
    reports.append(report(self))

def slow(self):
    # As slow as it takes for three reports; where none comes, it gives up at last.
    until = time.monotonic() + 60
    while len(reports) < 3 and time.monotonic() < until:
        time.sleep(0.01)

Adopter.report, Adopter.poll = counted, slow
Worker(home.create(Settings(home=sys.argv[1])), "w1", "127.0.0.1").start()
print(len(reports), flush=True)
os._exit(0)
"""


def test_a_worker_says_that_it_is_alive_while_it_loads_its_first_models(tmp_path: Path) -> None:
    """It reports before its first plans are adopted, and while they are."""
    ran = subprocess.run(
        [sys.executable, "-c", SLOW_START, str(tmp_path / "home")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert int(ran.stdout) >= 3
