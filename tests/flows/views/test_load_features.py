"""Loading a table as a view's next generation: what is refused, what is read how, and that nothing is half done."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pytest
from pyarrow import parquet

from core.errors import Conflict, Invalid, Malformed, NotFound, TiltyardError, Unavailable
from core.values import Value
from flows import known
from flows.views import load_features
from flows.views.features import KEPT_SECONDS, decode_view, forget_generations
from flows.views.load_features import Load, load
from models.features.declaration import Aggregate, Batch, Stream, View
from models.features.table import Table, path_of
from routing.changes import Who
from store import audit, views
from store.views import ViewRow
from tests.flows.flow_world import World

TABLE = "user_id,age,plan\n007,41,pro\n17,,free\n"


class Loading:
    """A home with the endpoint `credit`, and a folder for files and views."""

    def __init__(self, world: World, folder: Path) -> None:
        self.store = world.store
        self.folder = folder
        self.directory = folder / "views"

    def load(self, content: str | bytes | pa.Table = TABLE, *, name: str = "t.csv", at: float = 100.0, **given: Any) -> dict[str, Any]:
        """Load a file of that content."""
        path = self.folder / name
        if isinstance(content, pa.Table):
            parquet.write_table(content, path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        order = Load(**{"view": "users", "path": path, "key": "user_id", **given})
        return load(self.store, self.directory, order, Who("me", at, "test"))

    def row(self) -> ViewRow | None:
        """What the store says of the view."""
        with self.store.read() as connection:
            return views.find(connection, "users")

    def get(self, key: str, generation: int = 1) -> dict[str, Value] | None:
        """The features of an entity."""
        table = Table(path_of(self.directory, "users", generation), immutable=True)
        try:
            return table.get(key)
        finally:
            table.close()

    def files(self) -> list[str]:
        """The names of the views' files."""
        return sorted(path.name for path in self.directory.glob("*")) if self.directory.exists() else []


@pytest.fixture
def here(bare: World, tmp_path: Path) -> Loading:
    """Nothing is loaded yet."""
    bare.endpoint()
    return Loading(bare, tmp_path)


def test_the_first_load_declares_the_view(here: Loading) -> None:
    """Columns, kinds and options; the audit log says who did it."""
    shown = here.load(endpoints=("credit",), max_age_seconds=60.0, on_stale="error", defaults={"age": "3"}, as_of=40.0)
    assert (shown["generation"], shown["rows"], shown["age_seconds"], shown["stale"]) == (1, 2, 60.0, False)
    row = here.row()
    assert row is not None
    assert (row.generation, row.as_of, row.at, row.by) == (1, 40.0, 100.0, "me")
    assert decode_view(row.body) == View(
        view="users",
        key="user_id",
        endpoints=("credit",),
        source=Batch({"age": "int", "plan": "str"}),
        max_age_seconds=60.0,
        on_stale="error",
        defaults={"age": 3},
    )
    with here.store.read() as connection:
        assert audit.newest(connection, 1)[0]["action"] == "feature.load"


def test_keys_of_a_csv_file_are_read_as_they_are_written(here: Loading) -> None:
    """007 is not 7; of the other columns the narrowest kind is taken."""
    here.load()
    assert here.get("007") == {"age": 41, "plan": "pro"}
    assert here.get("17") == {"age": None, "plan": "free"}
    assert here.get("7") is None


def test_keys_of_a_parquet_file_may_be_numbers(here: Loading) -> None:
    """They have the form in which a request's number is looked up."""
    here.load(pa.table({"user_id": [17, 18], "age": [1.5, None]}), name="t.parquet")
    assert here.get("17") == {"age": 1.5}


def test_a_later_load_is_the_next_generation_and_keeps_what_it_does_not_say(here: Loading) -> None:
    """The declaration stays, apart from the options that are given anew; the older file stays for whoever has it open."""
    here.load(endpoints=("credit",), max_age_seconds=60.0)
    shown = here.load("user_id,plan,age\n5,x,1\n", at=200.0, max_age_seconds=9.0)
    assert (shown["generation"], shown["rows"], shown["endpoints"], shown["max_age_seconds"]) == (2, 1, ("credit",), 9.0)
    assert (here.get("5", 2), here.get("007", 1)) == ({"age": 1, "plan": "x"}, {"age": 41, "plan": "pro"})


def test_columns_keep_their_kind_where_they_can(here: Loading) -> None:
    """A declared text stays one though it looks like a number, an integer becomes a float, an empty column is of the declared kind."""
    here.load()
    assert here.load("user_id,age,plan\n1,2.5,007\n")["source"]["columns"] == {"age": "float", "plan": "str"}
    assert here.get("1", 2) == {"age": 2.5, "plan": "007"}
    here.load("user_id,age,plan\n1,3,\n")
    values = here.get("1", 3)
    assert values == {"age": 3.0, "plan": None}
    assert isinstance(values["age"], float)


@pytest.mark.parametrize(
    ("content", "given", "error", "said"),
    [
        ("user_id,age\n1,2\n2,3\n1,4\n", {}, Invalid, "row 3 has the key '1' that row 1 has"),
        ("user_id,age\n1,2\n,3\n", {}, Invalid, "user_id: row 2 has no key"),
        ("id,age\n1,2\n", {}, Invalid, "key: t.csv has no column 'user_id'; it has id, age"),
        ("user_id\n1\n", {}, Invalid, "no column beside the key"),
        ("user_id,age\n", {}, Invalid, "file: t.csv has no rows"),
        ("", {}, Invalid, "file: t.csv has no rows"),
        ("user_id,age\n1,2,3\n", {}, Invalid, "file: line 2: expected 2 values, got 3"),
        (b"user_id,age\n1,\xff\n", {}, Malformed, "file: t.csv is not readable as CSV"),
        ("user_id,age\n1,inf\n", {}, Invalid, "age: row 1 holds inf"),
        (TABLE, {"name": "t.txt"}, Invalid, "file: expected a file ending in .csv or .parquet"),
        (TABLE, {"view": "../users"}, Invalid, "view: expected a name"),
        (TABLE, {"endpoints": ("nobody",)}, NotFound, "nobody"),
        (TABLE, {"defaults": {"agee": "1"}}, Invalid, "defaults.agee"),
        (TABLE, {"defaults": {"age": "old"}}, Invalid, "default: expected a value of int for age, got 'old'"),
        (TABLE, {"defaults": {"age": "1.5"}}, Invalid, "expected a value of int"),
        (TABLE, {"as_of": 101.0}, Invalid, "not in the future"),
        (TABLE, {"max_age_seconds": 0.0}, Invalid, "max_age_seconds"),
        (
            pa.table({"user_id": [1], "when": pa.array([0], pa.timestamp("s"))}),
            {"name": "t.parquet"},
            Invalid,
            "column 'when' holds datetime",
        ),
        (pa.table({"user_id": pa.array([0], pa.timestamp("s")), "x": [1]}), {"name": "t.parquet"}, Invalid, "row 1 has a key of datetime"),
    ],
)
def test_a_file_that_will_not_do_leaves_nothing_behind(
    here: Loading, content: Any, given: dict[str, Any], error: type[TiltyardError], said: str
) -> None:
    """The error names what and where; no view is declared, no file made."""
    with pytest.raises(error) as caught:
        here.load(content, **given)
    assert said in caught.value.message
    assert (here.row(), here.files()) == (None, [])


@pytest.mark.parametrize(
    ("content", "given", "error", "said"),
    [
        ("user_id,age\n1,2\n", {}, Invalid, "it lacks plan"),
        ("user_id,age,plan,x\n1,2,a,3\n", {}, Invalid, "it has x beside them"),
        ("user_id,age,plan\n1,old,a\n", {}, Invalid, "age: expected a column of int, as the view has it, got one of str"),
        ("id,age,plan\n1,2,a\n", {"key": "id"}, Conflict, "keyed by 'user_id', not by 'id'"),
    ],
)
def test_a_table_of_another_form_is_refused(
    here: Loading, content: str, given: dict[str, Any], error: type[TiltyardError], said: str
) -> None:
    """Models are served by this view: what was loaded before goes on."""
    here.load()
    before = here.row()
    with pytest.raises(error) as caught:
        here.load(content, **given)
    assert said in caught.value.message
    assert (here.row(), here.files()) == (before, ["users.g1.db"])


def test_a_stream_takes_no_table(here: Loading) -> None:
    """It is computed."""
    view = View(view="users", key="user_id", source=Stream(stream="s", features={"n": Aggregate("count", None, 60.0)}))
    with here.store.write() as connection:
        views.save(connection, ViewRow("users", 0.0, "me", known.encode(view), 1, None))
    with pytest.raises(Conflict, match="computed from a stream"):
        here.load()


def test_a_feature_comes_from_one_view(here: Loading) -> None:
    """Of two views of one endpoint nobody could say which; at different endpoints they may share a name."""
    here.load(endpoints=("credit",))
    with pytest.raises(Conflict, match=r"the view users of the same endpoint"):
        here.load(view="others", endpoints=("credit",))
    assert here.load(view="others")["generation"] == 1


def test_of_two_loads_at_a_time_one_is_refused(here: Loading, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one has moved the generation on while this one read its file, and what it loaded stays."""
    here.load()
    done: list[int] = []

    def meanwhile(keys: Any, view: Any, columns: Any) -> Any:
        monkeypatch.undo()
        done.append(here.load("user_id,age,plan\n8,8,b\n")["generation"])
        return [("9", (9, "a"))]

    monkeypatch.setattr("flows.views.load_features._rows", meanwhile)
    with pytest.raises(Conflict):
        here.load("user_id,age,plan\n9,9,a\n")
    row = here.row()
    assert row is not None
    assert (done, row.generation) == ([2], 2)
    assert here.get("8", 2) == {"age": 8, "plan": "b"}


def test_an_interrupt_after_the_generation_has_moved_leaves_its_file(here: Loading, monkeypatch: pytest.MonkeyPatch) -> None:
    """From then on it is what is served."""
    moves = load_features._swap

    def interrupted(*given: Any) -> None:
        moves(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(load_features, "_swap", interrupted)
    with pytest.raises(KeyboardInterrupt):
        here.load()
    row = here.row()
    assert row is not None
    assert (row.generation, here.get("17")) == (1, {"age": None, "plan": "free"})


def test_a_generation_that_cannot_be_written_is_one_clear_error(here: Loading, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk, which the system or SQLite finds; what was loaded before goes on."""
    here.load()
    before = here.row()
    for error in (OSError(28, "No space left on device"), sqlite3.OperationalError("database or disk is full")):
        monkeypatch.setattr("models.features.table._insert", Mock(side_effect=error))
        with pytest.raises(Unavailable, match=r"view: .*users\.g2\.db cannot be written: .*(full|No space left)") as caught:
            here.load()
        assert caught.value.code == "view-not-written"
    assert (here.row(), here.files()) == (before, ["users.g1.db"])


def test_a_generation_that_never_came_to_be_is_passed_over(here: Loading) -> None:
    """A file that a crashed load has left is nobody's; the next load takes the next number."""
    here.load()
    path_of(here.directory, "users", 2).write_bytes(b"left")
    assert here.load()["generation"] == 3


def test_old_generations_are_deleted_when_nobody_can_need_them(here: Loading) -> None:
    """Ten minutes after they were superseded; so are drafts of loads that crashed. What is served stays however old it is."""
    here.load()
    here.load()
    left = here.directory / ".users.g9.db.1"
    log = here.directory / "users.g1.db-wal"
    for path in (left, log):
        path.write_bytes(b"")
    superseded = path_of(here.directory, "users", 1).stat().st_mtime
    for path in here.directory.iterdir():
        os.utime(path, (superseded, superseded))
    forget_generations(here.store, here.directory, lambda: superseded + KEPT_SECONDS - 1.0)
    assert len(here.files()) == 4
    forget_generations(here.store, here.directory, lambda: superseded + KEPT_SECONDS + 1.0)
    assert here.files() == ["users.g2.db"]


def test_superseding_is_when_the_time_of_the_old_file_begins(here: Loading) -> None:
    """A generation that was served for a month is not deleted the moment after it was replaced."""
    here.load()
    old = path_of(here.directory, "users", 1)
    os.utime(old, (0.0, 0.0))
    here.load()
    assert old.stat().st_mtime > KEPT_SECONDS
