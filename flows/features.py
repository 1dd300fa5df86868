"""Feature views as a worker serves them and as others see them: opened, swapped, and how old they are."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import Clock, to_rfc3339
from core.errors import Conflict, NotFound
from flows.serving import Routes
from models.features.declaration import Batch, Stream, View
from models.features.occurrences import FIGURES
from models.features.serving import OpenView
from models.features.table import Meta, Table, path_of
from store import plans, views
from store.engine import Store
from store.views import ViewRow

KEPT_SECONDS = 600.0
"""How long a generation's file stays after another one is served."""

_VIEW = msgspec.json.Decoder(View)
_log = logging.getLogger("tiltyard.features")


def decode_view(body: bytes) -> View:
    """The declaration that is stored with a view."""
    return _VIEW.decode(body)


class Shelf:
    """The views that one worker has open, kept at what the store says.

    Polled in a native thread. A new generation is opened beside the old one, then all views of all endpoints are swapped by one assignment;
    the old one is closed when the last request that holds it has ended.
    """

    def __init__(self, store: Store, directory: Path, routes: Routes) -> None:
        self._store = store
        self._directory = directory
        self._routes = routes
        self._rows: dict[str, ViewRow] = {}
        """What is served, by view; a view that could not be opened is not among them, and is tried again."""
        self._open: dict[str, OpenView] = {}
        self._watched: dict[str, Table] = {}
        self._failed: dict[str, ViewRow] = {}

    def poll(self) -> None:
        """Serve what is new; look how far the streams have come."""
        with self._store.read() as connection:
            rows = {row.view: row for row in views.every(connection)}
        if rows != self._rows or rows.keys() != self._open.keys():
            self._swap(rows)
        for view, table in self._watched.items():
            self._open[view].as_of = _as_of(table, self._open[view].as_of)

    def _swap(self, rows: dict[str, ViewRow]) -> None:
        before = dict(self._open)
        for view in before.keys() - rows.keys():
            self._unwatch(view)
            self._rows.pop(view, None)
            del self._open[view]
        for view, row in rows.items():
            if row != self._rows.get(view):
                self._take(row)
        if self._open != before:
            self._routes.streams = streams_of(one.view for one in self._open.values())
            self._routes.show_views(_by_endpoint(self._open))

    def _take(self, row: ViewRow) -> None:
        try:
            view = decode_view(row.body)
            table = _open_table(self._directory, view, row)
        except (NotFound, msgspec.MsgspecError, sqlite3.Error) as error:
            self._put_off(row, error)
            return
        self._unwatch(row.view)
        self._rows[row.view] = row
        if table is None or isinstance(view.source, Batch):
            self._open[row.view] = OpenView(view, row.generation, table, row.as_of)
            return
        # A connection is one thread's at a time: this one is of the thread that polls, the other of the hub.
        watched = self._watched[row.view] = Table(path_of(self._directory, row.view, row.generation), immutable=False)
        self._open[row.view] = OpenView(view, row.generation, table, _as_of(watched, None))

    def _put_off(self, row: ViewRow, error: Exception) -> None:
        """What was served before goes on; of a view that never was, nothing is known yet."""
        if self._failed.get(row.view) != row:
            _log.warning("generation %s of view %s cannot be served yet: %s", row.generation, row.view, str(error))
            self._failed[row.view] = row
        if row.view not in self._open and not isinstance(error, msgspec.MsgspecError):
            self._open[row.view] = OpenView(decode_view(row.body), 0, None, None)

    def _unwatch(self, view: str) -> None:
        table = self._watched.pop(view, None)
        if table is not None:
            table.close()


def streams_of(declared: Iterable[View]) -> frozenset[str]:
    """The streams that views are computed from."""
    sources = [view.source for view in declared]
    return frozenset(source.stream for source in sources if isinstance(source, Stream) and source.stream is not None)


def declared_streams(store: Store) -> frozenset[str]:
    """The streams that the views declared by now are computed from."""
    with store.read() as connection:
        return streams_of(decode_view(row.body) for row in views.every(connection))


def describe(directory: Path, row: ViewRow, now: float) -> dict[str, Any]:
    """A view as the API shows it: its declaration, and of what it serves the generation, the entities, the time and the age."""
    view = decode_view(row.body)
    meta = _meta(directory, view, row)
    as_of = row.as_of if isinstance(view.source, Batch) else meta.get("as_of")
    age = None if as_of is None else max(0.0, now - as_of)
    return {
        **msgspec.to_builtins(view),
        "generation": row.generation,
        "rows": meta.get("rows", 0),
        "as_of": None if as_of is None else to_rfc3339(as_of),
        "age_seconds": age,
        "stale": view.max_age_seconds is not None and (age is None or age > view.max_age_seconds),
        "at": to_rfc3339(row.at),
        "by": row.by,
        **({} if isinstance(view.source, Batch) else _stream_figures(row, meta)),
    }


def _stream_figures(row: ViewRow, meta: Meta) -> dict[str, Any]:
    """What has become of the events, and whether what is declared is still being computed, while the declaration before it is served."""
    figures = meta.get("figures", {})
    return {"events": {figure: figures.get(figure, 0) for figure in FIGURES}, "computed_anew": meta.get("declared") != row.at}


def every(store: Store, directory: Path, now: float) -> list[dict[str, Any]]:
    """All views, by name, as `describe` shows them."""
    with store.read() as connection:
        rows = views.every(connection)
    return [describe(directory, row, now) for row in rows]


def check_endpoints(connection: sa.Connection, view: View) -> None:
    """Raises NotFound for an endpoint that does not exist, Conflict where another view fills in the same feature there."""
    for endpoint in view.endpoints:
        plans.current(connection, endpoint)
    for row in views.every(connection):
        other = decode_view(row.body)
        both = sorted(set(other.features) & set(view.features))
        if other.view != view.view and both and set(other.endpoints) & set(view.endpoints):
            said = f"source.features.{both[0]}: the view {other.view} of the same endpoint has a feature of this name"
            raise Conflict(said, field=f"source.features.{both[0]}", code="feature-exists")


def forget_generations(store: Store, directory: Path, clock: Clock) -> None:
    """Delete the files that have not been served or written for `KEPT_SECONDS`. Whoever has one open still reads it."""
    # Files first: one that is made from now on is not among them, whatever the store says of it.
    files = [path for path in directory.glob("*") if path.is_file()]
    with store.read() as connection:
        current = {path_of(directory, row.view, row.generation).name for row in views.every(connection)}
    touched: dict[str, float] = {}
    for path in files:
        with suppress(FileNotFoundError):
            touched[_group(path)] = max(touched.get(_group(path), 0.0), path.stat().st_mtime)
    for path in files:
        if _group(path) not in current and clock() - touched.get(_group(path), 0.0) > KEPT_SECONDS:
            path.unlink(missing_ok=True)


def _group(path: Path) -> str:
    """The file that it belongs to: a write-ahead log stands beside its own."""
    return path.name.removesuffix("-wal").removesuffix("-shm")


def _by_endpoint(found: dict[str, OpenView]) -> dict[str, list[OpenView]]:
    by_endpoint: dict[str, list[OpenView]] = {}
    for _, one in sorted(found.items()):
        for endpoint in one.view.endpoints:
            by_endpoint.setdefault(endpoint, []).append(one)
    return by_endpoint


def _open_table(directory: Path, view: View, row: ViewRow) -> Table | None:
    """The table of the row's generation; None of a batch view that was never loaded. Raises NotFound."""
    batch = isinstance(view.source, Batch)
    if batch and row.generation == 0:
        return None
    table = Table(path_of(directory, row.view, row.generation), immutable=batch)
    if not set(view.features) <= set(table.names):
        table.close()
        raise NotFound(f"view: the file of generation {row.generation} of {row.view} holds other features", field="view")
    return table


def _meta(directory: Path, view: View, row: ViewRow) -> Meta:
    try:
        table = _open_table(directory, view, row)
    except NotFound:
        return {}
    if table is None:
        return {}
    try:
        return table.meta()
    finally:
        table.close()


def _as_of(table: Table, before: float | None) -> float | None:
    try:
        found: float | None = table.meta().get("as_of")
    except sqlite3.Error:  # busy for a moment: the next look will tell
        return before
    return found
