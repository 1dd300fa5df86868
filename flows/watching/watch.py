"""Watch: follow the journal, count what was served of every version at every endpoint, judge each window that is full.

All of it follows from the journal: windows end by their rows and by journal time. Forced and pinned rows are left out: they are not what
the endpoint's clients send. A row that control answered for a failing arm counts for the version that answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from core.errors import NotFound
from core.events import FORCED, PINNED, Event, Observed, Predicted
from core.ids import Address, parse_version
from flows.follow import Effect, decode
from flows.known import Known
from flows.serving import inputs_of
from flows.shadow_labels import Labelled, labelled
from flows.watching.reference import Reference, reference
from flows.watching.state import State, pack, unpack
from flows.watching.watched import LabelledRow, Watched, cut
from flows.watching.windows import Measures
from journal.reader import Entry
from store import registry, watch
from store.engine import Store
from store.watch import Key

STORE_SECONDS = 1.0
"""Between two transactions; what is counted in between is read again after a crash."""

_log = logging.getLogger("tiltyard.watch")


class _Step(NamedTuple):
    """A prediction that is to be counted at a journal time, or a label of one of its rows."""

    watched: Watched
    event: Predicted
    columns: tuple[int, ...] | None
    at: float
    told: Labelled | None

    def take(self) -> None:
        """Count it."""
        if self.told is None:
            self.watched.serve(self.event, self.columns, self.at)
            return
        address, row = self.told.address, self.told.row
        told = LabelledRow(cut(self.event.rows[row], self.columns), self.event.outputs[row], self.told.label)
        self.watched.tell((address.segment, address.offset, row), told, self.at)


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
        """Count the entries; the effect stores what is counted, where a window has ended or a second has passed.

        All that needs the store comes first: where it fails the entries are read again, and none of them may have been counted then.
        """
        find = Known(self._pread).prediction  # of predictions nothing is kept beyond a step: they may be large
        now, steps = max(self._at, at), list[_Step]()
        with self._store.read() as connection:
            for event in [event for entry in entries if (event := decode(entry)) is not None]:
                now = max(now, event.at)
                steps.extend(self._steps(connection, event, find, now))
        self._at, self._unstored = now, True
        for step in steps:
            step.take()
            self._changed.add(step.watched.key)
        for one in self._touched():
            one.settle()
        return self.effect() if self.due or any(one.ended for one in self._touched()) else None

    @property
    def due(self) -> bool:
        """Whether what has been read is to be stored by now."""
        return self._unstored and time.monotonic() >= self._stored + STORE_SECONDS

    def effect(self) -> Effect:
        """Stores what has changed since the last effect, except of versions that were deleted meanwhile; the journal time after it."""
        touched, at = self._touched(), self._at
        bodies = {one.key: pack(one.state) for one in touched}
        ended = [row for one in touched for row in one.ended]
        for one in touched:
            one.ended = []
        self._changed, self._unstored, self._stored = set(), False, time.monotonic()

        def effect(connection: sa.Connection) -> float:
            kept = {key for key in bodies if registry.holds(connection, parse_version(key[1]))}
            watch.save_states(connection, {key: body for key, body in bodies.items() if key in kept})
            watch.add_windows(connection, [row for row in ended if (row.endpoint, row.version) in kept])
            return at

        return effect

    def _touched(self) -> list[Watched]:
        return [one for key in sorted(self._changed) if (one := self._watched[key]) is not None]

    def _steps(self, connection: sa.Connection, event: Event, find: Callable[[Address], Predicted | None], at: float) -> Iterator[_Step]:
        told = labelled([event], find) if isinstance(event, Observed) else []
        try:
            if isinstance(event, Predicted) and (watched := self._of(connection, event)) is not None:
                yield _Step(watched, event, self._columns_of(connection, event, watched.reference), at, None)
            for one in told:
                if (watched := self._of(connection, one.prediction)) is not None:
                    yield _Step(watched, one.prediction, self._columns_of(connection, one.prediction, watched.reference), at, one)
        except NotFound as error:
            # The plan or version of a journal that came from elsewhere, or a version that was deleted: there is nothing to compare with.
            _log.debug("not counted: %s", error.message)

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
