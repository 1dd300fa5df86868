"""A learner on its way along the journal: the same steps for the one that is served and for a replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.events import Restored
from flows.lessons import Lessons
from journal.reader import Entry
from models import factory
from models.learner.learner import Learner, Lesson
from store.learners import Refused


class Course:
    """Takes the lessons of entries in their order, and other states where the journal says so.

    `state_of` finds what a Restored event names: the model of a version, or None where the learner may not go on from it.
    """

    def __init__(self, learner: Learner, lessons: Lessons, state_of: Callable[[str], Any]) -> None:
        self.learner = learner
        self.lessons = lessons
        self._state_of = state_of
        self.taken = 0
        """Lessons so far, scored or learnt as well."""
        self.refused: list[Refused] = []
        """Rows that could not be learnt, until somebody takes them away; so with the others."""
        self.grown: list[bytes] = []
        """Challengers that have learnt enough, as pickles of that moment."""
        self.restored = False

    def follow(self, entries: Sequence[Entry]) -> None:
        """Go on by these entries."""
        for entry, found in self.lessons.read(entries):
            if isinstance(found, Restored):
                self._restore(found)
            else:
                self._take(entry, found)

    def skip(self, entries: Sequence[Entry]) -> None:
        """Read these entries, so that what follows is joined as it would be, and learn nothing of them."""
        for _ in self.lessons.read(entries):
            pass

    def _take(self, entry: Entry, lesson: Lesson) -> None:
        reason = self.learner.take(lesson)
        self.taken += 1
        if reason is not None:
            self.refused.append(Refused(entry.address.position, lesson.at, reason))
        # Asked for at every lesson: what is registered then follows from the journal, and not from when it is published.
        grown = self.learner.grown()
        if grown is not None:
            self.grown.append(factory.dump(grown))

    def _restore(self, event: Restored) -> None:
        model = self._state_of(event.to)
        if model is not None:
            self.learner.restore(model)
            self.restored = True
