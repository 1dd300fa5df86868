"""What outcomes, events and examples have in common as they come in: validate all → append all → the caller waits until they are durable.

Nothing of a refused post is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import msgspec

from core import events
from core.clock import from_rfc3339
from core.errors import Invalid, TooLarge
from core.events import Event
from core.ids import Address
from core.values import Label

AHEAD_SECONDS = 300.0
"""How far a timestamp may lie ahead of this clock."""

P = TypeVar("P")
E = TypeVar("E", bound=Event)


class Accepted(msgspec.Struct, frozen=True):
    """How many of a post were appended, and how many repeated another of it."""

    accepted: int
    duplicates: int


def checked(posts: Sequence[P], check: Callable[[P], E], most: int, what: str) -> list[E]:
    """All of a post as events. Raises TooLarge, or Invalid naming the first wrong one and its field (`[3].value`).

    `what` they are, in the plural.
    """
    if not posts:
        raise Invalid(f"expected at least one {what[:-1]}, got an empty list", field=what)
    if len(posts) > most:
        raise TooLarge(f"expected at most {most} {what} in one post, got {len(posts)}", field=what)
    found = []
    for index, post in enumerate(posts):
        try:
            found.append(check(post))
        except Invalid as error:
            where = f"[{index}]." if len(posts) > 1 else ""
            raise Invalid(where + error.message, field=where + (error.field or ""), code=error.code) from None
    return found


def append(found: Iterable[E], write: Callable[[bytes], Address], identity: Callable[[E], Hashable | None]) -> Accepted:
    """Append checked events, of those with one identity only the first. Durable only once the journal has been committed.

    Raises JournalError.
    """
    seen: set[Hashable] = set()
    accepted = duplicates = 0
    for one in found:
        key = identity(one)
        if key is not None:
            if key in seen:
                duplicates += 1
                continue
            seen.add(key)
        write(events.encode(one))
        accepted += 1
    return Accepted(accepted, duplicates)


def happened(timestamp: str | None, now: float) -> float:
    """When it happened, in seconds since the epoch: `now` where that is not told. Raises Invalid on what is no time, or lies ahead."""
    if timestamp is None:
        return now
    at = from_rfc3339(timestamp)
    if at > now + AHEAD_SECONDS:
        raise Invalid(f"timestamp: {timestamp} is more than {AHEAD_SECONDS:.0f} seconds ahead of the server's clock", field="timestamp")
    return at


def check_value(value: Label, field: str, most: int, what: str) -> None:
    """Raises Invalid where it cannot be kept: a text of more than `most` characters, a number that is not finite or beyond 64 bits.

    `what` such a text is called.
    """
    if isinstance(value, str):
        if len(value) > most:
            raise Invalid(f"{field}: expected a {what} of at most {most} characters, got {len(value)}", field=field)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Invalid(f"{field}: expected a number within 64 bits", field=field)
    elif not math.isfinite(value):
        raise Invalid(f"{field}: expected a finite number", field=field)
