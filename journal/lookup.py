"""From an address to its record: how a label finds the features of its prediction."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import NotFound
from core.ids import Address
from journal.record import HEAD, HEADER, Salt, State, look, read_header
from journal.segment import path

_GUESS = 4096
"""Bytes read at first; nearly every record ends within them."""


class Lookup:
    """Gets single records of the journal in `directory`.

    It keeps no descriptors, since they would keep the space of expired segments: opening a file costs less than 1 µs. What is
    kept is each segment's salt.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._salts: dict[int, Salt] = {}

    def get(self, address: Address) -> bytes:
        """The payload of the record at `address`; raises NotFound where there is none, or one with another nonce.

        A void record behind a seal would be returned, but nobody can name it: its nonce was told to no one.
        """
        try:
            fd = os.open(path(self._directory, address.segment), os.O_RDONLY)
        except FileNotFoundError:
            self._salts.pop(address.segment, None)
            raise _missing(address) from None
        try:
            return self._read(fd, address)
        finally:
            os.close(fd)

    def _read(self, fd: int, address: Address) -> bytes:
        salt = self._salts.get(address.segment)
        if salt is None:
            name = path(self._directory, address.segment).name
            salt = self._salts[address.segment] = read_header(os.pread(fd, HEADER.size, 0), name)
        data = os.pread(fd, _GUESS, address.offset)
        state, end = look(data, 0, salt)
        if state is State.SHORT and end > _GUESS:
            data = os.pread(fd, end, address.offset)
            state, end = look(data, 0, salt)
        if state is not State.WHOLE or HEAD.unpack_from(data)[3] != address.nonce:
            raise _missing(address)
        return data[HEAD.size : end]


def _missing(address: Address) -> NotFound:
    return NotFound(f"prediction_id: no record stands at byte {address.offset} of segment {address.segment} under this id")
