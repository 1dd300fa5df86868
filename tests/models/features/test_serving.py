"""What views fill in: what the client left out, from the entity that the row names."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.errors import Invalid, Unavailable
from core.values import Value
from models.features.declaration import Aggregate, Batch, Stream, View
from models.features.serving import Beside, Filler, OpenView
from models.features.table import Table, create, path_of
from models.inputs import Inputs
from models.signature import Feature, Kind

COLUMNS: dict[str, Kind] = {"age": "int", "plan": "str"}
NOW = 100.0
ALONE = Beside(None, {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where views are."""
    return tmp_path


def opened(folder: Path, *, key: str = "user_id", as_of: float = 90.0, name: str = "users", **more: Any) -> OpenView:
    """A batch view of two entities; of the second no age is known."""
    path = path_of(folder, name, 3)
    create(path, tuple(COLUMNS), [("17", (41, "pro")), ("18", (None, "free"))], {})
    return OpenView(View(view=name, key=key, source=Batch(COLUMNS), **more), 3, Table(path, immutable=True), as_of)


def fill(view: OpenView, row: dict[str, Any], inputs: Sequence[str] = ("x", "age", "plan"), beside: Beside = ALONE) -> dict[str, Any]:
    """The row with what the view knows of it."""
    found: dict[str, Any] = Filler([view], inputs).fill(row, None, beside, NOW)[0]
    return found


@pytest.mark.parametrize("key", [17, 17.0, "17"])
def test_what_the_client_left_out_is_filled_in(folder: Path, key: Value) -> None:
    """By whatever form the key has; a key that no model takes does not go to the model."""
    assert fill(opened(folder), {"x": 1.0, "user_id": key}) == {"x": 1.0, "age": 41, "plan": "pro"}


def test_a_key_that_the_model_takes_stays(folder: Path) -> None:
    """It is a feature as well."""
    assert fill(opened(folder), {"user_id": 17}, ("user_id", "age")) == {"user_id": 17, "age": 41}


def test_only_what_the_inputs_have_is_filled_in(folder: Path) -> None:
    """A column that no model takes would be an unknown feature."""
    assert fill(opened(folder), {"user_id": 17}, ("age",)) == {"age": 41}


def test_a_clients_own_value_wins(folder: Path) -> None:
    """Null as well: who sends it means it."""
    assert fill(opened(folder), {"x": 1.0, "user_id": 17, "age": None}) == {"x": 1.0, "age": None, "plan": "pro"}


def test_a_row_that_says_all_needs_no_key(folder: Path) -> None:
    """Nor a view that is fresh."""
    row = {"x": 1.0, "age": 3, "plan": "a"}
    assert fill(opened(folder, as_of=0.0, max_age_seconds=1.0, on_stale="error"), row) == row


@pytest.mark.parametrize(
    ("key", "beside"),
    [("unit", Beside("17", {})), ("user_id", Beside(None, {"user_id": 17})), ("user_id", Beside("18", {"user_id": "17"}))],
)
def test_the_key_may_be_the_unit_or_stand_in_the_context(folder: Path, key: str, beside: Beside) -> None:
    """As the view's key is called."""
    assert fill(opened(folder, key=key), {"x": 1.0}, beside=beside) == {"x": 1.0, "age": 41, "plan": "pro"}


def test_the_rows_key_comes_before_the_contexts(folder: Path) -> None:
    """It is the nearer one."""
    assert fill(opened(folder), {"user_id": 18}, ("plan",), Beside(None, {"user_id": 17})) == {"plan": "free"}


@pytest.mark.parametrize("key", ["99", None, "", "\ud800", 1.5])
def test_an_unknown_entity_has_the_defaults(folder: Path, key: Value) -> None:
    """Declared ones, else null. What cannot name an entity is an unknown one."""
    assert fill(opened(folder, defaults={"age": 7}), {"user_id": key}) == {"age": 7, "plan": None}


def test_a_known_entity_without_a_value_has_the_default(folder: Path) -> None:
    """Where one is declared; else it is null, as the table says."""
    assert fill(opened(folder, defaults={"age": 7}), {"user_id": 18}) == {"age": 7, "plan": "free"}
    assert fill(opened(folder, name="others"), {"user_id": 18}) == {"age": None, "plan": "free"}


def test_of_a_stream_counts_and_sums_of_nothing_are_zero(folder: Path) -> None:
    """Without a table too, that is before anything was computed."""
    features = {"n": Aggregate("count", None, 60.0), "total": Aggregate("sum", "x", 60.0), "mean": Aggregate("mean", "x", 60.0)}
    view = OpenView(View(view="s", key="unit", source=Stream(stream="clicks", features=features), defaults={"mean": 0.5}), 0, None, None)
    assert fill(view, {}, ("n", "total", "mean"), Beside("u", {})) == {"n": 0, "total": 0.0, "mean": 0.5}
    assert view.told(NOW) == {"age_seconds": None, "generation": 0}


def test_a_row_that_does_not_say_of_which_entity_is_refused(folder: Path) -> None:
    """A forgotten key must not pass as an unknown entity; the error says where it belongs and what it is for."""
    with pytest.raises(Invalid) as caught:
        Filler([opened(folder)], ("age", "plan")).fill(None, [{"user_id": 17}, {"age": 3}], ALONE, NOW)
    assert caught.value.field == "instances[1].user_id"
    assert "by which the view users knows plan" in caught.value.message
    with pytest.raises(Invalid, match=r"features\.user_id: expected a text or a number"):
        fill(opened(folder, name="others"), {"user_id": [17]})


def test_features_that_are_too_old_are_the_defaults(folder: Path) -> None:
    """Even of an entity that is known: what it was is not what it is. Up to the declared age they are served."""
    assert fill(opened(folder, max_age_seconds=9.9, defaults={"age": 7}), {"user_id": 17}) == {"age": 7, "plan": None}
    assert fill(opened(folder, name="others", max_age_seconds=10.0), {"user_id": 17}) == {"age": 41, "plan": "pro"}


def test_features_that_are_too_old_are_an_error_where_declared(folder: Path) -> None:
    """One that may pass: 503, with its own code."""
    with pytest.raises(Unavailable, match="view users is older than its declared maximum age") as caught:
        fill(opened(folder, max_age_seconds=9.9, on_stale="error"), {"user_id": 17})
    assert caught.value.code == "features-stale"


def test_a_read_that_fails_is_answered_as_stale_features_are(folder: Path) -> None:
    """By the defaults, or by an error."""
    for on_stale in ("default", "error"):
        view = opened(folder, name=on_stale, on_stale=on_stale, defaults={"age": 7})
        assert view.table is not None
        view.table.close()
        if on_stale == "default":
            assert fill(view, {"user_id": 17}, ("age",)) == {"age": 7}
        else:
            with pytest.raises(Unavailable, match="cannot be read"):
                fill(view, {"user_id": 17}, ("age",))


def test_rows_given_as_lists_say_all_themselves(folder: Path) -> None:
    """Objects beside them are filled in."""
    filler = Filler([opened(folder)], ("age", "plan"))
    assert filler.fill(None, [[1, "a"], {"user_id": 17}], ALONE, NOW) == (None, [[1, "a"], {"age": 41, "plan": "pro"}])


def test_an_answer_is_told_age_and_generation(folder: Path) -> None:
    """Of every view of the endpoint."""
    assert Filler([opened(folder)], ("age",)).told(NOW) == {"users": {"age_seconds": 10.0, "generation": 3}}


def test_two_views_fill_in_one_row(folder: Path) -> None:
    """With the same key, which is taken away after both."""
    path = path_of(folder, "scores", 1)
    create(path, ("score",), [("17", (0.5,))], {})
    scores = OpenView(View(view="scores", key="user_id", source=Batch({"score": "float"})), 1, Table(path, immutable=True), NOW)
    filled = Filler([opened(folder), scores], ("age", "plan", "score")).fill({"user_id": 17}, None, ALONE, NOW)
    assert filled == ({"age": 41, "plan": "pro", "score": 0.5}, None)


def test_a_value_from_a_view_that_the_models_cannot_take_is_explained(folder: Path) -> None:
    """The error names view, key and feature, in a row of several as well; an error of the client's own values stays as it is."""
    filler, inputs = Filler([opened(folder)], ("age", "plan")), Inputs([Feature("age", "int"), Feature("plan", "str")])
    rows: list[dict[str, Any]] = [{"user_id": 17}, {"user_id": "99", "plan": "pro"}, {"user_id": 17, "age": "old"}]

    def error_of(number: int) -> Invalid:
        with pytest.raises(Invalid) as caught:
            inputs.read(*filler.fill(None, rows[: number + 1], ALONE, NOW))
        return filler.explained(caught.value, None, rows, ALONE)

    found = error_of(1)
    assert found.field == "instances[1].age"
    assert found.message.startswith("instances[1].age: expected an integer, got null from the view users for user_id '99'")
    rows[1] = rows[0]
    assert error_of(2).message == "instances[2].age: expected an integer, got 'old'"


def test_sqlite_is_not_asked_where_the_client_says_all(folder: Path) -> None:
    """A look-up costs a few microseconds; none costs none."""
    view = opened(folder)
    assert view.table is not None
    view.table.close()
    with pytest.raises(sqlite3.ProgrammingError):
        view.table.values("17")
    assert fill(view, {"age": 1, "plan": "a"}, ("age", "plan")) == {"age": 1, "plan": "a"}


def spoil(folder: Path, name: str, key: str, values: bytes) -> None:
    """Write that for the values of an entity."""
    with closing(sqlite3.connect(path_of(folder, name, 3), isolation_level=None)) as other:
        other.execute("UPDATE rows SET features = ? WHERE key = ?", (values, key))


@pytest.mark.parametrize("values", [b"", b"\xc1garbage", b"\x91\x01"])
def test_a_row_that_cannot_be_read_is_answered_as_stale_features_are(folder: Path, values: bytes) -> None:
    """By the defaults, or by an error of the view; nobody is told that they are young."""
    for on_stale in ("default", "error"):
        view = opened(folder, name=on_stale, on_stale=on_stale, defaults={"age": 7})
        spoil(folder, on_stale, "17", values)
        if on_stale == "error":
            with pytest.raises(Unavailable, match="cannot be read") as caught:
                fill(view, {"user_id": 17})
            assert caught.value.code == "features-stale"
            continue
        filler = Filler([view], ("age",))
        assert filler.fill(None, [{"user_id": 17}, {"user_id": 18}], ALONE, NOW)[1] == [{"age": 7}, {"age": 7}]
        assert filler.told(NOW) == {"default": {"age_seconds": None, "generation": 3}}
        filler.fill({"user_id": 18}, None, ALONE, NOW)
        assert filler.told(NOW) == {"default": {"age_seconds": 10.0, "generation": 3}}


def test_reads_that_fail_are_counted_each_and_logged_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A log that has a line for each row of each request says no more than one with one line."""
    view = opened(folder)
    spoil(folder, "users", "17", b"")
    spoil(folder, "users", "18", b"\x91\x01")
    for user in (17, 17, 17, 18):
        fill(view, {"user_id": user})
    assert view.uncounted == 4
    assert [record.getMessage().partition("cannot be read: ")[0] for record in caplog.records] == ["feature view users, generation 3: "] * 2


@pytest.mark.parametrize(("as_of", "served"), [(NOW + 60.0, 41), (NOW + 61.0, None), (NOW + 1e9, None)])
def test_what_is_far_ahead_of_the_clock_is_too_old(folder: Path, as_of: float, served: int | None) -> None:
    """A clock that was once ahead must not make a view young for ever; up to the declared age nobody can tell."""
    assert fill(opened(folder, as_of=as_of, max_age_seconds=60.0), {"user_id": 17}, ("age",)) == {"age": served}


def test_a_request_without_a_unit_is_an_unknown_entity(folder: Path) -> None:
    """Predictions need no unit, so none is missing."""
    assert fill(opened(folder, key="unit", defaults={"age": 7}), {"x": 1.0}) == {"x": 1.0, "age": 7, "plan": None}


def test_the_keys_that_rows_may_say_are_known(folder: Path) -> None:
    """Those of every view; the unit stands beside the rows."""
    views = [opened(folder), opened(folder, name="others", key="unit"), opened(folder, name="more", key="x")]
    assert Filler(views, ("x", "age")).keys == {"user_id", "x"}
