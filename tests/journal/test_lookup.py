"""From addresses to records, true addresses and others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import NotFound
from core.ids import Address
from journal import record, segment
from journal.lookup import Lookup
from journal.rotation import rotate
from journal.segment import Segment
from journal.writer import Writer

Written = dict[Address, bytes]


@pytest.fixture
def written(directory: Path) -> Written:
    """Records of many sizes over three segments."""
    writer = Writer(directory)
    found = {}
    for number in (1, 2, 3):
        for size in (0, 1, 300, 4071, 4072, 4073, 100_000):
            payload = os.urandom(size)
            found[writer.append(payload)] = payload
        if number < 3:
            rotate(directory, number)
    writer.close()
    return found


def test_every_address(directory, written: Written) -> None:
    """Each address that append answered gives its record, in any order, to a lookup that is as old as it may be."""
    lookup = Lookup(directory)
    for _ in range(2):
        for address, payload in reversed(written.items()):
            assert lookup.get(address) == payload


def test_what_is_appended_later(directory, written: Written) -> None:
    """A lookup sees what was appended a moment ago, also in segments that did not exist when it was opened."""
    lookup = Lookup(directory)
    writer = Writer(directory)
    assert lookup.get(writer.append(b"now")) == b"now"
    rotate(directory, 3)
    assert lookup.get(writer.append(b"then")) == b"then"
    writer.close()


def test_wrong_nonce(directory, written: Written) -> None:
    """A place is not enough: with another nonce there is no record."""
    lookup = Lookup(directory)
    for address in written:
        with pytest.raises(NotFound, match="no record stands at byte"):
            lookup.get(address._replace(nonce=address.nonce ^ 1))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(segment=st.integers(0, 5) | st.integers(0, 2**32 - 1), offset=st.integers(0, 5000) | st.integers(0, 2**48 - 1))
def test_garbage(directory, written: Written, segment: int, offset: int) -> None:
    """Whatever address a client makes up is not found, without any other error."""
    if (segment, offset) not in {address[:2] for address in written}:
        with pytest.raises(NotFound):
            Lookup(directory).get(Address(segment, offset, 0))


def test_garbled(directory, written: Written) -> None:
    """A record that has changed on the disk is not found, rather than given back changed."""
    name = segment.path(directory, 1)
    intact = name.read_bytes()
    for address, payload in written.items():
        if address.segment == 1 and payload:
            garbled = bytearray(intact)
            garbled[address.offset + record.HEAD.size + len(payload) - 1] ^= 4
            name.write_bytes(garbled)
            with pytest.raises(NotFound):
                Lookup(directory).get(address)


def test_torn_and_seal(directory, written: Written) -> None:
    """The front of a record is not found, nor is a seal."""
    lookup = Lookup(directory)
    with Segment(directory, 3) as last:
        at = last.size()
        os.write(last.fd, record.pack(b"torn", bytes(8), last.salt)[:-1])
    with Segment(directory, 2) as old:
        seal = old.size() - len(old.salt.seal)
    for number, offset in ((3, at), (2, seal)):
        with pytest.raises(NotFound):
            lookup.get(Address(number, offset, 0))


def test_a_forged_record_is_not_found(directory, written: Written) -> None:
    """An address inside a payload, where a client put what looks like a record, leads nowhere."""
    writer = Writer(directory)
    forged = record.pack(b"forged", (7).to_bytes(8, "little"), record.new_salt())
    host = writer.append(forged)
    writer.close()
    with pytest.raises(NotFound):
        Lookup(directory).get(Address(host.segment, host.offset + record.HEAD.size, 7))


def test_expired(directory, written: Written) -> None:
    """A record of a deleted segment is not found, also by a lookup that has read there before; the others are."""
    lookup = Lookup(directory)
    for address in written:
        lookup.get(address)
    segment.path(directory, 1).unlink()
    for address, payload in written.items():
        if address.segment == 1:
            with pytest.raises(NotFound):
                lookup.get(address)
        else:
            assert lookup.get(address) == payload


def test_no_journal(directory) -> None:
    """Where there is no journal there is no record."""
    with pytest.raises(NotFound):
        Lookup(directory).get(Address(1, 24, 0))
