"""A worker's routes and open views, without the worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.values import Output, Row
from flows import known
from flows.serving import Routes, make_route
from flows.views.features import Opener
from models.features.declaration import Aggregate, Batch, Stream, View
from models.features.serving import Beside, Filler
from models.features.table import create, path_of
from models.package import Loaded
from routing import changes
from routing.changes import Who
from routing.plan import Arm
from store import views
from store.views import ViewRow
from tests.flows.flow_world import World, card

STREAM = View(
    view="clicks",
    key="unit",
    endpoints=("credit",),
    source=Stream(stream="s", features={"n": Aggregate("count", None, 60.0)}),
    max_age_seconds=5.0,
)


class Sum:
    """A model that answers the sum of a row."""

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """Sums."""
        return [Output(value=float(sum(row))) for row in rows]  # type: ignore[arg-type]


class Serving:
    """A worker's routes and open views: the endpoints `credit` and `other`, whose model takes x and n."""

    def __init__(self, world: World, directory: Path) -> None:
        self.store, self.directory, self.routes = world.store, directory, Routes()
        for endpoint in ("credit", "other"):
            self.adopt(endpoint)
        self.opener = Opener(self.store, directory, self.routes)

    def adopt(self, endpoint: str) -> None:
        """Serve a new plan."""
        plan = changes.create(endpoint, {"control": Arm("m@1", 1)}, {}, 1.0, "s", Who("me", 0.0, ""))
        self.routes.adopt(make_route(plan, lambda _: Loaded(card("x", "n"), Sum(), 0.0), lambda _: card("x", "n").signature))

    def declare(self, view: View, generation: int, as_of: float | None = None) -> ViewRow:
        """Let the store say so."""
        row = ViewRow(view.view, 0.0, "me", known.encode(view), generation, as_of)
        with self.store.write() as connection:
            views.save(connection, row)
        return row

    def load(self, generation: int, view: str = "users", endpoints: tuple[str, ...] = ("credit",)) -> ViewRow:
        """A batch view whose only entity has n = generation."""
        create(path_of(self.directory, view, generation), ("n",), [("u", (float(generation),))], {"rows": 1})
        return self.declare(View(view=view, key="unit", endpoints=endpoints, source=Batch({"n": "float"})), generation, 10.0 * generation)

    def drop(self) -> None:
        """Forget all views."""
        with self.store.write() as connection:
            for row in views.every(connection):
                views.drop(connection, row.view)

    def filler(self, endpoint: str = "credit") -> Filler | None:
        """What is filled in there."""
        return self.routes.of(endpoint).filler

    def n(self, endpoint: str = "credit", now: float = 0.0) -> Any:
        """The feature of the entity u as it is filled in there."""
        filler = self.filler(endpoint)
        assert filler is not None
        return filler.fill({"x": 1.0}, None, Beside("u", {}), now)[0]["n"]
