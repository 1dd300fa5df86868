"""Appending: one `write` a record, in the order in which the kernel takes them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from core.errors import JournalError
from core.ids import Address
from journal import record
from journal.rotation import Map, rotate
from journal.segment import Segment
from journal.segments import open_journal

Offload: TypeAlias = Callable[[Callable[[], None]], object]
"""Calls what it is given, perhaps in another thread, and returns when that is done."""


def call(work: Callable[[], None]) -> None:
    """The offload of a process where waiting for the disk holds up nothing else."""
    work()


class _Target(Segment):
    """A segment that this writer appends to, or has."""

    __slots__ = ("dirty", "good")

    def __init__(self, directory: Path, number: int) -> None:
        super().__init__(directory, number)
        self.good = self.size()
        """An offset that no seal stands before."""
        self.dirty = False
        """Appended to since its last fsync."""


class Writer:
    """Appends payloads to the journal in `directory`, which it creates where it is missing.

    A writer belongs to one process, so it is opened after the fork, and in it to one OS thread or one gevent hub: `append` asks the
    kernel where its write ended, and no other may write between. `flush` may run in another thread, one at a time.
    """

    def __init__(self, directory: Path) -> None:
        """Raises JournalError where the journal cannot be opened."""
        open_journal(directory)
        self._directory = directory
        self._map = Map(directory)
        self._view = self._map.view
        self._lock = threading.Lock()
        """Held while the list of targets changes; never during a write or an fsync."""
        self._targets: list[_Target] = []
        self._distrusted: set[int] = set()
        """Segments whose fsync failed here. The kernel reports that once and may have dropped the bytes."""
        self._target: _Target
        self._number = 0
        """What the map has to say for an append to go to the target; 0 when it is distrusted."""
        self._move()

    def append(self, payload: bytes) -> Address:
        """Append a record; it survives the death of this process, and after `flush` a power cut.

        Raises JournalError where the disk does not take it whole (the torn bytes stay, and readers pass them over), and TooLarge.
        """
        if self._view[0] != self._number:
            self._move()
        target = self._target
        nonce = os.urandom(8)
        data = record.pack(payload, nonce, target.salt)
        try:
            written = os.write(target.fd, data)
        except OSError as error:
            raise JournalError(f"journal: the record could not be written: {error.strerror}") from error
        if written != len(data):
            raise JournalError(f"journal: {written} of {len(data)} bytes of the record could be written")
        end = os.lseek(target.fd, 0, os.SEEK_CUR)
        if self._view[0] != self._number and target.has_seal(target.good, end - written):
            return self.append(payload)
        target.good = end
        target.dirty = True
        return Address(target.number, end - written, int.from_bytes(nonce, "little"))

    def _move(self) -> None:
        """Make the current segment the target. Its size counts as good only if the map has not left it meanwhile."""
        while True:
            number = self._map.number
            if number in self._distrusted:
                raise JournalError(f"journal: the fsync of segment {number} failed, and no other could be begun yet")
            try:
                target = _Target(self._directory, number)
            except OSError as error:
                if self._map.number != number:  # left, sealed and deleted meanwhile
                    continue
                raise JournalError(f"journal: segment {number} cannot be opened: {error.strerror}") from error
            if self._map.number == number:
                break
            target.close()
        with self._lock:
            self._targets.append(target)
            self._target = target
            self._number = number

    def flush(self, offload: Offload = call) -> None:
        """Make durable what this writer appended before the call; the fsyncs run in `offload`.

        Raises JournalError where one fails: that segment is never trusted again here, and the journal is rotated away from it.
        """
        with self._lock:
            dirty = [target for target in self._targets if target.dirty]
            for target in dirty:
                target.dirty = False
        if not dirty and self._number:
            return
        failures: list[str] = []
        try:
            offload(lambda: self._sync(dirty, failures))
        except BaseException:
            for target in dirty:
                target.dirty = True
            raise
        self._close_left()
        if failures:
            raise JournalError("journal: " + "; ".join(failures))

    def _sync(self, dirty: list[_Target], failures: list[str]) -> None:
        for target in dirty:
            try:
                if target.number in self._distrusted:
                    failures.append(f"segment {target.number} had failed its fsync before")
                else:
                    os.fsync(target.fd)
            except OSError as error:
                self._distrusted.add(target.number)
                failures.append(f"the fsync of segment {target.number} failed: {error.strerror}")
        if self._map.number in self._distrusted:
            self._leave_distrusted(failures)

    def _leave_distrusted(self, failures: list[str]) -> None:
        self._number = 0
        try:
            rotate(self._directory, self._map.number)
        except JournalError as error:  # the next flush tries again
            failures.append(error.message)

    def _close_left(self) -> None:
        with self._lock:
            left = [target for target in self._targets if target is not self._target and not target.dirty]
            self._targets = [target for target in self._targets if target not in left]
        for target in left:
            target.close()

    def close(self) -> None:
        """Flush and give everything back. Raises JournalError where the flush does."""
        try:
            self.flush()
        finally:
            for target in self._targets:
                target.close()
            self._targets = []
            self._view.release()
            self._map.close()
