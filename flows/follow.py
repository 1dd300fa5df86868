"""A reader's walk along the journal: read, work, store the effect and the position in one transaction.

A reader that crashed is started again `careful`: it then takes one event at a time and says beforehand which one, so that an event
that kills it twice can be put aside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import sqlalchemy as sa

from core import events
from core.errors import Conflict
from core.events import Event
from core.values import Position
from journal.reader import Entry, Reader
from store import positions
from store.engine import Store

Effect: TypeAlias = Callable[[sa.Connection], float]
"""Stores what came of some entries and returns the journal time after them."""

Work: TypeAlias = Callable[[Sequence[Entry], float], Effect]
"""Turns entries that follow a journal time into their effect; outside any transaction, so it may take its time."""

Loss: TypeAlias = Callable[[sa.Connection, Entry], None]
"""Stores what it means that an entry was put aside."""

RECORD = "record"
"""The reader that folds events into facts."""

MOST_CRASHES = 2
"""An event at which a reader has crashed this often is put aside."""

CAREFUL_EVENTS = 1000

_log = logging.getLogger("tiltyard.reader")


def decode(entry: Entry) -> Event | None:
    """The event of an entry; None for a kind that a later Tiltyard wrote and this one does not know."""
    try:
        return events.decode(entry.payload)
    except msgspec.MsgspecError:
        return None


class Follower:
    """One reader. Its position must exist (`store.positions.begin`). `lost` is told of an entry that is put aside."""

    def __init__(self, store: Store, directory: Path, name: str, *, careful: bool = False, lost: Loss | None = None) -> None:
        self._store = store
        self._directory = directory
        self._name = name
        self._careful = CAREFUL_EVENTS if careful else 0
        self._lost = lost
        self._counted: Position | None = None
        """The position at which this process has counted its start."""
        with store.read() as connection:
            row = positions.get(connection, name)
        if row is None:
            raise Conflict(f"reader {name} never began", code="stale-reader")
        self._position, self.at = row.position, row.at
        self._reader = Reader(directory, row.position)

    def step(self, work: Work, limit: int) -> int:
        """Read up to `limit` entries and store their effect; returns how many there were.

        Raises Conflict where another process reads for this reader. A store that is locked too long leaves all as it was.
        """
        entries = self._reader.read(1 if self._careful else limit)
        if not entries:
            return 0
        try:
            if self._careful and self._crashes_often():
                self._put_aside(entries[0])
            else:
                self._commit(work(entries, self.at), entries[-1].next)
            self._careful = max(0, self._careful - 1)
        except sa.exc.OperationalError as error:
            _log.warning("%s: the store cannot be written now, will read again from %s: %s", self._name, self._position, error)
            self._rewind()
            return 0
        return len(entries)

    @property
    def careful(self) -> bool:
        """Whether it takes one event at a time, since it crashed."""
        return self._careful > 0

    def close(self) -> None:
        """Close the journal's files."""
        self._reader.close()

    def _commit(self, effect: Effect, after: Position) -> None:
        with self._store.write() as connection:
            at = effect(connection)
            positions.advance(connection, self._name, self._position, after, at)
        self._position, self.at = after, at

    def _crashes_often(self) -> bool:
        # Once for each process: an event whose effect could not be stored has crashed nobody.
        if self._counted == self._position:
            return False
        with self._store.write() as connection:
            found = positions.count_start(connection, self._name)
        self._counted = self._position
        return found.crashes >= MOST_CRASHES

    def _put_aside(self, entry: Entry) -> None:
        reason = f"{self._name} crashed {MOST_CRASHES} times at this event"
        _log.error("%s: put aside the event at %s", reason, entry.address)
        with self._store.write() as connection:
            positions.put_aside(connection, self._name, entry.address.position, reason, self.at)
            if self._lost is not None:
                self._lost(connection, entry)
            positions.advance(connection, self._name, self._position, entry.next, self.at)
        self._position = entry.next

    def _rewind(self) -> None:
        self._reader.close()
        self._reader = Reader(self._directory, self._position)
