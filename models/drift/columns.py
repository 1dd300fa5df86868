"""Columns of a profile, as rows that come later are counted on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from core.values import Value
from models.profile import Column as Profiled
from models.profile import Numbers, bucket

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Keys: TypeAlias = NDArray[np.uint64]

MISSING, UNSEEN = -1, -2
"""Codes that are no cell."""
LARGEST = 1e6
"""No value counts as more standard deviations from the sample's mean: what is added up stays finite."""
LONGEST = 100
"""Characters of an unseen value that are kept."""


class Read(NamedTuple):
    """Values of one column: each one's cell, MISSING or UNSEEN; keys that are equal where the values are; how often unseen ones occur.

    `total` is the sum of (value − mean) / scale over the values that are present, 0.0 for categories.
    """

    codes: Integers
    keys: Keys
    unseen: Mapping[str, int]
    total: float


class Number(NamedTuple):
    """A numeric column. Cell i of the sample holds `cells[i]` values of cuts[i-1] ≤ x < cuts[i]; `scale` is the sd, 1 where that is 0."""

    name: str
    cuts: Floats
    cells: tuple[int, ...]
    missing: int
    mean: float
    scale: float

    def read(self, values: Sequence[Value]) -> Read:
        """Numbers, None where missing."""
        numbers = np.array(values, dtype=np.float64)
        absent = np.isnan(numbers)
        codes = np.searchsorted(self.cuts, numbers, side="right").astype(np.int64)
        codes[absent] = MISSING
        with np.errstate(over="ignore"):
            standard = np.clip((numbers - self.mean) / self.scale, -LARGEST, LARGEST)
        return Read(codes, (numbers + 0.0).view(np.uint64), {}, float(standard[~absent].sum()))  # + 0.0: -0.0 is 0.0


class Category(NamedTuple):
    """A column all of whose values the sample names: one cell each, in the order of `cells`."""

    name: str
    places: dict[str, int]
    cells: tuple[int, ...]
    missing: int

    def read(self, values: Sequence[object]) -> Read:
        """Text, booleans or labels, None where missing."""
        texts = [None if value is None else str(value) for value in values]
        codes = np.array([MISSING if text is None else self.places.get(text, UNSEEN) for text in texts], dtype=np.int64)
        keys = codes.astype(np.uint64)
        unseen = Counter[str]()
        for place in np.flatnonzero(codes == UNSEEN):
            text = texts[place] or ""
            unseen[text[:LONGEST]] += 1
            keys[place] = crc32(text.encode()) + len(self.places)
        return Read(codes, keys, unseen, 0.0)


class Buckets(NamedTuple):
    """A column of too many values to name: a cell holds all that fall into one bucket, and no value is unseen."""

    name: str
    cells: tuple[int, ...]
    missing: int

    def read(self, values: Sequence[object]) -> Read:
        """Text or labels, None where missing."""
        texts = [None if value is None else str(value) for value in values]
        keys = np.array([0 if text is None else crc32(text.encode()) + 1 for text in texts], dtype=np.uint64)
        codes = np.array([MISSING if text is None else bucket(text) for text in texts], dtype=np.int64)
        return Read(codes, keys, {}, 0.0)


Column: TypeAlias = Number | Category | Buckets


def column(name: str, profiled: Profiled) -> Column | None:
    """The column on which later values can be counted; None where the card is of a time when too little was kept for it."""
    if isinstance(profiled, Numbers):
        return _number(name, profiled)
    if profiled.buckets:
        return Buckets(name, profiled.buckets, profiled.missing)
    known = profiled.top | profiled.rest
    if sum(known.values()) + profiled.missing != profiled.count:
        return None
    return Category(name, {value: place for place, value in enumerate(known)}, tuple(known.values()), profiled.missing)


def _number(name: str, profiled: Numbers) -> Number:
    cuts, cells = profiled.cuts, profiled.cells
    if not cuts and profiled.edges:
        # Of an older card: tenths of the sample, the last bin closed.
        edges = tuple(dict.fromkeys(profiled.edges))
        cuts, cells = (*(edges[:-1] or edges), float(np.nextafter(edges[-1], np.inf))), (0, *profiled.counts, 0)
    return Number(name, np.array(cuts), cells or (0,), profiled.missing, profiled.mean or 0.0, profiled.sd or 1.0)
