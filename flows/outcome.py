"""Take outcomes: validate all → append all → the caller waits until they are durable. Nothing of a refused post is kept."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from core.clock import Clock
from core.errors import Invalid
from core.events import Observed
from core.ids import Address, check_key, check_name, parse_prediction_id
from core.values import Label
from experiments.metric import LABEL
from flows import intake
from flows.intake import Accepted

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
    now = desk.clock()
    return append(intake.checked(posts, lambda post: check(post, now, desk.endpoints), desk.max_outcomes, "outcomes"), desk.append)


def append(observed: Iterable[Observed], write: Callable[[bytes], Address]) -> Accepted:
    """Append checked outcomes, of those that are the same only the first."""
    return intake.append(observed, write, _identity)


def check(post: OutcomePost, now: float, endpoints: Container[str]) -> Observed:
    """The outcome as an event that arrived at `now`; raises Invalid naming the field."""
    _check_subject(post, endpoints)
    check_name(post.metric, "metric")
    _check_value(post.metric, post.value)
    if post.id is not None:
        check_key(post.id, "id")
    timestamp = intake.happened(post.timestamp, now)
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
    intake.check_value(value, field, _MAX_LABEL, "label")


def _identity(one: Observed) -> Hashable | None:
    if one.id is not None:
        return one.endpoint, one.prediction, one.metric, one.id
    if one.metric == LABEL and one.prediction is not None:
        return parse_prediction_id(one.prediction)
    return None
