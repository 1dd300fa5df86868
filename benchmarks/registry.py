"""What the registry costs with 10,000 versions in it: search, list, alias, show.

python -m benchmarks.registry

Half of the versions are of one model, the others of a model each. Cards are those of a real model; what is said of them is made up.
Each figure is of one call of the flow behind a route or a command, its transaction included.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

from benchmarks import site
from core.ids import VersionId
from flows import known
from flows.registry import adding, happening, pointing, searching, showing
from models.about import About
from models.package import Package
from routing.changes import Who
from server.home import Home
from store import registry

VERSIONS = 10_000
ONE = "one-of-many-versions"
CALLS = 200
LIMIT_SECONDS = 0.05
SEARCHES = (
    "",
    "task:classification auc>0.9 tag:fraud",
    "auc>0.5",
    "tag:rare",
    "-tag:fraud -tag:churn owner:ann",
    "state:registered",
    "state:approved auc>0.8",
    "-state:registered",
    "quarterly report",
    "model:one-of-many-versions param.max_depth=5",
    "registered>2001-09-09T02:00:00Z alias:champion",
)
_WHO = Who("benchmark", 1e9, "benchmark")


def fill(home: Home, number: int = VERSIONS) -> None:
    """So many versions beside those of the home, one in seven approved, one in twenty with an alias."""
    rng = random.Random(1)
    with home.store.write() as connection:
        row = registry.newest_versions(connection, registry.list_models(connection)[0], 1)[0]
        package = Package(known.decode_card(row.card), {})
        made = [_add(connection, home, package, rng, place) for place in range(number)]
        for version in made[::7]:
            happening.approve(connection, version, _WHO)
        for version in made[::20]:
            pointing.point(connection, version, "champion", _WHO)


def _add(connection: Any, home: Home, package: Package, rng: random.Random, place: int) -> VersionId:
    tags = tuple(tag for tag, share in (("fraud", 0.4), ("churn", 0.4), ("rare", 0.001)) if rng.random() < share)
    about = About(
        description=f"the model of case {place} for the {rng.choice(('quarterly', 'daily'))} {rng.choice(('report', 'batch'))}",
        owner=rng.choice(("ann", "bob", "carol")),
        tags=tags,
        metrics={"auc": round(rng.random(), 4), "f1": round(rng.random(), 4)},
        parameters={"max_depth": rng.randrange(12)},
    )
    return adding.add(connection, home.blobs, ONE if place % 2 else f"model-{place}", package, "benchmark", 1e9 + place, about)


class Cost(NamedTuple):
    """Of a call, in seconds: its median and 99th percentile by the clock, and its median of this process's own time."""

    median: float
    late: float
    processor: float


def measure(home: Home) -> Iterator[tuple[str, Cost]]:
    """(what, what it costs)."""
    store = home.store
    for text in SEARCHES:
        yield f"search {text!r}", _timed(lambda text=text: searching.search_versions(store, text, "-registered", 50, None))
    yield "search 'tag:fraud', best auc first", _timed(lambda: searching.search_versions(store, "tag:fraud", "-auc", 50, None))
    midst = _midst(home)
    yield "a page in the midst of all", _timed(lambda: searching.search_versions(store, "", "model", 50, midst))
    yield "list 50 models", _timed(lambda: showing.list_models(store, 50, "model-3"))
    yield "list 50 versions with their cards", _timed(lambda: showing.show_model(store, ONE, 50, 2000))
    yield "show a version", _timed(lambda: showing.show_version(store, f"{ONE}@2500"))
    numbers = cycle((2500, 2600))
    yield "move an alias", _timed(lambda: pointing.set_alias(store, f"{ONE}@{next(numbers)}", "challenger", _WHO))


def _midst(home: Home) -> str:
    after: str | None = None
    for _ in range(5):
        after = searching.search_versions(home.store, "", "model", 1000, after)["next"]
    return after or ""


def _timed(call: Callable[[], object]) -> Cost:
    times, own = [], []
    for _ in range(CALLS):
        start, used = perf_counter(), process_time()
        call()
        times.append(perf_counter() - start)
        own.append(process_time() - used)
    return Cost(statistics.median(times), sorted(times)[int(CALLS * 0.99)], statistics.median(own))


def tell(home: Home) -> None:
    """A line for each, and whether all keep within the limit."""
    fill(home)
    print(f"registry, {VERSIONS:,} versions, {CALLS} calls each (aim: p99 of 50 ms), in ms")
    missed = 0
    for what, cost in measure(home):
        missed += cost.late > LIMIT_SECONDS
        figures = f"p50 {cost.median * 1e3:6.2f}   p99 {cost.late * 1e3:6.2f}   of the processor {cost.processor * 1e3:5.2f}"
        print(f"  {what:58} {figures}{'   MISSED' if cost.late > LIMIT_SECONDS else ''}")
    print(f"  {f'missed by {missed}' if missed else 'kept by all'}\n")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="tiltyard-bench-") as directory:
        tell(site.build(Path(directory) / "home"))


if __name__ == "__main__":
    main()
