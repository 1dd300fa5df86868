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
from flows import known
from flows.views import features
from flows.views.features import decode_view, served_by
from models.features.declaration import Batch, Stream, View, blanks, check
from models.features.table import Table, key_text, path_of
from routing.changes import Who
from store import audit, positions, views
from store.engine import Store
from store.views import ViewRow

_READER = "features"


class Desk(NamedTuple):
    """What declaring and showing work with: the store, the directory of the views' files, and the time."""

    store: Store
    directory: Path
    clock: Clock


def reader_of(view: str) -> str:
    """The name of the reader that computes a streaming view: `features:activity`."""
    return f"{_READER}:{view}"


def parse_view_reader(reader: str) -> str | None:
    """The view that a reader of that name computes; None where it is another kind of reader."""
    kind, _, view = reader.partition(":")
    return view if kind == _READER else None


def declare(desk: Desk, view: View, who: Who) -> dict[str, Any]:
    """Declare a view, or declare it anew; returns it as `show` does.

    A streaming view begins with what the journal still holds. Where another declaration asks for something else, that is computed anew, and
    what it served before is served until that is done; maximum age, defaults and, but of an endpoint's own predictions and outcomes,
    endpoints hold at once, and the very same declaration changes nothing. Of a batch view the loaded table stays, and with it the key.

    Raises Invalid naming the field, NotFound of an endpoint, and Conflict where another view of an endpoint has a feature of the same name,
    the view is of the other kind, or a table of another key is loaded.
    """
    check(view)
    with desk.store.write() as connection:
        before = views.find(connection, view.view)
        if before is not None:
            view = _follow(decode_view(before.body), view)
        features.check_endpoints(connection, view)
        row = ViewRow(view.view, who.at, who.by, known.encode(view), 0, None)
        if before is not None and isinstance(view.source, Stream) and before.body == row.body:
            return features.describe(desk.directory, before, desk.clock())
        if before is not None:
            row = row._replace(generation=before.generation, as_of=before.as_of, at=max(who.at, before.at + 0.001))
        views.save(connection, row)
        if isinstance(view.source, Stream):
            positions.begin(connection, reader_of(view.view), START, 0.0)
        audit.write(connection, who.at, who.by, "view.declare", view.view, reason=who.reason)
    return features.describe(desk.directory, row, desk.clock())


def drop(desk: Desk, view: str, who: Who) -> None:
    """Forget a view: from now on clients send its features themselves. Raises NotFound.

    Its files go when they have not been written for a while (`features.forget_generations`).
    """
    with desk.store.write() as connection:
        views.get(connection, view)
        views.drop(connection, view)
        positions.drop(connection, reader_of(view))
        audit.write(connection, who.at, who.by, "view.drop", view, reason=who.reason)


def every(desk: Desk) -> list[dict[str, Any]]:
    """All views, by name."""
    return features.every(desk.store, desk.directory, desk.clock())


def show(desk: Desk, view: str, key: str | None = None) -> dict[str, Any]:
    """A view; with a `key` also the features of that entity as they are served now. Raises NotFound of the view or the entity."""
    with desk.store.read() as connection:
        row = views.get(connection, view)
    found = features.describe(desk.directory, row, desk.clock())
    if key is None:
        return found
    return {**found, "key_value": key, "values": _served(desk.directory, row, key, stale=found["stale"])}


def _served(directory: Path, row: ViewRow, key: str, *, stale: bool) -> dict[str, Value]:
    """What is served of the entity now: too old, the defaults or nothing; otherwise its values, defaults in the place of null."""
    view, values = _look_up(directory, row, key)
    if stale and view.on_stale == "error":
        raise Unavailable(f"feature view {view.view} is older than its declared maximum age", code="features-stale")
    if values is None:
        said = f"key: {view.view} knows nothing of {key[:100]!a}: what is declared for that is served"
        raise NotFound(said, field="key", code="key-not-found")
    if stale:
        return blanks(view)
    return {name: view.defaults.get(name) if value is None else value for name, value in values.items()}


def _look_up(directory: Path, row: ViewRow, key: str) -> tuple[View, dict[str, Value] | None]:
    """The declaration by which the view is served now, and what the file has of the entity."""
    view = decode_view(row.body)
    if not row.generation:
        return view, None
    try:
        with closing(Table(path_of(directory, row.view, row.generation), immutable=isinstance(view.source, Batch))) as table:
            return served_by(view, table.meta()), table.get(key_text(key) or "")
    except (sqlite3.Error, msgspec.MsgspecError, TypeError, ValueError) as error:
        raise Unavailable(f"view: {view.view} cannot be read now: {error}", code="view-busy") from None


def _follow(before: View, view: View) -> View:
    """The view as it can follow the one before: of the same kind, with the table that is loaded, which is of its key."""
    if type(before.source) is not type(view.source):
        raise Conflict(f"view: {view.view} is of the other kind: drop it first", field="view", code="view-kind")
    if not isinstance(before.source, Batch) or not isinstance(view.source, Batch) or not before.source.columns:
        return view
    features.check_same_key(before, view.key)
    if view.source.columns not in ({}, before.source.columns):
        raise Invalid("source.columns: they are those of the loaded table: leave them out", field="source.columns")
    return check(msgspec.structs.replace(view, source=before.source))
