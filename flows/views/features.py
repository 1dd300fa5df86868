"""Feature views as a worker serves them and as others see them: opened, swapped, and how old they are."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import Clock, to_rfc3339
from core.errors import Conflict, NotFound, Unavailable
from flows.serving import Routes
from models.features.declaration import Batch, Stream, View, computed
from models.features.occurrences import FIGURES
from models.features.serving import OpenView, age_of, why_stale
from models.features.table import Meta, Table, path_of
from store import plans, views
from store.engine import Store
from store.views import ViewRow

KEPT_SECONDS = 600.0
"""How long a generation's file stays after another one is served."""

_VIEW = msgspec.json.Decoder(View)
_UNUSABLE = (NotFound, Unavailable, sqlite3.Error, msgspec.MsgspecError, TypeError, UnicodeDecodeError)
"""What is raised of a file, or of a declaration in it, that is not there, is damaged or cannot be read now."""
_log = logging.getLogger("tiltyard.features")


def decode_view(body: bytes) -> View:
    """The declaration that is stored with a view."""
    return _VIEW.decode(body)


class Opener:
    """Keeps the views that one worker has open at what the store says.

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

    def uncounted(self) -> dict[str, int]:
        """By view the look-ups that have failed since this was asked last. For the thread of the hub."""
        found: dict[str, int] = {}
        for one in [*self._open.values()]:
            if one.uncounted:
                found[one.view.view], one.uncounted = one.uncounted, 0
        return found

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
        """Serve what the row says, or go on as before: nothing is changed before all of it is open."""
        try:
            found, watched = _opened(self._directory, row)
        except _UNUSABLE as error:
            self._put_off(row, error)
            return
        self._unwatch(row.view)
        self._rows[row.view], self._open[row.view] = row, found
        if watched is not None:
            self._watched[row.view] = watched

    def _put_off(self, row: ViewRow, error: Exception) -> None:
        """What was served before goes on; of a view that never was, nothing is known yet."""
        if row.generation and self._failed.get(row.view) != row:  # of 0 nothing was computed yet
            _log.warning("generation %s of view %s cannot be served yet: %s", row.generation, row.view, str(error))
            self._failed[row.view] = row
        if row.view not in self._open:
            with suppress(msgspec.MsgspecError):
                self._open[row.view] = OpenView(decode_view(row.body), 0, None, None)

    def _unwatch(self, view: str) -> None:
        table = self._watched.pop(view, None)
        if table is not None:
            table.close()


def _opened(directory: Path, row: ViewRow) -> tuple[OpenView, Table | None]:
    """The view as it is served, and of a stream a second connection for its age: one is for the hub, the other for the thread that polls.

    Raises what is in `_UNUSABLE`.
    """
    view = decode_view(row.body)
    batch, path = isinstance(view.source, Batch), path_of(directory, row.view, row.generation)
    if batch and row.generation == 0:
        return OpenView(view, 0, None, None), None
    with ExitStack() as opened:
        table = opened.enter_context(closing(Table(path, immutable=batch)))
        meta = table.meta()
        served = served_by(view, meta)
        if not set(served.features) <= set(table.names):
            raise NotFound(f"view: the file of generation {row.generation} of {row.view} holds other features", field="view")
        watched = None if batch else opened.enter_context(closing(Table(path, immutable=False)))
        opened.pop_all()
    return OpenView(served, row.generation, table, row.as_of if batch else _time(meta)), watched


def streams_of(declared: Iterable[View]) -> frozenset[str]:
    """The streams that views are computed from."""
    sources = [view.source for view in declared]
    return frozenset(source.stream for source in sources if isinstance(source, Stream) and source.stream is not None)


def declared_streams(store: Store) -> frozenset[str]:
    """The streams that the views declared by now are computed from."""
    with store.read() as connection:
        return streams_of(decode_view(row.body) for row in views.every(connection))


def describe(directory: Path, row: ViewRow, now: float) -> dict[str, Any]:
    """A view as the API shows it: its declaration, and of what it serves the generation, the entities, the time and the age.

    Of a file that cannot be read it says as little as of none.
    """
    view = decode_view(row.body)
    batch, meta = isinstance(view.source, Batch), _meta(directory, view, row)
    served = served_by(view, meta)
    as_of = row.as_of if batch else _time(meta)
    return {
        **msgspec.to_builtins(view),
        "generation": row.generation,
        "rows": meta.get("rows", 0),
        "as_of": None if as_of is None else to_rfc3339(as_of),
        "age_seconds": age_of(as_of, now),
        "stale": why_stale(served, as_of, now) is not None,
        "at": to_rfc3339(row.at),
        "by": row.by,
        **({} if batch else _stream_figures(meta, anew="as_of" not in meta or computed(served) != computed(view))),
    }


def _stream_figures(meta: Meta, *, anew: bool) -> dict[str, Any]:
    """What has become of the events, and whether what is declared is still being computed, while the declaration before it is served."""
    figures = meta.get("figures", {})
    return {"events": {figure: figures.get(figure, 0) for figure in FIGURES}, "computed_anew": anew}


def every(store: Store, directory: Path, now: float) -> list[dict[str, Any]]:
    """All views, by name, as `describe` shows them."""
    with store.read() as connection:
        rows = views.every(connection)
    return [describe(directory, row, now) for row in rows]


def check_same_key(before: View, key: str) -> None:
    """Raises Conflict where the view's table is of another key: its rows are not of those entities."""
    if before.key != key:
        raise Conflict(f"key: view {before.view} is keyed by {before.key!r}, not by {key!r}", field="key", code="view-changed")


def check_endpoints(connection: sa.Connection, view: View) -> None:
    """Raises NotFound for an endpoint that does not exist, Conflict where another view fills in the same feature there."""
    for index, endpoint in enumerate(view.endpoints):
        try:
            plans.current(connection, endpoint)
        except NotFound as error:
            raise NotFound(f"endpoints[{index}]: {error.message}", field=f"endpoints[{index}]", code=error.code) from None
    for row in views.every(connection):
        other = decode_view(row.body)
        both = sorted(set(other.features) & set(view.features))
        if other.view != view.view and both and set(other.endpoints) & set(view.endpoints):
            where = f"source.{'columns' if isinstance(view.source, Batch) else 'features'}.{both[0]}"
            raise Conflict(
                f"{where}: the view {other.view} of the same endpoint has a feature of this name", field=where, code="feature-exists"
            )


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


def served_by(view: View, meta: Meta) -> View:
    """What is served from a file: by the declaration in it, since that is what its values are of. Where the present one is of the same
    values, it says how they are served.
    """
    made = decode_view(meta["view"]) if "view" in meta else view
    return view if computed(made) == computed(view) else made


def _meta(directory: Path, view: View, row: ViewRow) -> Meta:
    """What the file says of the view; {} where there is none that can be read."""
    try:
        with closing(Table(path_of(directory, row.view, row.generation), immutable=isinstance(view.source, Batch))) as table:
            meta = table.meta()
            served_by(view, meta)
            return meta
    except _UNUSABLE:
        return {}


def _as_of(table: Table, before: float | None) -> float | None:
    try:
        return _time(table.meta())
    except sqlite3.Error:  # busy for a moment: the next look will tell
        return before


def _time(meta: Meta) -> float | None:
    found: float | None = meta.get("as_of")
    return found
