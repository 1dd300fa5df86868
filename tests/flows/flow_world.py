"""A home without processes: a store, an endpoint, and a journal made up in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from core import events
from core.errors import NotFound
from core.events import ENROLLED, Event, Observed, Predicted
from core.ids import Address, format_prediction_id
from core.settings import Settings
from core.values import Output, Position
from experiments.design import Design
from experiments.methods.joint import Joint
from experiments.metric import Metric
from flows import deploy, experiment, known
from flows.deploy import ArmSpec, Order, Place, ShadowSpec
from flows.facts.record import Recorder
from journal.reader import Entry
from models.card import Card
from models.signature import Feature, Signature, Task
from routing.changes import Who
from store import engine, registry
from store.tables import (
    arm_counts,
    experiments,
    look_points,
    mirrored,
    outcome_ids,
    summaries,
    tallies,
    unit_history,
    unit_totals,
    unit_values,
    units,
    versions,
    waiting,
)

QUARANTINE = 60.0
WINDOW, LATENESS, LOOK = 10.0, 5.0, 20.0
DESIGN = Design(metrics=[Metric(name="revenue")], mde=1.0, window_seconds=WINDOW, lateness_seconds=LATENESS, look_every_seconds=LOOK)
ARMS = {"control": ArmSpec("m@1", 1), "treatment": ArmSpec("m@2", 1)}
ALIKE = {"control": ArmSpec("m@1", 1), "treatment": ArmSpec("m@1", 1)}
"""No unit is treated otherwise than another."""


def card(*names: str, task: Task = "regression") -> Card:
    """A card of a model that takes these numbers."""
    return Card(
        signature=Signature(tuple(Feature(name, "float") for name in names or ("x",)), task),
        format="onnx",
        layout=None,
        blobs={},
        compiled=None,
        profile=None,
        tolerance=0.0,
        versions={},
        source="made up",
        source_digest="",
        seconds_per_row=0.0,
    )


def order(at: float = 0.0, **how: Any) -> Order:
    """An order given at that time."""
    return Order(Who("me", at, "because"), **how)


@cache
def _empty_store() -> bytes:
    """A migrated store as a file: migrating takes longer than most tests."""
    with TemporaryDirectory() as home:
        engine.create(Settings(home=home))
        return (Path(home) / "store.db").read_bytes()


class World:
    """Events get addresses one after another; `fold` lets a new recorder fold some of them."""

    def __init__(self, home: Path) -> None:
        (home / "store.db").write_bytes(_empty_store())
        self.store = engine.open_existing(Settings(home=str(home)))
        self.entries: list[Entry] = []
        self.place = Place(self.store, lambda: Position(1, 10 * len(self.entries)))
        self.at = 0.0
        with self.store.write() as connection:
            for _ in range(4):
                registry.add_version(connection, "m", known.encode(card()), "me", 0.0)

    def classify(self) -> None:
        """Let all versions be classifiers."""
        with self.store.write() as connection:
            connection.execute(sa.update(versions).values(card=known.encode(card(task="classification"))))

    def endpoint(
        self, shadows: dict[str, ShadowSpec] | None = None, at: float = 0.0, enrolment: float = 1.0, arms: Mapping[str, ArmSpec] = ARMS
    ) -> None:
        """Create `credit` with two arms: plan 1."""
        deploy.create(self.place, "credit", arms, shadows or {}, enrolment, "salt", order(at))

    def begin(self, name: str = "e1", at: float = 0.0, look: float = LOOK) -> None:
        """Start an experiment: one more plan."""
        experiment.create(self.place, name, "credit", replace(DESIGN, look_every_seconds=look), order(at))

    def log(self, event: Event) -> str:
        """Append an event; its id."""
        address = Address(1, 10 * len(self.entries), 7)
        self.entries.append(Entry(address, events.encode(event), Position(1, address.offset + 10)))
        return format_prediction_id(address)

    def pread(self, address: Address) -> bytes:
        """The payload at that address."""
        for entry in self.entries:
            if entry.address == address:
                return entry.payload
        raise NotFound("none")

    def predict(
        self,
        at: float,
        unit: str | None,
        arm: str = "control",
        plan: int = 2,
        flags: int = ENROLLED,
        rows: int = 1,
        endpoint: str = "credit",
    ) -> str:
        """Append a prediction; its id."""
        features, outputs = [[1.0]] * rows, [Output(value=1.0)] * rows
        return self.log(Predicted(at, endpoint, plan, unit, arm, 0.5, "m@1", flags, features, outputs, 0.001))

    def observe(
        self, at: float, unit: str, value: Any = 1.0, timestamp: float | None = None, metric: str = "revenue", key: str | None = None
    ) -> None:
        """Append an outcome of a unit."""
        self.log(Observed(at, None, "credit", unit, metric, value, at if timestamp is None else timestamp, key))

    def answer(self, at: float, prediction: str, value: Any = 1.0, metric: str = "revenue", key: str | None = None) -> None:
        """Append an outcome of a prediction."""
        self.log(Observed(at, prediction, None, None, metric, value, at, key))

    def fold(self, recorder: Recorder | None = None, entries: Sequence[Entry] | None = None) -> None:
        """Fold entries (else all) in one transaction."""
        recorder = recorder or self.recorder()
        with self.store.write() as connection:
            at = recorder.fold(connection, self.entries if entries is None else entries, self.at)
        self.at = at

    def recorder(self) -> Recorder:
        """A recorder as a new process has it."""
        return Recorder(self.pread, QUARANTINE)

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """All of a table, in the order of its key."""
        with self.store.read() as connection:
            return [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]

    def tallies(self) -> dict[str, int]:
        """The tallies of e1."""
        return {row["name"]: row["number"] for row in self.rows(tallies) if row["experiment"] == "e1"}

    def states(self) -> dict[str, str]:
        """Unit → state."""
        return {row["unit"]: row["state"] for row in self.rows(units)}

    def totals(self) -> dict[str, float]:
        """Unit → the sum of its counted outcomes."""
        return {row["unit"]: row["total"] for row in self.rows(unit_totals)}

    def summaries(self, metric: str = "revenue") -> dict[tuple[int, str], Joint]:
        """(phase, arm) → the summary of a metric over all units."""
        rows = [row for row in self.rows(summaries) if row["metric"] == metric and not row["slice"]]
        return {(row["phase"], row["arm"]): msgspec.json.decode(row["body"], type=Joint) for row in rows}

    def facts(self) -> dict[str, Any]:
        """All that `record` has folded."""
        folded = (units, unit_totals, unit_values, unit_history, arm_counts, tallies, outcome_ids, waiting, mirrored)
        tables = (*folded, summaries, look_points, experiments)
        return {table.name: self.rows(table) for table in tables}
