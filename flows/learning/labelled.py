"""Which rows of predictions have had their label: exact, and small enough to hold a week of them.

A record is longer than 32 bytes, so a bit for every 32 bytes of a segment tells the first rows of its predictions apart; further rows
are the bits of one number for each prediction. What is known is of those segments only that a label can still name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from itertools import takewhile

import msgspec

from core.ids import Address

_GRAIN = 5
"""Two records never begin within the same 2**5 bytes."""

_OVERHEAD = 16
"""Bytes that are written for a prediction of which further rows are known, about."""


class _Known(msgspec.Struct, array_like=True):
    """What is known of one segment: the bits of first rows, and for a prediction the bits of its rows."""

    firsts: bytes
    others: dict[int, bytes]


class Labelled:
    """Rows that have had their label, by segment; journal time tells when a segment is over.

    `late_seconds`: how long a label is waited for. `ends` maps a segment that the reader has left to the journal time at its end;
    `floor` is the first segment that is not over, `floor_at` the journal time at its begin.
    """

    def __init__(self, late_seconds: float, floor: int, floor_at: float, ends: dict[int, float]) -> None:
        self._late_seconds = late_seconds
        self.floor = floor
        self.floor_at = floor_at
        self.ends = ends
        self._firsts: dict[int, bytearray] = {}
        self._others: dict[int, dict[int, int]] = {}
        self.changed: set[int] = set()
        """Segments of which more is known than was last dumped or loaded."""

    def is_over(self, segment: int, at: float) -> bool:
        """Whether no label that comes at journal time `at` belongs to a prediction of that segment any more."""
        end = self.ends.get(segment)
        return segment < self.floor or (end is not None and at - end > self._late_seconds)

    def mark(self, address: Address, row: int) -> bool:
        """Remember that the row, which exists, has its label; False where it had one."""
        segment, slot, _ = address
        slot >>= _GRAIN
        new = self._mark_other(segment, slot, row) if row else self._mark_first(segment, slot)
        if new:
            self.changed.add(segment)
        return new

    def size(self, segment: int) -> int:
        """Bytes that are known of the segment, about."""
        return len(self._firsts.get(segment, b"")) + _OVERHEAD * len(self._others.get(segment, {}))

    def dump(self, segment: int) -> bytes:
        """What is known of the segment, for `load`."""
        self.changed.discard(segment)
        others = {slot: rows.to_bytes((rows.bit_length() + 7) // 8, "little") for slot, rows in self._others.get(segment, {}).items()}
        return msgspec.msgpack.encode(_Known(bytes(self._firsts.get(segment, b"")), others))

    def load(self, segment: int, dumped: bytes) -> None:
        """Know of the segment what was dumped, and no more."""
        known = msgspec.msgpack.decode(dumped, type=_Known)
        self._firsts[segment] = bytearray(known.firsts)
        self._others[segment] = {slot: int.from_bytes(rows, "little") for slot, rows in known.others.items()}

    def _mark_other(self, segment: int, slot: int, row: int) -> bool:
        others = self._others.setdefault(segment, {})
        before = others.get(slot, 0)
        others[slot] = before | 1 << row
        return not before >> row & 1

    def _mark_first(self, segment: int, slot: int) -> bool:
        firsts = self._firsts.get(segment)
        if firsts is None:
            firsts = self._firsts[segment] = bytearray()
        place, bit = slot >> 3, 1 << (slot & 7)
        if place >= len(firsts):
            firsts.extend(bytes(place + place // 2 + 1024 - len(firsts)))
        known = bool(firsts[place] & bit)
        firsts[place] |= bit
        return not known

    def leave(self, before: int, after: int, at: float) -> None:
        """The reader went from one segment to another at journal time `at`; what is over by then is forgotten."""
        self.ends.update(dict.fromkeys(range(before, after), at))
        for segment in sorted(self.ends):
            if not self.is_over(segment, at):
                break
            self.floor_at = self.ends.pop(segment)
            self._firsts.pop(segment, None)
            self._others.pop(segment, None)
            self.changed.discard(segment)
            self.floor = segment + 1


class Seen:
    """The ids of examples, as 64-bit digests, for `late_seconds` after they were last seen."""

    def __init__(self, late_seconds: float) -> None:
        self._late_seconds = late_seconds
        self._at: dict[bytes, float] = {}
        """In the order in which they were last seen."""
        self._enough = 100_000

    def mark(self, key: str, at: float) -> bool:
        """Remember the id, seen at journal time `at`; False where it was seen already."""
        digest = blake2b(key.encode(), digest_size=8).digest()
        before = self._at.pop(digest, None)
        self._at[digest] = at
        if len(self._at) > self._enough:
            self._at = dict(self._fresh(at))
            self._enough = max(100_000, 2 * len(self._at))
        return before is None or at - before > self._late_seconds

    def since(self, at: float) -> dict[bytes, float]:
        """The digests that were seen at the journal time `at` or after it, with the time, in their order."""
        newest = [*takewhile(lambda one: one[1] >= at, reversed(self._at.items()))]
        return dict(reversed(newest))

    def load(self, seen: Mapping[bytes, float]) -> None:
        """Know further digests, that were seen later than those which are known."""
        for digest, at in seen.items():
            self._at.pop(digest, None)
            self._at[digest] = at

    def _fresh(self, at: float) -> Iterable[tuple[bytes, float]]:
        return ((digest, seen) for digest, seen in self._at.items() if at - seen <= self._late_seconds)
