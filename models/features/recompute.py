"""A streaming view computed from nothing, over all its events at once: what the reader's numbers are held against."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from core.values import Value
from models.features import tallies
from models.features.aggregates import PANES, pane, width
from models.features.declaration import Aggregate, Stream, View, empty
from models.features.occurrences import REPEAT_SECONDS, Occurrence, Usable, use

History = list[tuple[float, Value]]
"""Values with their times, in the order of the journal."""


def recompute(view: View, occurrences: Iterable[Occurrence], at: float) -> dict[str, dict[str, Value]]:
    """The features by entity at a time that no event lies behind; entities of which no window holds anything are left out.

    `occurrences` are all the events of the source in the order of the journal. Of a batch view there is nothing to compute: {}.
    """
    source = view.source
    if not isinstance(source, Stream):
        return {}
    histories: defaultdict[str, list[History]] = defaultdict(lambda: [[] for _ in source.features])
    for time, found in _kept(view, source, occurrences):
        for history, value in zip(histories[found.entity], found.values, strict=True):
            if value is not None:
                history.append((time, value))
    nothing = empty(source)
    rows = {}
    for entity, held in histories.items():
        totals = {name: _total(feature, history, at) for (name, feature), history in zip(source.features.items(), held, strict=True)}
        if any(count for count, _ in totals.values()):
            rows[entity] = {name: value if count else nothing[name] for name, (count, value) in totals.items()}
    return rows


def _kept(view: View, source: Stream, occurrences: Iterable[Occurrence]) -> Iterator[tuple[float, Usable]]:
    """The events that count, with their times: usable, not seen shortly before, not late."""
    ids: dict[str, float] = {}
    now = newest = -math.inf
    for one in occurrences:
        found = use(view, source, one.fields)
        if not isinstance(found, Usable):
            continue
        now = max(now, one.at)
        repeated = one.id is not None and ids.get(one.id, -math.inf) >= now - REPEAT_SECONDS
        if one.id is not None:
            ids[one.id] = now
        # Journal time does not follow a clock that is set back.
        time = now - one.at + min(one.at, one.timestamp)
        if not repeated and time >= newest - source.lateness_seconds:
            newest = max(newest, time)
            yield time, found


def _total(feature: Aggregate, history: Sequence[tuple[float, Value]], at: float) -> tuple[int, Value]:
    """How many values lie within the window, and their aggregate."""
    seconds = width(feature)
    now = pane(at, seconds)
    panes: defaultdict[int, list[Value]] = defaultdict(list)
    for time, value in history:
        number = pane(time, seconds)
        if now - PANES < number <= now:
            panes[number].append(value)
    held = []
    for _, values in sorted(panes.items()):
        tally = tallies.fresh(feature)
        for value in values:
            tally.update(value)
        held.append(tally)
    return len(held), tallies.total(feature, held)
