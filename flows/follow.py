"""A reader's walk along the journal: read, work, store the effect and the position in one transaction.

Work may have nothing to store yet: the reader goes on, and what it keeps in mind is stored with a later effect, or lost with the process
and read again. An effect that cannot be stored now is kept and tried again before anything else is read.

A reader that crashed is started again `careful`: it then takes one event at a time and says beforehand which one, so that an event
that kills it twice can be put aside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec
import sqlalchemy as sa

from core import events
from core.errors import Conflict, Unavailable
from core.events import Event
from core.values import Position
from journal.reader import Entry, Reader
from store import positions
from store.engine import Store

Effect: TypeAlias = Callable[[sa.Connection], float]
"""Stores what came of some entries and returns the journal time after them. Where that fails it is called again."""

Work: TypeAlias = Callable[[Sequence[Entry], float], Effect | None]
"""Turns entries that follow a journal time into their effect; outside any transaction, so it may take its time.

None: nothing to store yet, the stored position stays. Crashes are counted there alone: a careful reader that has survived the entry
there takes the count back, and until it has an effect to store no later event is put aside. Work that raises Unavailable ends the
process, and is no crash.
"""

Loss: TypeAlias = Callable[[sa.Connection, Entry], None]
"""Stores what it means that an entry was put aside."""

RECORD = "record"
"""The reader that folds events into facts."""

WATCH = "watch"
"""The reader that looks for drift."""

MOST_CRASHES = 2
"""An event at which a reader has crashed this often is put aside."""

CAREFUL_EVENTS = 1000

IDLE_SECONDS, MOST_IDLE_SECONDS = 0.02, 1.0
"""How long a reader waits for more; where the store cannot be used, twice as long after each attempt, up to the second."""

READ_AGAIN = 5000
"""Entries at a time where a stretch of the journal is read again."""


class _Unstored(NamedTuple):
    """An effect on its way into the store, the position after its entries, and how many there were."""

    effect: Effect
    after: Position
    entries: int


_log = logging.getLogger("tiltyard.reader")


def _nothing(_entries: Sequence[Entry], _at: float) -> None:
    return None


def decode(entry: Entry) -> Event | None:
    """The event of an entry; None for a kind that a later Tiltyard wrote and this one does not know."""
    return event_of(entry.payload)


def event_of(payload: bytes) -> Event | None:
    """The same, of what a record holds."""
    try:
        return events.decode(payload)
    except msgspec.MsgspecError:
        return None


def between(directory: Path, start: Position, stop: Position, *, whole: bool = False) -> Iterator[Entry]:
    """What stands in the journal from `start` up to `stop`, as far as it is still there.

    `whole`: raises Conflict where a part of it is not, or is deleted meanwhile.
    """
    reader = Reader(directory, start)
    try:
        while entries := reader.read(READ_AGAIN):
            if whole and reader.overtaken:
                raise Conflict("segments of the journal were deleted before they were read", code="journal-expired")
            if entries[-1].next > stop:
                yield from (entry for entry in entries if entry.next <= stop)
                return
            yield from entries
    finally:
        reader.close()


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
        self._worked = row.position
        """Up to here all has been worked on; what is not stored of it this process keeps in mind."""
        self._unstored: _Unstored | None = None
        self._reader = Reader(directory, row.position)
        self.idle = IDLE_SECONDS
        """How long to wait before the next step where the last one has read nothing."""

    def step(self, work: Work, limit: int) -> int:
        """Read up to `limit` entries, work, and store the effect; returns how many entries there were.

        Raises Conflict where another process reads for this reader. A store that is locked too long makes it 0: the next step tries again.
        """
        try:
            read = self._step(work, limit)
            self.idle = IDLE_SECONDS
            return read
        except sa.exc.OperationalError as error:
            _log.warning("%s: the store cannot be used now, will try again at %s: %s", self._name, self._worked, error)
            self._rewind()
            self.idle = min(MOST_IDLE_SECONDS, 2 * self.idle)
            return 0

    def store(self, effect: Effect) -> None:
        """Store an effect of all that has been worked on so far; where that cannot be done now, the next step tries again.

        Raises Conflict like `step`. For a reader that is `settled`.
        """
        self._unstored = _Unstored(effect, self._worked, 0)
        self.step(_nothing, 0)

    def note(self, effect: Callable[[sa.Connection], None]) -> None:
        """Store something beside what was read: the position stays, and what is counted there of crashes.

        Raises Conflict like `step`, and OperationalError.
        """
        with self._store.write() as connection:
            effect(connection)
            positions.hold(connection, self._name, self._position)

    @property
    def settled(self) -> bool:
        """Whether no effect waits to be stored."""
        return self._unstored is None

    @property
    def position(self) -> Position:
        """Up to here all has been worked on."""
        return self._worked

    @property
    def careful(self) -> bool:
        """Whether it takes one event at a time, since it crashed."""
        return self._careful > 0

    def close(self) -> None:
        """Close the journal's files."""
        self._reader.close()

    def _step(self, work: Work, limit: int) -> int:
        if self._unstored is not None:
            return self._commit(self._unstored)
        entries = self._reader.read(1 if self._careful else limit)
        if not entries:
            return 0
        if self._careful and self._worked == self._position and self._crashes_often():
            self._put_aside(entries[0])
        else:
            self._work(work, entries)
        self._careful = max(0, self._careful - 1)
        return len(entries)

    def _work(self, work: Work, entries: Sequence[Entry]) -> None:
        counted = self._counted == self._position == self._worked
        try:
            effect = work(entries, self.at)
        except Unavailable:
            if counted:
                self._uncount()
            raise
        self._worked = entries[-1].next
        if effect is not None:
            self._unstored = _Unstored(effect, self._worked, len(entries))
        elif counted:
            # Survived: else the crashes of events after it would put it aside. To advance to where the reader stands clears the count.
            at = self.at
            self._unstored = _Unstored(lambda _connection: at, self._position, len(entries))
        if self._unstored is not None:
            self._commit(self._unstored)

    def _commit(self, unstored: _Unstored) -> int:
        with self._store.write() as connection:
            at = unstored.effect(connection)
            positions.advance(connection, self._name, self._position, unstored.after, at)
        self._position, self.at, self._unstored = unstored.after, at, None
        return unstored.entries

    def _crashes_often(self) -> bool:
        # Once for each process: an event whose effect could not be stored has crashed nobody.
        if self._counted == self._position:
            return False
        with self._store.write() as connection:
            found = positions.count_start(connection, self._name)
        self._counted = self._position
        return found.crashes >= MOST_CRASHES

    def _uncount(self) -> None:
        try:
            with self._store.write() as connection:
                positions.advance(connection, self._name, self._position, self._position, self.at)
        except sa.exc.OperationalError as error:
            # The process ends all the same, by what it could not do: to go on as if the store alone had failed would work twice.
            _log.warning("%s: a start stays counted as a crash at %s: %s", self._name, self._position, error)

    def _put_aside(self, entry: Entry) -> None:
        reason = f"{self._name} crashed {MOST_CRASHES} times at this event"
        _log.error("%s: put aside the event at %s", reason, entry.address)
        with self._store.write() as connection:
            positions.put_aside(connection, self._name, entry.address.position, reason, self.at)
            if self._lost is not None:
                self._lost(connection, entry)
            positions.advance(connection, self._name, self._position, entry.next, self.at)
        self._position = self._worked = entry.next

    def _rewind(self) -> None:
        """What was read and not worked on is read again."""
        self._reader.close()
        self._reader = Reader(self._directory, self._worked)
