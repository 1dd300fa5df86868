"""Rows of doubles in a file: one process counts in it, any other reads it at any moment.

Layout, in the byte order of the machine (a file never leaves its node), everything aligned to 8 bytes:

    0   8 B   magic
    8   8 B   used: where the next row will begin; all before it is complete
    16        rows: u32 length of the key, u32 number of cells n, the key as JSON (filled up with zeros), n × f64

The writer maps the file and adds to a cell in place: one aligned 8-byte store, which a reader sees whole. A new row is
written first and published by `used` after. Counts are thus in the page cache at once and outlive a `kill -9`.

The writer holds an exclusive flock on its file as long as it lives. The kernel drops it at death, so "nobody holds the
lock" means "the process is dead", without a look at pids, which are used again.

The space is allocated before it is mapped: a store into a hole of a full disk would be a SIGBUS.

prometheus-client's own multi-process mode is not used: 3.3 µs a request with cached children where this takes 0.4 (a lock,
a getpid and a file look-up for each of four values), file names that a second process with the same pid opens and continues, and one
damaged file fails the scrape.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import msgspec

from server.metrics.families import FAMILIES, Family, Key

Cells: TypeAlias = "memoryview[float]"
"""The doubles of one row, writable in place."""

Rows: TypeAlias = dict[Key, list[float]]

MAGIC = b"tyCELLS1"
FIRST_CAPACITY = 256 * 1024
"""Bytes allocated at first: room for about a thousand rows."""

_ROW = struct.Struct("II")
_BEGIN = 16
_key_of = msgspec.json.Decoder(Key).decode


class Writer:
    """The file of one process. For the thread of the hub only: an addition is a load and a store."""

    def __init__(self, path: Path) -> None:
        """Creates `path`; raises OSError where it exists or the disk is full."""
        self._open = ExitStack()
        self._file = self._open.enter_context(path.open("x+b"))
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._map(FIRST_CAPACITY)
        except OSError:
            self.close()
            path.unlink()
            raise
        self._bytes[:8] = MAGIC
        self._publish(_BEGIN)

    def row(self, family: Family, labels: tuple[str, ...]) -> Cells:
        """A new row of zeros, to be asked for once per key; raises OSError where the disk is full."""
        key = msgspec.json.encode((family.name, *labels))
        name = self._used + _ROW.size
        first = name + _padded(len(key))
        end = first + 8 * family.cells
        if end > self._capacity:
            self._map(2 * max(self._capacity, end))
        _ROW.pack_into(self._bytes, self._used, len(key), family.cells)
        self._bytes[name : name + len(key)] = key
        self._publish(end)
        return self._open.enter_context(self._doubles[first // 8 : end // 8])

    def close(self) -> None:
        """Gives the file up: from now on it counts as a dead process's."""
        self._open.close()

    def _map(self, capacity: int) -> None:
        """Maps the first `capacity` bytes. Rows handed out before keep their older map of the same bytes."""
        os.posix_fallocate(self._file.fileno(), 0, capacity)
        mapped = mmap.mmap(self._file.fileno(), capacity)
        self._open.callback(mapped.close)
        self._bytes = self._open.enter_context(memoryview(mapped))
        self._doubles = self._open.enter_context(self._bytes.cast("d"))
        self._words = self._open.enter_context(self._bytes.cast("Q"))
        self._capacity = capacity

    def _publish(self, used: int) -> None:
        self._words[1] = used  # one store; struct.pack_into would write zeros first
        self._used = used


def read(path: Path) -> tuple[Rows, bool]:
    """The rows of a file, and whether it is whole. Of a damaged one come the rows before the damage."""
    rows: Rows = {}
    data = path.read_bytes()
    try:
        for key, cells in _rows(data):
            rows[key] = cells
    except (ValueError, struct.error, msgspec.DecodeError):
        return rows, False
    return rows, True


def is_abandoned(path: Path) -> bool:
    """Whether the process that wrote the file is dead."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _rows(data: bytes) -> Iterator[tuple[Key, list[float]]]:
    """Raises ValueError, struct.error or msgspec.DecodeError at the first row that no writer can have written."""
    magic, used = struct.unpack_from("8sQ", data)
    if magic != MAGIC:
        raise ValueError("no file of cells")
    at = _BEGIN
    while at < used:
        length, count = _ROW.unpack_from(data, at)
        at += _ROW.size
        key = _key_of(data[at : at + length])
        at += _padded(length)
        cells = list(struct.unpack_from(f"{count}d", data, at))
        at += 8 * count
        check_row(key, cells)
        yield key, cells


def check_row(key: Key, cells: list[float]) -> None:
    """Raises ValueError where no family describes this row."""
    family = FAMILIES.get(key[0]) if key else None
    if family is None or len(key) != 1 + len(family.labels) or len(cells) != family.cells or not all(map(math.isfinite, cells)):
        raise ValueError(f"not a row of a known family: {key}")


def _padded(length: int) -> int:
    return -(-length // 8) * 8
