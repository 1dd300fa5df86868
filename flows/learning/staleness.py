"""Staleness: how old is the oldest label that a learner's snapshot does not know?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from core import events
from core.errors import Invalid, NotFound
from core.events import Example, Observed, Predicted, Restored
from core.ids import VersionId, parse_prediction_id
from core.values import Position
from experiments.metric import LABEL
from flows.follow import decode
from journal.lookup import Lookup
from journal.reader import Entry, Reader

MOST_SCANNED = 10_000
"""Events that are looked at; where more stand there, the first one that is not looked at counts."""


_AT_ONCE = 1000
_PREDICTED = b"\xa1p"
"""How the event of a prediction goes on after its first byte: passed over without decoding it, since most events are predictions."""


class Watched(NamedTuple):
    """The version whose learner it is, and the endpoints where it learns from rows that others answered."""

    version: VersionId
    endpoints: frozenset[str]


def staleness(journal: Path, position: Position, watched: Watched, now: float) -> float:
    """The age in seconds of the oldest event from `position` on that the learner may learn of; 0 where there is none."""
    lookup = Lookup(journal)
    for number, entry in enumerate(_entries(journal, position)):
        if number < MOST_SCANNED and entry.payload[1:3] == _PREDICTED:
            continue
        event = decode(entry)
        if event is not None and (number == MOST_SCANNED or _concerns(event, watched, lookup)):
            return max(0.0, now - event.at)
    return 0.0


def _entries(journal: Path, position: Position) -> Iterator[Entry]:
    """Those that are looked at, and one more."""
    reader = Reader(journal, position)
    try:
        left = MOST_SCANNED + 1
        while left and (entries := reader.read(min(left, _AT_ONCE))):
            yield from entries
            left -= len(entries)
    finally:
        reader.close()


def _concerns(event: events.Event, watched: Watched, lookup: Lookup) -> bool:
    if isinstance(event, Restored):
        return event.version == str(watched.version)
    if isinstance(event, Example):
        return event.model == watched.version.model
    return isinstance(event, Observed) and event.metric == LABEL and _is_watched(event.prediction, watched, lookup)


def _is_watched(prediction: str | None, watched: Watched, lookup: Lookup) -> bool:
    try:
        found = events.decode(lookup.get(parse_prediction_id(prediction or "")[0]))
    except (Invalid, NotFound, msgspec.MsgspecError):
        return False
    return isinstance(found, Predicted) and (found.endpoint in watched.endpoints or found.version == str(watched.version))
