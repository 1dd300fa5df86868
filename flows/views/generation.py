"""One generation of a streaming view: it reads the journal, keeps the aggregates, and publishes what has changed in its file.

The file is the authority: the features, the state behind them and the position in the journal change in one transaction, so a process
that is killed at any moment goes on from the last one, and comes to the same numbers.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from core.clock import Clock
from core.errors import Conflict
from core.values import START, Position
from flows.follow import decode
from flows.views.sources import Occurrences
from journal.lookup import Lookup
from journal.reader import Entry, Reader
from models.features.aggregates import Aggregates, News
from models.features.declaration import Stream, View, computed
from models.features.occurrences import REPEAT_SECONDS, Occurrence
from models.features.table import Meta, Writer, path_of
from store.engine import Store

PUBLISH_SECONDS = 0.2
IDLE_SECONDS = 1.0
"""How often the file says that nothing has happened, and the store is told the position."""
RETRY_SECONDS = 5.0
"""After a publication that could not be stored."""
MOST_SHARE = 0.2
"""Of a core's time that publishing may take: what takes longer is done more rarely."""
MARK_SECONDS = 30.0
AHEAD_SECONDS = 60.0
"""Of the clock by which journal time may be ahead without a word."""
BATCH = 5000

_log = logging.getLogger("tiltyard.features")


class Bench(NamedTuple):
    """Where one view is computed: the store, the journal, the directory of the views' files, and the time."""

    store: Store
    journal: Path
    directory: Path
    clock: Clock
    steady: Callable[[], float] = time.monotonic


class _Publication(NamedTuple):
    """What is to be stored, and the position before what is to be read after a crash once it is."""

    news: News
    meta: Meta
    needed: Position


class Generation:
    """One generation of a view: its file, its aggregates, and how far they have come.

    `position` is behind what was taken; `as_of` is when that was all there was, by the clock.
    """

    position: Position
    as_of: float
    _time: float
    _reader: Reader
    _overtaken: int
    _missed: int
    _marks: deque[tuple[float, Position]]

    def __init__(self, bench: Bench, view: View, number: int, declared: float, aside: AbstractSet[Position]) -> None:
        """Goes on where the file stands; begins at the start of the journal where there is none. Events `aside` are passed over."""
        if not isinstance(view.source, Stream):
            raise Conflict(f"view {view.view} is no streaming view", code="stale-reader")
        self.number = number
        self.caught_up = False
        self._bench = bench
        self._aside = aside
        self._view = view
        self._declared = declared
        self.path = path_of(bench.directory, view.view, number)
        self._occurrences = Occurrences(bench.store, view, view.source, Lookup(bench.journal).get)
        self._aggregates = Aggregates(view, view.source)
        with ExitStack() as opened:
            self._writer = opened.enter_context(closing(Writer(self.path, view.features)))
            self._resume(self._writer.meta())
            opened.pop_all()
        self.needed = self._needed()
        """By the file: before what is to be read after a crash."""
        self._unstored: _Publication | None = None
        self._now = bench.clock()
        self._due = self._told = bench.steady()
        self._stirred = True
        self._warned = False

    def serves(self, view: View) -> bool:
        """Whether what it computes is what that declaration asks for."""
        return computed(self._view) == computed(view)

    def follow(self, view: View, declared: float) -> None:
        """Say from now on that it is of this declaration, which asks for the same."""
        if declared != self._declared:
            self._view, self._declared, self._stirred = view, declared, True

    def step(self) -> int:
        """Read on, and publish where it is time; returns how many entries there were. Raises Conflict where another process writes."""
        entries = self._read(BATCH)
        self._take(entries)
        self._pass_time()
        if self._bench.steady() >= self._due:
            self.publish()
        return len(entries)

    def read_one(self) -> Entry | None:
        """The next entry, which is to be taken; None at the journal's end."""
        return next(iter(self._read(1)), None)

    def take_one(self, entry: Entry) -> int:
        """Take it, and publish at once."""
        self._take([entry])
        self._pass_time()
        self.publish()
        return 1

    def retry(self) -> int:
        """Publish what could not be stored, where it is time; reads nothing."""
        if self._bench.steady() >= self._due:
            self.publish()
        return 0

    def publish(self) -> bool:
        """Publish what has changed, also because time has passed; False where that cannot be stored now, and will be later."""
        start = self._bench.steady()
        if self._unstored is None:
            news = self._aggregates.news(self._time)
            if not (news.rows or news.gone or self._stirred or start - self._told >= IDLE_SECONDS):
                return True
            self._unstored = _Publication(news, self._meta(), self._needed())
            self._stirred = False
        settled = self._store(self._unstored)
        took = self._bench.steady() - start
        self._due = start + took + (max(PUBLISH_SECONDS, took / MOST_SHARE) if settled else RETRY_SECONDS)
        return settled

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be stored that could not be."""
        return self._unstored is None

    def close(self) -> None:
        """Give the files back."""
        self._reader.close()
        self._writer.close()

    def _read(self, limit: int) -> list[Entry]:
        self._now = self._bench.clock()
        entries = self._reader.read(limit)
        self.caught_up = len(entries) < limit
        self._count_missed()
        return entries

    def _take(self, entries: Sequence[Entry]) -> None:
        before, take = self._aggregates.repeats.now, self._aggregates.take
        for entry in entries:
            for one in self._of(entry):
                take(one)
                self._stirred = True
        if entries:
            self._mark(before)
            self.position = entries[-1].next
            last = decode(entries[-1])
            self.as_of = self.as_of if last is None else min(self._now, last.at)

    def _of(self, entry: Entry) -> Sequence[Occurrence]:
        # Of most views nothing was ever put aside.
        return () if self._aside and entry.address.position in self._aside else self._occurrences.of(entry)

    def _pass_time(self) -> None:
        """Where all is read, it is the clock's time."""
        if self.caught_up:
            self.as_of = self._now
        self._move(max(self._aggregates.repeats.now, self.as_of))

    def _store(self, one: _Publication) -> bool:
        try:
            self._writer.put_many(one.news.rows, one.meta, one.news.gone)
        except sqlite3.OperationalError as error:
            _log.error("%s cannot be written, what is new is published later: %s", self.path.name, error)
            return False
        self._told, self._unstored, self.needed = self._bench.steady(), None, one.needed
        return True

    def _mark(self, before: float) -> None:
        """Remember where the journal is to be read again for the ids that may still be repeated, and the journal time there."""
        if not len(self._aggregates.repeats):
            self._marks.clear()
            return
        if not self._marks or before - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((before, self.position))
        while len(self._marks) > 1 and self._marks[1][0] < self._aggregates.repeats.now - REPEAT_SECONDS:
            self._marks.popleft()

    def _needed(self) -> Position:
        """Ids are read again after a crash. Where no event has come for long, none of them can be repeated by what comes next."""
        recent = self._time - self._aggregates.repeats.now < 2 * REPEAT_SECONDS
        return self._marks[0][1] if self._marks and recent else self.position

    def _count_missed(self) -> None:
        more = self._reader.overtaken - self._overtaken
        if more:
            self._missed += more
            _log.error("%s: %s segments of the journal were deleted before they were read", self.path.name, more)
        self._overtaken = self._reader.overtaken

    def _move(self, present: float) -> None:
        """Let windows end by journal time, or where no event has come by the clock, also where that was set back.

        What a clock that was ahead has ended then does not begin again: until its windows are over by the right time as well, features
        lack it, as a computation from nothing does not.
        """
        back = self._time - present
        self._time = present if back > AHEAD_SECONDS else max(self._time, present)
        ahead = self._time - self._now
        if max(back, ahead) > AHEAD_SECONDS and not self._warned:
            _log.warning("%s: the clock was set back by %.0f seconds; events count as of the time before", self.path.name, max(back, ahead))
        self._warned = ahead > AHEAD_SECONDS

    def _meta(self) -> Meta:
        return {
            "view": msgspec.json.encode(self._view),
            "declared": self._declared,
            "as_of": self.as_of,
            "time": self._time,
            "rows": len(self._aggregates),
            "position": self.position,
            "newest": self._aggregates.newest,
            "now": self._aggregates.repeats.now,
            "marks": list(self._marks),
            "figures": dict(self._aggregates.figures),
            "missed": self._missed,
        }

    def _resume(self, meta: Meta) -> None:
        """Go on from what the file says; {}: from the beginning."""
        self.position = Position(*meta.get("position", START))
        self.as_of = float(meta.get("as_of", 0.0))
        self._time = float(meta.get("time", 0.0))
        self._marks = deque((at, Position(*place)) for at, place in meta.get("marks", ()))
        if meta:
            self._restore(meta)
        self._reader = Reader(self._bench.journal, self.position)
        # What was deleted before a view began is not its loss.
        self._overtaken = 0 if meta else self._reader.overtaken
        self._missed = meta.get("missed", 0)

    def _restore(self, meta: Meta) -> None:
        self._aggregates.restore(self._writer.states())
        self._aggregates.figures.update(meta["figures"])
        self._aggregates.newest = meta["newest"]
        if self._marks:
            self._aggregates.repeats.now = self._marks[0][0]
            self._recall(self._marks[0][1])
        self._aggregates.repeats.now = meta["now"]

    def _recall(self, start: Position) -> None:
        reader = Reader(self._bench.journal, start)
        try:
            while entries := reader.read(BATCH):
                for entry in entries:
                    if entry.next > self.position:
                        return
                    for one in self._of(entry):
                        self._aggregates.recall(one)
        finally:
            reader.close()


def numbers(directory: Path, view: str) -> list[int]:
    """The numbers of the generations of which a file is there."""
    name = re.compile(re.escape(view) + r"\.g(\d+)\.db")
    return [int(found[1]) for path in directory.glob("*.db") if (found := name.fullmatch(path.name))]
