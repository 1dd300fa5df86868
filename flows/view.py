"""Declare a feature view, show what it holds, drop it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from core.clock import Clock
from core.errors import Conflict, Invalid, NotFound, Unavailable
from core.values import START, Value
from flows import features, known
from flows.features import decode_view
from models.features.declaration import Batch, Stream, View, check
from models.features.table import Table, key_text, path_of
from routing.changes import Who
from store import audit, positions, views
from store.engine import Store
from store.views import ViewRow

_READER = "features"


class Shelves(NamedTuple):
    """Where views are: the store, and the directory of their files."""

    store: Store
    directory: Path
    clock: Clock


def reader_of(view: str) -> str:
    """The name of the reader that computes a streaming view: `features:activity`."""
    return f"{_READER}:{view}"


def parse_reader(reader: str) -> str | None:
    """The view that a reader of that name computes; None where it is another kind of reader."""
    kind, _, view = reader.partition(":")
    return view if kind == _READER else None


def declare(shelves: Shelves, view: View, who: Who) -> dict[str, Any]:
    """Declare a view, or declare it anew; returns it as `show` does.

    A streaming view begins with what the journal still holds. Declared anew, it is computed anew, and what it served before is served until
    that is done; the very same declaration changes nothing. Of a batch view the loaded table stays.

    Raises Invalid naming the field, NotFound of an endpoint, and Conflict where another view of an endpoint has a feature of the same name
    or the view is of the other kind.
    """
    check(view)
    with shelves.store.write() as connection:
        before = views.find(connection, view.view)
        if before is not None:
            view = _follow(decode_view(before.body), view)
        features.check_endpoints(connection, view)
        row = ViewRow(view.view, who.at, who.by, known.encode(view), 0, None)
        if before is not None and isinstance(view.source, Stream) and before.body == row.body:
            return features.describe(shelves.directory, before, shelves.clock())
        if before is not None:
            row = row._replace(generation=before.generation, as_of=before.as_of, at=max(who.at, before.at + 0.001))
        views.save(connection, row)
        if isinstance(view.source, Stream):
            positions.begin(connection, reader_of(view.view), START, 0.0)
        audit.write(connection, who.at, who.by, "view.declare", view.view, reason=who.reason)
    return features.describe(shelves.directory, row, shelves.clock())


def drop(shelves: Shelves, view: str, who: Who) -> None:
    """Forget a view and what it holds: from now on clients send its features themselves. Raises NotFound."""
    with shelves.store.write() as connection:
        views.get(connection, view)
        views.drop(connection, view)
        positions.drop(connection, reader_of(view))
        audit.write(connection, who.at, who.by, "view.drop", view, reason=who.reason)
    for path in shelves.directory.glob(f"{view}.g*.db*"):
        path.unlink(missing_ok=True)


def every(shelves: Shelves) -> list[dict[str, Any]]:
    """All views, by name."""
    return features.every(shelves.store, shelves.directory, shelves.clock())


def show(shelves: Shelves, view: str, key: str | None = None) -> dict[str, Any]:
    """A view; with a `key` also the features of that entity as they are served now. Raises NotFound of the view or the entity."""
    with shelves.store.read() as connection:
        row = views.get(connection, view)
    found = features.describe(shelves.directory, row, shelves.clock())
    if key is None:
        return found
    return {**found, "key_value": key, "values": _look_up(shelves.directory, row, key)}


def _look_up(directory: Path, row: ViewRow, key: str) -> dict[str, Value]:
    batch = isinstance(decode_view(row.body).source, Batch)
    try:
        with closing(Table(path_of(directory, row.view, row.generation), immutable=batch)) as table:
            values = table.get(key_text(key) or "")
    except sqlite3.Error as error:
        raise Unavailable(f"view: {row.view} cannot be read now: {error}", code="view-busy") from None
    if values is None:
        raise NotFound(
            f"key: {row.view} knows nothing of {key[:100]!r}: what is declared for that is served", field="key", code="key-not-found"
        )
    return values


def _follow(before: View, view: View) -> View:
    """The view as it can follow the one before: of the same kind, with the table that is loaded."""
    if type(before.source) is not type(view.source):
        raise Conflict(f"view: {view.view} is of the other kind: drop it first", field="view", code="view-kind")
    if not isinstance(before.source, Batch) or not isinstance(view.source, Batch) or not before.source.columns:
        return view
    if view.source.columns not in ({}, before.source.columns):
        raise Invalid("source.columns: they are those of the loaded table: leave them out", field="source.columns")
    return check(msgspec.structs.replace(view, source=before.source))
