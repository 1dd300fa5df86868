"""Learn: follow the journal, join labels with their predictions, teach, publish. One process for each learning version.

What the learner knows moves in memory; now and then a snapshot is stored, in the transaction that moves the reader's position. A process
that dies goes on from the last snapshot: what it had learnt since is read again, so that each row is learnt once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from core.clock import Clock
from core.errors import TiltyardError, Unavailable
from core.ids import VersionId
from core.values import Position
from flows.follow import Effect, Follower
from flows.learning import keeping, snapshots
from flows.learning.keeping import Keep
from flows.learning.learners import learner_reader
from flows.learning.origin import Origin
from flows.learning.resuming import Resumption, kept
from flows.learning.snapshots import Made, Memory
from journal.reader import Entry
from models.failure import reason
from models.learner.learner import Learner
from models.learner.settings import Learnt
from store import learners
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


def at_once(steps: Iterator[None]) -> None:
    """Take all steps."""
    for _ in steps:
        pass


class School(NamedTuple):
    """What a learner works with. `key` signs snapshots.

    `ticks` is a clock that never steps back, `effort` the time of the processor that this process has used, both in seconds. `work` takes
    all steps of an iterator, in this thread or while it waits.
    """

    store: Store
    blobs: Blobs
    journal: Path
    key: bytes
    clock: Clock
    ticks: Callable[[], float] = time.monotonic
    effort: Callable[[], float] = time.process_time
    work: Callable[[Iterator[None]], None] = at_once


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
        self._behind = True
        """Whether the last step has read as much as it might: there is more, it seems."""
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
    def idle(self) -> float:
        """How long to wait before the next step, in seconds."""
        return 0.0 if self._behind else self._follower.idle

    @property
    def learner(self) -> Learner:
        """The learner as it is now, ahead of its snapshot."""
        return self._course.learner

    def step(self) -> int:
        """Read on, and publish where it is time to; returns how many entries were read.

        Raises Unavailable where the store could not be read in the middle of it: what this process knows is then of no use.
        """
        limit = 1 if self._follower.careful else self.limit
        read = self._follower.step(self._work, limit)
        self._behind = read >= limit
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
        school, start = self._school, self._follower.position
        found = Resumption(school.store, school.journal, school.key, self._origin, self._follower).start()
        self._course, self._made, self._gap, self._aside = found.course, found.made, found.gap, found.aside
        self._told = -1 if found.news else 0
        """Lessons that are in the last snapshot; fewer than none where it is to be replaced as it is."""
        self._counted = replace(self._course.lessons.counts)
        """What came of labels, as the last snapshot has it."""
        self._moved = start
        """Up to there the position is stored, or is about to be."""
        self._failing: str | None = None
        """Why the newest state is not published."""
        self._last = self._first(start) if found.last is None else found.last
        if self._course.lost is not None:
            self._fail(self._course.lost, msgspec.json.decode(self._last.status))
        elif msgspec.json.decode(self._last.status)["state"] == "failing":
            # It was told by a process that could not go on; this one can.
            shown = snapshots.status(self._course, self._last.number, self._last.position, self._gap)
            self._tell(self._last._replace(status=msgspec.json.encode(shown)))

    def _first(self, position: Position) -> SnapshotRow:
        """Number 0, the version as it was registered: so the learner is seen, and has a state to go on from."""
        row = self._row(0, position, self._made)
        self._follower.note(lambda connection: learners.publish(connection, row))
        return row

    def _work(self, entries: Sequence[Entry], _at: float) -> Effect | None:
        began = self._school.ticks()
        try:
            self._school.work(self._course.follow([*kept(entries, self._aside)]))
        except sa.exc.OperationalError as error:
            # Some of the entries are learnt: they may not be read again by this process.
            raise Unavailable(f"the store cannot be read: {error}") from error
        seconds = max(self._school.ticks() - began, 1e-9)
        self.limit = max(1, min(MOST_ENTRIES, 2 * self.limit, int(len(entries) * STEP_SECONDS / seconds)))
        position = entries[-1].next
        return self._publish(position) if self._follower.careful or self._is_due(position) else None

    def _is_due(self, position: Position) -> bool:
        if self._course.lost is not None:
            return False
        waited = self._school.ticks() - self._published
        if self._has_news:
            return waited >= self._pause or (self._course.restored and self._failing is None)
        return position != self._moved and waited >= max(QUIET_SECONDS, self._pause)

    @property
    def _has_news(self) -> bool:
        return self._course.taken > self._told or self._course.restored

    def _publish(self, position: Position) -> Effect | None:
        """The effect that stores a snapshot; None where the model cannot be served as it is, which the status then says."""
        if self._course.lost is not None:
            return None
        self._began, news = self._school.effort(), self._has_news
        if not news and self._is_quiet(position):
            return self._move(position)
        number, keeps = self._last.number, list[Keep]()
        if news:
            made = self._take_apart(number + 1)
            if made is None:
                return None
            self._made, number = made, number + 1
            keeps = self._keeps(number, position)
        checkpoint = self._course.lessons.checkpoints.take(position, self._course.lessons.at)
        row = self._row(number, position, self._made)
        refused, self._course.refused = self._course.refused, []
        self._last, self._told, self._course.restored = row, self._course.taken, False
        self._moved, self._counted, self._failing = position, replace(self._course.lessons.counts), None

        def effect(connection: sa.Connection) -> float:
            learners.publish(connection, row)
            learners.put_down(connection, self._version, checkpoint.floor, checkpoint.bodies)
            learners.refuse(connection, self._version, refused)
            for keep in keeps:
                keeping.register(connection, self._school.blobs, self._version.model, keep, self._reader, row.published, snapshot=number)
            return row.at

        return effect

    def _is_quiet(self, position: Position) -> bool:
        """Whether the position is all that has changed, within a segment: what is stored stays as it is."""
        lessons = self._course.lessons
        same = lessons.counts == self._counted and lessons.checkpoints.settled and not self._course.refused
        return same and position.segment == self._last.position.segment

    def _move(self, position: Position) -> Effect:
        self._moved, at = position, self._course.lessons.at
        return lambda _connection: at

    def _take_apart(self, number: int) -> Made | None:
        """The learner as it is published; None where it cannot be, which is told."""
        try:
            made = Made(*self._course.learner.dump())
            made.check()
            self._origin.probe(self._origin.revive(made.artefact))
        except BaseException as error:  # whatever a model raises that can no longer be pickled
            why = error.message if isinstance(error, TiltyardError) else reason(error, MemoryError)
            shown = snapshots.status(self._course, self._last.number, self._last.position, self._gap)
            self._fail(f"snapshot {number} cannot be served: {why}", shown)
            return None
        return made

    def _keeps(self, number: int, position: Position) -> list[Keep]:
        """The versions that are registered with this snapshot: challengers that have grown, and every so many times the snapshot itself."""
        settings, learner = self._origin.settings, self._course.learner
        grown, self._course.grown = self._course.grown, []
        name, rows = str(self._version), settings.learns_from
        found = [
            self._keep(one.artefact, Learnt(name, number, settings.fresh_labels, one.position, name, rows, "challenger")) for one in grown
        ]
        if settings.keep_every and number % settings.keep_every == 0:
            found.append(
                self._keep(self._made.artefact, Learnt(name, number, learner.labels, (position.segment, position.offset), name, rows))
            )
        return [keep for keep in found if keep is not None]

    def _keep(self, artefact: bytes, learnt: Learnt) -> Keep | None:
        source = f"{learnt.by} {learnt.snapshot} of {self._version}"
        try:
            return keeping.package_of(self._origin, self._school.blobs, artefact, learnt, source)
        except (OSError, TiltyardError) as error:
            # Learning goes on: a full disk, or a challenger that does not answer, costs this version alone.
            _log.error("%s: %s could not be kept as a version: %s", self._reader, source, error)
            return None

    def _fail(self, why: str, shown: dict[str, Any]) -> None:
        """Say it in the status of the snapshot that goes on being served; where that cannot be stored now, the next attempt does."""
        if why != self._failing:
            _log.error("%s: %s", self._reader, why)
        self._failing = why
        self._tell(self._last._replace(status=msgspec.json.encode(snapshots.failing(shown, why))))

    def _tell(self, row: SnapshotRow) -> None:
        try:
            self._follower.note(lambda connection: learners.publish(connection, row))
        except sa.exc.OperationalError as error:
            _log.warning("%s: the store cannot be written now: %s", self._reader, error)

    def _row(self, number: int, position: Position, made: Made) -> SnapshotRow:
        memory = Memory(made.learner, self._course.lessons.progress, self._gap)
        shown = snapshots.status(self._course, number, position, self._gap)
        return snapshots.row(self._school.key, self._version, number, position, made, memory, shown, self._school.clock())


def tell_failure(store: Store, version: VersionId, why: str) -> None:
    """Say in the status of the version's newest snapshot, where there is one, why its learner cannot even begin."""
    with store.write() as connection:
        found = learners.newest(connection, version)
        if found is not None:
            status = snapshots.failing(msgspec.json.decode(found.status), why)
            learners.publish(connection, found._replace(status=msgspec.json.encode(status)))
