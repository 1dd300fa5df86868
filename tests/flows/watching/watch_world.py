"""An endpoint whose version was registered with real data, a journal of what it was asked, and the reader `watch`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from msgspec.structs import replace
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core import events
from core.events import Observed, Predicted
from core.ids import format_prediction_id
from core.settings import Settings
from core.values import Label, Output, Position, Value
from flows import deploy, known
from flows.deploy import ArmSpec
from flows.follow import WATCH, Follower
from flows.watching import report
from flows.watching.losses import with_losses
from flows.watching.watch import Watcher
from flows.watching.windows import Measures, measures
from journal.lookup import Lookup
from journal.writer import Writer
from models.card import Card
from models.package import Package, Tried
from models.profile import profile
from models.signature import Signature, infer
from store import positions, registry
from store.watch import WindowRow
from tests.flows import flow_world
from tests.flows.flow_world import World, order

DEFAULT = measures(Settings())
SMALL = Measures(rows=400, seconds=3600.0, alpha=0.001, least_psi=0.1)


@cache
def cancer() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """569 rows of 30 features, their labels, and the features' names."""
    data = load_breast_cancer()
    return data.data, data.target, tuple(map(str, data.feature_names))


class Model:
    """A logistic regression that was fitted to some of the rows."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self._model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(x, y)

    def answer(self, x: np.ndarray) -> list[Output]:
        """Label and probabilities."""
        return [
            Output(label=int(right > 0.5), probabilities={"0": float(left), "1": float(right)})
            for left, right in self._model.predict_proba(x)
        ]


def card_of(x: np.ndarray, y: np.ndarray, model: Model, names: Sequence[str], target: str | None = "label") -> Card:
    """The card of a version that was registered with those rows."""
    columns: dict[str, list[Value]] = {name: x[:, place].tolist() for place, name in enumerate(names)}
    signature = Signature(infer(columns), "classification", (0, 1), target)
    outputs, truths = model.answer(x), None if target is None else y.tolist()
    made = replace(flow_world.card(), signature=signature, profile=profile(signature, columns, outputs, truths))
    return with_losses(Package(made, {}, None if truths is None else Tried(outputs, truths))).card


class Watching:
    """`credit`, answered by c@1."""

    def __init__(self, world: World, directory: Path, card: Card, of: Measures) -> None:
        self.world, self.store, self.journal, self.measures = world, world.store, directory, of
        self.writer = Writer(directory)
        with self.store.write() as connection:
            registry.add_version(connection, "c", known.encode(card), "me", 0.0)
            positions.begin(connection, WATCH, Position(1, 0), 0.0)
        place = world.place._replace(journal_end=lambda: Position(1, 0))
        deploy.create(place, "credit", {"control": ArmSpec("c@1", 1)}, {}, 1.0, "salt", order(0.0))

    def predict(self, at: float, rows: Sequence[Sequence[Any]], outputs: Sequence[Output], flags: int = 0, **more: Any) -> str:
        """Log one request; its id."""
        event = Predicted(at, "credit", 1, None, "control", 1.0, "c@1", flags, [list(row) for row in rows], list(outputs), 0.001)
        return format_prediction_id(self.writer.append(events.encode(replace(event, **more))))

    def label(self, at: float, prediction: str, value: Label, metric: str = "label") -> None:
        """Log an outcome of a prediction."""
        self.writer.append(events.encode(Observed(at, prediction, None, None, metric, value, at, None)))

    def watcher(self) -> Watcher:
        """As a new process has it."""
        return Watcher(self.store, self.measures, Lookup(self.journal).get)

    @contextmanager
    def follower(self, *, careful: bool = False) -> Iterator[Follower]:
        """The reader's walk."""
        follower = Follower(self.store, self.journal, WATCH, careful=careful)
        try:
            yield follower
        finally:
            follower.close()

    def follow(self, batch: int = 1000) -> None:
        """A process reads to the end, and stores all that it has read."""
        watcher = self.watcher()
        with self.follower() as follower:
            while follower.step(watcher.work, batch):
                pass
            follower.store(watcher.effect())

    def report(self, windows: int = 10) -> dict[str, Any]:
        """The report on the endpoint, as JSON would have it."""
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(report.report(self.store, "credit", self.measures, windows)))
        return found

    def version(self, version: str = "c@1") -> dict[str, Any]:
        """What the report tells of one version."""
        found: dict[str, Any] = self.report()["versions"][version]
        return found

    def windows(self) -> list[WindowRow]:
        """All windows that are stored."""
        from store.tables import watch_windows

        with self.store.read() as connection:
            return [WindowRow(*row) for row in connection.execute(sa.select(watch_windows).order_by(*watch_windows.primary_key))]
