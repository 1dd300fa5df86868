"""Appending: order, addresses, and a disk that does not take it."""

from __future__ import annotations

import errno
import os
import resource
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import JournalError, TooLarge
from journal import record
from journal.rotation import rotate
from journal.segments import end, segments
from journal.writer import Writer


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads=st.lists(st.binary(max_size=300), max_size=30), rotations=st.sets(st.integers(0, 29)), limit=st.integers(1, 40))
def test_round_trip(directory, read_all, payloads, rotations, limit) -> None:
    """What is appended is read back whole, in order, under the addresses that append answered, across rotations."""
    writer = Writer(directory)
    start = end(directory)
    addresses = []
    for index, payload in enumerate(payloads):
        if index in rotations:
            rotate(directory, end(directory).segment)
        addresses.append(writer.append(payload))
    writer.close()
    entries = read_all(start, limit)
    assert [entry.payload for entry in entries] == payloads
    assert [entry.address for entry in entries] == addresses


def test_positions_are_ordered(directory, read_all) -> None:
    """Addresses and next positions rise strictly in the order of appending, across writers and rotations."""
    writers = [Writer(directory) for _ in range(3)]
    for turn in range(30):
        writers[turn % 3].append(b"%d" % turn)
        if turn % 7 == 0:
            rotate(directory, end(directory).segment)
    entries = read_all()
    assert [entry.payload for entry in entries] == [b"%d" % turn for turn in range(30)]
    for one, two in pairwise(entries):
        assert one.address.position < one.next <= two.address.position < two.next
    for writer in writers:
        writer.close()


def test_nonces_differ(directory) -> None:
    """No two records carry the same nonce."""
    writer = Writer(directory)
    assert len({writer.append(b"same").nonce for _ in range(500)}) == 500
    writer.close()


def test_opening_twice_goes_on(directory, read_all) -> None:
    """A journal that exists is continued in the segment where it was left."""
    for payload in (b"one", b"two"):
        writer = Writer(directory)
        writer.append(payload)
        writer.close()
    assert [entry.payload for entry in read_all()] == [b"one", b"two"]
    assert segments(directory) == [1]


def test_short_write(directory, read_all, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of which the disk took only a part is refused; the next goes through, and the torn bytes are never read."""
    writer = Writer(directory)
    writer.append(b"before")
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:-3]))
        with pytest.raises(JournalError, match="36 of 39 bytes"):
            writer.append(b"torn, and so on")
    writer.append(b"after")
    writer.close()
    assert [entry.payload for entry in read_all()] == [b"before", b"after"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_write_error(directory, read_all, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A disk that refuses is a JournalError that names the reason; the same writer goes on when the disk does."""

    def refuse(fd: int, data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    writer = Writer(directory)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        with pytest.raises(JournalError, match=os.strerror(code)):
            writer.append(b"lost")
    writer.append(b"kept")
    writer.close()
    assert [entry.payload for entry in read_all()] == [b"kept"]


def test_file_size_limit(directory, read_all) -> None:
    """The kernel's own refusal in mid-record: every append under the limit fails, and after it is lifted all is well."""
    writer = Writer(directory)
    writer.append(bytes(1000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        for _ in range(3):
            with pytest.raises(JournalError):
                writer.append(b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert end(directory).offset == 1500
    address = writer.append(b"y")
    assert address.offset == 1500
    writer.close()
    assert [entry.payload for entry in read_all()] == [bytes(1000), b"y"]


def test_too_large(directory, read_all, monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload above the limit leaves no trace."""
    monkeypatch.setattr(record, "MAX_PAYLOAD", 5)
    writer = Writer(directory)
    with pytest.raises(TooLarge):
        writer.append(b"123456")
    writer.append(b"12345")
    writer.close()
    assert [entry.payload for entry in read_all()] == [b"12345"]


def test_directory_that_cannot_be(tmp_path: Path) -> None:
    """Where no directory can be made, opening says so in one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be opened: Not a directory"):
        Writer(tmp_path / "file" / "journal")


def fail_fsync(patch: pytest.MonkeyPatch, failing: Path) -> None:
    """Let every fsync of that file fail as a broken disk does."""
    fsync = os.fsync

    def failed(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), failing.stat()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    patch.setattr(os, "fsync", failed)


def test_failed_fsync_rotates_away(directory, read_all, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fsync the segment is never written or trusted again, though a later fsync of it would succeed."""
    writer = Writer(directory)
    writer.append(b"in doubt")
    with monkeypatch.context() as patch:
        fail_fsync(patch, directory / "00000001.seg")
        with pytest.raises(JournalError, match="fsync of segment 1 failed"):
            writer.flush()
    assert writer.append(b"sure").segment == 2
    writer.flush()
    writer.close()
    assert [entry.payload for entry in read_all()] == [b"in doubt", b"sure"]


def test_appended_during_a_failing_fsync(directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that came into the segment while its fsync failed is not called durable by the next flush."""
    writer = Writer(directory)
    writer.append(b"first")

    def append_and_flush(work) -> None:
        writer.append(b"second")
        work()

    with monkeypatch.context() as patch:
        fail_fsync(patch, directory / "00000001.seg")
        with pytest.raises(JournalError):
            writer.flush(append_and_flush)
    with pytest.raises(JournalError, match="segment 1 had failed its fsync before"):
        writer.flush()
    assert writer.append(b"third").segment == 2
    writer.flush()
    writer.close()


def test_failed_fsync_without_a_way_out(directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no new segment can be begun either, appends are refused until a flush manages to begin one."""
    writer = Writer(directory)
    writer.append(b"in doubt")

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        fail_fsync(patch, directory / "00000001.seg")
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(JournalError, match=r"fsync of segment 1 failed.*no segment after 1 could be begun"):
            writer.flush()
        with pytest.raises(JournalError, match="the fsync of segment 1 failed, and no other could be begun yet"):
            writer.append(b"refused")
    writer.flush()
    assert writer.append(b"sure").segment == 2
    writer.close()


def test_flush_reaches_the_segment_that_was_left(directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rotation flush makes both segments durable, once; and does nothing where nothing was appended."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink().stem))
    writer = Writer(directory)
    writer.append(b"one")
    rotate(directory, 1)
    writer.append(b"two")
    synced.clear()
    writer.flush()
    assert synced == ["00000001", "00000002"]
    writer.flush()
    assert synced == ["00000001", "00000002"]
    writer.close()


def test_flush_that_never_ran_is_made_up_for(directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the offload breaks before the fsync, nothing counts as durable: the next flush does it."""
    writer = Writer(directory)
    writer.append(b"one")

    def broken(work) -> None:
        raise RuntimeError("no threads left")

    with pytest.raises(RuntimeError):
        writer.flush(broken)
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    writer.flush()
    assert len(synced) == 1
    writer.close()


def test_left_segments_are_closed(directory) -> None:
    """A writer that lives through many rotations holds one segment open after each flush, not all of them."""
    writer = Writer(directory)
    for number in range(1, 20):
        writer.append(b"x")
        rotate(directory, number)
        writer.flush()
    writer.append(b"x")
    writer.flush()
    held = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert [name for name in held if name.startswith(str(directory)) and name.endswith(".seg")] == [str(directory / "00000020.seg")]
    writer.close()
