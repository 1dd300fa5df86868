"""What learning costs and how soon it shows: labels a second, from a label to every worker, and what predictions notice of it.

The model is River's StandardScaler | LogisticRegression on ten features.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import msgspec
from river import linear_model, preprocessing
from river.compose import Pipeline
from sklearn.datasets import load_diabetes

from benchmarks import load, site
from benchmarks.load import Load, post
from benchmarks.site import ENDPOINT, Site
from core import events
from core.events import Observed, Predicted
from core.ids import VersionId, format_prediction_id
from core.settings import Settings
from core.values import Output
from flows import deploy, housekeep
from flows.deploy import ArmSpec, Order
from flows.learning.learn import Learning, School
from flows.learning.learners import learner_reader
from flows.register import register
from journal import segments
from journal.reader import Reader
from journal.writer import Writer
from models.learner.settings import LearnerSettings
from models.learner.snapshot import key
from routing.changes import Who
from server.home import Home, clock, create
from store import learners

LABELS = 50_000
RATE = 1_000
"""Labels a second while latencies are measured."""
POST = 20
SECONDS = 3.0
ROUNDS = 12
"""Many: the tail of one round is half or twice that of another."""
CATCH_UP_SECONDS = 6.0
"""A learner that stood still first reads what it has missed, and asks for an idle core again only after some seconds."""
FRESH_SECONDS = 16.0
SHARES = (0.5, 0.25)
"""Of the peak rate. At half of it the processors are far more than half busy: a request costs less where many come at once."""
VERSION = VersionId("online", 1)


class Turn(NamedTuple):
    """A run, the share of the processors that were busy meanwhile, and the share of one that the learner took."""

    load: Load
    busy: float
    learner: float


class Beside(NamedTuple):
    """Predictions at `rate` with learning on and off, in turns. `busy` is while it is off, `learner` while it is on."""

    rate: float
    busy: float
    learner: float
    on: list[Load]
    off: list[Load]


def build(path: Path) -> Home:
    """A home whose endpoint is answered by the pipeline alone."""
    home = create(Settings(home=str(path)))
    order = Order(Who("benchmark", clock(), "benchmark"))
    train = load_diabetes(as_frame=True)
    sample, model = path / "sample.csv", path / "model.pkl"
    train.data.assign(high=train.target > train.target.median()).to_csv(sample, index=False)
    model.write_bytes(pickle.dumps(_trained(train.data.to_dict("records"))))
    where = lambda: segments.end(home.journal)  # noqa: E731
    register(
        home.store,
        home.blobs,
        VERSION.model,
        model,
        order.who,
        sample=sample,
        target="high",
        trust_pickle=True,
        learning=LearnerSettings(learns_from="arms"),
        journal_end=where,
    )
    deploy.create(home.place, ENDPOINT, {"control": ArmSpec(str(VERSION), 100)}, {}, 1.0, "salt", order)
    return home


def _trained(rows: list[dict[Hashable, Any]]) -> Pipeline:
    """From the first answer on it has as much to do as later: River skips weights that are zero."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for row in rows:
        model.learn_one(row, row["bmi"] > 0)
    return model


def rate() -> float:
    """Labels per second that a learner reads, joins, scores, learns and publishes, from a journal that is full of them."""
    with _home() as home:
        _fill(home)
        school = School(home.store, home.blobs, home.journal, key(home.snapshot_key), clock)
        learning = Learning(school, VERSION)
        start = perf_counter()
        while learning.learner.labels < LABELS:
            learning.step()
        seconds = perf_counter() - start
        learning.close()
    return LABELS / seconds


def _fill(home: Home) -> None:
    housekeep.begin_readers(home.store, home.journal)
    with home.store.read() as connection:
        plan = deploy.load(connection, ENDPOINT)
    frame = load_diabetes(as_frame=True).data.to_numpy().tolist()
    outputs = [Output(label=False, probabilities={"False": 0.5, "True": 0.5})]
    writer = Writer(home.journal)
    for number in range(LABELS):
        now, row = clock(), frame[number % len(frame)]
        served = Predicted(now, ENDPOINT, plan.plan, f"u{number}", "control", 1.0, str(VERSION), 0, [row], outputs, 2e-5)
        address = format_prediction_id(writer.append(events.encode(served)))
        writer.append(events.encode(Observed(now, address, None, None, "label", row[2] > 0, now, None)))
    writer.close()


def freshness() -> list[float]:
    """Seconds from a label's arrival until every worker answers by a snapshot that has learnt it, at 1,000 labels a second."""
    with _home() as home, site.serving(home) as running:
        _wait_for_learner(home)
        published: dict[int, Any] = {}
        with _posting(running, FRESH_SECONDS), _watching(home, published):
            _predict(running.port, FRESH_SECONDS)
        time.sleep(1.0)
        return _delays(home, published)


def beside(share: float) -> Beside:
    """Predictions at a `share` of what the server can answer, with learning on and off in turns; labels come at 1,000 a second to both.

    One server and the same connections, as many to each worker: off, the learner's process stands still. What it has missed then it has
    read before it is measured.
    """
    with _home() as home, site.serving(home) as running, site.spread(running) as free:
        _wait_for_learner(home)
        learner, requests = site.reader(running, learner_reader(VERSION)), cycle(site.predictions())
        rate = share * load.drive(free, requests, SECONDS, None).rate
        with _posting(running, ROUNDS * 2 * (SECONDS + CATCH_UP_SECONDS)):
            turns = [
                (_turn(learner, signal.SIGCONT, free, requests, rate), _turn(learner, signal.SIGSTOP, free, requests, rate))
                for _ in range(ROUNDS)
            ]
        os.kill(learner, signal.SIGCONT)
    on, off = zip(*turns, strict=True)
    busy, learners_own = statistics.mean(turn.busy for turn in off), statistics.mean(turn.learner for turn in on)
    return Beside(rate, busy, learners_own, [turn.load for turn in on], [turn.load for turn in off])


def _turn(learner: int, state: signal.Signals, free: deque[Any], requests: Iterator[bytes], rate: float) -> Turn:
    os.kill(learner, state)
    load.drive(free, requests, CATCH_UP_SECONDS, rate)
    before, began = site.seconds_busy(), site.seconds_of(learner)
    found = load.drive(free, requests, SECONDS, rate)
    busy = (site.seconds_busy() - before) / found.seconds / len(os.sched_getaffinity(0))
    return Turn(found, busy, (site.seconds_of(learner) - began) / found.seconds)


def tell() -> None:
    """Measure and print."""
    print(f"learn: {rate():,.0f} labels/s for a logistic pipeline (aim: 10,000)")
    delays = sorted(freshness())
    late = delays[int(0.99 * len(delays))]
    print(f"a label is used by every worker after {statistics.median(delays):.2f} s, p99 {late:.2f} s, at {RATE:,} labels/s (aim: 1 s)")
    for share in SHARES:
        _tell_beside(share)
    print()


def _tell_beside(share: float) -> None:
    found = beside(share)
    on, off = ([one.percentile(0.99) * 1e3 for one in loads] for loads in (found.on, found.off))
    logs = [math.log(one / other) for one, other in zip(on, off, strict=True)]
    mean, error = statistics.mean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    ratio, low, high = (math.exp(mean + z * error) for z in (0.0, -1.96, 1.96))
    print(f"p99 of predictions beside {RATE:,} labels/s at {share:.0%} of the peak: {found.rate:,.0f}/s, processors {found.busy:.0%} busy")
    print(
        f"  learning on {statistics.median(on):.2f} ms, off {statistics.median(off):.2f} ms; the learner takes {found.learner:.0%} of one"
    )
    print(f"  ratio {ratio:.2f} (geometric mean of {ROUNDS} rounds, 95 % interval {low:.2f} to {high:.2f}; aim: at most 1.05)")


def _wait_for_learner(home: Home) -> None:
    """Its process takes some seconds to import River."""
    until = time.monotonic() + site.PATIENCE
    while time.monotonic() < until:
        with home.store.read() as connection:
            if learners.newest(connection, VERSION) is not None:
                return
        time.sleep(0.05)
    raise TimeoutError("the learner did not begin")


@contextmanager
def _home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="tiltyard-bench-") as directory:
        yield build(Path(directory) / "home")


@contextmanager
def _posting(running: Site, seconds: float) -> Iterator[None]:
    """Labels at `RATE`, while the block runs, of rows that were answered beforehand; by a process, so that it disturbs no measurement."""
    posts = _labels(running.port, int(RATE * seconds))
    process = multiprocessing.get_context("fork").Process(target=load.run, args=(running.port, posts, seconds, RATE / POST))
    process.start()
    try:
        yield
    finally:
        process.join()


def _labels(port: int, count: int) -> list[bytes]:
    """Posts of labels, each of another row."""
    frame = load_diabetes(as_frame=True).data.to_dict("records")
    rows = [frame[number % len(frame)] for number in range(1000)]
    values: list[dict[str, Any]] = []
    connection = HTTPConnection("127.0.0.1", port)
    body, kind = msgspec.json.encode({"instances": rows}), {"Content-Type": "application/json"}
    while len(values) < count:
        connection.request("POST", f"/v1/endpoints/{ENDPOINT}/predict", body, kind)
        answered = msgspec.json.decode(connection.getresponse().read())["prediction_id"]
        values += [{"prediction_id": f"{answered}.{n}", "metric": "label", "value": row["bmi"] > 0} for n, row in enumerate(rows)]
    connection.close()
    return [post("/v1/outcomes", msgspec.json.encode(values[at : at + POST])) for at in range(0, count, POST)]


def _predict(port: int, seconds: float) -> None:
    load.run(port, site.predictions(), seconds, 500.0)


@contextmanager
def _watching(home: Home, published: dict[int, Any]) -> Iterator[None]:
    """Notes for each snapshot up to where it has learnt."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            with home.store.read() as connection:
                row = learners.newest(connection, VERSION)
            if row is not None:
                published[row.number] = row.position

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _delays(home: Home, published: dict[int, Any]) -> list[float]:
    """A label is used by all from the last answer on that an older snapshot gave."""
    labels, answers = [], []
    reader = Reader(home.journal, segments.end(home.journal)._replace(segment=1, offset=0))
    while entries := reader.read(5000):
        for entry in entries:
            event = events.decode(entry.payload)
            if isinstance(event, Observed):
                labels.append((entry.address.position, event.at))
            elif isinstance(event, Predicted) and len(event.rows) == 1:
                answers.append((event.at, event.snapshot))
    reader.close()
    last_older = _last_before(answers, sorted(published))
    found = []
    for position, at in labels:
        first = next((number for number in sorted(published) if published[number] >= position), None)
        if first in last_older:
            found.append(max(0.0, last_older[first] - at))
    return found


def _last_before(answers: list[tuple[float, int]], numbers: list[int]) -> dict[int, float]:
    """By snapshot the time of the last answer that an older one gave, where a newer one has answered after it."""
    newest = max((number for _, number in answers), default=0)
    return {number: max(at for at, answered in answers if answered < number) for number in numbers if 0 < number <= newest}


if __name__ == "__main__":
    tell()
