"""How a learner begins, or goes on from its newest snapshot: as far as that, its checkpoint and the journal can be read."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from core.errors import Rejected
from core.values import Position
from flows.follow import Follower, between
from flows.learning import checkpoints, lessons, snapshots
from flows.learning.course import Course
from flows.learning.learners import learner_reader
from flows.learning.lessons import Counts, Lessons, Progress
from flows.learning.origin import Origin
from flows.learning.snapshots import Made, Resumed
from journal import segments
from journal.lookup import Lookup
from journal.reader import Entry
from models.learner.learner import Learner
from store import learners, positions
from store.engine import Store
from store.learners import PartKey, SnapshotRow

_log = logging.getLogger("tiltyard.learn")


class Start(NamedTuple):
    """Where a learner stands. `last`: its newest snapshot, None before the first; `made`: the learner taken apart, as that has it.

    `gap`: what it missed, None where nothing. `news`: it is not as its snapshot has it. `aside`: where events stand that it passes over.
    """

    course: Course
    made: Made
    last: SnapshotRow | None
    gap: str | None
    news: bool
    aside: Collection[Position]


class Resumption:
    """Finds out where the learner of `origin` stands, whose reader is `follower`. `key` signs its snapshots."""

    def __init__(self, store: Store, journal: Path, key: bytes, origin: Origin, follower: Follower) -> None:
        self._store = store
        self._journal = journal
        self._key = key
        self._origin = origin
        self._start = follower.position
        self._at = follower.at

    def start(self) -> Start:
        """All of it; raises Rejected where the version cannot even begin anew, as it was registered."""
        with self._store.read() as connection:
            found = learners.newest(connection, self._origin.version)
            bodies = learners.checkpoint(connection, self._origin.version)
            aside = positions.aside_of(connection, learner_reader(self._origin.version))
        if found is None:
            learner = Learner(self._origin.river, self._origin.settings, self._origin.fresh, self._origin.probes)
            course = Course(learner, self._lessons(lessons.begin(self._start, self._at), bodies, aside), self._origin.state_of)
            return Start(course, Made(*learner.dump()), None, self._missed(found), False, aside)
        resumed = snapshots.resume(self._key, self._origin, found)
        made = self._lessons(self._progress(found, resumed), bodies, aside)
        course = Course(resumed.learner, made, self._origin.state_of, resumed.lost)
        memory = resumed.memory
        gaps = (None if memory is None else memory.gap, self._missed(found), resumed.gap)
        gap = "; ".join(dict.fromkeys(one for one in gaps if one is not None)) or None
        return Start(course, Made(found.artefact, b"" if memory is None else memory.learner), found, gap, resumed.gap is not None, aside)

    def _missed(self, found: SnapshotRow | None) -> str | None:
        """What of the journal can no longer be read."""
        if found is not None and found.position > self._start:
            return f"the journal that was read up to {found.position.segment}:{found.position.offset} was replaced by another"
        first, oldest = self._start.segment, self._oldest
        return None if oldest <= first else f"segments {first} to {oldest - 1} were deleted before they were read"

    def _progress(self, found: SnapshotRow, resumed: Resumed) -> Progress:
        if found.position > self._start:
            return lessons.begin(self._start, self._at)
        if resumed.memory is None:
            return _recovered(self._start, self._at, min(self._oldest, self._start.segment))
        # The position alone may have been moved since, and with it the journal's time.
        return replace(resumed.memory.progress, at=max(resumed.memory.progress.at, self._at))

    def _lessons(self, progress: Progress, bodies: Mapping[PartKey, bytes], aside: Collection[Position]) -> Lessons:
        made = self._made(progress)
        try:
            made.checkpoints.load(bodies)
        except Rejected as error:
            _log.warning("learner of %s: %s; the journal is read again", self._origin.version, error.message)
            made = self._made(_read_again(progress, min(self._oldest, self._start.segment)))
        made.recall(kept(between(self._journal, made.scan_start, self._start), aside))
        return made

    def _made(self, progress: Progress) -> Lessons:
        return Lessons(self._store, self._origin.subject(self._origin), Lookup(self._journal).get, progress)

    @property
    def _oldest(self) -> int:
        """The first segment that there still is."""
        return next(iter(segments.segments(self._journal)), self._start.segment)


def kept(entries: Iterable[Entry], aside: Collection[Position]) -> Iterable[Entry]:
    """What is not put aside: that stays so, also where a learner was stopped and goes on from its snapshot."""
    return (entry for entry in entries if entry.address.position not in aside) if aside else entries


def _recovered(position: Position, at: float, oldest: int) -> Progress:
    """The progress of a learner that goes on at `position`, where journal time is `at`, and whose progress is lost.

    All that the journal still holds, from segment `oldest` on, has to be seen by `recall`.
    """
    ends = dict.fromkeys(range(oldest, position.segment), at)
    return _read_again(Progress(position, at, at, position.segment, oldest, 0.0, ends, Counts(), checkpoints.nothing(position, at)), oldest)


def _read_again(progress: Progress, oldest: int) -> Progress:
    """The same without the checkpoint: `recall` has to see all that matters, from segment `oldest` on."""
    return replace(progress, stored=checkpoints.nothing(Position(oldest, 0), 0.0))
