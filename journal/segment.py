"""One segment file: its name, its creation, and its seal."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType

from journal import record

CHUNK = 2**20
"""Bytes read at a time where a file is searched or followed."""


def path(directory: Path, number: int) -> Path:
    """Where segment `number` stands."""
    return directory / f"{number:08d}.seg"


def create(directory: Path, number: int) -> None:
    """Segment `number`, empty and durable, where it does not exist yet. The caller holds the rotation's lock.

    It gets its name only when its header stands on the disk: nobody ever opens half a header. Raises OSError.
    """
    final = path(directory, number)
    if final.exists():
        return
    new = directory / "new"
    header = record.pack_header(record.new_salt())
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if os.write(fd, header) < len(header):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)
    finally:
        os.close(fd)
    new.rename(final)
    sync_directory(directory)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Segment:
    """An open segment: to read anywhere, to append at the end."""

    __slots__ = ("fd", "number", "salt")

    def __init__(self, directory: Path, number: int) -> None:
        """Raises FileNotFoundError, other OSErrors, and JournalError where the file is no segment."""
        name = path(directory, number)
        self.number = number
        self.fd = os.open(name, os.O_RDWR | os.O_APPEND)
        try:
            self.salt = record.read_header(os.pread(self.fd, record.HEADER.size, 0), name.name)
        except BaseException:
            os.close(self.fd)
            raise

    def size(self) -> int:
        """Bytes, including the header."""
        return os.fstat(self.fd).st_size

    def has_seal(self, start: int, stop: int) -> bool:
        """Whether a seal stands within the bytes from `start` to `stop`; searched from behind, where seals are.

        Nothing but a seal can look like it: the salt is no client's to write.
        """
        seal = self.salt.seal
        while stop > start:
            low = max(start, stop - CHUNK)
            if seal in os.pread(self.fd, stop - low, low):
                return True
            stop = low + len(seal) - 1 if low > start else start
        return False

    def seal(self) -> bool:
        """Append a seal; False where the disk does not take it. Only for a segment that the map has left.

        A second seal is harmless: the first counts. One that is missing or torn is made up for by the next reader.
        """
        seal = self.salt.seal
        try:
            return os.write(self.fd, seal) == len(seal)
        except OSError:
            return False

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)

    def __enter__(self) -> Segment:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
