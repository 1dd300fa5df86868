"""`make soak`: mixed traffic for a long time against a real server; memory, open files and the readers' lag must stay flat.

python -m benchmarks.soak [MINUTES]   (60 where not given; two minutes before that are warm-up and count for nothing)
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks import load, site
from benchmarks.site import Site
from flows import status
from server.home import clock

MINUTES = 60.0
WARM_UP_SECONDS = 120.0
EVERY_SECONDS = 10.0
RATE = 800.0
"""Requests a second: well below what two cores answer, so that what grows is a leak and no queue."""

MOST_GROWTH = 0.05
"""Share by which the memory of all processes may grow from the first quarter of the samples to the last."""
MORE_FILES = 16
MOST_LAG_SECONDS = 5.0


class Sample(NamedTuple):
    """What the server's processes hold together: resident bytes, open files; and the largest lag of a reader, in seconds."""

    memory: float
    files: float
    lag: float


def main() -> int:
    """Soak, print the samples and say whether all stayed flat; 1 where something did not."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    with tempfile.TemporaryDirectory(prefix="tiltyard-soak-") as directory:
        home = site.build(Path(directory) / "home", shadow=True)
        with site.serving(home) as server:
            load.run(server.port, _mixed(), WARM_UP_SECONDS, RATE)
            problems = _judge(list(_samples(server, minutes * 60)))
    print("\n".join(problems) or "flat")
    return 1 if problems else 0


def _samples(server: Site, seconds: float) -> Iterator[Sample]:
    requests = _mixed()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = load.run(server.port, requests, EVERY_SECONDS, RATE)
        if found.failed:
            raise RuntimeError(f"{found.failed} of {found.failed + found.answered} requests were not answered well")
        sample = _sample(server)
        late = found.percentile(0.99) * 1e3
        print(f"{sample.memory / 2**20:7.1f} MB  {sample.files:4.0f} files  lag {sample.lag:5.2f} s  p99 {late:6.2f} ms", flush=True)
        yield sample


def _mixed() -> list[bytes]:
    """Ten predictions, then a post of ten outcomes, and now and then a report and the metrics."""
    predictions = iter(site.predictions())
    found: list[bytes] = []
    for number, outcomes in enumerate(site.outcomes(10)):
        found += [*islice(predictions, 10), outcomes]
        if number % 50 == 0:
            found += [load.get(f"/v1/experiments/{site.EXPERIMENT}/report"), load.get("/metrics")]
    return found


def _sample(server: Site) -> Sample:
    processes = [Path(f"/proc/{pid}") for pid in _family(server.process.pid)]
    memory = sum(_resident(process) for process in processes)
    files = sum(len(list((process / "fd").iterdir())) for process in processes)
    lag = max(one["lag_seconds"] for one in status.readers(server.home.store, server.home.journal, clock).values())
    return Sample(memory, files, lag)


def _resident(process: Path) -> int:
    """Resident bytes, of shared pages the share (PSS): they are not counted twice."""
    line = next(line for line in (process / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


def _family(pid: int) -> list[int]:
    children = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return [pid, *(each for child in children for each in _family(child))]


def _judge(samples: list[Sample]) -> list[str]:
    """What did not stay flat, in words."""
    quarter = max(1, len(samples) // 4)
    first, last = (Sample(*map(statistics.median, zip(*part, strict=True))) for part in (samples[:quarter], samples[-quarter:]))
    problems = []
    if last.memory > first.memory * (1 + MOST_GROWTH):
        problems.append(f"memory grew from {first.memory / 2**20:.1f} to {last.memory / 2**20:.1f} MB")
    if last.files > first.files + MORE_FILES:
        problems.append(f"open files grew from {first.files:.0f} to {last.files:.0f}")
    if last.lag > MOST_LAG_SECONDS:
        problems.append(f"the readers' lag reached {last.lag:.1f} s")
    return problems


if __name__ == "__main__":
    sys.exit(main())
