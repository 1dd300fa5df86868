"""Take events of a stream: validate all → append all → the caller waits until they are durable. Nothing of a refused post is kept."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

import msgspec

from core.clock import Clock
from core.errors import Invalid, NotFound
from core.events import Streamed
from core.ids import Address, check_key
from core.values import Value
from flows import intake
from flows.intake import Accepted

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
    now = quay.clock()
    found = intake.checked(posts, lambda post: check(stream, post, now), quay.most, "events")
    return intake.append(found, quay.append, lambda one: one.id)


def check(stream: str, post: EventPost, now: float) -> Streamed:
    """The event that came at `now`; raises Invalid naming the field."""
    if not 0 < len(post.values) <= MOST_FIELDS:
        raise Invalid(f"values: expected 1 to {MOST_FIELDS} fields, got {len(post.values)}", field="values")
    for name, value in post.values.items():
        check_key(name, f"values.{name[:100]}")
        if value is not None:
            intake.check_value(value, f"values.{name}", MOST_TEXT, "text")
    if post.id is not None:
        check_key(post.id, "id")
    return Streamed(now, stream, post.values, intake.happened(post.timestamp, now), post.id)
