"""A learner on its way along the journal: the same steps for the one that is served and for a replay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from core.errors import ModelFailed, Rejected
from core.events import Restored
from core.values import Position
from flows.learning.lessons import Lessons
from journal.reader import Entry
from models import factory
from models.learner.learner import Learner, Lesson
from store.learners import MOST_QUARANTINED, Refused

_STEP = 16
"""Entries that give no lesson come by so many at a time."""

_log = logging.getLogger("tiltyard.learn")


class Grown(NamedTuple):
    """A challenger that has learnt enough, as a pickle, and up to where in the journal."""

    artefact: bytes
    position: Position


class Course:
    """Takes the lessons of entries in their order, and other states where the journal says so.

    `state_of` finds what a Restored event names: the model of a version, or None where the learner may not go on from it. Where it
    is `lost`, with the reason, there is no state to go on from before such an event.
    """

    def __init__(self, learner: Learner, lessons: Lessons, state_of: Callable[[str], Any], lost: str | None = None) -> None:
        self.learner = learner
        self.lessons = lessons
        self._state_of = state_of
        self.lost = lost
        self.taken = 0
        """Lessons so far, scored or learnt as well."""
        self.refused: list[Refused] = []
        """The newest rows that could not be learnt, until somebody takes them away; so with the others."""
        self.grown: list[Grown] = []
        self.restored = False

    def follow(self, entries: Sequence[Entry]) -> Iterator[None]:
        """Go on by these entries; with each step of the iterator by one lesson at most."""
        for at in range(0, len(entries), _STEP):
            for entry, found in self.lessons.read(entries[at : at + _STEP]):
                if isinstance(found, Restored):
                    self._restore(entry, found)
                elif self.lost is None:
                    self._take(entry, found)
                yield
            yield

    def skip(self, entries: Sequence[Entry]) -> Iterator[None]:
        """Read these entries in the same way, so that what follows is joined as it would be, and learn nothing of them."""
        for _ in self.lessons.read(entries):
            yield

    def _take(self, entry: Entry, lesson: Lesson) -> None:
        reason = self.learner.take(lesson)
        self.taken += 1
        if reason is not None:
            self._refuse(entry, lesson.at, reason)
        # Asked for at every lesson: what is registered then follows from the journal, and not from when it is published.
        grown = self.learner.grown()
        if grown is not None:
            self._keep(grown, entry.next)

    def _keep(self, grown: Any, position: Position) -> None:
        try:
            self.grown.append(Grown(factory.dump(grown), position))
        except Rejected as error:
            _log.error("a challenger that has grown is dropped: %s", error.message)

    def _refuse(self, entry: Entry, at: float, reason: str) -> None:
        self.refused.append(Refused(entry.address.position, at, reason))
        del self.refused[:-MOST_QUARANTINED]

    def _restore(self, entry: Entry, event: Restored) -> None:
        """An order that cannot be followed changes nothing, and is told among the rows that could not be learnt."""
        try:
            model = self._state_of(event.to)
            if model is None:
                return
            self.learner.restore(model)
        except (ModelFailed, Rejected) as error:
            self._refuse(entry, event.at, f"{event.to} is no state to go on from: {error.message}")
        else:
            self.restored, self.lost = True, None
