"""Following: what is read at the tail, past torn records, across segments, and where segments are gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import JournalError
from core.values import START, Position
from journal import record, rotation, segment
from journal.reader import Reader
from journal.record import HEAD, HEADER
from journal.rotation import Map, rotate
from journal.segment import Segment
from journal.segments import end, segments
from journal.writer import Writer


@pytest.fixture
def writer(directory: Path):
    writer = Writer(directory)
    yield writer
    writer.close()


@pytest.fixture
def reader(directory: Path):
    reader = Reader(directory, START)
    yield reader
    reader.close()


def payloads(entries) -> list[bytes]:
    return [entry.payload for entry in entries]


def put(directory: Path, data: bytes) -> None:
    """Bytes at the end of the current segment, as a writer leaves them that dies on the way."""
    with segment.path(directory, end(directory).segment).open("ab") as file:
        file.write(data)


def packed(directory: Path, payload: bytes) -> bytes:
    """A whole record of the current segment, not written yet."""
    with Segment(directory, end(directory).segment) as current:
        return record.pack(payload, os.urandom(8), current.salt)


def test_reader_comes_before_the_writer(directory) -> None:
    """A reader may be there first: it finds nothing, and then what is written."""
    reader = Reader(directory, START)
    assert reader.read(10) == []
    writer = Writer(directory)
    writer.append(b"one")
    assert payloads(reader.read(10)) == [b"one"]
    assert reader.read(10) == []
    writer.close()
    reader.close()


def test_limit(writer, reader) -> None:
    """A read gives at most as many as asked for, and the next goes on behind them."""
    for number in range(10):
        writer.append(b"%d" % number)
    assert payloads(reader.read(4)) == [b"0", b"1", b"2", b"3"]
    assert reader.read(0) == []
    assert payloads(reader.read(100)) == [b"4", b"5", b"6", b"7", b"8", b"9"]


def test_resume_at_every_position(directory, writer, read_all) -> None:
    """A reader opened at an entry's `next`, or at a reader's position, sees exactly what stands behind it."""
    for number in range(12):
        writer.append(b"%d" % number)
        if number % 5 == 4:
            rotate(directory, end(directory).segment)
    entries = read_all()
    for index, entry in enumerate(entries):
        assert read_all(entry.next) == entries[index + 1 :]
        assert read_all(entry.address.position) == entries[index:]
    reader = Reader(directory, START)
    for index in range(len(entries)):
        assert read_all(reader.position) == entries[index:]
        reader.read(1)
    reader.close()


def test_records_larger_than_a_chunk(writer, reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records longer than what is read at a time, and records across its edges, are read whole."""
    monkeypatch.setattr("journal.reader.CHUNK", 100)
    written = [bytes([size % 251]) * size for size in (0, 1, 50, 75, 76, 77, 1000, 99, 3, 100, 5000)]
    for payload in written:
        writer.append(payload)
    assert payloads(reader.read(1000)) == written
    assert reader.torn == 0


@pytest.mark.parametrize("follower", [b"", b"following"])
def test_torn_in_mid_file_at_every_byte(directory, writer, reader, follower) -> None:
    """A record cut after any number of bytes is passed over and counted, as soon as a whole one stands behind it."""
    torn = 0
    for cut in range(1, len(packed(directory, b"torn payload"))):
        put(directory, packed(directory, b"torn payload")[:cut])
        assert reader.read(10) == []
        writer.append(follower)
        assert payloads(reader.read(10)) == [follower]
        torn += cut
        assert reader.torn == torn


def test_incomplete_tail_is_waited_for_at_every_byte(directory, reader) -> None:
    """A record whose front alone is there may be in the writing: it is not skipped, and read when its rest comes."""
    for cut in range(1, len(packed(directory, b"slowly written"))):
        whole = packed(directory, b"slowly written")
        before = reader.position
        put(directory, whole[:cut])
        assert reader.read(10) == []
        assert reader.position == before
        put(directory, whole[cut:])
        assert payloads(reader.read(10)) == [b"slowly written"]
    assert reader.torn == 0


def test_garbled_at_every_byte(directory, writer, read_all) -> None:
    """Whichever byte of a record changes, that record alone is missing."""
    writer.append(b"before")
    victim = writer.append(b"victim payload")
    writer.append(b"after")
    name = segment.path(directory, 1)
    intact = name.read_bytes()
    for at in range(HEAD.size + len(b"victim payload")):
        for flip in (0x01, 0x80, 0xFF):
            garbled = bytearray(intact)
            garbled[victim.offset + at] ^= flip
            name.write_bytes(garbled)
            assert payloads(read_all()) == [b"before", b"after"]
    name.write_bytes(intact)
    assert payloads(read_all()) == [b"before", b"victim payload", b"after"]


def test_a_claimed_length_delays_nobody(directory, writer, reader) -> None:
    """A torn record that claims 60 MB does not hold up the records behind it, be they fewer or more bytes than that."""
    head = packed(directory, bytes(60 * 2**20))[: HEAD.size]
    put(directory, head)
    writer.append(b"behind")
    assert payloads(reader.read(10)) == [b"behind"]
    assert reader.torn == HEAD.size


def test_a_claimed_length_that_is_filled_by_others(directory, writer, reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others have written past the end that a torn record claims, all of theirs are read."""
    monkeypatch.setattr("journal.reader.CHUNK", 128)
    put(directory, packed(directory, bytes(3000))[:50])
    written = [b"%d" % number * 20 for number in range(200)]
    for payload in written:
        writer.append(payload)
    assert payloads(reader.read(1000)) == written
    assert reader.torn == 50


def test_several_torn_in_a_row(directory, writer, reader) -> None:
    """Fronts of records one after another, with garbage and zeros between, hide nothing behind them."""
    pieces = [packed(directory, b"x" * size)[:cut] for size, cut in [(50, 70), (0, 5), (3000, 24), (1, 8), (9, 1)]]
    garbage = b"".join(pieces) + bytes(5000) + os.urandom(300) + b"\xf5\xfa"
    put(directory, garbage)
    writer.append(b"behind")
    assert payloads(reader.read(10)) == [b"behind"]
    assert reader.torn == len(garbage)


def test_garbage_tail_does_not_pin_the_position(directory, writer, reader) -> None:
    """Bytes that cannot be the front of a record are passed over at once: they are not read again at each poll."""
    put(directory, bytes(3 * 2**20))
    assert reader.read(10) == []
    assert reader.position == end(directory)
    writer.append(b"behind")
    assert payloads(reader.read(10)) == [b"behind"]


def hostile(directory: Path, salt: record.Salt) -> bytes:
    """A payload that holds what looks like a record."""
    return b"feature " + record.pack(b"forged", bytes(8), salt) + b" rest" * 20


def test_a_forged_record_is_not_returned(directory, writer, reader) -> None:
    """What a client puts into a feature is no record, neither in a whole record nor behind the tear of a torn one."""
    foreign = record.new_salt()
    with Segment(directory, 1) as current:
        for guess in (foreign, foreign._replace(magic=current.salt.magic), foreign._replace(seed=current.salt.seed)):
            writer.append(hostile(directory, guess))
            put(directory, packed(directory, hostile(directory, guess))[:-10])
            writer.append(b"honest")
    read = payloads(reader.read(10))
    assert b"forged" not in read
    assert read.count(b"honest") == 3
    assert len(read) == 6


def test_only_the_salt_stands_against_forgery(directory, writer, reader) -> None:
    """The search does look inside torn payloads: who knew the salt could forge there (so the test above can fail)."""
    with Segment(directory, 1) as current:
        put(directory, packed(directory, hostile(directory, current.salt))[:-10])
    writer.append(b"honest")
    assert payloads(reader.read(10)) == [b"forged", b"honest"]


def test_torn_seal(directory, writer, reader) -> None:
    """A seal of which only a part was written is made up for by the reader, and delays nothing."""
    writer.append(b"one")
    with Segment(directory, 1) as old:
        seal = old.salt.seal
    for cut in range(1, len(seal)):
        put(directory, seal[:cut])
    shared = Map(directory, writable=True)
    segment.create(directory, 2)
    shared.publish(2)
    shared.close()
    writer.append(b"two")
    assert payloads(reader.read(10)) == [b"one", b"two"]
    assert reader.position.segment == 2
    assert reader.torn == sum(range(1, len(seal)))


def test_what_follows_a_seal_is_void(directory, writer, reader) -> None:
    """Records behind the first seal are not read, nor is a second seal harmful."""
    writer.append(b"one")
    with Segment(directory, 1) as old:
        void = record.pack(b"void", bytes(8), old.salt)
    rotate(directory, 1)
    with Segment(directory, 1) as old:
        os.write(old.fd, void)
        old.seal()
        os.write(old.fd, void)
    writer.append(b"two")
    assert payloads(reader.read(10)) == [b"one", b"two"]
    assert reader.torn == 0


def test_a_segment_is_left_by_its_seal_only(directory, writer, reader) -> None:
    """While the disk takes no seal, a reader stays at the end of an open segment that the map has left."""
    segment.create(directory, 2)
    shared = Map(directory, writable=True)
    shared.publish(2)
    shared.close()
    writer.append(b"in the second")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Segment, "seal", lambda self: False)
        assert reader.read(10) == []
        assert reader.position.segment == 1
    assert payloads(reader.read(10)) == [b"in the second"]


def test_overtaken(directory, writer) -> None:
    """Where the segments of its position are gone, a reader goes on at the oldest one there is, and counts them."""
    for number in range(1, 6):
        writer.append(b"%d" % number)
        rotate(directory, number)
    for number in (1, 2, 3):
        segment.path(directory, number).unlink()
    late = Reader(directory, Position(2, HEADER.size + 5))
    assert late.overtaken == 2
    assert late.position == Position(4, HEADER.size)
    assert payloads(late.read(10)) == [b"4", b"5"]
    late.close()


def test_overtaken_on_the_way(directory, writer, reader) -> None:
    """A reader inside a deleted segment reads it to its seal, and only then meets the gap."""
    for number in range(1, 5):
        writer.append(b"%d" % number)
        writer.append(b"%d" % number)
        rotate(directory, number)
    assert payloads(reader.read(1)) == [b"1"]
    for number in (1, 2, 3):
        segment.path(directory, number).unlink()
    assert payloads(reader.read(10)) == [b"1", b"4", b"4"]
    assert reader.overtaken == 2


def test_position_of_another_journal(directory, writer) -> None:
    """A position behind everything that exists is an error, not a reader that waits for ever."""
    with pytest.raises(JournalError, match="expected a segment 7 or a later one"):
        Reader(directory, Position(7, 100))


def test_power_cut(directory, writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a power cut took what a reader has already read, it still gets every record that is written after the boot."""
    writer.append(b"durable")
    durable = end(directory).offset
    for _ in range(5):
        writer.append(b"not yet durable")
    reader = Reader(directory, START)
    assert len(reader.read(10)) == 6
    position = reader.position
    reader.close()
    os.truncate(segment.path(directory, 1), durable)

    monkeypatch.setattr("journal.segments.boot_id", lambda: b"the next boot")
    restarted = Writer(directory)
    written = [b"%d after the boot" % number for number in range(20)]
    for payload in written:
        restarted.append(payload)
    reader = Reader(directory, position)
    assert payloads(reader.read(100)) == written
    reader.close()
    restarted.close()
    assert segments(directory) == [1, 2]
    assert segment.path(directory, 1).stat().st_size == durable + HEAD.size  # one seal


def test_boot_id_is_the_kernels() -> None:
    """The boot is told by the kernel's own id, which fits into the map."""
    assert len(rotation.boot_id()) == 36
