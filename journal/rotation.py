"""Rotation by map and seal: how all writers leave a segment for the next without a lock on the way of an append.

`<dir>/current` is 64 bytes of shared memory, the *map*: the number of the current segment, and the boot in which it was
written. Its file carries the lock (flock) under which segments begin. To rotate from k to k + 1 is three steps:

    1  create    the file of k + 1, durable before anybody hears of it
    2  publish   "current = k + 1" in the map
    3  seal      append a seal to k: what follows it is void

A writer looks at the map before its write and after it.

- After: it still says k. Then step 2 had not happened, step 3 neither, and the record stands before any seal. (The map is
  stored before the seal's `write`, and loaded after the record's: both pass through the inode's lock, which orders
  them on every architecture.)
- After: it says otherwise. Then the writer searches k, from its last record known to be good, for a seal before
  the new one. None: the record stands, for a seal can only come behind it. One: the record is void, and is appended
  again to the current segment; nobody has heard of the void one's address, and its nonce cannot be guessed.
- Before: the look keeps the order of events. A rotator that dies between 2 and 3 leaves k open, and a writer that did not
  look first could put into k an outcome whose prediction another one already has put into k + 1.

A rotator may die anywhere. After 1: the next rotation finds k + 1 and uses it. After 2: a reader that has come to the end of k, sees
that the map has left it, and has met no seal, appends one itself (`Segment.seal`); it then reads on up to the first seal, so that it also
gets what was written meanwhile. A reader leaves a segment by its seal only, and never by the map: between its last read and
its look at the map a writer may have put in one record more.

After a boot the journal goes on in a new segment. A power cut may have taken bytes that were not yet durable, and a reader's stored
position can lie beyond what is left; were the old segment written on, that position would come to lie inside other records.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import JournalError
from journal import segment

_NAME = "current"
_SIZE = 64
_BOOT = slice(8, 64)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Map:
    """The number of the current segment, in memory that all processes of the node share.

    `view[0]` is that number: an aligned machine word, so that a look never sees half a change.
    """

    __slots__ = ("_memory", "view")

    def __init__(self, directory: Path, *, writable: bool = False) -> None:
        """Raises FileNotFoundError where `directory` holds no journal, and ValueError where its map is not written yet."""
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        with (directory / _NAME).open("r+b" if writable else "rb") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE, access=access)
        self.view = memoryview(self._memory).cast("Q")

    @property
    def number(self) -> int:
        """The current segment; 0 before there is any."""
        return int(self.view[0])

    @property
    def boot(self) -> bytes:
        """The boot, as `boot_id` gave it, that last opened the journal."""
        return self._memory[_BOOT].rstrip(b"\0")

    def publish(self, number: int) -> None:
        """From now on writers go to segment `number`. It need not be durable: `segments.open_journal` corrects it upwards."""
        self.view[0] = number

    def publish_boot(self, boot: bytes) -> None:
        """From now on only another boot than `boot` makes opening begin a new segment."""
        self._memory[_BOOT] = boot.ljust(_SIZE - _BOOT.start, b"\0")

    def close(self) -> None:
        """Unmap it."""
        self.view.release()
        self._memory.close()


@contextmanager
def held(directory: Path) -> Iterator[Map]:
    """The writable map, under the lock that rotation and opening share; created where it is missing. Raises OSError."""
    fd = os.open(directory / _NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_size < _SIZE:
            os.pwrite(fd, bytes(_SIZE), 0)
            os.fsync(fd)
        shared = Map(directory, writable=True)
        try:
            yield shared
        finally:
            shared.close()
    finally:
        os.close(fd)


def rotate(directory: Path, expected: int) -> None:
    """Leave segment `expected` for the next, where it is still current; else another has done it, and nothing happens.

    Raises JournalError where no new segment can be begun (full disk); the journal then goes on in the old one.
    """
    try:
        with held(directory) as shared:
            if shared.number == expected:
                leave(directory, shared, expected)
    except OSError as error:
        raise JournalError(f"journal: no segment after {expected} could be begun: {error.strerror}") from error


def leave(directory: Path, shared: Map, number: int) -> None:
    """The three steps from segment `number` to the next, under the lock. Raises OSError."""
    segment.create(directory, number + 1)
    shared.publish(number + 1)
    # A reader may have sealed it since, and retention deleted it.
    with suppress(FileNotFoundError), segment.Segment(directory, number) as old:
        old.seal()


def boot_id() -> bytes:
    """What tells this boot of the machine from others."""
    return _BOOT_ID.read_bytes().strip()
