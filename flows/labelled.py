"""Which rows of predictions have had their label: exact, and small enough to hold a week of them.

A record is longer than 32 bytes, so a bit for every 32 bytes of a segment tells the first rows of its predictions apart; further rows
stand in a set. What is known is of those segments only that a label can still name.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from core.ids import Address

_GRAIN = 5
"""Two records never begin within the same 2**5 bytes."""


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
        self._others: dict[int, set[tuple[int, int]]] = {}

    def is_over(self, segment: int, at: float) -> bool:
        """Whether no label that comes at journal time `at` belongs to a prediction of that segment any more."""
        end = self.ends.get(segment)
        return segment < self.floor or (end is not None and at - end > self._late_seconds)

    def mark(self, address: Address, row: int) -> bool:
        """Remember that the row has its label; False where it had one."""
        segment, slot, _ = address
        slot >>= _GRAIN
        if row:
            others = self._others.setdefault(segment, set())
            known = (slot, row) in others
            others.add((slot, row))
            return not known
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
            self.floor = segment + 1


class Seen:
    """The ids of examples, as 64-bit digests, for `late_seconds` after they were last seen."""

    def __init__(self, late_seconds: float) -> None:
        self._late_seconds = late_seconds
        self._at: dict[bytes, float] = {}
        self._enough = 100_000

    def mark(self, key: str, at: float) -> bool:
        """Remember the id, seen at journal time `at`; False where it was seen already."""
        digest = blake2b(key.encode(), digest_size=8).digest()
        before = self._at.get(digest)
        self._at[digest] = at
        if len(self._at) > self._enough:
            self._at = dict(self._fresh(at))
            self._enough = max(100_000, 2 * len(self._at))
        return before is None or at - before > self._late_seconds

    def _fresh(self, at: float) -> Iterable[tuple[bytes, float]]:
        return ((digest, seen) for digest, seen in self._at.items() if at - seen <= self._late_seconds)
