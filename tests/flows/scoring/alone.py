"""Scoring in a process of its own: killed again and again, or watched for its memory.

python -m tests.flows.scoring.alone kill HOME IN OUT SEED
python -m tests.flows.scoring.alone memory HOME SMALL LARGE OUT
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from core.settings import Settings
from flows.scoring import score as flow
from flows.scoring.score import Order, score
from flows.scoring.subject import Place
from store import engine
from store.blobs import Blobs

VERSION = "sum@1"
LONGEST = 0.25
"""Seconds that a scorer lives at most, but for the last one."""
MOST_KILLS = 12


def run(home: Path, source: Path, output: Path) -> int:
    """Score in this process; how many rows an earlier one had scored."""
    place = Place(engine.open_existing(Settings(home=str(home))), Blobs(home / "blobs"), home / "snapshots.key")
    resumed: int = score(place, Order(VERSION, source, output), lambda progress: None)["resumed_at"]
    return resumed


def kill(home: Path, source: Path, output: Path, seed: int) -> dict[str, int]:
    """Let scorers begin, and kill them at random moments, until one of them comes to its end."""
    flow.PART_ROWS = 1000
    chance, kills, progress = random.Random(seed), 0, 0
    while True:
        child = os.fork()
        if child == 0:
            os._exit(0 if run(home, source, output) >= 0 else 1)
        if kills < MOST_KILLS:
            time.sleep(chance.uniform(0.0, LONGEST))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return {"kills": kills, "parts": progress, "status": os.waitstatus_to_exitcode(status)}
        kills += 1
        progress = max(progress, len(list(output.with_name(output.name + ".parts").glob("*.parquet"))))


def memory(home: Path, small: Path, large: Path, output: Path) -> dict[str, int]:
    """By how many bytes a large file takes more than a small one at the highest."""
    run(home, small, output)
    before = _highest()
    run(home, large, output)
    return {"grown": _highest() - before}


def _highest() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    what, *paths = sys.argv[1:]
    commands = {"kill": lambda: kill(*map(Path, paths[:3]), seed=int(paths[3])), "memory": lambda: memory(*map(Path, paths))}
    print(json.dumps(commands[what]()))
