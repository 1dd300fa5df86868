"""Watch: follow the journal, count what was served of every version at every endpoint, judge each window that is full.

All of it follows from the journal: windows end by their rows and by journal time. Forced and pinned rows are left out: they are not what
the endpoint's clients send. A row that control answered for a failing arm counts for the version that answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from core.errors import NotFound
from core.events import FORCED, PINNED, Event, Observed, Predicted
from core.ids import Address
from flows.follow import Effect, decode
from flows.known import Known
from flows.serving import inputs_of
from flows.shadow_labels import Labelled, labelled
from flows.watching.reference import Reference, reference
from flows.watching.state import State, pack, unpack
from flows.watching.watched import LabelledRow, Watched, cut
from flows.watching.windows import Measures
from journal.reader import Entry
from store import watch
from store.engine import Store
from store.watch import Key

STORE_SECONDS = 1.0
"""Between two transactions; what is counted in between is read again after a crash."""

_log = logging.getLogger("tiltyard.watch")


class Watcher:
    """Counts entries, and keeps what is counted. `pread` reads a record of the journal by its address."""

    def __init__(self, store: Store, measures: Measures, pread: Callable[[Address], bytes]) -> None:
        self._store = store
        self._measures = measures
        self._pread = pread
        self._known = Known()
        self._watched: dict[Key, Watched | None] = {}
        self._columns: dict[tuple[str, int, str], tuple[int, ...] | None] = {}
        self._changed: set[Key] = set()
        self._at = 0.0
        self._stored = time.monotonic()
        self._unstored = False

    def work(self, entries: Sequence[Entry], at: float) -> Effect | None:
        """Count the entries; the effect stores what is counted, where a window has ended or a second has passed."""
        self._at = max(self._at, at)
        find = Known(self._pread).prediction  # of predictions nothing is kept beyond a step: they may be large
        with self._store.read() as connection:
            for entry in entries:
                event = decode(entry)
                if event is not None:
                    self._take(connection, event, find)
        for one in self._touched():
            one.settle()
        self._unstored = True
        return self.effect() if self.due or any(one.ended for one in self._touched()) else None

    @property
    def due(self) -> bool:
        """Whether what has been read is to be stored by now."""
        return self._unstored and time.monotonic() >= self._stored + STORE_SECONDS

    def effect(self) -> Effect:
        """Stores what has changed since the last effect; the journal time after it."""
        touched, at = self._touched(), self._at
        bodies = {one.key: pack(one.state) for one in touched}
        ended = [row for one in touched for row in one.ended]
        for one in touched:
            one.ended = []
        self._changed, self._unstored, self._stored = set(), False, time.monotonic()

        def effect(connection: sa.Connection) -> float:
            watch.save_states(connection, bodies)
            watch.add_windows(connection, ended)
            return at

        return effect

    def _touched(self) -> list[Watched]:
        return [one for key in sorted(self._changed) if (one := self._watched[key]) is not None]

    def _take(self, connection: sa.Connection, event: Event, find: Callable[[Address], Predicted | None]) -> None:
        self._at = max(self._at, event.at)
        try:
            if isinstance(event, Predicted):
                self._served(connection, event)
            elif isinstance(event, Observed):
                for one in labelled([event], find):
                    self._told(connection, one)
        except NotFound as error:
            # The plan or version of a journal that came from elsewhere: there is nothing to compare with.
            _log.debug("not counted: %s", error.message)

    def _served(self, connection: sa.Connection, event: Predicted) -> None:
        watched = self._of(connection, event)
        if watched is not None:
            watched.serve(event, self._columns_of(connection, event, watched.reference), self._at)
            self._changed.add(watched.key)

    def _told(self, connection: sa.Connection, told: Labelled) -> None:
        event = told.prediction
        watched = self._of(connection, event)
        if watched is not None:
            columns = self._columns_of(connection, event, watched.reference)
            place = told.address.segment, told.address.offset, told.row
            watched.tell(place, LabelledRow(cut(event.rows[told.row], columns), event.outputs[told.row], told.label), self._at)
            self._changed.add(watched.key)

    def _of(self, connection: sa.Connection, event: Predicted) -> Watched | None:
        """What is known of the version that answered; None where it is not to be counted, or cannot be compared."""
        if event.flags & (FORCED | PINNED):
            return None
        key = event.endpoint, event.version
        if key not in self._watched:
            self._watched[key] = self._load(connection, key)
        return self._watched[key]

    def _load(self, connection: sa.Connection, key: Key) -> Watched | None:
        found = reference(self._known.card(connection, key[1]))
        if not isinstance(found, Reference):
            return None
        body = watch.states(connection, key[0]).get(key)
        rate = self._measures.alpha
        state = State(found, rate) if body is None else unpack(body, found, rate)
        return Watched(key, found, state, self._measures)

    def _columns_of(self, connection: sa.Connection, event: Predicted, found: Reference) -> tuple[int, ...] | None:
        key = event.endpoint, event.plan, event.version
        if key not in self._columns:
            plan = self._known.plan(connection, event.endpoint, event.plan)
            inputs = inputs_of(plan, lambda version: self._known.card(connection, version).signature)
            self._columns[key] = inputs.columns(found.signature)
        return self._columns[key]
