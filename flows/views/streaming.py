"""The reader of a streaming view: it keeps the generation that is served, and computes the next where another one is declared.

Each generation's file is the authority; the position in the store follows behind them. A reader that crashed is started again `careful`,
as `flows.follow` says: an event that kills it again and again is put aside. A file that is broken is computed anew from the journal.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing

import msgspec
import sqlalchemy as sa

from core.errors import Conflict, NotFound, Unavailable
from core.values import Position
from flows.follow import CAREFUL_EVENTS, MOST_CRASHES
from flows.views.features import decode_view
from flows.views.generation import IDLE_SECONDS, Bench, Generation, numbers
from flows.views.view import reader_of
from journal import segments
from journal.reader import Entry
from models.features.declaration import View
from models.features.table import BUSY_SECONDS, Table, of_the_moment, path_of
from store import positions, views
from store.views import ViewRow

LOOK_SECONDS = 0.25
"""Between two looks whether the view was declared anew or dropped."""

_BROKEN = (sqlite3.DatabaseError, msgspec.MsgspecError, NotFound, Conflict, LookupError, TypeError, ValueError, AttributeError)
"""What a file with something else in it than a generation may raise."""

_log = logging.getLogger("tiltyard.features")


class ViewReader:
    """Keeps one view: the generation that is served, and beside it the one that is computed after the view was declared anew."""

    def __init__(self, bench: Bench, view: str, *, careful: bool = False) -> None:
        """Raises Conflict where the view was dropped."""
        self._bench = bench
        self._view = view
        self._careful = CAREFUL_EVENTS if careful else 0
        self._serving: Generation | None = None
        self._next: Generation | None = None
        self._lost: set[int] = set()
        """Generations whose files cannot be used."""
        self._counted = False
        """Whether a crash is counted that has not been taken back."""
        self._told = 0.0
        """The time that the store knows the view to have come to."""
        self._look_due = self._tell_due = -1.0
        self._position, self._row = self._stored()
        with bench.store.read() as connection:
            self._aside = positions.aside_of(connection, reader_of(view))

    def step(self) -> int:
        """Read on; returns how many entries there were.

        Raises Conflict where this process is the view's reader no more, Unavailable where it has to begin again later.
        """
        try:
            read = self._step_carefully() if self._careful else sum(self._run(one) for one in self._generations())
            self._agree()
        except (sqlite3.OperationalError, sa.exc.OperationalError, OSError) as error:
            raise Unavailable(f"view {self._view} cannot be computed now: {error}") from error
        return read

    def close(self) -> None:
        """Give the files back."""
        for one in self._generations():
            one.close()

    def _generations(self) -> list[Generation]:
        return [one for one in (self._serving, self._next) if one is not None]

    def _run(self, one: Generation, work: Callable[[Generation], int] = Generation.step) -> int:
        try:
            return work(one)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._lose(one, error)
            return 0

    def _step_carefully(self) -> int:
        """Take one event, of the generation that is most behind. Beforehand a crash is counted, which is taken back after it."""
        if not self._generations():
            self._look()
        one = min(self._generations(), key=lambda each: each.position)
        if not one.settled:
            return self._run(one, Generation.retry)
        entry = one.read_one()
        if entry is None:
            return sum(map(self._run, self._generations()))
        self._count(entry)
        read = self._run(one, lambda each: each.take_one(entry))
        self._careful -= read
        return read

    def _count(self, entry: Entry) -> None:
        # Once, until that is taken back; a store that is full may delay it. No event since then has crashed this process.
        if self._counted:
            return
        reason = f"{reader_of(self._view)} crashed {MOST_CRASHES} times at this event"
        with self._bench.store.write() as connection:
            found = positions.count_start(connection, reader_of(self._view))
            often = found.crashes >= MOST_CRASHES
            if often:
                positions.put_aside(connection, reader_of(self._view), entry.address.position, reason, found.at)
        self._counted = True
        if often:
            _log.error("%s: put aside the event at %s", reason, entry.address)
            self._aside.add(entry.address.position)

    def _lose(self, one: Generation, error: Exception) -> None:
        """Give up a generation whose file is broken: the next one takes its place."""
        _log.error("%s is broken, and computed anew: %s", one.path.name, error)
        self._lost.add(one.number)
        one.close()
        self._serving, self._next = (None if each is one else each for each in (self._serving, self._next))
        self._look_due = -1.0

    def _agree(self) -> None:
        """See what the store wants, and tell it what there is; where it cannot be used now, later."""
        try:
            self._ask()
        except sa.exc.OperationalError as error:
            _log.warning("view %s: the store cannot be used now, it is asked later: %s", self._view, error)

    def _ask(self) -> None:
        if self._bench.steady() >= self._look_due:
            self._look()
            self._look_due = self._bench.steady() + LOOK_SECONDS
        if self._next is not None and self._next.caught_up and self._next.settled:
            self._switch(self._next)
        if self._counted or self._bench.steady() >= self._tell_due:
            self._tell()
            self._tell_due = self._bench.steady() + IDLE_SECONDS

    def _look(self) -> None:
        _, self._row = self._stored()
        wanted = decode_view(self._row.body)
        if self._serving is not None and self._serving.number != self._row.generation:
            # It was dropped and declared again meanwhile.
            self._serving.close()
            self._serving = None
        if self._serving is None and self._row.generation:
            self._serving = self._found(self._row.generation)
        if self._next is not None and not self._next.serves(wanted):
            self._next.close()
            self._remove(self._next.number)
            self._next = None
        if self._serving is not None and self._serving.serves(wanted):
            self._serving.follow(wanted, self._row.at)
        elif self._next is None:
            self._next = self._begun(wanted)
            # What it reads from now on must not be deleted: until it has come as far, the store knows its position.
            self._tell()
        if self._next is not None:
            self._next.follow(wanted, self._row.at)

    def _stored(self) -> tuple[Position, ViewRow]:
        with self._bench.store.read() as connection:
            position, row = positions.get(connection, reader_of(self._view)), views.find(connection, self._view)
        if position is None or row is None:
            raise Conflict(f"view {self._view} was dropped", code="stale-reader")
        return position.position, row

    def _found(self, number: int) -> Generation | None:
        """A generation whose file is there and whole; None without one, or where it was computed from another journal.

        Raises Unavailable where that cannot be known now: what a file that is given up held of the past may be nowhere else.
        """
        path = path_of(self._bench.directory, self._view, number)
        if number in self._lost or not path.exists():
            return None
        try:
            with closing(Table(path, immutable=False, wait_seconds=BUSY_SECONDS)) as table:
                meta = table.meta()
            if not meta:  # its process ended before it had published anything
                self._lost.add(number)
                return None
            if Position(*meta["position"]) <= segments.end(self._bench.journal):
                return Generation(self._bench, decode_view(meta["view"]), number, meta["declared"], self._aside)
            _log.error("%s is of another journal", path.name)
        except _BROKEN as error:
            if isinstance(error, sqlite3.Error) and of_the_moment(error):
                raise Unavailable(f"{path.name} cannot be read now: {error}") from error
            _log.error("%s cannot be used: %r", path.name, error)
        self._lost.add(number)
        return None

    def _begun(self, wanted: View) -> Generation:
        """The generation that the present declaration asks for, as far as it has come; its number is one that no file has."""
        newest = max([self._row.generation, *numbers(self._bench.directory, self._view)])
        found = self._found(newest) if newest > self._row.generation else None
        if found is not None and found.serves(wanted):
            return found
        if found is not None:
            found.close()
        _log.info("view %s: generation %s is computed from the journal", self._view, newest + 1)
        return Generation(self._bench, wanted, newest + 1, self._row.at, self._aside)

    def _switch(self, found: Generation) -> None:
        if not found.publish():
            return
        if not found.path.exists():
            self._lose(found, FileNotFoundError("deleted"))
            return
        with self._bench.store.write() as connection:
            row = views.find(connection, self._view)
            if row is None or not found.serves(decode_view(row.body)):
                return
            views.save(connection, row._replace(generation=found.number))
        if self._serving is not None:
            self._serving.close()
        self._serving, self._next = found, None

    def _tell(self) -> None:
        """Let the store know how far the view has come, so that segments of the journal can expire, and that no event has crashed it.

        Also while the place stays, where events would be read again for their ids: how late the view is follows from the time. A careful
        reader does not: that would take its count of crashes back.
        """
        generations = self._generations()
        if not generations:
            return
        needed = min(one.needed for one in generations)
        is_later = min(one.as_of for one in generations) > self._told and needed < segments.end(self._bench.journal)
        if self._counted or needed != self._position or (is_later and not self._careful):
            self._advance()

    def _advance(self) -> None:
        needed = min(one.needed for one in self._generations())
        with self._bench.store.write() as connection:
            at = min(one.as_of for one in self._generations())
            positions.advance(connection, reader_of(self._view), self._position, needed, at)
        self._position, self._told, self._counted = needed, at, False

    def _remove(self, number: int) -> None:
        path = path_of(self._bench.directory, self._view, number)
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
