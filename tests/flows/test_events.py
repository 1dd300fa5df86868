"""Posted events of streams: all of a post or nothing, each wrong field by name."""

from __future__ import annotations

from typing import Any

import pytest

from core import events
from core.clock import to_rfc3339
from core.errors import Invalid, NotFound, TooLarge
from core.events import Streamed
from core.ids import Address
from flows.events import EventPost, Quay, accept
from flows.intake import Accepted

NOW = 1_000_000.0


class Pier:
    """Takes what is appended."""

    def __init__(self) -> None:
        self.taken: list[object] = []
        self.quay = Quay(self._append, lambda: NOW, {"clicks"}, 3)

    def _append(self, payload: bytes) -> Address:
        self.taken.append(events.decode(payload))
        return Address(1, 0, 0)


@pytest.fixture
def pier() -> Pier:
    """Where up to three events of the stream `clicks` are taken at once."""
    return Pier()


def test_an_event_is_appended_as_it_is(pier: Pier) -> None:
    """Values of every scalar type keep their types; without a timestamp it happens as it comes."""
    values: dict[str, Any] = {"a": 1, "b": 1.5, "c": True, "d": "x", "e": None}
    assert accept("clicks", [EventPost(values), EventPost({"a": 2}, to_rfc3339(NOW - 60.0), "i")], pier.quay) == Accepted(2, 0)
    assert pier.taken == [Streamed(NOW, "clicks", values, NOW, None), Streamed(NOW, "clicks", {"a": 2}, NOW - 60.0, "i")]
    first = pier.taken[0]
    assert isinstance(first, Streamed)
    assert [type(value) for value in first.values.values()] == [int, float, bool, str, type(None)]


def test_an_id_counts_once_in_a_post(pier: Pier) -> None:
    """Of the events with one id in a post the first is kept; those without an id are all kept."""
    found = accept("clicks", [EventPost({"a": 1}, id="i"), EventPost({"a": 2}, id="i"), EventPost({"a": 1})], pier.quay)
    assert found == Accepted(2, 1)
    assert [one.values["a"] for one in pier.taken if isinstance(one, Streamed)] == [1, 1]


@pytest.mark.parametrize(
    ("post", "field"),
    [
        (EventPost({}), "values"),
        (EventPost({f"f{n}": 1 for n in range(51)}), "values"),
        (EventPost({"": 1}), "values."),
        (EventPost({"a\n": 1}), "values.a\n"),
        (EventPost({"a": "x" * 1001}), "values.a"),
        (EventPost({"a": 2**63}), "values.a"),
        (EventPost({"a": float("inf")}), "values.a"),
        (EventPost({"a": 1}, id=""), "id"),
        (EventPost({"a": 1}, "now"), "timestamp"),
        (EventPost({"a": 1}, to_rfc3339(NOW + 301.0)), "timestamp"),
    ],
)
def test_a_wrong_event_is_refused_with_all_its_post(pier: Pier, post: EventPost, field: str) -> None:
    """Nothing of the post is kept, and the field is named, in a list by the event's place."""
    with pytest.raises(Invalid) as alone:
        accept("clicks", [post], pier.quay)
    assert alone.value.field == field
    with pytest.raises(Invalid) as second:
        accept("clicks", [EventPost({"a": 1}), post], pier.quay)
    assert second.value.field == f"[1].{field}"
    assert second.value.message.startswith(f"[1].{field}")
    assert pier.taken == []


def test_no_events_too_many_and_of_no_stream(pier: Pier) -> None:
    """A post has at least one event and at most as many as are allowed, of a stream that a view is computed from."""
    with pytest.raises(Invalid):
        accept("clicks", [], pier.quay)
    with pytest.raises(TooLarge):
        accept("clicks", [EventPost({"a": 1})] * 4, pier.quay)
    with pytest.raises(NotFound) as unknown:
        accept("klicks", [EventPost({"a": 1})], pier.quay)
    assert (unknown.value.code, unknown.value.field) == ("stream-not-found", "stream")
    assert pier.taken == []
