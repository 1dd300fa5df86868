"""Search: versions of all models, in pages that stay in order while others are registered."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import to_rfc3339
from core.errors import Invalid
from core.ids import VersionId
from flows.registry import query
from flows.registry.states import state_of
from flows.registry.uses import Uses
from store import registry
from store.engine import Store
from store.search import After, Found, Order, search

NEWEST_FIRST = "-registered"


def search_versions(store: Store, text: str, sort: str, limit: int, after: str | None) -> dict[str, Any]:
    """A page of the versions that `text` describes, and what to give as `after` for the next one (None: there is none).

    Raises Invalid where the search, the order or `after` cannot be read.
    """
    conditions, order = query.parse(text), query.parse_order(sort)
    place = None if after is None else _place(after, order)
    with store.read() as connection:
        uses = Uses(connection)
        found = search(connection, conditions, order, place, limit + 1, uses.serving)
        shown = _shown(connection, found[:limit], uses)
    following = _cursor(order, found[limit - 1]) if len(found) > limit else None
    return {"versions": shown, "next": following}


def _shown(connection: sa.Connection, found: list[Found], uses: Uses) -> list[dict[str, Any]]:
    versions = [each.version for each in found]
    serving = uses.serving
    aliases = registry.aliases_of(connection, {version.model for version in versions})
    names = {version: [row.alias for row in aliases[version.model] if row.version == version] for version in versions}
    return [_told(each, names[each.version], serving=each.version in serving) for each in found]


def _told(found: Found, aliases: list[str], *, serving: bool) -> dict[str, Any]:
    return {
        "version": str(found.version),
        "state": state_of(found.marks, serving=serving),
        "aliases": aliases,
        "at": to_rfc3339(found.at),
        "by": found.by,
        "revision": found.revision,
        "task": found.task,
        "runtime": found.runtime,
        "about": msgspec.json.decode(found.about),
    }


def _cursor(order: Order, last: Found) -> str:
    return urlsafe_b64encode(msgspec.json.encode([order, last.value, last.version])).decode()


def _place(text: str, order: Order) -> After:
    """Where the page before ended; raises Invalid where it is none, or one of another order."""
    try:
        of, value, version = msgspec.json.decode(urlsafe_b64decode(text), type=tuple[Order, float | str, VersionId])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        of, value, version = Order(""), "", VersionId("", 0)
    if of != order or isinstance(value, str) != (order.by == "model") or not 0 < version.number < 2**31:
        raise Invalid("after: expected what the page before gave as next, for the same order", field="after")
    return After(value, version)
