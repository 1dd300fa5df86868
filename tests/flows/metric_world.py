"""Worlds with metrics of every kind: what is asked and answered in them, a champion made up, a journal on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import msgspec
import pytest

from core import events
from core.errors import ModelFailed
from core.events import ENROLLED, Event, Predicted
from core.ids import VersionId, format_prediction_id
from core.values import Output, Row
from experiments.design import Design
from experiments.methods.joint import Joint
from experiments.metric import Metric
from flows import experiment, metric
from flows.deploy import ArmSpec
from flows.facts.record import Recorder
from flows.follow import Follower
from flows.housekeep import begin_readers
from flows.recompute import Recomputed, Source, recompute
from journal.lookup import Lookup
from journal.writer import Writer
from models.package import Loaded
from tests.flows.flow_world import ARMS, LATENESS, LOOK, QUARANTINE, WINDOW, World, card, order

REVENUE = Metric(name="revenue")
TIMES = {"mde": 1.0, "window_seconds": WINDOW, "lateness_seconds": LATENESS, "look_every_seconds": LOOK}


Facts = dict[str, list[dict[str, Any]]]


class Champion:
    """Scores a row's only feature times ten; fails where that is 13."""

    def __init__(self) -> None:
        self.card = card()

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        if any(row[0] == 13.0 for row in rows):
            raise ModelFailed("13")
        return [Output(value=10.0 * cast(float, row[0])) for row in rows]


def load(_: VersionId) -> Loaded:
    """Whatever is asked for is that champion."""
    return cast(Loaded, Champion())


def begin(world: World, *metrics: Metric, name: str = "e1", at: float = 0.0, **design: Any) -> None:
    """Start an experiment with these metrics on the endpoint."""
    if any(metric.loss in ("error", "log_loss") for metric in metrics):
        world.classify()
    made = Design(metrics=list(metrics), **{**TIMES, **design})
    experiment.create(world.place, name, "credit", made, order(at))


def declare(world: World, given: Metric, at: float = 0.0) -> dict[str, Any]:
    """Declare a metric on the endpoint."""
    return metric.declare(world.place, "credit", given, order(at))


def ask(
    world: World,
    at: float,
    unit: str | None,
    arm: str = "control",
    *,
    plan: int = 2,
    flags: int = ENROLLED,
    x: float = 1.0,
    outputs: Sequence[Output] = (Output(value=1.0),),
    latency: float = 0.001,
    context: dict[str, str] | None = None,
) -> str:
    """Log a prediction; its id. Control is m@1, treatment m@2."""
    version = "m@1" if arm == "control" else "m@2"
    rows: list[list[Any]] = [[x] for _ in outputs]
    return world.log(Predicted(at, "credit", plan, unit, arm, 0.5, version, flags, rows, list(outputs), latency, context))


def recorder(world: World) -> Recorder:
    """A new process, which can load the champion."""
    return Recorder(world.pread, QUARANTINE, load)


def fold_by(world: World, size: int) -> None:
    """Fold all in transactions of that many events, each by a process of its own."""
    for start in range(0, len(world.entries), size):
        world.fold(recorder(world), world.entries[start : start + size])


def however_cut(tell: Callable[[World], None], sizes: Sequence[int] = (1, 3), arms: Mapping[str, ArmSpec] = ARMS) -> Facts:
    """The facts after a story: the same, in one transaction or in many of any of the sizes."""
    with TemporaryDirectory() as directory:
        whole = _told(tell, directory, 10**9, arms)
        for size in sizes:
            same_facts(whole, _told(tell, directory, size, arms))
        return whole


def joints(facts: Facts, metric: str, slice_: str = "", part: str = "") -> dict[tuple[int, str], Joint]:
    """(phase, arm) → the summary of a metric over the units of one part of a slice."""
    rows = [row for row in facts["summaries"] if (row["metric"], row["slice"], row["part"]) == (metric, slice_, part)]
    return {(row["phase"], row["arm"]): msgspec.json.decode(row["body"], type=Joint) for row in rows}


def _told(tell: Callable[[World], None], directory: str, size: int, arms: Mapping[str, ArmSpec]) -> Facts:
    home = Path(directory) / str(size)
    home.mkdir()
    world = World(home)
    world.endpoint(arms=arms)
    tell(world)
    fold_by(world, size)
    return world.facts()


def same_facts(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    """Fails naming the table in which two worlds differ by more than rounding."""
    for name in left:
        assert close(left[name], right[name]), (name, left[name], right[name])


def close(left: Any, right: Any) -> bool:
    """Equal, numbers up to the rounding of merged means; what is stored as JSON is read first."""
    if isinstance(left, bytes) and isinstance(right, bytes):
        return close(json.loads(left), json.loads(right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(close(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(close, left, right))
    return bool(left == (pytest.approx(right, rel=1e-9, abs=1e-9) if isinstance(right, float) else right))


class Logged(World):
    """A world whose journal is on disk; `follow` lets a new process of `record` read on in it."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.journal = home / "journal"
        self.writer = Writer(self.journal)
        begin_readers(self.store, self.journal)

    def log(self, event: Event) -> str:
        """Append an event; its id."""
        return format_prediction_id(self.writer.append(events.encode(event)))

    def follow(self, limit: int = 1000, steps: int = 10**9) -> None:
        """Read on in steps of that many events."""
        folding = Recorder(Lookup(self.journal).get, QUARANTINE, load)
        follower = Follower(self.store, self.journal, "record")
        try:
            while steps > 0 and follower.step(lambda entries, at: lambda connection: folding.fold(connection, entries, at), limit):
                steps -= 1
        finally:
            follower.close()

    def recompute(self, name: str = "e1") -> Recomputed:
        """The report from the journal alone."""
        return recompute(Source(self.store, self.journal, load, QUARANTINE), name)


@contextmanager
def logged(home: Path) -> Iterator[Logged]:
    """Such a world with an endpoint; its files are closed at the end."""
    home.mkdir(parents=True, exist_ok=True)
    world = Logged(home)
    world.endpoint()
    try:
        yield world
    finally:
        world.writer.close()
