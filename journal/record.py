"""The bytes of a segment, and how a whole record is told from a torn one.

    segment   header, then records end to end
    header    signature 8 │ version u32 │ seed u32 │ magic 8                    24 bytes
    record    magic 8 │ crc u32 │ length u32 │ nonce u64 │ payload              24 bytes and the payload
    seal      a record whose length field says FFFFFFFF: no payload, nonce 0    24 bytes, the same throughout a segment

Integers are little-endian. The CRC-32 covers length, nonce and payload and starts from the segment's seed. The magic
is two bytes that never occur in UTF-8 (F5 FA) and six random ones. Seed and magic are the segment's *salt*: drawn when
the segment is created, shown to no client. Payloads hold what clients sent, and a number there can be any eight bytes; without
the salt a client cannot write a feature that passes for a record, neither where a reader scans nor where a lookup is told to look.

How a record comes to be torn: a record is one `write` on an O_APPEND descriptor. Linux serialises those by the inode's lock,
copies the bytes before it moves the file's size over them, and lets the size grow by pages. So

- a reader may see the front of a record whose rest is still being written, but only as the last bytes of the file;
- a writer that is killed, or meets a full disk, leaves the front of a record for good, and what others append follows it;
- hence a whole record that stands after an incomplete one proves the earlier one torn, whatever length it claims,
  and an incomplete one with nothing whole behind it is not decided: a reader waits there.

What is not a record is passed over by looking for the next magic that begins a whole one.
"""

from __future__ import annotations

import os
import struct
from enum import Enum
from typing import NamedTuple
from zlib import crc32

from core.errors import JournalError, TooLarge

SIGNATURE = b"\xf5TILTYRD"
VERSION = 1
HEADER = struct.Struct("<8sII8s")
HEAD = struct.Struct("<8sIIQ")
"""Magic, CRC, length, nonce."""

MAX_PAYLOAD = 64 * 2**20
"""Bytes. A length above it is no length: it bounds what a reader buffers for one torn record."""

SUMMED = 12
"""Offset in a record of the bytes that the CRC covers."""

_MAGIC = b"\xf5\xfa"
_SEALED = 0xFFFFFFFF
_CRC = struct.Struct("<I")
_LENGTH = struct.Struct("<I")


class Salt(NamedTuple):
    """What makes the records of one segment its own: the magic they begin with, and the seed of their CRC."""

    magic: bytes
    seed: int

    @property
    def seal(self) -> bytes:
        """The seal of the segment, whole."""
        return _record(_LENGTH.pack(_SEALED) + bytes(8), self)


def new_salt() -> Salt:
    """A salt that nobody can guess."""
    return Salt(_MAGIC + os.urandom(6), int.from_bytes(os.urandom(4)))


def pack_header(salt: Salt) -> bytes:
    """The header of a new segment."""
    return HEADER.pack(SIGNATURE, VERSION, salt.seed, salt.magic)


def read_header(data: bytes, name: str) -> Salt:
    """The salt of the segment that begins with `data`; raises JournalError where that is no segment of this version."""
    if len(data) < HEADER.size or not data.startswith(SIGNATURE):
        raise JournalError(f"journal: {name} is no segment: expected a header of {HEADER.size} bytes")
    _, version, seed, magic = HEADER.unpack_from(data)
    if version != VERSION:
        raise JournalError(f"journal: {name} has format version {version}, expected {VERSION}")
    return Salt(magic, seed)


def pack(payload: bytes, nonce: bytes, salt: Salt) -> bytes:
    """The record of `payload` with the 8 bytes of `nonce`; raises TooLarge above MAX_PAYLOAD."""
    if len(payload) > MAX_PAYLOAD:
        raise TooLarge(f"journal: expected a record of at most {MAX_PAYLOAD} bytes, got {len(payload)}")
    return _record(_LENGTH.pack(len(payload)) + nonce + payload, salt)


def _record(summed: bytes, salt: Salt) -> bytes:
    return salt.magic + _CRC.pack(crc32(summed, salt.seed)) + summed


class State(Enum):
    """What stands at a place in a segment."""

    WHOLE = "a record"
    SEAL = "the seal"
    SHORT = "what may be the front of a record"
    BROKEN = "no record"


def look(data: bytes, at: int, salt: Salt) -> tuple[State, int]:
    """What stands at index `at` of `data`, and the index where it ends (SHORT: would end, as far as can be told)."""
    head = data[at : at + HEAD.size]
    if len(head) < HEAD.size:
        front = head.startswith(salt.magic) or salt.magic.startswith(head)
        return (State.SHORT, at + HEAD.size) if front else (State.BROKEN, at)
    magic, crc, length, _ = HEAD.unpack(head)
    if length == _SEALED and head == salt.seal:
        return State.SEAL, at + HEAD.size
    end = at + HEAD.size + length
    if magic != salt.magic or length > MAX_PAYLOAD:
        return State.BROKEN, at
    if end > len(data):
        return State.SHORT, end
    return (State.WHOLE if crc32(data[at + SUMMED : end], salt.seed) == crc else State.BROKEN), end


def next_magic(data: bytes, start: int, salt: Salt) -> int:
    """The first index from `start` on where a record may begin, be it with a front of the magic at the end of `data`."""
    found = data.find(salt.magic, start)
    if found >= 0:
        return found
    tail = range(max(start, len(data) - len(salt.magic) + 1), len(data))
    return next((at for at in tail if salt.magic.startswith(data[at:])), len(data))


def next_whole(data: bytes, start: int, salt: Salt) -> int | None:
    """The first index from `start` on where a whole record or a seal begins; None where there is none."""
    at = data.find(salt.magic, start)
    while at >= 0:
        if look(data, at, salt)[0] in (State.WHOLE, State.SEAL):
            return at
        at = data.find(salt.magic, at + 1)
    return None
