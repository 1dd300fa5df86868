"""A worker's open views: swapped all at once, kept where the new one cannot be opened, and as old as they are."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from core import events
from core.errors import Invalid, TiltyardError
from core.ids import Address
from flows.predict import Ask, Means, Missed, predict, predict_pinned
from flows.views import features
from flows.views.features import describe
from models.features.declaration import Batch, View
from models.features.serving import Beside
from models.features.table import Writer, create, path_of
from tests.flows.flow_world import World
from tests.flows.serving_world import STREAM, Serving


def test_an_endpoint_without_views_has_nothing_to_fill_in(serving: Serving) -> None:
    """And costs one look."""
    serving.load(1, endpoints=("other",))
    serving.opener.poll()
    assert serving.filler() is None
    assert serving.n("other") == 1.0


def test_a_new_generation_is_swapped_in_and_who_holds_the_old_one_finishes_on_it(serving: Serving) -> None:
    """The older file may even be gone by then."""
    serving.load(1)
    serving.opener.poll()
    held = serving.filler()
    assert held is not None
    serving.load(2)
    path_of(serving.directory, "users", 1).unlink()
    serving.opener.poll()
    assert serving.n() == 2.0
    assert held.fill({"x": 1.0}, None, Beside("u", {}), 0.0)[0]["n"] == 1.0
    assert held.told(30.0) == {"users": {"age_seconds": 20.0, "generation": 1}}


def test_what_did_not_change_is_not_opened_again(serving: Serving) -> None:
    """Ten looks a second must cost next to nothing."""
    serving.load(1)
    serving.opener.poll()
    before = serving.filler()
    serving.opener.poll()
    assert serving.filler() is before


def test_a_new_plan_is_served_with_the_views_at_once(serving: Serving) -> None:
    """Not only from the next look on."""
    serving.load(1)
    serving.opener.poll()
    serving.adopt("credit")
    assert serving.n() == 1.0


def test_a_generation_that_cannot_be_opened_leaves_the_old_one_serving(serving: Serving) -> None:
    """It is tried again at every look, and served as soon as it is there."""
    serving.load(1)
    serving.opener.poll()
    serving.declare(View(view="users", key="unit", endpoints=("credit",), source=Batch({"n": "float"})), 2, 20.0)
    serving.opener.poll()
    assert serving.n() == 1.0
    create(path_of(serving.directory, "users", 2), ("n",), [("u", (2.0,))], {})
    serving.opener.poll()
    assert serving.n() == 2.0


def test_a_file_of_other_features_is_not_served(serving: Serving) -> None:
    """What is declared anew is served when it is there."""
    serving.load(1)
    serving.opener.poll()
    serving.declare(View(view="users", key="unit", endpoints=("credit",), source=Batch({"x": "float"})), 1, 10.0)
    serving.opener.poll()
    assert serving.n() == 1.0


def test_an_error_of_a_declaration_names_the_place_in_it(serving: Serving, bare: World) -> None:
    """The endpoint that does not exist, the feature or the column that another view has."""
    bare.endpoint()
    serving.load(1)
    table = View(view="others", key="unit", endpoints=("credit",), source=Batch({"n": "float"}))
    wrong = [(replace(STREAM, endpoints=("credit", "nobody")), "endpoints[1]"), (STREAM, "source.features.n"), (table, "source.columns.n")]
    for view, field in wrong:
        with serving.store.read() as connection, pytest.raises(TiltyardError) as caught:
            features.check_endpoints(connection, view)
        assert caught.value.field == field
        assert caught.value.message.startswith(f"{field}: ")


def test_a_view_that_was_dropped_fills_in_no_more(serving: Serving) -> None:
    """Whether it was ever opened or not."""
    serving.load(1)
    serving.declare(View(view="never", key="unit", endpoints=("other",), source=Batch({"n": "float"})), 7)
    serving.opener.poll()
    assert serving.filler() is not None
    assert serving.filler("other") is not None
    serving.drop()
    serving.opener.poll()
    assert (serving.filler(), serving.filler("other")) == (None, None)


def test_a_stream_goes_on_under_the_open_view(serving: Serving, clicks: Writer) -> None:
    """Values are seen at once, the age at the next look; nothing is opened again for it."""
    clicks.put_many([("u", {"n": 1}, b"")], {"as_of": 10.0})
    serving.declare(STREAM, 1)
    serving.opener.poll()
    held = serving.filler()
    assert held is not None
    assert (serving.n(now=12.0), held.told(12.0)["clicks"]["age_seconds"]) == (1, 2.0)
    clicks.put_many([("u", {"n": 2}, b"")], {"as_of": 20.0})
    assert serving.n(now=12.0) == 2
    assert serving.n(now=21.0) == 0, "as far as is known it is too old"
    serving.opener.poll()
    assert serving.filler() is held
    assert serving.n(now=21.0) == 2


def test_a_stream_of_which_nothing_was_computed_yet_knows_nobody(serving: Serving, clicks: Writer) -> None:
    """It is too old, however young; the first computed rows are served at the next look."""
    serving.declare(STREAM, 1)
    serving.opener.poll()
    assert serving.n(now=0.0) == 0
    clicks.put_many([("u", {"n": 1}, b"")], {"as_of": 10.0})
    serving.opener.poll()
    assert serving.n(now=10.0) == 1


def test_a_stream_that_was_just_declared_is_no_failure(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """Its first generation has no file before something was computed; the lack of a later one is told."""
    serving.declare(STREAM, 0)
    serving.opener.poll()
    assert "cannot be served" not in caplog.text
    serving.declare(STREAM, 7)
    serving.opener.poll()
    assert "generation 7 of view clicks cannot be served yet" in caplog.text


def test_a_view_is_shown_with_its_age_and_whether_it_is_too_old(serving: Serving, clicks: Writer) -> None:
    """A table since its own time, a stream since its newest one; what serves nothing yet has no age."""
    table = describe(serving.directory, serving.load(3), 100.0)
    assert (table["generation"], table["rows"], table["age_seconds"], table["stale"]) == (3, 1, 70.0, False)
    stream = serving.declare(STREAM, 1)
    assert [describe(serving.directory, stream, 1.0)[key] for key in ("age_seconds", "stale", "rows")] == [None, True, 0]
    clicks.put_many([("u", {"n": 1}, b"")], {"as_of": 10.0, "rows": 1})
    assert [describe(serving.directory, stream, 16.0)[key] for key in ("age_seconds", "stale", "rows")] == [6.0, True, 1]
    assert [one["view"] for one in features.every(serving.store, serving.directory, 16.0)] == ["clicks", "users"]


def test_a_prediction_is_made_logged_and_told_with_what_was_filled_in(serving: Serving) -> None:
    """By an endpoint's plan, and by a pinned version; an endpoint without views tells nothing."""
    serving.load(1)
    serving.opener.poll()
    logged: list[Any] = []

    def append(payload: bytes) -> Address:
        logged.append(events.decode(payload))
        return Address(1, len(logged), 7)

    means = Means(append, lambda: 40.0, lambda _version, work, _seconds: work(), Missed())
    route, ask = serving.routes.of("credit"), Ask("u", {"x": 0.5}, None)
    for answer in (predict(route, ask, means), predict_pinned(route, "control", ask, means)):
        assert answer.features == {"users": {"age_seconds": 30.0, "generation": 1}}
    assert [event.rows for event in logged] == [[[0.5, 1.0]], [[0.5, 1.0]]]
    assert predict(serving.routes.of("other"), Ask("u", {"x": 0.5, "n": 2.0}, None), means).features is None
    with pytest.raises(Invalid, match=r"features\.n: expected a number, got null from the view users for unit 'nobody'"):
        predict(route, Ask("nobody", {"x": 0.5}, None), means)
