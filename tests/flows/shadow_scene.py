"""An endpoint with a shadow, whose predictions are labelled."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from core import events
from core.events import Observed, Predicted, Tick
from core.ids import format_prediction_id
from core.values import Label, Position, Value
from experiments.shadows.agreement import Totals
from flows import deploy, known, shadow_report
from flows.deploy import ArmSpec, ShadowSpec
from flows.follow import Follower
from flows.shadow import ShadowName, ShadowRunner, totals_of
from journal.lookup import Lookup
from journal.reader import Entry, Reader
from journal.writer import Writer
from models.linear import Linear, LinearRuntime
from models.package import Loaded
from models.signature import Feature, Signature
from store import registry
from store.tables import shadow_pairs
from tests.flows import flow_world
from tests.flows.flow_world import World, order

NEXT = ShadowName("credit", "next", "c@2")


OLD, NEW = 0.5, 2.0
"""Coefficients of the model that users see and of the shadow: the new one is surer of the sign of x."""


def classifier(coefficient: float) -> Loaded:
    """A logistic model of x, with the classes 0 and 1."""
    signature = Signature((Feature("x", "float"),), "classification", (0, 1))
    return _loaded(signature, Linear([], [], [[coefficient]], [0.0], "logistic"))


def regressor(coefficient: float) -> Loaded:
    """A linear model of x."""
    return _loaded(Signature((Feature("x", "float"),), "regression"), Linear([], [], [[coefficient]], [0.0], "identity"))


def _loaded(signature: Signature, model: Linear) -> Loaded:
    card = replace(flow_world.card(), signature=signature, format="linear")
    return Loaded(card, LinearRuntime(msgspec.json.encode(model), signature), 0.0)


class Scene:
    """An endpoint that c@1 answers and c@2 shadows, a real journal, and the shadow's reader."""

    def __init__(self, world: World, directory: Path, primary: Loaded, shadow: Loaded) -> None:
        self.world, self.journal, self.primary, self.shadow = world, directory, primary, shadow
        self.writer = Writer(directory)
        with world.store.write() as connection:
            for loaded in (primary, shadow):
                registry.add_version(connection, "c", known.encode(loaded.card), "me", 0.0)
        place = world.place._replace(journal_end=lambda: Position(1, 0))
        deploy.create(place, "credit", {"control": ArmSpec("c@1", 1)}, {"next": ShadowSpec("c@2")}, 1.0, "salt", order(0.0))

    def predict(self, at: float, *x: Value, unit: str | None = None, flags: int = 0, endpoint: str = "credit") -> str:
        """Log what c@1 answers; the prediction's id."""
        rows = [[one] for one in x]
        outputs = self.primary.predict([[1.0 if one is None else one] for one in x])
        event = Predicted(at, endpoint, 1, unit, "control", 1.0, "c@1", flags, rows, outputs, 0.001)
        return format_prediction_id(self.writer.append(events.encode(event)))

    def label(self, at: float, prediction: str, value: Label, metric: str = "label") -> None:
        """Log an outcome of a prediction."""
        self.writer.append(events.encode(Observed(at, prediction, None, None, metric, value, at, None)))

    def tick(self, at: float) -> None:
        """Let journal time be `at`."""
        self.writer.append(events.encode(Tick(at)))

    def runner(self) -> ShadowRunner:
        """The shadow as a new process has it."""
        return ShadowRunner(self.world.store, NEXT, self.shadow, 64, Lookup(self.journal).get)

    def follow(self) -> None:
        """Read to the end."""
        runner = self.runner()
        follower = Follower(self.world.store, self.journal, NEXT.reader)
        while follower.step(runner.work, runner.limit):
            pass
        follower.close()

    def pairs(self) -> list[dict[str, Any]]:
        """The pairs that are stored."""
        return self.world.rows(shadow_pairs)

    def totals(self) -> Totals:
        """The shadow's totals."""
        with self.world.store.read() as connection:
            return totals_of(connection, NEXT)

    def report(self, shadow: str | None = "next") -> dict[str, Any]:
        """The report on the shadow."""
        return shadow_report.report(self.world.store, self.journal, "credit", shadow, lambda: 1e9)


def scenes(world: World, directory: Path, make: Any) -> Iterator[Scene]:
    scene = Scene(world, directory, make(OLD), make(NEW))
    yield scene
    scene.writer.close()


def surprise(x: float) -> float:
    """The log loss of a logistic model that gives the true class the score x."""
    return math.log1p(math.exp(-x))


def entries(scene: Scene) -> Sequence[Entry]:
    """All that stands in the scene's journal."""
    reader = Reader(scene.journal, Position(1, 0))
    found = reader.read(1000)
    reader.close()
    return found
