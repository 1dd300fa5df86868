"""The segments of a journal together: opening, extent, and what may be deleted.

Segments are deleted from the oldest on and without gaps, and never one that is not sealed: its writers may still be at it. A
reader that is inside a deleted segment reads it to its seal, since the open file lives on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.errors import JournalError
from core.values import START, Position
from journal import record, segment
from journal.rotation import Map, boot_id, held, leave


def segments(directory: Path) -> list[int]:
    """The numbers of the segments that exist, ascending; none where there is no journal."""
    return sorted(int(path.stem) for path in directory.glob("*.seg") if path.stem.isdecimal())


def open_journal(directory: Path) -> None:
    """Create what is missing of the journal in `directory`, and let a new boot begin a new segment.

    Any number of processes may do so at once. Raises JournalError where the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with held(directory) as shared:
            existing = segments(directory)
            # A power cut may have taken the map back to an older number, or a rotator died before it published.
            number = max(1, shared.number, *existing)
            segment.create(directory, number)
            shared.publish(number)
            if existing and shared.boot != boot_id():
                leave(directory, shared, number)
            shared.publish_boot(boot_id())
    except OSError as error:
        raise JournalError(f"journal: {directory} cannot be opened: {error.strerror}") from error


def end(directory: Path) -> Position:
    """Where a reader starts that wants only what comes from now on. START where there is no journal."""
    try:
        shared = Map(directory)
    except (FileNotFoundError, ValueError):  # no journal, or one whose map is being created
        return START
    try:
        while number := shared.number:
            size = _size(directory, number)
            # Unchanged after the size was taken: the segment has not been deleted, and no seal stands before that size.
            if shared.number == number:
                return Position(number, size)
        return START
    finally:
        shared.close()


def size(directory: Path) -> int:
    """Bytes that all segments hold together."""
    return sum(_sizes(directory).values())


def distance(directory: Path, a: Position, b: Position) -> int:
    """Bytes from `a` forward to `b`, headers and seals included; deleted segments count nothing, and 0 where `b` is not after `a`."""
    if b <= a:
        return 0
    sizes = _sizes(directory)
    whole = sum(length for number, length in sizes.items() if a.segment <= number < b.segment)
    return max(0, whole + b.offset - (a.offset if a.segment in sizes or a.segment == b.segment else 0))


def expire(directory: Path, passed: Position, cutoff: float) -> int:
    """Delete sealed segments wholly before `passed` that were last written before `cutoff` (seconds since the epoch).

    `passed` is the least position of all readers. Returns the bytes freed.
    """
    freed = 0
    for path in _sealed_before(directory, passed):
        stat = path.stat()
        if stat.st_mtime >= cutoff:
            break
        path.unlink()
        freed += stat.st_size
    return freed


def overtake(directory: Path, passed_by_all_that_must: Position, cap: int) -> int:
    """Delete the oldest sealed segments wholly before the given position while the journal holds more than `cap` bytes.

    The position is the least of those readers that may not be overtaken; the others see it in `Reader.overtaken`.
    Returns the bytes freed.
    """
    excess = size(directory) - cap
    freed = 0
    for path in _sealed_before(directory, passed_by_all_that_must):
        if freed >= excess:
            break
        freed += path.stat().st_size
        path.unlink()
    return freed


def _sizes(directory: Path) -> dict[int, int]:
    return {number: length for number in segments(directory) if (length := _size(directory, number))}


def _size(directory: Path, number: int) -> int:
    """0 where it has been deleted meanwhile."""
    try:
        return segment.path(directory, number).stat().st_size
    except FileNotFoundError:
        return 0


def _sealed_before(directory: Path, passed: Position) -> Iterator[Path]:
    """From the oldest on; stops at the first without a seal, and gives it one, so that it can go the next time."""
    newest = end(directory).segment
    for number in segments(directory):
        if number >= min(passed.segment, newest):
            return
        with segment.Segment(directory, number) as old:
            sealed = old.has_seal(record.HEADER.size, old.size())
            if not sealed:
                old.seal()
        if not sealed:
            return
        yield segment.path(directory, number)
