"""What was counted of some rows: small, and two of them add up to what one of all rows would be."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

import msgspec
import numpy as np

from models.drift.columns import Column, Floats, Integers, Keys

MOST_UNSEEN = 50
"""Unseen values of a column that are counted each for itself; of others only how many they are is kept."""
FURTHER = "\0"
"""Stands for those."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


class Layout:
    """Columns side by side: the cells of all of them stand in one array. Rows are the same where the first `features` columns are."""

    def __init__(self, columns: Sequence[Column], features: int) -> None:
        self.columns = tuple(columns)
        self.features = features
        self.starts = tuple(accumulate((len(one.cells) for one in columns), initial=0))

    def count(self, rows: int, values: Sequence[Sequence[object]]) -> Tally:
        """The tally of so many rows, `values` by column."""
        found = Tally.empty(self)
        found.rows = rows
        key = np.zeros(rows, dtype=np.uint64)
        for place, (column, given) in enumerate(zip(self.columns, values, strict=True)):
            read = column.read(given)  # type: ignore[arg-type]
            start, stop = self.starts[place], self.starts[place + 1]
            found.cells[start:stop] = np.bincount(read.codes[read.codes >= 0], minlength=stop - start)
            found.missing[place] = int((read.codes == -1).sum())
            found.totals[place] = read.total
            if read.unseen:
                found.unseen[place] = _bounded(read.unseen)
            if place < self.features:
                key = _mixed(key, read.keys)
        found.keys = key
        return found


class Tally:
    """Counts of `rows` rows: by cell, of missing values and sums by column, of each unseen value, and a key of each row."""

    __slots__ = ("cells", "keys", "missing", "rows", "totals", "unseen")

    def __init__(
        self, rows: int, cells: Integers, missing: Integers, totals: Floats, unseen: dict[int, dict[str, int]], keys: Keys
    ) -> None:
        self.rows = rows
        self.cells = cells
        self.missing = missing
        self.totals = totals
        self.unseen = unseen
        self.keys = keys

    @classmethod
    def empty(cls, layout: Layout) -> Tally:
        """Of no rows."""
        k = len(layout.columns)
        return cls(0, np.zeros(layout.starts[-1], np.int64), np.zeros(k, np.int64), np.zeros(k, np.float64), {}, np.zeros(0, np.uint64))

    def add(self, other: Tally) -> None:
        """Count the other's rows as well."""
        self.rows += other.rows
        self.cells = self.cells + other.cells
        self.missing = self.missing + other.missing
        self.totals = self.totals + other.totals
        self.keys = np.concatenate([self.keys, other.keys])
        for place, values in other.unseen.items():
            self.unseen[place] = _bounded(Counter(self.unseen.get(place, {})) + Counter(values))

    def like(self, other: Tally) -> bool:
        """Whether both count the same cells, as far as their number tells."""
        return self.cells.shape == other.cells.shape and self.missing.shape == other.missing.shape

    def unseen_of(self, place: int) -> dict[str, int]:
        """How often each unseen value of a column occurs."""
        return self.unseen.get(place, {})

    def repeats(self) -> float:
        """Of all pairs of different rows, the share of those that are the same."""
        _, counts = np.unique(self.keys, return_counts=True)
        pairs = self.rows * (self.rows - 1)
        return float((counts * (counts - 1)).sum() / pairs) if pairs else 0.0

    def pack(self) -> bytes:
        """As bytes, for the store."""
        arrays = [each.tobytes() for each in (self.cells.astype(np.uint32), self.missing.astype(np.uint32), self.totals, self.keys)]
        return zlib.compress(msgspec.msgpack.encode((self.rows, *arrays, self.unseen)), 1)

    @classmethod
    def unpack(cls, packed: bytes) -> Tally:
        """From the bytes."""
        rows, cells, missing, totals, keys, unseen = msgspec.msgpack.decode(zlib.decompress(packed), type=_Packed)
        return cls(
            rows,
            np.frombuffer(cells, np.uint32).astype(np.int64),
            np.frombuffer(missing, np.uint32).astype(np.int64),
            np.frombuffer(totals, np.float64),
            unseen,
            np.frombuffer(keys, np.uint64),
        )


_Packed = tuple[int, bytes, bytes, bytes, bytes, dict[int, dict[str, int]]]


def merged(layout: Layout, tallies: Iterable[Tally]) -> Tally:
    """What one tally of all their rows would be."""
    found = Tally.empty(layout)
    for each in tallies:
        found.add(each)
    return found


def _bounded(values: Mapping[str, int]) -> dict[str, int]:
    """The values in the order of their first occurrence, as far as there is room."""
    kept = {value: number for value, number in values.items() if value != FURTHER}
    if len(kept) <= MOST_UNSEEN and FURTHER not in values:
        return dict(values)
    named = dict(list(kept.items())[:MOST_UNSEEN])
    return {**named, FURTHER: sum(values.values()) - sum(named.values())}


def _mixed(key: Keys, more: Keys) -> Keys:
    """Keys of longer rows: a multiplication and a shift spread each bit (as in splitmix64, Steele et al. 2014)."""
    found = (key ^ more) * _MIX
    return found ^ (found >> _SHIFT)
