"""Take events of a stream: validate all → append all → the caller waits until they are durable. Nothing of a refused post is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

import msgspec

from core import events
from core.clock import Clock, from_rfc3339
from core.errors import Invalid, NotFound, TooLarge
from core.events import Streamed
from core.ids import Address, check_key
from core.values import Value
from flows.outcome import AHEAD_SECONDS, Accepted

MOST_FIELDS = 50
MOST_TEXT = 1000
"""Characters of a field's value."""


class EventPost(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One event as a client posts it. Without a `timestamp` it happens as it comes."""

    values: dict[str, Value]
    timestamp: str | None = None
    id: str | None = None


class Quay(NamedTuple):
    """What `accept` works with. `streams` are the names that views have declared."""

    append: Callable[[bytes], Address]
    clock: Clock
    streams: Container[str]
    most: int


def accept(stream: str, posts: Sequence[EventPost], quay: Quay) -> Accepted:
    """Append the events to the journal; durable only once it has been committed. Of those with one id only the first is kept.

    Raises NotFound of a stream that no view has declared, Invalid naming the first wrong event and its field (`[3].values.amount`),
    TooLarge, or JournalError.
    """
    if stream not in quay.streams:
        raise NotFound(f"stream: no view computes anything from a stream {stream[:100]!r}", field="stream", code="stream-not-found")
    if not posts:
        raise Invalid("expected at least one event, got an empty list", field="events")
    if len(posts) > quay.most:
        raise TooLarge(f"expected at most {quay.most} events in one post, got {len(posts)}", field="events")
    now = quay.clock()
    checked = [_check(stream, post, now, f"[{index}]." if len(posts) > 1 else "") for index, post in enumerate(posts)]
    seen: set[str] = set()
    for one in checked:
        if one.id is None or one.id not in seen:
            quay.append(events.encode(one))
        if one.id is not None:
            seen.add(one.id)
    kept = sum(one.id is None for one in checked) + len(seen)
    return Accepted(kept, len(checked) - kept)


def _check(stream: str, post: EventPost, now: float, where: str) -> Streamed:
    try:
        return check(stream, post, now)
    except Invalid as error:
        raise Invalid(where + error.message, field=where + (error.field or ""), code=error.code) from None


def check(stream: str, post: EventPost, now: float) -> Streamed:
    """The event that came at `now`; raises Invalid naming the field."""
    if not 0 < len(post.values) <= MOST_FIELDS:
        raise Invalid(f"values: expected 1 to {MOST_FIELDS} fields, got {len(post.values)}", field="values")
    for name, value in post.values.items():
        check_key(name, f"values.{name[:100]}")
        _check_value(value, f"values.{name}")
    if post.id is not None:
        check_key(post.id, "id")
    timestamp = now if post.timestamp is None else from_rfc3339(post.timestamp)
    if timestamp > now + AHEAD_SECONDS:
        raise Invalid(
            f"timestamp: {post.timestamp} is more than {AHEAD_SECONDS:.0f} seconds ahead of the server's clock", field="timestamp"
        )
    return Streamed(now, stream, post.values, timestamp, post.id)


def _check_value(value: Value, where: str) -> None:
    if isinstance(value, str):
        if len(value) > MOST_TEXT:
            raise Invalid(f"{where}: expected a text of at most {MOST_TEXT} characters, got {len(value)}", field=where)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Invalid(f"{where}: expected a number within 64 bits", field=where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise Invalid(f"{where}: expected a finite number", field=where)
