"""Declaring, showing and dropping feature views."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from core.errors import Conflict, Invalid, NotFound, Unavailable
from flows.views import view as views
from flows.views.features import declared_streams, decode_view
from models.features.declaration import Aggregate, Batch, Stream, View
from store import audit, positions
from store import views as stored
from tests.flows.views.view_world import FEATURES, ViewWorld

CLICKS = View(view="activity", key="user", endpoints=("credit",), source=Stream(stream="clicks", features=FEATURES))
TABLE = View(view="profile", key="user", endpoints=("credit",), source=Batch({"age": "int"}))


@pytest.fixture
def world(unviewed: ViewWorld) -> ViewWorld:
    """No view is declared yet."""
    return unviewed


def readers(world: ViewWorld) -> set[str]:
    """The readers that are to run."""
    with world.store.read() as connection:
        return set(positions.every(connection))


def audited(world: ViewWorld) -> list[tuple[Any, Any]]:
    """What was done to which view, oldest first."""
    with world.store.read() as connection:
        return [(row["action"], row["subject"]) for row in reversed(audit.newest(connection, 100)) if "view" in row["action"]]


def test_a_streaming_view_gets_a_reader(world: ViewWorld) -> None:
    """Declaring makes the row, the reader and the entry in the audit log; nothing is served before the reader has begun."""
    shown = views.declare(world.desk, CLICKS, world.who())
    assert (shown["generation"], shown["rows"], shown["age_seconds"], shown["computed_anew"]) == (0, 0, None, True)
    assert shown["source"]["features"]["n"] == {"aggregate": "count", "window_seconds": 60.0}
    assert decode_view(world.row().body) == CLICKS
    assert views.reader_of("activity") in readers(world)
    assert views.parse_view_reader(views.reader_of("activity")) == "activity"
    assert views.parse_view_reader("record") is None
    assert declared_streams(world.store) == {"clicks"}
    assert audited(world) == [("view.declare", "activity")]


def test_a_batch_view_needs_no_reader(world: ViewWorld) -> None:
    """Its table comes by loading."""
    views.declare(world.desk, TABLE, world.who())
    assert readers(world) == set()
    assert [view["view"] for view in views.every(world.desk)] == ["profile"]


def test_the_same_again_changes_nothing(world: ViewWorld) -> None:
    """A declaration that says the same is no new one: nothing is computed anew, nothing audited."""
    first = views.declare(world.desk, CLICKS, world.who())
    world.at += 10.0
    assert views.declare(world.desk, CLICKS, world.who())["at"] == first["at"]
    assert len(audited(world)) == 1


def test_declared_anew_it_keeps_serving(world: ViewWorld) -> None:
    """The generation that is served stays until the reader has computed the next; two declarations are told apart whatever the clock."""
    views.declare(world.desk, CLICKS, world.who())
    with world.store.write() as connection:
        stored.save(connection, world.row()._replace(generation=3))
    before = world.row().at
    shown = views.declare(world.desk, replace(CLICKS, max_age_seconds=5.0), world.who())
    assert (shown["generation"], shown["max_age_seconds"], shown["stale"]) == (3, 5.0, True)
    assert world.row().at > before


def test_a_loaded_table_stays(world: ViewWorld) -> None:
    """Declaring a batch view anew keeps its columns and what is loaded; others than loaded, and another key, are refused."""
    views.declare(world.desk, TABLE, world.who())
    with world.store.write() as connection:
        stored.save(connection, stored.get(connection, "profile")._replace(generation=2, as_of=900.0))
    shown = views.declare(world.desk, replace(TABLE, source=Batch(), defaults={"age": 30}), world.who())
    assert (shown["generation"], shown["source"]["columns"], shown["age_seconds"]) == (2, {"age": "int"}, 100.0)
    with pytest.raises(Invalid, match=r"^source\.columns: "):
        views.declare(world.desk, replace(TABLE, source=Batch({"age": "str"})), world.who())
    with pytest.raises(Invalid, match=r"^defaults\.age: "):
        views.declare(world.desk, replace(TABLE, source=Batch(), defaults={"age": "old"}), world.who())
    with pytest.raises(Conflict, match=r"^key: view profile is keyed by 'user', not by 'unit'") as other:
        views.declare(world.desk, replace(TABLE, source=Batch(), key="unit"), world.who())
    assert (other.value.field, other.value.code) == ("key", "view-changed")


def test_what_is_refused(world: ViewWorld) -> None:
    """Unknown endpoints, features that another view of the endpoint has, and another kind of view are refused; nothing is kept of them."""
    with pytest.raises(NotFound):
        views.declare(world.desk, replace(CLICKS, endpoints=("nowhere",)), world.who())
    views.declare(world.desk, CLICKS, world.who())
    with pytest.raises(Conflict, match=r"^source\.features\.n: the view activity"):
        views.declare(world.desk, replace(CLICKS, view="other"), world.who())
    with pytest.raises(Conflict, match="drop it first"):
        views.declare(world.desk, replace(TABLE, view="activity"), world.who())
    features = {"m": Aggregate("count", window_seconds=60.0)}
    views.declare(world.desk, replace(CLICKS, view="other", source=Stream(stream="clicks", features=features)), world.who())
    assert [view["view"] for view in views.every(world.desk)] == ["activity", "other"]


def test_showing_an_entity(world: ViewWorld) -> None:
    """With a key the features that are served now are shown; an entity of which nothing is known is told as such."""
    views.declare(world.desk, CLICKS, world.who())
    with pytest.raises(NotFound, match="knows nothing of 'ann'"):
        views.show(world.desk, "activity", "ann")
    world.click(3.0)
    with world.reader() as reader:
        world.compute(reader)
    shown = views.show(world.desk, "activity", "ann")
    assert shown["values"] == {"n": 1, "spent": 3.0, "pace": 3.0}
    assert (shown["rows"], shown["events"]["used"]) == (1, 1)
    assert shown["age_seconds"] < 1.0
    with pytest.raises(NotFound) as missing:
        views.show(world.desk, "activity", "bob")
    assert missing.value.code == "key-not-found"
    with pytest.raises(NotFound):
        views.show(world.desk, "nothing")


def test_an_entity_is_shown_as_it_is_served(world: ViewWorld) -> None:
    """Defaults stand in the place of null; of a view that is too old they are all there is, or that is an error."""
    short = {"n": Aggregate("count", window_seconds=1000.0), "most": Aggregate("max", "amount", 6.0)}
    view = replace(CLICKS, source=Stream(stream="clicks", features=short), defaults={"most": -1.0})
    views.declare(world.desk, view, world.who())
    world.click(3.0)
    with world.reader() as reader:
        world.compute(reader)
        world.at += 10.0
        world.compute(reader)
    assert views.show(world.desk, "activity", "ann")["values"] == {"n": 1, "most": -1.0}
    with pytest.raises(NotFound):
        views.show(world.desk, "activity", "\udcff")
    world.at += 100.0
    views.declare(world.desk, replace(view, max_age_seconds=5.0), world.who())
    assert views.show(world.desk, "activity", "ann")["values"] == {"n": 0, "most": -1.0}
    views.declare(world.desk, replace(view, max_age_seconds=5.0, on_stale="error"), world.who())
    with pytest.raises(Unavailable, match="older than its declared maximum age"):
        views.show(world.desk, "activity", "ann")


def test_while_it_is_computed_anew_an_entity_is_shown_as_it_is_served(world: ViewWorld) -> None:
    """By the declaration before it: its features, defaults and maximum age."""
    before = {"n": Aggregate("count", window_seconds=60.0), "v": Aggregate("var", "amount", 60.0)}
    view = replace(CLICKS, source=Stream(stream="clicks", features=before), max_age_seconds=30.0)
    views.declare(world.desk, view, world.who())
    world.click(3.0)
    world.catch_up()
    anew = Stream(stream="clicks", features={**before, "most": Aggregate("max", "amount", 60.0)})
    views.declare(world.desk, replace(view, source=anew, defaults={"v": 9.0}, max_age_seconds=None, on_stale="error"), world.who())
    assert views.show(world.desk, "activity", "ann")["values"] == {"n": 1, "v": None}
    world.at += 100.0
    assert views.show(world.desk, "activity", "ann")["values"] == {"n": 0, "v": None}


def test_dropping(world: ViewWorld) -> None:
    """The view and its reader are gone; one of that name can be declared as another kind, and begins anew."""
    views.declare(world.desk, CLICKS, world.who())
    world.click(3.0)
    with world.reader() as reader:
        world.compute(reader)
    views.drop(world.desk, "activity", world.who())
    assert (views.every(world.desk), readers(world)) == ([], set())
    assert audited(world) == [("view.declare", "activity"), ("view.drop", "activity")]
    with pytest.raises(NotFound):
        views.drop(world.desk, "activity", world.who())
    assert views.declare(world.desk, replace(TABLE, view="activity"), world.who())["generation"] == 0
