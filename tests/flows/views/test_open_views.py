"""What is served while a view is declared anew, and where a file of it is damaged."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from core.errors import NotFound, Unavailable
from flows import known
from flows.views import features
from flows.views import view as views
from flows.views.features import describe
from models.features.declaration import Aggregate, Stream, View
from models.features.serving import Beside
from models.features.table import Meta, Table, Writer, path_of
from tests.flows.serving_world import STREAM, Serving


def test_an_opening_that_fails_half_way_leaves_everything_as_it_was(
    serving: Serving, clicks: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stream two connections are opened: where the second fails neither is served, other views are, and it is tried again."""
    clicks.put_many([("u", {"n": 1}, b"")], {"as_of": 10.0})
    serving.declare(STREAM, 1)
    serving.opener.poll()
    tables: list[Path] = []

    def fails(path: Path, *, immutable: bool) -> Table:
        tables.append(path)
        if "clicks" in path.name and len(tables) > 1:
            raise NotFound("no file can be opened any more")
        return Table(path, immutable=immutable)

    monkeypatch.setattr(features, "Table", fails)
    with closing(Writer(path_of(serving.directory, "clicks", 2), ("n",))) as other:
        other.put_many([("u", {"n": 2}, b"")], {"as_of": 20.0})
        serving.declare(STREAM, 2)
        serving.load(1, endpoints=("other",))
        serving.opener.poll()
        assert (len(tables), serving.n(now=12.0), serving.n("other")) == (3, 1, 1.0)
        clicks.put_many([("u", {"n": 3}, b"")], {"as_of": 30.0})
        serving.opener.poll()
        assert serving.n(now=32.0) == 3, "what is served is still watched"
        monkeypatch.undo()
        serving.opener.poll()
        assert serving.n(now=21.0) == 2


def test_a_file_that_is_locked_is_served_when_it_is_not(serving: Serving, clicks: Writer) -> None:
    """Until then the other views are, and nothing is known of this one; where an entity is asked for, it is said to be busy."""
    clicks.put_many([("u", {"n": 1}, b"")], {"as_of": 10.0})
    clicks.close()
    serving.declare(STREAM, 1)
    serving.load(1, endpoints=("other",))
    with closing(sqlite3.connect(path_of(serving.directory, "clicks", 1), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("UPDATE meta SET turn = turn")
        serving.opener.poll()
        assert (serving.n(now=11.0), serving.n("other")) == (0, 1.0)
        with pytest.raises(Unavailable) as busy:
            views.show(views.Desk(serving.store, serving.directory, lambda: 11.0), "clicks", "u")
        assert busy.value.code == "view-busy"
    serving.opener.poll()
    assert serving.n(now=11.0) == 1


def meta_of(view: View, **more: Any) -> Meta:
    """What a writer says of a view that it computes."""
    return {"view": known.encode(view), "as_of": 10.0, "rows": 1, **more}


def test_what_was_computed_for_another_key_is_served_by_that_key(serving: Serving, clicks: Writer) -> None:
    """Until the new generation is there: the entities of one key are not those of another, though the features are called the same."""
    clicks.put_many([("u", {"n": 1}, b"")], meta_of(STREAM))
    serving.declare(replace(STREAM, key="user"), 1)
    serving.opener.poll()
    filler = serving.filler()
    assert filler is not None
    assert filler.fill({"x": 1.0, "user": "u"}, None, Beside("v", {}), 11.0)[0]["n"] == 0
    assert serving.n(now=11.0) == 1
    with closing(Writer(path_of(serving.directory, "clicks", 2), ("n",))) as other:
        other.put_many([("u", {"n": 2}, b"")], meta_of(replace(STREAM, key="user")))
        serving.declare(replace(STREAM, key="user"), 2)
        serving.opener.poll()
        filler = serving.filler()
        assert filler is not None
        assert filler.fill({"x": 1.0, "user": "u"}, None, Beside("v", {}), 11.0) == ({"x": 1.0, "n": 2}, None)


def test_a_worker_that_starts_while_a_view_is_computed_anew_serves_what_there_is(serving: Serving, clicks: Writer) -> None:
    """The declaration before it: of other features and at another endpoint."""
    clicks.put_many([("u", {"n": 1}, b"")], meta_of(STREAM, figures={"used": 3}))
    anew = Stream(stream="s", features={"x": Aggregate("count", None, 60.0)})
    row = serving.declare(replace(STREAM, source=anew, endpoints=("other",)), 1)
    serving.opener.poll()
    assert (serving.n(now=11.0), serving.filler("other")) == (1, None)
    shown = describe(serving.directory, row, 12.0)
    assert [shown[key] for key in ("computed_anew", "rows", "age_seconds", "endpoints")] == [True, 1, 2.0, ("other",)]
    assert shown["events"]["used"] == 3


def test_how_it_is_answered_is_said_by_the_newest_declaration(serving: Serving, clicks: Writer) -> None:
    """The greatest age, the defaults and the endpoints need nothing to be computed anew: they hold at the next look."""
    clicks.put_many([("u", {"n": 1}, b"")], meta_of(STREAM))
    row = serving.declare(replace(STREAM, max_age_seconds=100.0, defaults={"n": 7}, endpoints=("credit", "other")), 1)
    serving.opener.poll()
    assert (serving.n(now=11.0), serving.n("other", now=60.0), serving.n(now=111.0)) == (1, 1, 7)
    assert describe(serving.directory, row, 60.0)["computed_anew"] is False
    assert (describe(serving.directory, row, 60.0)["stale"], describe(serving.directory, row, 111.0)["stale"]) == (False, True)


@pytest.mark.parametrize("meta", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x81\xa4view\xc4\x01x", b"\x81\xa4view\x01"])
def test_a_file_that_cannot_be_read_costs_only_its_own_figures(serving: Serving, clicks: Writer, meta: bytes) -> None:
    """The other views are shown, and served."""
    clicks.put_many([("u", {"n": 1}, b"")], {"as_of": 10.0})
    with closing(sqlite3.connect(path_of(serving.directory, "clicks", 1), isolation_level=None)) as other:
        other.execute("UPDATE meta SET body = ?", (meta,))
    serving.declare(STREAM, 1)
    serving.load(1, endpoints=("other",))
    shown = {one["view"]: one for one in features.every(serving.store, serving.directory, 16.0)}
    assert [shown["clicks"][key] for key in ("rows", "as_of", "stale")] == [0, None, True]
    assert shown["users"]["rows"] == 1
    serving.opener.poll()
    assert (serving.n(now=11.0), serving.n("other")) == (0, 1.0)


def test_look_ups_that_fail_are_counted_once(serving: Serving) -> None:
    """By view, for the metrics."""
    serving.load(1)
    serving.load(2, view="others", endpoints=("other",))
    with closing(sqlite3.connect(path_of(serving.directory, "users", 1), isolation_level=None)) as other:
        other.execute("UPDATE rows SET features = x'C1'")
    serving.opener.poll()
    assert [serving.n(), serving.n(), serving.n("other")] == [None, None, 2.0]
    assert (serving.opener.uncounted(), serving.opener.uncounted()) == ({"users": 2}, {})
