"""`make bench`: what Tiltyard costs, as ratios to a peer or to itself in one run; about a quarter of an hour.

python -m benchmarks.bench

What is compared runs in turns of some seconds (A B A B …), each with the other idle, and the median of the rounds' ratios counts: so
what else the machine does meets both. Latencies and times are of this machine; the ratios are what to compare elsewhere.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from benchmarks import features, follow, learning, load, registry, reports, site
from benchmarks.load import Load, get
from benchmarks.site import Site
from benchmarks.steps import steps
from server.home import Home

ROUNDS = 5
SECONDS = 3.0
BATCH = 100
PACKAGES = ("tiltyard", "flask", "gunicorn", "gevent", "onnxruntime", "river", "numpy", "msgspec", "SQLAlchemy")


def main() -> None:
    """Measure and print."""
    print(f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {platform.platform()}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES))
    print(f"{load.CONNECTIONS} keep-alive connections, {site.WORKERS} workers, one row of 10 features, two arms, journal and metrics on\n")
    with _home() as home:
        _print_steps(steps(home))
    with _home() as home:
        print(f"record: {follow.record(home):,.0f} events/s (aim: 20,000)")
    with _home() as home:
        reports.tell(home)
    with _home() as home:
        registry.tell(home)
    features.tell()
    learning.tell()
    with _home() as home, site.serving(home) as plain:
        capacity = _against_flask(plain)
        _outcomes(plain)
        with _home(shadow=True) as mirrored, site.serving(mirrored) as shadowed:
            _with_shadow(plain, shadowed, capacity / 2)


def _against_flask(ours: Site) -> float:
    """Prints the comparison with a bare Flask hello-world; returns the predictions per second that this server answers."""
    mine, flask = [], []
    with site.hello() as port:
        for _ in range(ROUNDS + 1):
            mine.append(_measured(ours.port, site.predictions()))
            site.settle(ours)
            flask.append(_measured(port, [get("/")]))
    print("predictions against a bare Flask hello-world on the same gunicorn settings, in turns")
    _compare("Tiltyard", mine[1:], "Flask", flask[1:], "1.0")
    return statistics.median(one.rate for one in mine[1:])


def _with_shadow(plain: Site, shadowed: Site, rate: float) -> None:
    with_one, without = [], []
    for _ in range(ROUNDS + 1):
        with_one.append(_measured(shadowed.port, site.predictions(), rate))
        site.settle(shadowed)
        without.append(_measured(plain.port, site.predictions(), rate))
        site.settle(plain)
    print(f"a shadow on against off, at half load: {rate:,.0f} predictions a second asked for, in turns")
    _compare("on", with_one[1:], "off", without[1:], "0.95")


def _outcomes(ours: Site) -> None:
    found = _measured(ours.port, site.outcomes(BATCH))
    site.settle(ours)
    print(f"outcomes acknowledged durable, in posts of {BATCH}: {found.rate * BATCH:,.0f}/s (aim: 5,000)\n")


def _measured(port: int, requests: list[bytes], rate: float | None = None) -> Load:
    found = load.run(port, requests, SECONDS, rate)
    if found.failed:
        raise RuntimeError(f"{found.failed} of {found.failed + found.answered} requests were not answered well")
    return found


def _compare(first: str, a: list[Load], second: str, b: list[Load], aim: str) -> None:
    ratios = sorted(one.rate / other.rate for one, other in zip(a, b, strict=True))
    print(f"  {first:10} {_told(a)}\n  {second:10} {_told(b)}")
    print(f"  ratio      {statistics.median(ratios):.2f} (rounds: {ratios[0]:.2f} to {ratios[-1]:.2f}; aim: {aim})\n")


def _told(loads: list[Load]) -> str:
    median, late = (statistics.median(one.percentile(share) for one in loads) * 1e3 for share in (0.5, 0.99))
    return f"{statistics.median(one.rate for one in loads):7,.0f}/s   p50 {median:5.2f} ms   p99 {late:5.2f} ms"


def _print_steps(found: dict[str, float]) -> None:
    print("a prediction, step by step, in one process without a socket, in µs")
    for name, seconds in found.items():
        print(f"  {name:10} {seconds * 1e6:6.1f}{'   (aim: 60)' if name == 'own' else ''}")
    print()


@contextmanager
def _home(*, shadow: bool = False) -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="tiltyard-bench-") as directory:
        yield site.build(Path(directory) / "home", shadow=shadow)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
