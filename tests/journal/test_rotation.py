"""The steps of a rotation, each left undone by a rotator that died there, and its races one by one."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import JournalError
from core.values import START, Position
from journal import segment
from journal.record import HEADER
from journal.rotation import Map, rotate
from journal.segment import Segment
from journal.segments import end, open_journal, segments
from journal.writer import Writer


def publish(directory: Path, number: int) -> None:
    shared = Map(directory, writable=True)
    shared.publish(number)
    shared.close()


def current(directory: Path) -> int:
    shared = Map(directory)
    number = shared.number
    shared.close()
    return number


def sealed(directory: Path, number: int) -> bool:
    with Segment(directory, number) as old:
        return old.has_seal(HEADER.size, old.size())


@pytest.fixture
def writer(directory: Path):
    writer = Writer(directory)
    yield writer
    writer.close()


def test_rotate(directory, writer) -> None:
    """The map goes on by one, the old segment is sealed, and the writer follows by itself."""
    assert writer.append(b"one").segment == 1
    rotate(directory, 1)
    assert current(directory) == 2
    assert sealed(directory, 1)
    assert not sealed(directory, 2)
    assert writer.append(b"two")[:2] == (2, HEADER.size)


def test_rotate_is_compare_and_set(directory, writer) -> None:
    """Of many who want to leave the same segment one does, and the others do nothing."""
    threads = [threading.Thread(target=rotate, args=(directory, 1)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert segments(directory) == [1, 2]
    rotate(directory, 7)
    assert current(directory) == 2


def test_many_open_at_once(directory) -> None:
    """Openers that meet in an empty directory make one journal of one segment."""
    threads = [threading.Thread(target=open_journal, args=(directory,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert segments(directory) == [1]
    assert end(directory) == Position(1, HEADER.size)


def test_rotator_died_after_create(directory, writer, read_all) -> None:
    """A segment that nobody published is not used, and the next rotation takes it as it is."""
    segment.create(directory, 2)
    header = segment.path(directory, 2).read_bytes()
    assert writer.append(b"one").segment == 1
    rotate(directory, 1)
    assert writer.append(b"two").segment == 2
    assert segment.path(directory, 2).read_bytes().startswith(header)
    assert [entry.payload for entry in read_all()] == [b"one", b"two"]


def test_rotator_died_after_publish(directory, writer, read_all) -> None:
    """A segment that was left without a seal gets one from the first reader that comes to its end."""
    writer.append(b"one")
    segment.create(directory, 2)
    publish(directory, 2)
    assert writer.append(b"two").segment == 2
    assert [entry.payload for entry in read_all()] == [b"one", b"two"]
    assert sealed(directory, 1)


def test_half_a_header_is_never_seen(directory, writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up during creation is a JournalError; the journal goes on in the old segment, and rotates later."""
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
        with pytest.raises(JournalError, match=f"no segment after 1 could be begun: {os.strerror(errno.ENOSPC)}"):
            rotate(directory, 1)
    assert segments(directory) == [1]
    assert writer.append(b"one").segment == 1
    rotate(directory, 1)
    assert writer.append(b"two").segment == 2


def looks(writer: Writer, *answers: int) -> None:
    """Let the writer's next looks at the map answer this."""
    view, left = writer._view, list(answers)

    class Looks:
        def __getitem__(self, index: int) -> int:
            return left.pop(0) if left else view[index]

        def release(self) -> None:
            view.release()

    writer._view = Looks()


def test_behind_the_seal_it_is_appended_again(directory, writer, read_all) -> None:
    """A record that came behind the seal is void, and stands once in the next segment."""
    writer.append(b"one")
    rotate(directory, 1)
    looks(writer, 1)  # the rotation happens after this look, before the write
    address = writer.append(b"two")
    assert address.segment == 2
    assert [(entry.address, entry.payload) for entry in read_all()][1:] == [(address, b"two")]


def test_before_the_seal_it_stands(directory, writer, read_all, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that came before the seal stands, though the map has moved on when its writer looks."""
    writer.append(b"one")
    write = os.write

    def rotate_behind(fd: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        written = write(fd, data)
        rotate(directory, 1)
        return written

    monkeypatch.setattr(os, "write", rotate_behind)
    address = writer.append(b"two")
    assert address.segment == 1
    assert writer.append(b"three").segment == 2
    assert [entry.payload for entry in read_all()] == [b"one", b"two", b"three"]


def test_rotation_while_a_writer_moves(directory, writer, read_all, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that opens a segment just as it is sealed does not take what stands in it for good ground."""
    rotate(directory, 1)
    size = Segment.size

    def size_after_rotation(self: Segment) -> int:
        monkeypatch.setattr(Segment, "size", size)
        rotate(directory, 2)
        return self.size()

    monkeypatch.setattr(Segment, "size", size_after_rotation)
    assert writer.append(b"one").segment == 3
    assert [entry.payload for entry in read_all()] == [b"one"]


def leave_and_delete(directory: Path) -> None:
    """What retention may do to a segment while somebody who is about to open it is held up."""
    rotate(directory, current(directory))
    segment.path(directory, current(directory) - 1).unlink(missing_ok=True)


def once(patch: pytest.MonkeyPatch, where: type, name: str, before: Callable[[], None]) -> None:
    """Let `before` happen just before the next call."""
    real = getattr(where, name)

    def call(*arguments: object, **options: object) -> object:
        patch.setattr(where, name, real)
        before()
        return real(*arguments, **options)

    patch.setattr(where, name, call)


def test_deleted_while_a_writer_moves(directory, writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that is held up until the segment it was moving to is gone moves on to the one that is current then."""
    rotate(directory, 1)
    once(monkeypatch, Segment, "__init__", lambda: leave_and_delete(directory))
    assert writer.append(b"one").segment == 3


def test_deleted_while_the_end_is_looked_for(directory, writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is that of a segment that was current."""
    once(monkeypatch, Path, "stat", lambda: leave_and_delete(directory))
    assert end(directory) == Position(2, HEADER.size)


def test_deleted_before_its_seal(directory, writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotator that is held up until others have sealed and deleted the old segment has nothing left to do."""
    once(monkeypatch, Segment, "__init__", segment.path(directory, 1).unlink)
    rotate(directory, 1)
    assert writer.append(b"one").segment == 2


def test_a_segment_deleted_by_hand(directory, writer) -> None:
    """Where the current segment is missing for good, a writer says so."""
    rotate(directory, 1)
    segment.path(directory, 2).unlink()
    with pytest.raises(JournalError, match="segment 2 cannot be opened: No such file"):
        writer.append(b"one")


def test_publish_comes_before_the_seal(directory, writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the seal is written the map has already left the segment, and the next one exists: else a void record would pass for good."""
    seen = []
    seal = Segment.seal
    monkeypatch.setattr(Segment, "seal", lambda self: seen.append((current(directory), segments(directory))) or seal(self))
    rotate(directory, 1)
    assert seen == [(2, [1, 2])]


@pytest.mark.parametrize("chunk", [24, 25, 30, 47, 100, 2**20])
def test_the_seal_is_found_wherever_it_stands(directory, writer, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """The search for a seal misses none at the edge of what it reads at a time, and finds none outside its bounds."""
    monkeypatch.setattr(segment, "CHUNK", chunk)
    for size in range(40):
        number = current(directory)
        writer.append(bytes(size))
        rotate(directory, number)
        with Segment(directory, number) as old:
            stop = old.size()
            os.write(old.fd, bytes(50))
            start = stop - len(old.salt.seal)
            assert old.has_seal(HEADER.size, stop + 50)
            assert old.has_seal(start, stop)
            assert not old.has_seal(start + 1, stop + 50)
            assert not old.has_seal(HEADER.size, stop - 1)


def test_order_across_an_unsealed_segment(directory, writer, read_all) -> None:
    """Once a record stands in the new segment, none that is begun after it goes into the old one, though that is still open."""
    other = Writer(directory)
    segment.create(directory, 2)
    publish(directory, 2)
    other.append(b"prediction")
    writer.append(b"its outcome")
    assert [entry.payload for entry in read_all()] == [b"prediction", b"its outcome"]
    other.close()


@pytest.mark.parametrize("lost", [b"", bytes(64)])
def test_a_lost_map_is_made_anew(directory, writer, read_all, lost: bytes) -> None:
    """The map may be lost or stale after a power cut: opening takes the newest segment there is."""
    writer.append(b"one")
    rotate(directory, 1)
    rotate(directory, 2)
    (directory / "current").write_bytes(lost)
    restarted = Writer(directory)
    assert restarted.append(b"two").segment >= 3
    assert [entry.payload for entry in read_all()] == [b"one", b"two"]
    restarted.close()


def test_a_new_boot_begins_a_new_segment(directory, writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first opening after a boot rotates, the following ones do not, and an empty journal begins with 1 all the same."""
    writer.append(b"one")
    monkeypatch.setattr("journal.segments.boot_id", lambda: b"the next boot")
    open_journal(directory)
    assert sealed(directory, 1)
    open_journal(directory)
    assert segments(directory) == [1, 2]
    open_journal(directory / "another")
    assert segments(directory / "another") == [1]


def test_no_journal() -> None:
    """Where there is no journal it has no extent, and asking creates none."""
    nowhere = Path("nowhere/at/all")
    assert end(nowhere) == START
    assert segments(nowhere) == []
    assert not nowhere.exists()
