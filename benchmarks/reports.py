"""What a report costs with more and more outcomes behind it.

python -m benchmarks.reports

An experiment with metrics of every kind, slices, a covariate and a traffic shift is recorded through the journal once, with its looks.
Then the units and totals of so many further outcomes are put into the store by SQL, ten to a unit, as `record` would have left them:
folding ten million takes minutes, and what is measured is reading.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import sqlalchemy as sa

from benchmarks import site
from core import events
from core.events import ENROLLED, Observed, Predicted, Tick
from core.values import Output
from experiments.design import Design
from experiments.metric import Metric
from flows import deploy, experiment, housekeep, metric
from flows.deploy import Order
from flows.facts import report
from flows.facts.record import Recorder
from flows.follow import RECORD, Follower
from journal.lookup import Lookup
from journal.writer import Writer
from routing.changes import Who
from server.home import Home
from server.reader import RECORD_BATCH

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
EXPERIMENT = "every-kind"
UNITS, PER_UNIT = 3_000, 10
WINDOW = 60.0
REPORTS = 15
METRICS = (
    Metric(name="revenue", covariate="earlier"),
    Metric(name="bought", kind="binary", outcome="revenue"),
    Metric(name="per_request", kind="ratio", outcome="revenue", denominator="predictions", role="guardrail"),
    Metric(name="wait90", kind="quantile", quantile=0.9, outcome="wait", direction="decrease", role="guardrail", margin=5.0),
    Metric(name="wrong", kind="label_loss", loss="log_loss", direction="decrease", role="info"),
)


def reports(home: Home, sizes: Sequence[int] = SIZES) -> Iterator[tuple[int, float]]:
    """(outcomes in the store, median seconds of a report) for each size."""
    _record(home)
    for size in sizes:
        _grow(home, size)
        yield size, _seconds(home)


def _record(home: Home) -> None:
    """An experiment in two phases, folded and looked at; times are made up, far from now."""
    start = 1_000_000.0
    order = Order(Who("benchmark", start, "benchmark"))
    housekeep.begin_readers(home.store, home.journal)
    experiment.stop(home.place, site.EXPERIMENT, order)
    for each in METRICS:
        metric.declare(home.place, site.ENDPOINT, each, order)
    design = Design(
        metrics=list(METRICS), mde=0.2, relative=True, window_seconds=WINDOW, look_every_seconds=10.0, slices=["country", "sex"]
    )
    experiment.create(home.place, EXPERIMENT, site.ENDPOINT, design, order)
    writer, rng = Writer(home.journal), np.random.default_rng(1)
    _append(home, writer, rng, start, "a")
    shift = start + 2.0 * WINDOW
    deploy.set_traffic(home.place, site.ENDPOINT, {"control": 80, "treatment": 20}, None, Order(Who("benchmark", shift, "benchmark")))
    _append(home, writer, rng, shift, "b")
    writer.append(events.encode(Tick(shift + 3.0 * WINDOW)))
    writer.close()
    follower = Follower(home.store, home.journal, RECORD)
    recorder = Recorder(Lookup(home.journal).get, home.settings.quarantine_seconds)
    while follower.step(lambda entries, at: lambda connection: recorder.fold(connection, entries, at), RECORD_BATCH):
        pass
    follower.close()


def _append(home: Home, writer: Writer, rng: np.random.Generator, start: float, prefix: str) -> None:
    with home.store.read() as connection:
        plan = deploy.load(connection, site.ENDPOINT)
    share = plan.share("treatment")
    outputs = [Output(label=1, probabilities={"0": 0.25, "1": 0.75})]
    for number in range(UNITS):
        at, unit = start + 30.0 * number / UNITS, f"{prefix}{number}"
        arm = "treatment" if rng.random() < share else "control"
        chance = share if arm == "treatment" else 1.0 - share
        context = {"country": f"c{number % 5}"}
        row = [float(value) for value in rng.normal(size=10).round(1)]
        version = plan.arms[arm].version
        writer.append(
            events.encode(Predicted(at, plan.endpoint, plan.plan, unit, arm, chance, version, ENROLLED, [row], outputs, 2e-5, context))
        )
        for name, value in (("revenue", float(rng.exponential(3.0))), ("wait", float(rng.gamma(4.0)))):
            writer.append(events.encode(Observed(at, None, plan.endpoint, unit, name, value, at, None)))


def _grow(home: Home, outcomes: int) -> None:
    """Matured units until the store holds so many outcomes."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :last)"
    units = f"{numbers} INSERT INTO units SELECT '{EXPERIMENT}', 'g' || i, 'control', 1, 1000000.0, 0.5, 'matured', NULL FROM n"
    totals = f"{numbers} INSERT INTO unit_totals SELECT '{EXPERIMENT}', 'g' || i, 'revenue', 1.5, {PER_UNIT} FROM n"
    with home.store.write() as connection:
        first = connection.scalar(sa.text("SELECT count(*) FROM units WHERE unit LIKE 'g%'")) or 0
        span = {"first": first, "last": outcomes // PER_UNIT}
        for statement in (units, totals):
            connection.execute(sa.text(statement), span)


def _seconds(home: Home) -> float:
    times = []
    for _ in range(REPORTS):
        start = perf_counter()
        report.report(home.store, EXPERIMENT)
        times.append(perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="tiltyard-bench-") as directory:
        tell(site.build(Path(directory) / "home"))


def tell(home: Home) -> None:
    """One line for all sizes."""
    found = [f"{seconds * 1e3:.1f} ms at {size:,}" for size, seconds in reports(home)]
    print(f"report, by outcomes behind it: {', '.join(found)} (aim: 50, and no growth)\n")


if __name__ == "__main__":
    main()
