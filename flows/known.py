"""Immutable things that a reader asks for again and again: plans, version cards, logged predictions. Each is read once."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import sqlalchemy as sa

from core import events
from core.errors import NotFound
from core.events import Predicted
from core.ids import Address, VersionId, parse_version
from models.card import Card
from routing.plan import Plan
from store import plans, registry

_MOST = 20_000


class Known:
    """A cache over one store connection at a time; what is stored under a key never changes, so nothing is ever stale."""

    def __init__(self, pread: Callable[[Address], bytes] | None = None) -> None:
        self._pread = pread
        self._plans: dict[tuple[str, int], Plan] = {}
        self._cards: dict[VersionId, Card] = {}
        self._predictions: dict[Address, Predicted | None] = {}

    def plan(self, connection: sa.Connection, endpoint: str, number: int) -> Plan:
        """The plan with that number; raises NotFound."""
        found = self._plans.get((endpoint, number))
        if found is None:
            found = self._plans[endpoint, number] = decode_plan(plans.get(connection, endpoint, number).body)
        return found

    def card(self, connection: sa.Connection, version: str) -> Card:
        """The card of a version; raises NotFound."""
        key = parse_version(version)
        found = self._cards.get(key)
        if found is None:
            found = self._cards[key] = decode_card(registry.version_row(connection, key).card)
        return found

    def remember(self, address: Address, event: Predicted) -> None:
        """A prediction that was just read: its outcomes often follow at once."""
        if len(self._predictions) >= _MOST:
            self._predictions.clear()
        self._predictions[address] = event

    def prediction(self, address: Address) -> Predicted | None:
        """The prediction at that address; None where there is none (any more)."""
        if address not in self._predictions:
            found = self._read(address)
            if found is None:
                return None
            self.remember(address, found)
        return self._predictions[address]

    def _read(self, address: Address) -> Predicted | None:
        if self._pread is None:
            return None
        try:
            event = events.decode(self._pread(address))
        except (NotFound, msgspec.MsgspecError):
            return None
        return event if isinstance(event, Predicted) else None


_PLAN = msgspec.json.Decoder(Plan)
_CARD = msgspec.json.Decoder(Card)


def decode_plan(body: bytes) -> Plan:
    """The plan that `encode` wrote."""
    return _PLAN.decode(body)


def decode_card(card: bytes) -> Card:
    """The card that registration wrote."""
    return _CARD.decode(card)


encode = msgspec.json.encode
