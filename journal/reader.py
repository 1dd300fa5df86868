"""Following the journal from a position: every whole record, once, in byte order, and never a byte that is no record.

The tail is the hard part; `journal.record` says what may be concluded there, and `journal.rotation` when a segment may be left.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from core.errors import JournalError
from core.ids import Address
from core.values import Position
from journal.record import HEAD, HEADER, SUMMED, State, look, next_magic, next_whole
from journal.rotation import Map
from journal.segment import CHUNK, Segment
from journal.segments import open_journal, segments


class Entry(NamedTuple):
    """A record as read. `next` is the position to go on from once it is dealt with."""

    address: Address
    payload: bytes
    next: Position


class Reader:
    """Reads what stands in the journal from `position` on, and creates the journal where it is missing.

    A reader belongs to one thread. `torn` counts the bytes passed over because they were no record, `overtaken` the
    segments that were deleted before they were read (to the end).
    """

    def __init__(self, directory: Path, position: Position) -> None:
        """Raises JournalError where the journal cannot be opened, or ends in an earlier segment than `position`'s."""
        open_journal(directory)
        self.torn = 0
        self.overtaken = 0
        self._directory = directory
        self._map = Map(directory)
        try:
            self._segment = self._open(position.segment)
        except BaseException:
            self._map.close()
            raise
        # What the position says of a segment that is gone says nothing of the next.
        self._start(position.offset if self._segment.number == position.segment else 0)

    @property
    def position(self) -> Position:
        """Behind what was read and passed over; a reader that starts there sees what this one has not."""
        return Position(self._segment.number, self._base + self._at)

    def read(self, limit: int) -> list[Entry]:
        """The next records, at most `limit`; [] where nothing more stands there yet. Does not wait."""
        entries: list[Entry] = []
        while True:
            self._take(entries, limit)
            if len(entries) >= limit or not self._advance():
                return entries

    def close(self) -> None:
        """Give the descriptors back."""
        self._segment.close()
        self._map.close()

    def _open(self, number: int) -> Segment:
        """Segment `number`, or the oldest one after it where it has been deleted."""
        while True:
            try:
                return Segment(self._directory, number)
            except FileNotFoundError:
                later = [existing for existing in segments(self._directory) if existing > number]
                if not later:
                    raise JournalError(f"journal: expected a segment {number} or a later one in {self._directory}, found none") from None
                self.overtaken += later[0] - number
                number = later[0]

    def _start(self, offset: int) -> None:
        self._data = b""
        self._base = max(offset, HEADER.size)
        self._at = 0

    def _go_on(self) -> None:
        """Leave the segment for the next."""
        following = self._open(self._segment.number + 1)
        self._segment.close()
        self._segment = following
        self._start(0)

    def _take(self, entries: list[Entry], limit: int) -> None:
        """Move whole records from the buffer to `entries`. This loop is what a reader's speed depends on."""
        data, base, at = self._data, self._base, self._at
        number, salt = self._segment.number, self._segment.salt
        own, seed = salt
        size, head = len(data), HEAD.size
        unpack, new, append = HEAD.unpack_from, tuple.__new__, entries.append
        for _ in range(limit - len(entries)):
            if at + head > size:
                break
            magic, crc, length, nonce = unpack(data, at)
            stop = at + head + length
            if magic != own or stop > size:
                break
            summed = data[at + SUMMED : stop]
            if crc32(summed, seed) != crc:
                break
            address = new(Address, (number, base + at, nonce))
            append(new(Entry, (address, summed[head - SUMMED :], new(Position, (number, base + stop)))))
            at = stop
        self._at = at

    def _advance(self) -> bool:
        """Get to the next whole record, past whatever else stands at the position. False at the end of what is written."""
        salt = self._segment.salt
        self._fill(CHUNK)
        state, stop = look(self._data, 0, salt)
        if state is State.SHORT and stop > CHUNK:
            self._fill(stop)
            state, stop = look(self._data, 0, salt)
        if state is State.SEAL:
            self._go_on()
        elif state is State.BROKEN:
            self._pass_over(next_magic(self._data, 1, salt))
        elif state is State.SHORT:
            whole = next_whole(self._data, 1, salt)
            if whole is None:
                return self._finish()
            self._pass_over(whole)
        return True

    def _fill(self, size: int) -> None:
        """Read `size` bytes from the position on, or as many as there are."""
        self._base += self._at
        self._at = 0
        self._data = os.pread(self._segment.fd, size, self._base)

    def _pass_over(self, count: int) -> None:
        self.torn += count
        self._at = count

    def _finish(self) -> bool:
        """At the end of what is written: whether there is, or now will be, something behind it."""
        if self._map.number <= self._segment.number:
            return False
        if self._base > self._segment.size():
            # A power cut took what stood before this position; after the boot nobody appends here.
            self._go_on()
            return True
        return self._segment.seal()
