"""A home with a journal and feature views; time passes when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from core import events
from core.events import Event, Observed, Predicted, Streamed
from core.ids import format_prediction_id
from core.values import START, Output, Position, Value
from flows.views import view as views
from flows.views.features import decode_view
from flows.views.generation import Bench
from flows.views.sources import Occurrences
from flows.views.streaming import ViewReader
from flows.views.view import Desk
from journal.lookup import Lookup
from journal.reader import Reader
from journal.writer import Writer
from models.features.declaration import Aggregate, Stream, View
from models.features.occurrences import Occurrence
from models.features.recompute import recompute
from models.features.table import Meta, Table, path_of
from routing.changes import Who
from store import views as stored
from store.views import ViewRow
from tests.flows.flow_world import World

FEATURES = {"n": Aggregate("count", window_seconds=60.0), "spent": Aggregate("sum", "amount", 60.0), "pace": Aggregate("ewm", "amount")}


class ViewWorld:
    """A world of views. `at` is the clock."""

    def __init__(self, world: World, home: Path) -> None:
        self.store = world.store
        self.journal, self.directory = home / "journal", home / "views"
        self.writer = Writer(self.journal)
        self.at = 1000.0
        self.bench = Bench(self.store, self.journal, self.directory, lambda: self.at, lambda: self.at)
        self.desk = Desk(self.store, self.directory, lambda: self.at)

    def declare(self, features: dict[str, Aggregate] = FEATURES, view: str = "activity", **source: Any) -> dict[str, Any]:
        """Declare `activity` of the endpoint credit; without a source of the stream clicks. Fields of a view may be given as well."""
        fields = {name: source.pop(name) for name in View.__struct_fields__ if name in source}
        given = Stream(**{"features": features, **(source or {"stream": "clicks"})})
        key = "user" if given.stream is not None else "unit"
        declared = {"view": view, "key": key, "endpoints": ("credit",) if view == "activity" else (), "source": given, **fields}
        return views.declare(self.desk, View(**declared), self.who())

    def check(self) -> None:
        """What is served is what a computation from nothing gives at that position and time."""
        rows, meta = self.served()
        assert rows == self.recomputed(meta["time"], Position(*meta["position"]))
        assert meta["rows"] == len(rows)

    def catch_up(self, *, careful: bool = False) -> None:
        """Another process reads all there is."""
        with self.reader(careful=careful) as reader:
            self.compute(reader)

    def who(self) -> Who:
        """Somebody, now."""
        return Who("me", self.at, "because")

    def log(self, event: Event) -> str:
        """Append an event; its id."""
        return format_prediction_id(self.writer.append(events.encode(event)))

    def click(self, amount: Value = 1.0, user: Value = "ann", *, seconds: float = 1.0, identity: str | None = None, **said: Any) -> None:
        """After so many seconds an event of the stream."""
        self.at += seconds
        self.log(Streamed(self.at, said.get("stream", "clicks"), {"user": user, "amount": amount}, said.get("happened", self.at), identity))

    def predict(self, unit: str | None, *xs: float, label: str | None = None, endpoint: str = "credit", **context: str) -> str:
        """Append a prediction of one row each; its id."""
        answer = Output(value=2.0) if label is None else Output(label=label, probabilities={"yes": 0.75, "no": 0.25})
        rows: list[list[Value]] = [[x] for x in xs]
        return self.log(Predicted(self.at, endpoint, 1, unit, "control", 1.0, "m@1", 0, rows, [answer] * len(rows), 0.001, context or None))

    def observe(self, prediction: str | None, value: Any, unit: str | None = None, metric: str = "revenue", **more: Any) -> None:
        """Append an outcome."""
        endpoint = None if prediction is not None else more.get("endpoint", "credit")
        self.log(Observed(self.at, prediction, endpoint, unit, metric, value, self.at, more.get("identity")))

    @contextmanager
    def reader(self, *, careful: bool = False) -> Iterator[ViewReader]:
        """A process that computes the view. Leaving it is as if it were killed: nothing more is published."""
        with closing(ViewReader(self.bench, "activity", careful=careful)) as found:
            yield found

    def compute(self, reader: ViewReader) -> None:
        """Let it read all there is, and publish as it does, until everybody knows."""
        for _ in range(4):
            self.at += 0.6
            while reader.step():
                pass

    def row(self) -> ViewRow:
        """The view as the store has it."""
        with self.store.read() as connection:
            return stored.get(connection, "activity")

    def served(self) -> tuple[dict[str, dict[str, Value]], Meta]:
        """All features of the generation that is served, and what is said of them."""
        with closing(Table(path_of(self.directory, "activity", self.row().generation), immutable=False)) as table:
            keys = [key for (key,) in table._connection.execute("SELECT key FROM rows")]
            found = {key: table.get(key) for key in keys}
            return {key: features for key, features in found.items() if features is not None}, table.meta()

    def recomputed(self, at: float, until: Position) -> dict[str, dict[str, Value]]:
        """The same from nothing, over the journal up to a position."""
        view = decode_view(self.row().body)
        assert isinstance(view.source, Stream)
        source = Occurrences(self.store, view, view.source, Lookup(self.journal).get)
        found: list[Occurrence] = []
        with closing(Reader(self.journal, START)) as reader:
            for entry in reader.read(10_000):
                if entry.next <= until:
                    found += source.of(entry)
        return recompute(view, found, at)
