"""Taking outcomes: all of a post or nothing, with the first wrong field named."""

from __future__ import annotations

import math
from typing import Any

import pytest

from core import events
from core.errors import Invalid, TiltyardError, TooLarge
from core.events import Event, Observed
from core.ids import Address
from flows.intake import AHEAD_SECONDS, Accepted
from flows.outcome import Desk, OutcomePost, accept

PREDICTION = "p1-18-0000000000000007"
NOW = 1777809600.0
GOOD: dict[str, Any] = {"metric": "revenue", "value": 1.5, "endpoint": "credit", "unit": "u"}
LABEL: dict[str, Any] = {"metric": "label", "value": "good", "prediction_id": PREDICTION}


def post(*given: dict[str, Any]) -> tuple[Accepted, list[Event]]:
    """What was accepted, and what was appended."""
    appended: list[Event] = []

    def append(payload: bytes) -> Address:
        appended.append(events.decode(payload))
        return Address(1, len(appended), 7)

    try:
        return accept([OutcomePost(**each) for each in given], Desk(append, lambda: NOW, {"credit"}, 5)), appended
    except TiltyardError:
        assert appended == []
        raise


def test_an_outcome_of_a_unit() -> None:
    """It is journalled with its arrival, which is its timestamp where it names none."""
    accepted, appended = post(GOOD)
    assert accepted == Accepted(1, 0)
    assert appended == [Observed(NOW, None, "credit", "u", "revenue", 1.5, NOW, None)]


def test_an_outcome_of_a_prediction() -> None:
    """A row's label with a time of its own."""
    _, appended = post({**LABEL, "prediction_id": PREDICTION + ".2", "timestamp": "2026-05-03T11:00:00Z", "id": "o1"})
    assert appended == [Observed(NOW, PREDICTION + ".2", None, None, "label", "good", NOW - 3600, "o1")]


def test_duplicates_within_a_post() -> None:
    """The same id, or a second label of one row, is counted and not appended; without identity each is new."""
    accepted, appended = post({**GOOD, "id": "1"}, {**GOOD, "id": "1"}, GOOD, GOOD, {**GOOD, "id": "2"})
    assert (accepted, len(appended)) == (Accepted(4, 1), 4)
    accepted, appended = post(LABEL, {**LABEL, "value": "bad"}, {**LABEL, "prediction_id": PREDICTION + ".1"})
    assert (accepted, len(appended)) == (Accepted(2, 1), 2)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no subject": ({"metric": "m", "value": 1}, "prediction_id"),
    "half a subject": ({"metric": "m", "value": 1, "unit": "u"}, "prediction_id"),
    "two subjects": ({**GOOD, "prediction_id": PREDICTION}, "prediction_id"),
    "no id": ({**LABEL, "prediction_id": "p1"}, "prediction_id"),
    "unknown endpoint": ({**GOOD, "endpoint": "none"}, "endpoint"),
    "unit": ({**GOOD, "unit": "a\nb"}, "unit"),
    "label of a unit": ({**GOOD, "metric": "label"}, "prediction_id"),
    "metric": ({**GOOD, "metric": "a b"}, "metric"),
    "text": ({**GOOD, "value": "much"}, "value"),
    "long label": ({**LABEL, "value": "x" * 201}, "value"),
    "NaN": ({**GOOD, "value": math.nan}, "value"),
    "infinite": ({**GOOD, "value": -math.inf}, "value"),
    "huge": ({**GOOD, "value": 2**63}, "value"),
    "key": ({**GOOD, "id": ""}, "id"),
    "no time": ({**GOOD, "timestamp": "yesterday"}, "timestamp"),
    "ahead": ({**GOOD, "timestamp": "2026-05-03T12:05:01Z"}, "timestamp"),
}


@pytest.mark.parametrize(("wrong", "field"), WRONG.values(), ids=WRONG)
def test_a_wrong_field(wrong: dict[str, Any], field: str) -> None:
    """It is named, alone and by its place in a list; nothing of the post is kept."""
    with pytest.raises(Invalid) as alone:
        post(wrong)
    with pytest.raises(Invalid) as listed:
        post(GOOD, wrong)
    assert (alone.value.field, listed.value.field) == (field, f"[1].{field}")
    assert listed.value.message == "[1]." + alone.value.message


def test_a_little_ahead() -> None:
    """Clocks differ: up to five minutes are taken."""
    _, [event] = post({**GOOD, "timestamp": "2026-05-03T12:05:00Z"})
    assert isinstance(event, Observed)
    assert event.timestamp == NOW + AHEAD_SECONDS


def test_sizes() -> None:
    """An empty post is Invalid, one above the limit TooLarge."""
    with pytest.raises(Invalid, match="at least one"):
        post()
    with pytest.raises(TooLarge, match="at most 5 outcomes in one post, got 6"):
        post(*[GOOD] * 6)
