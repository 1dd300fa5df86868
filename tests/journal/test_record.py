"""The bytes: what is a record and what is not."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import JournalError, TooLarge
from journal import record
from journal.record import HEAD, Salt, State, look, next_magic, next_whole, pack

SALT = record.new_salt()
NONCE = bytes(range(8))


@given(st.binary(max_size=2000), st.binary(min_size=8, max_size=8), st.binary(max_size=50))
def test_round_trip(payload: bytes, nonce: bytes, after: bytes) -> None:
    """A packed record is seen as whole, ends where it ends, and gives back payload and nonce."""
    data = pack(payload, nonce, SALT)
    assert look(data + after, 0, SALT) == (State.WHOLE, len(data))
    assert data[HEAD.size :] == payload
    assert HEAD.unpack_from(data)[3] == int.from_bytes(nonce, "little")


@given(st.binary(max_size=100), st.data())
def test_a_front_is_never_whole(payload: bytes, draw: st.DataObject) -> None:
    """A record cut anywhere may still be in the writing: it is SHORT, and says how much it waits for."""
    data = pack(payload, NONCE, SALT)
    cut = draw.draw(st.integers(0, len(data) - 1))
    state, end = look(data[:cut], 0, SALT)
    assert state is State.SHORT
    assert cut < end <= len(data)


@given(st.binary(max_size=100), st.data())
def test_a_flipped_bit_is_seen(payload: bytes, draw: st.DataObject) -> None:
    """No bit of a record can change unnoticed, header and nonce included."""
    data = bytearray(pack(payload, NONCE, SALT))
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    data[bit // 8] ^= 1 << bit % 8
    assert look(bytes(data), 0, SALT)[0] not in (State.WHOLE, State.SEAL)


@given(st.text())
def test_text_holds_no_magic(text: str) -> None:
    """No UTF-8 text contains a byte of the magic's beginning."""
    assert not set(SALT.magic[:2]) & set(text.encode("utf-8", "surrogatepass"))


def test_seal_is_no_record_and_no_record_is_a_seal() -> None:
    """The seal is a kind of its own, even beside an empty record with the nonce 0."""
    assert look(SALT.seal, 0, SALT) == (State.SEAL, len(SALT.seal))
    assert look(pack(b"", bytes(8), SALT), 0, SALT) == (State.WHOLE, HEAD.size)


def test_another_segments_bytes_are_nothing() -> None:
    """A record or a seal written under another salt is no record here."""
    other = Salt(SALT.magic, SALT.seed ^ 1)
    for foreign in (record.new_salt(), other):
        assert look(pack(b"payload", NONCE, foreign), 0, SALT)[0] is State.BROKEN
        assert look(foreign.seal, 0, SALT)[0] is State.BROKEN


def test_salts_differ() -> None:
    """Each segment draws its own magic and seed."""
    salts = {record.new_salt() for _ in range(50)}
    assert len({salt.magic for salt in salts}) == 50
    assert len({salt.seed for salt in salts}) > 45


def test_next_magic_keeps_a_front_at_the_end() -> None:
    """Bytes at the end that may become a magic are not passed over; those that cannot are."""
    for cut in range(1, 9):
        assert next_magic(b"xyz" + SALT.magic[:cut], 0, SALT) == 3
    assert next_magic(b"xyz", 0, SALT) == 3
    assert next_magic(SALT.magic + b"xyz", 1, SALT) == 11


def test_next_whole_steps_over_what_only_begins_like_one() -> None:
    """A magic with nothing right behind it does not stop the search, and the end of the data does."""
    whole = pack(b"payload", NONCE, SALT)
    assert next_whole(b"?" + SALT.magic + b"garbage of more than a head's length" + whole, 0, SALT) == 45
    assert next_whole(b"??" + SALT.seal, 0, SALT) == 2
    assert next_whole(whole[:-1], 0, SALT) is None


def test_a_length_beyond_the_limit_is_no_length() -> None:
    """A record that claims more than the largest payload is broken, not waited for."""
    head = SALT.magic + bytes(4) + (record.MAX_PAYLOAD + 1).to_bytes(4, "little") + NONCE
    assert look(head, 0, SALT)[0] is State.BROKEN


def test_too_large_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload above the limit is refused before anything is written."""
    monkeypatch.setattr(record, "MAX_PAYLOAD", 10)
    assert pack(bytes(10), NONCE, SALT)
    with pytest.raises(TooLarge, match="at most 10 bytes, got 11"):
        pack(bytes(11), NONCE, SALT)


def test_header() -> None:
    """A header gives its salt back; another file, half a header and another version are refused by name."""
    header = record.pack_header(SALT)
    assert record.read_header(header + os.urandom(5), "f") == SALT
    for bad in (b"", header[:-1], b"SQLite format 3\0" * 3):
        with pytest.raises(JournalError, match="f is no segment"):
            record.read_header(bad, "f")
    with pytest.raises(JournalError, match="format version 2, expected 1"):
        record.read_header(header.replace(b"\1\0\0\0", b"\2\0\0\0", 1), "f")
