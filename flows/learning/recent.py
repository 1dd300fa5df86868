"""The predictions that were just read, undecoded: most labels come soon after, and most predictions are never asked for."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from core import events
from core.errors import NotFound
from core.events import Predicted
from core.ids import Address

MOST_BYTES = 64 * 2**20
"""Of payloads that are kept."""

_OVERHEAD = 300
"""Bytes that an entry of a dictionary, its key and the head of its value take."""

_MOST_DECODED = 64


class Recent:
    """Finds predictions by address: among those that were read lately, else by `pread` in the journal.

    There are two generations: when the younger has its half of the bytes, the older is forgotten.
    """

    def __init__(self, pread: Callable[[Address], bytes], most_bytes: int = MOST_BYTES) -> None:
        self._pread = pread
        self._most = most_bytes // 2
        self._young: dict[Address, bytes] = {}
        self._old: dict[Address, bytes] = {}
        self._bytes = 0
        self._decoded: dict[Address, Predicted] = {}

    def keep(self, address: Address, payload: bytes) -> None:
        """A prediction as it was read."""
        self._young[address] = payload
        self._bytes += len(payload) + _OVERHEAD
        if self._bytes > self._most:
            self._old, self._young, self._bytes = self._young, {}, 0

    def get(self, address: Address) -> Predicted | None:
        """The prediction at that address; None where there is none (any more)."""
        found = self._decoded.get(address)
        return self._find(address) if found is None else found

    def holds(self, address: Address) -> bool:
        """Whether a prediction stands at that address: cheaper than to get it, where it was read lately."""
        return address in self._young or address in self._old or self.get(address) is not None

    def _find(self, address: Address) -> Predicted | None:
        payload = self._young.get(address) or self._old.get(address)
        try:
            event = events.decode(self._pread(address) if payload is None else payload)
        except (NotFound, msgspec.MsgspecError):
            return None
        if not isinstance(event, Predicted):
            return None
        if len(event.rows) > 1:
            # Its labels come one by one, and often in a row.
            if len(self._decoded) >= _MOST_DECODED:
                self._decoded.clear()
            self._decoded[address] = event
        return event
