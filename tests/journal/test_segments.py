"""Extent and retention."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from core.values import START, Position
from journal import segment
from journal.reader import Reader
from journal.record import HEAD, HEADER
from journal.rotation import Map, rotate
from journal.segment import Segment
from journal.segments import distance, end, expire, overtake, segments, size
from journal.writer import Writer

OLD, CUTOFF = 1000.0, 2000.0


@pytest.fixture
def five(directory: Path) -> Path:
    """Segments 1 to 5 of one record each, 1 to 4 sealed and old."""
    writer = Writer(directory)
    for number in range(1, 6):
        writer.append(b"%d" % number * 100)
        if number < 5:
            rotate(directory, number)
            os.utime(segment.path(directory, number), (OLD, OLD))
    writer.close()
    return directory


ONE = HEADER.size + HEAD.size + 100 + HEAD.size
"""Bytes of a sealed segment in `five`."""


def test_extent(five) -> None:
    """Numbers, sizes and the end are those of the files."""
    assert segments(five) == [1, 2, 3, 4, 5]
    assert size(five) == 5 * ONE - HEAD.size
    assert end(five) == Position(5, ONE - HEAD.size)


def test_end_is_where_the_future_begins(five, read_all) -> None:
    """A reader that starts at the end gets nothing that was there, and everything that comes."""
    start = end(five)
    assert read_all(start) == []
    writer = Writer(five)
    writer.append(b"new")
    writer.close()
    assert [entry.payload for entry in read_all(start)] == [b"new"]


def test_distance_is_additive(five) -> None:
    """From the start to the end it is the size; over any place between, it is the sum of both parts; backwards it is 0."""
    last = end(five)
    assert distance(five, START, last) == size(five)
    places = [Position(number, offset) for number in range(1, 6) for offset in (0, HEADER.size, 100)]
    for place in places:
        assert distance(five, START, place) + distance(five, place, last) == size(five)
        assert distance(five, place, place) == 0
        assert distance(five, last, place) == 0


def test_distance_of_a_reader_at_the_end(five) -> None:
    """A reader that has read everything lags 0 bytes behind."""
    reader = Reader(five, START)
    assert len(reader.read(10)) == 5
    assert distance(five, reader.position, end(five)) == 0
    reader.close()


def test_distance_from_a_deleted_segment(five) -> None:
    """What is deleted is no longer ahead of anybody."""
    segment.path(five, 1).unlink()
    segment.path(five, 2).unlink()
    assert distance(five, Position(2, 90), Position(3, 50)) == 50
    assert distance(five, START, end(five)) == size(five)


def test_expire(five) -> None:
    """Old segments that all readers have passed go, and their bytes are answered; the reader's own segment stays."""
    assert expire(five, Position(3, 90), CUTOFF) == 2 * ONE
    assert segments(five) == [3, 4, 5]
    assert expire(five, Position(3, 90), CUTOFF) == 0


def test_expire_keeps_what_is_young(five) -> None:
    """A segment that was written after the cutoff stays, and so do all behind it: there are no gaps."""
    os.utime(segment.path(five, 2), (CUTOFF, CUTOFF))
    assert expire(five, end(five), CUTOFF) == ONE
    assert segments(five) == [2, 3, 4, 5]


def test_expire_never_deletes_the_current_segment(five) -> None:
    """However old it is, and whatever position is given."""
    os.utime(segment.path(five, 5), (OLD, OLD))
    assert expire(five, Position(9, 0), CUTOFF) == 4 * ONE
    assert segments(five) == [5]


def test_an_open_segment_is_sealed_before_it_may_go(directory, read_all) -> None:
    """A segment whose rotator died before the seal is not deleted, since writers may be at it; it is sealed, and goes the next time."""
    writer = Writer(directory)
    writer.append(b"one")
    segment.create(directory, 2)
    shared = Map(directory, writable=True)
    shared.publish(2)
    shared.close()
    later = time.time() + 60
    assert expire(directory, Position(2, 0), later) == 0
    with Segment(directory, 1) as old:
        assert old.has_seal(HEADER.size, old.size())
    assert expire(directory, Position(2, 0), later) > 0
    assert segments(directory) == [2]
    writer.close()


def test_overtake(five) -> None:
    """Above the cap the oldest go, young or not, until it is kept, and no more than that."""
    for number in segments(five):
        os.utime(segment.path(five, number))
    assert overtake(five, end(five), size(five)) == 0
    assert overtake(five, end(five), size(five) - 1) == ONE
    assert overtake(five, end(five), size(five) - ONE - 1) == 2 * ONE
    assert segments(five) == [4, 5]


def test_overtake_spares_those_who_must_read_all(five) -> None:
    """The cap is broken rather than a segment deleted that `record` or a learner has not passed."""
    assert overtake(five, Position(2, 50), 0) == ONE
    assert segments(five) == [2, 3, 4, 5]


def test_an_overtaken_reader_says_so(five, read_all) -> None:
    """A shadow that was inside a deleted segment goes on at the oldest there is."""
    overtake(five, end(five), 2 * ONE)
    reader = Reader(five, Position(1, HEADER.size))
    assert [entry.address.segment for entry in reader.read(10)] == [4, 5]
    assert reader.overtaken == 3
    reader.close()


def test_other_files_are_no_segments(five) -> None:
    """What else lies in the directory is neither counted nor deleted."""
    (five / "notes.seg").write_text("mine")
    assert segments(five) == [1, 2, 3, 4, 5]
