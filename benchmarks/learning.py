"""What learning costs and how soon it shows: labels a second, from a label to every worker, and what predictions notice of it.

The model is River's StandardScaler | LogisticRegression on ten features.
"""

from __future__ import annotations

import multiprocessing
import pickle
import statistics
import tempfile
import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import Any

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
SECONDS = 4.0
ROUNDS = 11
"""Many, since each opens its connections anew, and how a round spreads them over the workers decides about its tail."""
VERSION = VersionId("online", 1)


def build(path: Path, *, learns: bool) -> Home:
    """A home whose endpoint is answered by the pipeline alone."""
    home = create(Settings(home=str(path)))
    order = Order(Who("benchmark", clock(), "benchmark"))
    train = load_diabetes(as_frame=True)
    sample, model = path / "sample.csv", path / "model.pkl"
    train.data.assign(high=train.target > train.target.median()).to_csv(sample, index=False)
    model.write_bytes(pickle.dumps(_trained(train.data.to_dict("records"))))
    learning = LearnerSettings(learns_from="arms") if learns else "off"
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
        learning=learning,
        journal_end=where,
    )
    deploy.create(home.place, ENDPOINT, {"control": ArmSpec(str(VERSION), 100)}, {}, 1.0, "salt", order)
    return home


def _trained(rows: list[dict[Hashable, Any]]) -> Pipeline:
    """What answers where nothing is learnt is to have as much to do as what answers where it is: River skips weights that are zero."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for row in rows:
        model.learn_one(row, row["bmi"] > 0)
    return model


def rate() -> float:
    """Labels per second that a learner reads, joins, scores, learns and publishes, from a journal that is full of them."""
    with _home(learns=True) as home:
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
    with _home(learns=True) as home, site.serving(home) as running:
        _wait_for_learner(home)
        published: dict[int, Any] = {}
        with _posting(running, 4 * SECONDS), _watching(home, published):
            _predict(running.port, 4 * SECONDS)
        time.sleep(1.0)
        return _delays(home, published)


def beside() -> tuple[list[Load], list[Load]]:
    """Predictions at half of what the server can answer, with learning on and off in turns; labels come at 1,000 a second to both."""
    with _home(learns=True) as one, _home(learns=False) as other, site.serving(one) as on, site.serving(other) as off:
        _wait_for_learner(one)
        half = load.run(off.port, site.predictions(), SECONDS).rate / 2
        with_it, without = [], []
        for _ in range(ROUNDS + 1):
            for running, found in ((on, with_it), (off, without)):
                with _posting(running, SECONDS):
                    found.append(load.run(running.port, site.predictions(), SECONDS, half))
                site.settle(running)
    return with_it[1:], without[1:]


def tell() -> None:
    """Measure and print."""
    print(f"learn: {rate():,.0f} labels/s for a logistic pipeline (aim: 10,000)")
    delays = sorted(freshness())
    late = delays[int(0.99 * len(delays))]
    print(f"a label is used by every worker after {statistics.median(delays):.2f} s, p99 {late:.2f} s, at {RATE:,} labels/s (aim: 1 s)")
    with_it, without = beside()
    ratios = sorted(a.percentile(0.99) / b.percentile(0.99) for a, b in zip(with_it, without, strict=True))
    medians = [statistics.median(one.percentile(0.99) for one in found) * 1e3 for found in (with_it, without)]
    print(f"p99 of predictions at half load beside {RATE:,} labels/s: {medians[0]:.2f} ms with learning on, {medians[1]:.2f} ms off")
    print(f"  ratio {statistics.median(ratios):.2f} (rounds: {ratios[0]:.2f} to {ratios[-1]:.2f}; aim: at most 1.05)\n")


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
def _home(*, learns: bool) -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="tiltyard-bench-") as directory:
        yield build(Path(directory) / "home", learns=learns)


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
