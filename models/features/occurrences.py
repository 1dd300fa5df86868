"""One event as a streaming view sees it, and whether the view can use it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from core.values import Value
from models.features.declaration import Aggregate, Stream, View
from models.features.table import key_text

Figure: TypeAlias = Literal["used", "overfull", "late", "duplicates", "keyless", "unusable"]
"""What becomes of an event: of an `overfull` one a value is left out, since its pane holds as many as it may; `keyless` ones do not name
the view's entity; `unusable` ones hold something else than a number where one is needed, or nothing that the view needs."""

FIGURES: tuple[Figure, ...] = ("used", "overfull", "late", "duplicates", "keyless", "unusable")

REPEAT_SECONDS = 600.0
"""An event with the id of another that came less than this before it, in journal time, is the same."""

ANYTHING = ("count", "distinct")
"""Aggregates of values of any kind; the others are of numbers."""


class Occurrence(NamedTuple):
    """An event of a view's source: when it came and when it happened (seconds since the epoch), and its fields."""

    at: float
    timestamp: float
    id: str | None
    fields: Mapping[str, Value]

    def happened(self, now: float) -> float:
        """When by journal time it happened, where it came at journal time `now`: as long before as it says, and never after it came.

        Journal time does not follow a clock that is set back, so no event is late because a clock was ahead for a while.
        """
        return min(self.timestamp, self.at) + (now - self.at)


class Usable(NamedTuple):
    """What a view takes from an event: its entity, and for each feature, in their order, the value, None where it has none."""

    entity: str
    values: list[Value]


def use(view: View, source: Stream, fields: Mapping[str, Value]) -> Usable | Figure:
    """What the view takes from an event of these fields, or why it takes nothing."""
    entity = key_text(fields.get(view.key))
    if entity is None:
        return "keyless"
    values: list[Value] = []
    for feature in source.features.values():
        value = _value(feature, fields)
        if value is not None and feature.aggregate not in ANYTHING:
            value = _number(value)
            if value is None:
                return "unusable"
        values.append(value)
    return "unusable" if values.count(None) == len(values) else Usable(entity, values)


def _value(feature: Aggregate, fields: Mapping[str, Value]) -> Value:
    return 1 if feature.of is None else fields.get(feature.of)


def _number(value: float | str) -> float | None:
    """The number, also of a text that is one: the values of a context are logged as texts."""
    if value in _TRUTHS:
        return _TRUTHS[value]
    if isinstance(value, str) and not _NUMBER.fullmatch(value):  # float() takes more: spaces, 1_000, digits of other scripts
        return None
    found = float(value)
    return found if math.isfinite(found) else None


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


_TRUTHS: Mapping[float | str, float] = {"true": 1.0, "false": 0.0}


class Repeats:
    """Which ids have come in the last `REPEAT_SECONDS` of journal time."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self.now = 0.0
        """The journal time of what was asked about so far."""

    def seen(self, one: Occurrence) -> bool:
        """Whether an event with its id has come shortly before; it has, from now on."""
        self.now = max(self.now, one.at)
        if one.id is None:
            return False
        before = self._at.pop(one.id, None)
        self._at[one.id] = self.now
        while (oldest := next(iter(self._at))) != one.id and self._at[oldest] < self.now - REPEAT_SECONDS:
            del self._at[oldest]
        return before is not None and before >= self.now - REPEAT_SECONDS

    def __len__(self) -> int:
        return len(self._at)
