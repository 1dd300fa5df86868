"""A worker's open views: swapped all at once, kept where the new one cannot be opened, and as old as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core import events
from core.errors import Invalid
from core.ids import Address
from core.values import Output, Row
from flows import features, known
from flows.features import Shelf, describe
from flows.predict import Ask, Means, Missed, predict, predict_pinned
from flows.serving import Routes, make_route
from models.features.declaration import Aggregate, Batch, Stream, View
from models.features.serving import Beside, Filler
from models.features.table import Writer, create, path_of
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
    """A worker's routes and shelf: the endpoints `credit` and `other`, whose model takes x and n."""

    def __init__(self, world: World, directory: Path) -> None:
        self.store, self.directory, self.routes = world.store, directory, Routes()
        for endpoint in ("credit", "other"):
            self.adopt(endpoint)
        self.shelf = Shelf(self.store, directory, self.routes)

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


@pytest.fixture
def serving(bare: World, tmp_path: Path) -> Iterator[Serving]:
    """No view is declared yet; at the end none is."""
    made = Serving(bare, tmp_path / "views")
    yield made
    made.drop()
    made.shelf.poll()


@pytest.fixture
def writer(serving: Serving) -> Iterator[Writer]:
    """Writes the first generation of the view clicks."""
    with closing(Writer(path_of(serving.directory, "clicks", 1), ("n",))) as made:
        yield made


def test_an_endpoint_without_views_has_nothing_to_fill_in(serving: Serving) -> None:
    """And costs one look."""
    serving.load(1, endpoints=("other",))
    serving.shelf.poll()
    assert serving.filler() is None
    assert serving.n("other") == 1.0


def test_a_new_generation_is_swapped_in_and_who_holds_the_old_one_finishes_on_it(serving: Serving) -> None:
    """The older file may even be gone by then."""
    serving.load(1)
    serving.shelf.poll()
    held = serving.filler()
    assert held is not None
    serving.load(2)
    path_of(serving.directory, "users", 1).unlink()
    serving.shelf.poll()
    assert serving.n() == 2.0
    assert held.fill({"x": 1.0}, None, Beside("u", {}), 0.0)[0]["n"] == 1.0
    assert held.told(30.0) == {"users": {"age_seconds": 20.0, "generation": 1}}


def test_what_did_not_change_is_not_opened_again(serving: Serving) -> None:
    """Ten looks a second must cost next to nothing."""
    serving.load(1)
    serving.shelf.poll()
    before = serving.filler()
    serving.shelf.poll()
    assert serving.filler() is before


def test_a_new_plan_is_served_with_the_views_at_once(serving: Serving) -> None:
    """Not only from the next look on."""
    serving.load(1)
    serving.shelf.poll()
    serving.adopt("credit")
    assert serving.n() == 1.0


def test_a_generation_that_cannot_be_opened_leaves_the_old_one_serving(serving: Serving) -> None:
    """It is tried again at every look, and served as soon as it is there."""
    serving.load(1)
    serving.shelf.poll()
    serving.declare(View(view="users", key="unit", endpoints=("credit",), source=Batch({"n": "float"})), 2, 20.0)
    serving.shelf.poll()
    assert serving.n() == 1.0
    create(path_of(serving.directory, "users", 2), ("n",), [("u", (2.0,))], {})
    serving.shelf.poll()
    assert serving.n() == 2.0


def test_a_file_of_other_features_is_not_served(serving: Serving) -> None:
    """What is declared anew is served when it is there."""
    serving.load(1)
    serving.shelf.poll()
    serving.declare(View(view="users", key="unit", endpoints=("credit",), source=Batch({"x": "float"})), 1, 10.0)
    serving.shelf.poll()
    assert serving.n() == 1.0


def test_a_view_that_was_dropped_fills_in_no_more(serving: Serving) -> None:
    """Whether it was ever opened or not."""
    serving.load(1)
    serving.declare(View(view="never", key="unit", endpoints=("other",), source=Batch({"n": "float"})), 7)
    serving.shelf.poll()
    assert serving.filler() is not None
    assert serving.filler("other") is not None
    serving.drop()
    serving.shelf.poll()
    assert (serving.filler(), serving.filler("other")) == (None, None)


def test_a_stream_goes_on_under_the_open_view(serving: Serving, writer: Writer) -> None:
    """Values are seen at once, the age at the next look; nothing is opened again for it."""
    writer.put_many([("u", {"n": 1}, b"")], {"as_of": 10.0})
    serving.declare(STREAM, 1)
    serving.shelf.poll()
    held = serving.filler()
    assert held is not None
    assert (serving.n(now=12.0), held.told(12.0)["clicks"]["age_seconds"]) == (1, 2.0)
    writer.put_many([("u", {"n": 2}, b"")], {"as_of": 20.0})
    assert serving.n(now=12.0) == 2
    assert serving.n(now=21.0) == 0, "as far as is known it is too old"
    serving.shelf.poll()
    assert serving.filler() is held
    assert serving.n(now=21.0) == 2


def test_a_stream_of_which_nothing_was_computed_yet_knows_nobody(serving: Serving, writer: Writer) -> None:
    """It is too old, however young; the first computed rows are served at the next look."""
    serving.declare(STREAM, 1)
    serving.shelf.poll()
    assert serving.n(now=0.0) == 0
    writer.put_many([("u", {"n": 1}, b"")], {"as_of": 10.0})
    serving.shelf.poll()
    assert serving.n(now=10.0) == 1


def test_a_view_is_shown_with_its_age_and_whether_it_is_too_old(serving: Serving, writer: Writer) -> None:
    """A table since its own time, a stream since its newest one; what serves nothing yet has no age."""
    table = describe(serving.directory, serving.load(3), 100.0)
    assert (table["generation"], table["rows"], table["age_seconds"], table["stale"]) == (3, 1, 70.0, False)
    stream = serving.declare(STREAM, 1)
    assert [describe(serving.directory, stream, 1.0)[key] for key in ("age_seconds", "stale", "rows")] == [None, True, 0]
    writer.put_many([("u", {"n": 1}, b"")], {"as_of": 10.0, "rows": 1})
    assert [describe(serving.directory, stream, 16.0)[key] for key in ("age_seconds", "stale", "rows")] == [6.0, True, 1]
    assert [one["view"] for one in features.every(serving.store, serving.directory, 16.0)] == ["clicks", "users"]


def test_a_prediction_is_made_logged_and_told_with_what_was_filled_in(serving: Serving) -> None:
    """By an endpoint's plan, and by a pinned version; an endpoint without views tells nothing."""
    serving.load(1)
    serving.shelf.poll()
    logged: list[Any] = []

    def append(payload: bytes) -> Address:
        logged.append(events.decode(payload))
        return Address(1, len(logged), 7)

    means = Means(append, lambda: 40.0, lambda work: work(), Missed())
    route, ask = serving.routes.of("credit"), Ask("u", {"x": 0.5}, None)
    for answer in (predict(route, ask, means), predict_pinned(route, "control", ask, means)):
        assert answer.features == {"users": {"age_seconds": 30.0, "generation": 1}}
    assert [event.rows for event in logged] == [[[0.5, 1.0]], [[0.5, 1.0]]]
    assert predict(serving.routes.of("other"), Ask("u", {"x": 0.5, "n": 2.0}, None), means).features is None
    with pytest.raises(Invalid, match=r"features\.n: expected a number, got null from the view users for unit 'nobody'"):
        predict(route, Ask("nobody", {"x": 0.5}, None), means)
