"""Take outcomes: validate all → append all → the caller waits until they are durable. Nothing of a refused post is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

import msgspec

from core import events
from core.clock import Clock, from_rfc3339
from core.errors import Invalid, TooLarge
from core.events import Observed
from core.ids import Address, check_key, check_name, parse_prediction_id
from core.values import Label
from experiments.metric import LABEL

AHEAD_SECONDS = 300.0
"""How far a timestamp may lie ahead of this clock."""

_MAX_LABEL = 200


class OutcomePost(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One outcome as a client posts it."""

    metric: str
    value: Label
    prediction_id: str | None = None
    endpoint: str | None = None
    unit: str | None = None
    id: str | None = None
    timestamp: str | None = None


class Accepted(msgspec.Struct, frozen=True):
    """How many outcomes were appended, and how many of the post repeated another of it."""

    accepted: int
    duplicates: int


class Desk(NamedTuple):
    """What `accept` works with. `endpoints` are the names that exist."""

    append: Callable[[bytes], Address]
    clock: Clock
    endpoints: Container[str]
    max_outcomes: int


def accept(posts: Sequence[OutcomePost], desk: Desk) -> Accepted:
    """Append the outcomes to the journal; durable only once it has been committed.

    Raises Invalid naming the first wrong one and its field (`[3].value`), TooLarge, or JournalError.
    """
    if not posts:
        raise Invalid("expected at least one outcome, got an empty list", field="outcomes")
    if len(posts) > desk.max_outcomes:
        raise TooLarge(f"expected at most {desk.max_outcomes} outcomes in one post, got {len(posts)}", field="outcomes")
    now = desk.clock()
    return append(_checked(posts, now, desk.endpoints), desk.append)


def append(observed: Iterable[Observed], write: Callable[[bytes], Address]) -> Accepted:
    """Append checked outcomes, of those that are the same only the first."""
    seen: set[object] = set()
    accepted = duplicates = 0
    for one in observed:
        key = _identity(one)
        if key is not None and key in seen:
            duplicates += 1
            continue
        seen.add(key)
        write(events.encode(one))
        accepted += 1
    return Accepted(accepted, duplicates)


def _checked(posts: Sequence[OutcomePost], now: float, endpoints: Container[str]) -> list[Observed]:
    found = []
    for index, post in enumerate(posts):
        try:
            found.append(check(post, now, endpoints))
        except Invalid as error:
            where = f"[{index}]." if len(posts) > 1 else ""
            raise Invalid(where + error.message, field=where + (error.field or ""), code=error.code) from None
    return found


def check(post: OutcomePost, now: float, endpoints: Container[str]) -> Observed:
    """The outcome as an event that arrived at `now`; raises Invalid naming the field."""
    _check_subject(post, endpoints)
    check_name(post.metric, "metric")
    _check_value(post.metric, post.value)
    if post.id is not None:
        check_key(post.id, "id")
    timestamp = now if post.timestamp is None else from_rfc3339(post.timestamp)
    if timestamp > now + AHEAD_SECONDS:
        raise Invalid(
            f"timestamp: {post.timestamp} is more than {AHEAD_SECONDS:.0f} seconds ahead of the server's clock", field="timestamp"
        )
    return Observed(now, post.prediction_id, post.endpoint, post.unit, post.metric, post.value, timestamp, post.id)


def _check_subject(post: OutcomePost, endpoints: Container[str]) -> None:
    if post.prediction_id is not None:
        if post.endpoint is not None or post.unit is not None:
            raise Invalid("prediction_id: expected either prediction_id, or endpoint and unit, got both", field="prediction_id")
        parse_prediction_id(post.prediction_id)
        return
    if post.endpoint is None or post.unit is None:
        raise Invalid("prediction_id: expected either prediction_id, or endpoint and unit", field="prediction_id")
    if post.endpoint not in endpoints:
        raise Invalid(f"endpoint: no endpoint {post.endpoint[:100]!r}", field="endpoint", code="endpoint-not-found")
    check_key(post.unit, "unit")
    if post.metric == LABEL:
        raise Invalid("prediction_id: a label belongs to a prediction: expected its prediction_id", field="prediction_id")


def _check_value(metric: str, value: Label) -> None:
    if isinstance(value, str) and metric != LABEL:
        raise Invalid(f"value: expected a number for metric {metric!r}, got {value[:60]!r}", field="value")
    check_label(value, "value")


def check_label(value: Label, field: str) -> None:
    """Raises Invalid where `value` can be no true value: too long a text, a number that is not finite or beyond 64 bits."""
    if isinstance(value, str):
        if len(value) > _MAX_LABEL:
            raise Invalid(f"{field}: expected a label of at most {_MAX_LABEL} characters, got {len(value)}", field=field)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Invalid(f"{field}: expected a number within 64 bits", field=field)
    elif not math.isfinite(value):
        raise Invalid(f"{field}: expected a finite number", field=field)


def _identity(one: Observed) -> object | None:
    if one.id is not None:
        return one.endpoint, one.prediction, one.metric, one.id
    if one.metric == LABEL and one.prediction is not None:
        return parse_prediction_id(one.prediction)
    return None
