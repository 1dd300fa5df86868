"""The reader of a streaming view: it follows the journal, keeps the aggregates, and publishes what has changed in the view's file.

The file is the authority: the features, the state behind them and the position in the journal change in one transaction, so a process
that is killed at any moment goes on from the last one, and comes to the same numbers. The position in the store follows behind it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from core.clock import Clock
from core.errors import Conflict, NotFound
from core.values import START, Position
from flows.features import decode_view
from flows.follow import decode
from flows.sources import Occurrences
from flows.view import reader_of
from journal import segments
from journal.lookup import Lookup
from journal.reader import Entry, Reader
from models.features.aggregates import Aggregates
from models.features.declaration import Stream, View
from models.features.occurrences import REPEAT_SECONDS
from models.features.table import Meta, Table, Writer, path_of
from store import positions, views
from store.engine import Store
from store.views import ViewRow

PUBLISH_SECONDS = 0.2
IDLE_SECONDS = 1.0
"""How often the file says that nothing has happened, and the store is told the position."""
MOST_SHARE = 0.2
"""Of a core's time that publishing may take: what takes longer is done more rarely."""
MARK_SECONDS = 30.0
LOOK_SECONDS = 0.25
"""Between two looks whether the view was declared anew or dropped."""
BATCH = 5000

_log = logging.getLogger("tiltyard.features")


class Shelf(NamedTuple):
    """Where one view is computed: the store, the journal, the directory of the views' files, and the time."""

    store: Store
    journal: Path
    directory: Path
    clock: Clock
    steady: Callable[[], float] = time.monotonic


class Generation:
    """One generation of a view: its file, its aggregates, and how far they have come."""

    def __init__(self, shelf: Shelf, view: View, number: int, declared: float) -> None:
        """Goes on where the file stands; begins at the start of the journal where there is none."""
        if not isinstance(view.source, Stream):
            raise Conflict(f"view {view.view} is no streaming view", code="stale-reader")
        self.number = number
        self.declared = declared
        self.caught_up = False
        self._shelf = shelf
        self._body = msgspec.json.encode(view)
        self._writer = Writer(path_of(shelf.directory, view.view, number), view.features)
        meta = self._writer.meta()
        self._occurrences = Occurrences(shelf.store, view, view.source, Lookup(shelf.journal).get)
        self._aggregates = Aggregates(view, view.source)
        self._marks: deque[tuple[float, Position]] = deque((at, Position(*place)) for at, place in meta.get("marks", ()))
        self.position = Position(*meta.get("position", START))
        self.published = self.position
        """The position in the file."""
        self.as_of: float = meta.get("as_of", 0.0)
        self._restore(meta)
        self._reader = Reader(shelf.journal, self.position)
        self._due = self._told = shelf.steady()
        self._stirred = True

    def step(self) -> int:
        """Read on, and publish where it is time; returns how many entries there were. Raises Conflict where another process writes."""
        now = self._shelf.clock()
        entries = self._reader.read(BATCH)
        if entries:
            self._take(entries)
        self.caught_up = len(entries) < BATCH
        reached = now if self.caught_up else max((event.at for event in [decode(entries[-1])] if event is not None), default=0.0)
        self.as_of = max(self.as_of, self._aggregates.newest, reached)
        if self._shelf.steady() >= self._due:
            self.publish()
        return len(entries)

    def publish(self) -> None:
        """Publish what has changed, also because time has passed."""
        start = self._shelf.steady()
        news = self._aggregates.news(self.as_of)
        if news.rows or news.gone or self._stirred or start - self._told >= IDLE_SECONDS:
            self._writer.put_many(news.rows, self._meta(), news.gone)
            self._told, self._stirred, self.published = self._shelf.steady(), False, self.position
        took = self._shelf.steady() - start
        self._due = start + took + max(PUBLISH_SECONDS, took / MOST_SHARE)

    def close(self) -> None:
        """Give the files back."""
        self._reader.close()
        self._writer.close()

    def _take(self, entries: list[Entry]) -> None:
        take, of = self._aggregates.take, self._occurrences.of
        for entry in entries:
            for one in of(entry):
                take(one)
                self._stirred = True
        self._mark(self.position)
        self.position = entries[-1].next

    def _mark(self, before: Position) -> None:
        """Remember where the journal is to be read again for the ids that may still be repeated."""
        now = self._aggregates.repeats.now
        if not len(self._aggregates.repeats):
            self._marks.clear()
            return
        if not self._marks or now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, before))
        while len(self._marks) > 1 and self._marks[1][0] < now - REPEAT_SECONDS:
            self._marks.popleft()

    def _meta(self) -> Meta:
        return {
            "view": self._body,
            "declared": self.declared,
            "as_of": self.as_of,
            "rows": len(self._aggregates),
            "position": self.position,
            "newest": self._aggregates.newest,
            "now": self._aggregates.repeats.now,
            "marks": list(self._marks),
            "figures": dict(self._aggregates.figures),
        }

    def _restore(self, meta: dict[str, Any]) -> None:
        if not meta:
            return
        self._aggregates.restore(self._writer.states())
        self._aggregates.figures.update(meta["figures"])
        self._aggregates.newest = meta["newest"]
        if self._marks:
            self._recall(self._marks[0][1])
        self._aggregates.repeats.now = meta["now"]

    def _recall(self, start: Position) -> None:
        reader = Reader(self._shelf.journal, start)
        try:
            while entries := reader.read(BATCH):
                for entry in entries:
                    if entry.next > self.position:
                        return
                    for one in self._occurrences.of(entry):
                        self._aggregates.recall(one)
        finally:
            reader.close()


class ViewReader:
    """Keeps one view: the generation that is served, and beside it the one that is computed after the view was declared anew."""

    def __init__(self, shelf: Shelf, view: str) -> None:
        """Raises Conflict where the view was dropped."""
        self._shelf = shelf
        self._view = view
        self._serving: Generation | None = None
        self._next: Generation | None = None
        self._look_due = self._tell_due = -1.0
        self._position, self._row = self._stored()

    def step(self) -> int:
        """Read on; returns how many entries there were. Raises Conflict where this process is the view's reader no more."""
        read = sum(one.step() for one in (self._serving, self._next) if one is not None)
        try:
            self._agree()
        except sa.exc.OperationalError as error:
            _log.warning("view %s: the store cannot be used now, it is asked later: %s", self._view, error)
        return read

    def close(self) -> None:
        """Give the files back."""
        for one in (self._serving, self._next):
            if one is not None:
                one.close()

    def _agree(self) -> None:
        """See what the store wants, and tell it what there is."""
        if self._shelf.steady() >= self._look_due:
            self._look()
            self._look_due = self._shelf.steady() + LOOK_SECONDS
        if self._next is not None and self._next.caught_up:
            self._switch(self._next)
        if self._shelf.steady() >= self._tell_due:
            self._tell()
            self._tell_due = self._shelf.steady() + IDLE_SECONDS

    def _look(self) -> None:
        _, self._row = self._stored()
        declared = self._row.at
        if self._serving is None and self._row.generation:
            self._serving = self._found(self._row.generation)
        if self._serving is not None and self._serving.declared == declared:
            return
        if self._next is not None and self._next.declared != declared:
            self._next.close()
            self._next = None
        if self._next is None:
            self._next = self._begun(self._row.generation + 1)

    def _stored(self) -> tuple[Position, ViewRow]:
        with self._shelf.store.read() as connection:
            position, row = positions.get(connection, reader_of(self._view)), views.find(connection, self._view)
        if position is None or row is None:
            raise Conflict(f"view {self._view} was dropped", code="stale-reader")
        return position.position, row

    def _found(self, number: int) -> Generation | None:
        """A generation whose file is there; None without one, or where it was computed from another journal."""
        meta = self._meta(number)
        if "view" not in meta or Position(*meta["position"]) > segments.end(self._shelf.journal):
            return None
        return Generation(self._shelf, decode_view(meta["view"]), number, meta["declared"])

    def _begun(self, number: int) -> Generation:
        """The generation that the present declaration asks for, as far as it has come."""
        found = self._found(number)
        if found is not None and found.declared == self._row.at:
            return found
        if found is not None:
            found.close()
        self._remove(number)
        _log.info("view %s: generation %s is computed from the journal", self._view, number)
        return Generation(self._shelf, decode_view(self._row.body), number, self._row.at)

    def _meta(self, number: int) -> Meta:
        try:
            with closing(Table(path_of(self._shelf.directory, self._view, number), immutable=False)) as table:
                return table.meta()
        except NotFound:
            return {}

    def _switch(self, found: Generation) -> None:
        found.publish()
        with self._shelf.store.write() as connection:
            row = views.find(connection, self._view)
            if row is None or row.at != found.declared:
                return
            views.save(connection, row._replace(generation=found.number))
        if self._serving is not None:
            self._serving.close()
        self._serving, self._next = found, None

    def _tell(self) -> None:
        """Let the store know how far the view has come, so that segments of the journal can expire."""
        behind = self._serving or self._next
        if behind is not None and behind.published != self._position:
            with self._shelf.store.write() as connection:
                positions.advance(connection, reader_of(self._view), self._position, behind.published, behind.as_of)
            self._position = behind.published

    def _remove(self, number: int) -> None:
        path = path_of(self._shelf.directory, self._view, number)
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
