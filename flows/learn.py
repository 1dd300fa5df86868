"""Learn: follow the journal, join labels with their predictions, teach, publish. One process for each learning version.

What the learner knows moves in memory; now and then a snapshot is stored, in the transaction that moves the reader's position. A process
that dies goes on from the last snapshot: what it had learnt since is read again, so that each row is learnt once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from core.clock import Clock
from core.errors import TiltyardError, Unavailable
from core.ids import VersionId
from core.values import Position
from flows import keeping, lessons, snapshots
from flows.course import Course
from flows.follow import Effect, Follower, between
from flows.keeping import Keep
from flows.learners import learner_reader
from flows.lessons import Lessons
from flows.origin import Origin
from flows.snapshots import Made, Memory
from journal import segments
from journal.lookup import Lookup
from journal.reader import Entry
from models.learner.learner import Learner
from models.learner.settings import Learnt
from models.runtime import said
from store import learners, positions
from store.blobs import Blobs
from store.engine import Store
from store.learners import SnapshotRow

NEWS_SECONDS = 0.3
"""How long what was learnt may wait to be published, where publishing is cheap."""
QUIET_SECONDS = 5.0
"""How long the position may wait where nothing was learnt: until it is stored, the journal behind it cannot be deleted."""
SHARE = 20
"""Between two publications passes so many times the time of the processor that one takes: 5 % of a core at most."""
STEP_SECONDS = 0.1
"""A step reads so much that it should take no longer, so that news is published in time."""
MOST_ENTRIES = 5000

_log = logging.getLogger("tiltyard.learn")


class School(NamedTuple):
    """What a learner works with. `key` signs snapshots.

    `ticks` is a clock that never steps back, `effort` the time of the processor that this process has used, both in seconds.
    """

    store: Store
    blobs: Blobs
    journal: Path
    key: bytes
    clock: Clock
    ticks: Callable[[], float] = time.monotonic
    effort: Callable[[], float] = time.process_time


class Learning:
    """The learner of one version. Raises Conflict, in `step` as well, where another process learns for it or it was stopped.

    `careful`: it crashed, so it reads one event at a time and publishes after each.
    """

    def __init__(self, school: School, version: VersionId, *, careful: bool = False) -> None:
        self._school = school
        self._version = version
        self._reader = learner_reader(version)
        self._origin = Origin(school.store, school.blobs, version)
        self._follower = Follower(school.store, school.journal, self._reader, careful=careful)
        self.limit = 64
        """Entries that the next step reads at most."""
        self._pause = NEWS_SECONDS
        self._published = school.ticks()
        self._began: float | None = None
        """When a publication that is not stored yet had begun, by the processor's time."""
        try:
            self._resume()
        except BaseException:
            self.close()
            raise

    @property
    def learner(self) -> Learner:
        """The learner as it is now, ahead of its snapshot."""
        return self._course.learner

    def step(self) -> int:
        """Read on, and publish where it is time to; returns how many entries were read.

        Raises Unavailable where the store could not be read in the middle of it: what this process knows is then of no use.
        """
        read = self._follower.step(self._work, self.limit)
        if not read and self._follower.settled and self._is_due(self._follower.position):
            effect = self._publish(self._follower.position)
            if effect is not None:
                self._follower.store(effect)
        if self._began is not None and self._follower.settled:
            self._pause = max(NEWS_SECONDS, SHARE * (self._school.effort() - self._began))
            self._began, self._published = None, self._school.ticks()
        return read

    def close(self) -> None:
        """Close the journal's files."""
        self._follower.close()

    def _resume(self) -> None:
        with self._school.store.read() as connection:
            found = learners.newest(connection, self._version)
        lookup = Lookup(self._school.journal).get
        subject = self._origin.subject(self._origin)
        start, at = self._follower.position, self._follower.at
        self._gap = self._missed(found, start)
        progress = lessons.begin(start, at)
        if found is None:
            learner = Learner(self._origin.river, self._origin.settings, self._origin.fresh)
            self._made = Made(*learner.dump())
        else:
            learner, memory = snapshots.read(self._school.key, self._origin, found)
            self._made = Made(found.artefact, memory.learner)
            self._gap = self._gap or memory.gap
            progress = memory.progress if found.position <= start else progress
        made = Lessons(self._school.store, subject, lookup, progress)
        self._course = Course(learner, made, self._origin.state_of)
        self._told = 0
        """Lessons that are in the last snapshot."""
        self._last = self._first(start) if found is None else found
        self._recall(made, start)

    def _missed(self, found: SnapshotRow | None, start: Position) -> str | None:
        """What of the journal can no longer be read."""
        if found is not None and found.position > start:
            return f"the journal that was read up to {found.position.segment}:{found.position.offset} was replaced by another"
        oldest = next(iter(segments.segments(self._school.journal)), start.segment)
        return None if oldest <= start.segment else f"segments {start.segment} to {oldest - 1} were deleted before they were read"

    def _recall(self, made: Lessons, stop: Position) -> None:
        with self._school.store.read() as connection:
            self._aside = positions.aside_of(connection, self._reader)
        made.recall(self._kept(between(self._school.journal, made.scan_start, stop)))

    def _kept(self, entries: Iterable[Entry]) -> Iterable[Entry]:
        """What is not put aside: that stays so, also where a learner was stopped and goes on from its snapshot."""
        if not self._aside:
            return entries
        return (entry for entry in entries if entry.address.position not in self._aside)

    def _first(self, position: Position) -> SnapshotRow:
        """Number 0, the version as it was registered: so the learner is seen, and has a state to go on from."""
        row = self._row(0, position, self._made)
        self._follower.note(lambda connection: learners.publish(connection, row))
        return row

    def _work(self, entries: Sequence[Entry], _at: float) -> Effect | None:
        began = self._school.ticks()
        try:
            self._course.follow([*self._kept(entries)])
        except sa.exc.OperationalError as error:
            # Some of the entries are learnt: they may not be read again by this process.
            raise Unavailable(f"the store cannot be read: {error}") from error
        seconds = max(self._school.ticks() - began, 1e-9)
        self.limit = max(1, min(MOST_ENTRIES, 2 * self.limit, int(len(entries) * STEP_SECONDS / seconds)))
        position = entries[-1].next
        return self._publish(position) if self._follower.careful or self._is_due(position) else None

    def _is_due(self, position: Position) -> bool:
        if self._course.restored:
            return True
        waited = self._school.ticks() - self._published
        if self._has_news:
            return waited >= self._pause
        return position != self._last.position and waited >= max(QUIET_SECONDS, self._pause)

    @property
    def _has_news(self) -> bool:
        return self._course.taken > self._told or self._course.restored

    def _publish(self, position: Position) -> Effect | None:
        """The effect that stores a snapshot; None where the model cannot be served as it is, which the status then says."""
        self._began = self._school.effort()
        number, keeps = self._last.number, list[Keep]()
        if self._has_news:
            try:
                made = Made(*self._course.learner.dump())
                self._origin.probe(self._origin.revive(made.artefact))
            except Exception as error:  # whatever a model raises that can no longer be pickled
                self._fail(f"snapshot {number + 1} cannot be served: {said(error)}")
                return None
            self._made, number = made, number + 1
            keeps = self._keeps(number, position)
        row = self._row(number, position, self._made)
        refused, self._course.refused = self._course.refused, []
        self._last, self._told, self._course.restored = row, self._course.taken, False

        def effect(connection: sa.Connection) -> float:
            learners.publish(connection, row)
            learners.refuse(connection, self._version, refused)
            for keep in keeps:
                keeping.register(connection, self._version.model, keep, self._reader, row.published, snapshot=number)
            return row.at

        return effect

    def _keeps(self, number: int, position: Position) -> list[Keep]:
        """The versions that are registered with this snapshot: challengers that have grown, and every so many times the snapshot itself."""
        settings, learner = self._origin.settings, self._course.learner
        grown, self._course.grown = self._course.grown, []
        found = [self._keep(model, number, settings.fresh_labels, position, keeping.CHALLENGER) for model in grown]
        if settings.keep_every and number % settings.keep_every == 0:
            found.append(self._keep(self._made.artefact, number, learner.labels, position, ""))
        return [keep for keep in found if keep is not None]

    def _keep(self, artefact: bytes, number: int, labels: int, position: Position, alias: str) -> Keep | None:
        learnt = Learnt(str(self._version), number, labels, (position.segment, position.offset))
        source = f"{alias or 'snapshot'} {number} of {self._version}"
        try:
            return keeping.package_of(self._origin, self._school.blobs, artefact, learnt, source, alias)
        except (OSError, TiltyardError) as error:
            # Learning goes on: a full disk, or a challenger that does not answer, costs this version alone.
            _log.error("%s: %s could not be kept as a version: %s", self._reader, source, error)
            return None

    def _fail(self, reason: str) -> None:
        """Say it in the status of the snapshot that goes on being served; where that cannot be stored now, the next attempt does."""
        _log.error("%s: %s", self._reader, reason)
        shown = snapshots.status(self._course, self._last.number, self._last.position, self._gap)
        row = self._last._replace(status=msgspec.json.encode(snapshots.failing(shown, reason)))
        try:
            self._follower.note(lambda connection: learners.publish(connection, row))
        except sa.exc.OperationalError as error:
            _log.warning("%s: the store cannot be written now: %s", self._reader, error)

    def _row(self, number: int, position: Position, made: Made) -> SnapshotRow:
        memory = Memory(made.learner, self._course.lessons.progress, self._gap)
        shown = snapshots.status(self._course, number, position, self._gap)
        return snapshots.row(self._school.key, self._version, number, position, made, memory, shown, self._school.clock())
