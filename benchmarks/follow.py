"""How fast the `record` reader folds events into facts."""

from __future__ import annotations

from time import perf_counter

from benchmarks import site
from core import events
from core.events import ENROLLED, Observed, Predicted
from core.values import Output
from flows import deploy, housekeep
from flows.facts.record import Recorder
from flows.follow import RECORD, Follower
from journal.lookup import Lookup
from journal.writer import Writer
from server.home import Home, clock
from server.reader import RECORD_BATCH

PREDICTIONS = 20_000


def fill(home: Home) -> int:
    """Append predictions of units that each come twice, and an outcome of each; returns the number of events."""
    with home.store.read() as connection:
        plan = deploy.load(connection, site.ENDPOINT)
    housekeep.begin_readers(home.store, home.journal)
    outputs = [Output(label=1, probabilities={"0": 0.25, "1": 0.75})]
    writer = Writer(home.journal)
    for number in range(PREDICTIONS):
        unit, arm = f"user-{number // 2}", "treatment" if number // 2 % 2 else "control"
        now = clock()
        served = Predicted(now, plan.endpoint, plan.plan, unit, arm, 0.5, plan.arms[arm].version, ENROLLED, [[0.02] * 10], outputs, 2e-5)
        writer.append(events.encode(served))
        writer.append(events.encode(Observed(now, None, plan.endpoint, unit, "revenue", 1.5, now, None)))
    writer.close()
    return 2 * PREDICTIONS


def record(home: Home) -> float:
    """Events per second that `record` folds, of those that `fill` appended."""
    count = fill(home)
    follower = Follower(home.store, home.journal, RECORD)
    recorder = Recorder(Lookup(home.journal).get, home.settings.quarantine_seconds)
    start = perf_counter()
    done = 0
    while done < count:
        done += follower.step(lambda entries, at: lambda connection: recorder.fold(connection, entries, at), RECORD_BATCH)
    seconds = perf_counter() - start
    follower.close()
    return count / seconds
