"""Native threads for models: limits, and what a version that hangs does to others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCENE = """
import sys, time
from gevent import monkey
sleep = time.sleep  # of the thread, not of the hub
monkey.patch_all()
import gevent
from threading import Event
from core.errors import Crowded, ModelFailed, TimedOut
from server import lanes
from server.lanes import Lanes, THREADS

made = Lanes(idle_seconds=0.1)
held = []

def hang():
    while held:
        sleep(0.01)
    return "late"

def tried(version, work, seconds=0.3):
    start = time.perf_counter()
    try:
        found = made.run(version, work, seconds)
    except ModelFailed as error:
        found = type(error).__name__
    return found, time.perf_counter() - start
"""

SCENES = {
    "what it returns and raises": """
def broken(): raise ZeroDivisionError("oh")
def ended(): raise SystemExit(3)
assert tried("a", lambda: 7)[0] == 7
for work, said in ((broken, "ZeroDivisionError: oh"), (ended, "SystemExit: 3")):
    try:
        made.run("a", work, 1.0)
    except ModelFailed as error:
        assert error.message == said, error.message
    else:
        raise AssertionError
""",
    "one that hangs keeps no other from answering": """
held.append(1)
calls = [gevent.spawn(tried, "a", hang) for _ in range(THREADS)]
gevent.sleep(0.05)
assert tried("b", lambda: 7)[0] == 7
gevent.joinall(calls)
assert [call.value[0] for call in calls] == ["TimedOut"] * THREADS
found, seconds = tried("a", hang)
assert (found, seconds < 0.1) == ("TimedOut", True)
held.clear()
gevent.sleep(0.1)
assert tried("a", lambda: 7)[0] == 7
""",
    "who waits for a thread in vain was not asked": """
held.append(1)
calls = [gevent.spawn(tried, "a", hang, 5.0) for _ in range(THREADS)]
gevent.sleep(0.05)
found, seconds = tried("a", lambda: 7, 0.2)
assert (found, 0.15 < seconds) == ("Crowded", True), (found, seconds)
held.clear()
gevent.joinall(calls)
assert [call.value[0] for call in calls] == ["late"] * THREADS
""",
    "no more wait than there is room for": """
lanes.MOST_WAITING = 3
held.append(1)
calls = [gevent.spawn(tried, "a", hang, 5.0) for _ in range(THREADS + 3)]
gevent.sleep(0.05)
found, seconds = tried("a", lambda: 7, 5.0)
assert (found, seconds < 0.1) == ("Crowded", True)
held.clear()
gevent.joinall(calls)
assert [call.value[0] for call in calls] == ["late"] * (THREADS + 3)
""",
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_lanes(scene: str) -> None:
    """See its name. In a process of its own, patched as a web worker is."""
    ran = subprocess.run([sys.executable, "-c", SCENE + scene], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
