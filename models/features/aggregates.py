"""The aggregates of a streaming view while events come: what each entity's panes hold, and which entities are to be published anew.

A window is cut into `PANES` panes. An event belongs to the pane of its own time; at a time the aggregate covers the panes that began
within the window before it, and is the panes' tallies joined in the order of time. So windows end without new events, events may come
out of order, and a computation from nothing gives the same numbers (`recompute`). `river.utils.TimeRolling` takes old values out of a
statistic again instead: what is left then depends by rounding on what has gone, and nothing goes before a next event comes.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from core.values import Value
from models.features import tallies
from models.features.declaration import Aggregate, Stream, View, empty
from models.features.occurrences import FIGURES, Figure, Occurrence, Repeats, Usable, use
from models.features.tallies import Tally

PANES = 60

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


class Row(NamedTuple):
    """What is to be published of one entity: its features by name, and the state that makes its panes again."""

    entity: str
    features: dict[str, Value]
    state: bytes


class News(NamedTuple):
    """What has changed: entities with something in a window, and those whose windows are all empty by now."""

    rows: list[Row]
    gone: list[str]


def width(feature: Aggregate) -> float:
    """Seconds in one of its panes; without a window one pane holds all."""
    return math.inf if feature.window_seconds is None else feature.window_seconds / PANES


def pane(at: float, seconds: float) -> int:
    """The number of the pane of that width in which the time lies."""
    return math.floor(at / seconds)


class Aggregates:
    """All entities of one streaming view. Events are taken in the order of the journal; one thread."""

    def __init__(self, view: View, source: Stream) -> None:
        self._view = view
        self._source = source
        self._features = list(source.features.values())
        self._widths = [width(feature) for feature in self._features]
        self._empty = list(empty(source).values())
        self._entities: dict[str, list[dict[int, Tally]]] = {}
        """For each feature its tallies by pane."""
        self._ends: dict[float, defaultdict[int, set[str]]] = {each: defaultdict(set) for each in self._widths}
        """By width and pane the entities that have something in it."""
        self._changed: set[str] = set()
        self.repeats = Repeats()
        self.figures: Counter[str] = Counter(dict.fromkeys(FIGURES, 0))
        self.newest = -math.inf
        """The greatest time of an event so far: no event may be much older."""

    def take(self, one: Occurrence) -> Figure:
        """Take one event in, and count what became of it."""
        found = self._take(one)
        self.figures[found] += 1
        return found

    def recall(self, one: Occurrence) -> None:
        """An event that was taken before the state was published: only its id is needed again."""
        if isinstance(use(self._view, self._source, one.fields), Usable):
            self.repeats.seen(one)

    def news(self, at: float) -> News:
        """What is to be published of the entities that have changed since the last call, or whose panes have left a window until `at`.

        `at` is never less than the time of any event. Where `at` is less than before, what has left a window meanwhile is forgotten.
        """
        rows, gone = [], []
        for entity in self._changed | self._expired(at):
            kept = self._prune(entity, at)
            if any(kept):
                rows.append(
                    Row(entity, self._values(kept), _encode([[[key, *tally.dump()] for key, tally in each.items()] for each in kept]))
                )
            else:
                del self._entities[entity]
                gone.append(entity)
        self._changed.clear()
        return News(rows, gone)

    def restore(self, states: Iterable[tuple[str, bytes]]) -> None:
        """Go on from the states that were published."""
        for entity, state in states:
            self._entities[entity] = [
                {key: self._held(entity, index, key, tally) for key, *tally in each} for index, each in enumerate(_decode(state))
            ]

    def __len__(self) -> int:
        return len(self._entities)

    def _take(self, one: Occurrence) -> Figure:
        found = use(self._view, self._source, one.fields)
        if not isinstance(found, Usable):
            return found
        if self.repeats.seen(one):
            return "duplicates"
        time = one.happened(self.repeats.now)
        if time < self.newest - self._source.lateness_seconds:
            return "late"
        self.newest = max(self.newest, time)
        return self._add(found, time)

    def _add(self, found: Usable, time: float) -> Figure:
        figure: Figure = "used"
        entity = found.entity
        self._changed.add(entity)
        held = self._entities.get(entity)
        if held is None:
            held = self._entities[entity] = [{} for _ in self._features]
        for index, value in enumerate(found.values):
            if value is not None:
                seconds = self._widths[index]
                number = math.floor(time / seconds)
                tally = held[index].get(number)
                if tally is None:
                    tally = held[index][number] = tallies.fresh(self._features[index])
                    self._ends[seconds][number].add(entity)
                if tally.update(value):
                    figure = "overfull"
        return figure

    def _held(self, entity: str, index: int, number: int, state: list[Any]) -> Tally:
        self._ends[self._widths[index]][number].add(entity)
        return tallies.load(self._features[index], state)

    def _expired(self, at: float) -> set[str]:
        found: set[str] = set()
        for seconds, ends in self._ends.items():
            last = pane(at, seconds) - PANES
            for number in [each for each in ends if each <= last]:
                found |= ends.pop(number)
        return found & self._entities.keys()

    def _prune(self, entity: str, at: float) -> list[dict[int, Tally]]:
        held = self._entities[entity]
        for seconds, each in zip(self._widths, held, strict=True):
            last = pane(at, seconds) - PANES
            for number in [number for number in each if number <= last]:
                del each[number]
        return held

    def _values(self, held: list[dict[int, Tally]]) -> dict[str, Value]:
        found = {}
        for name, feature, each, nothing in zip(self._source.features, self._features, held, self._empty, strict=True):
            found[name] = tallies.total(feature, [each[number] for number in sorted(each)]) if each else nothing
        return found
