"""The codec of events: what was written is read, by this Tiltyard and by the next one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import events
from core.events import ENROLLED, FALLBACK, FORCED, PINNED, Event, Observed, Predicted, Tick, Unlogged
from core.values import Output

NUMBERS = st.floats(allow_nan=False)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.none() | st.booleans() | INTEGERS | NUMBERS | TEXTS
LABELS = st.booleans() | INTEGERS | NUMBERS | TEXTS
OUTPUTS = st.one_of(
    st.builds(Output, value=NUMBERS),
    st.builds(Output, label=LABELS),
    st.builds(Output, label=LABELS, probabilities=st.dictionaries(TEXTS, NUMBERS, max_size=3)),
)
EVENTS = st.one_of(
    st.builds(
        Predicted,
        at=NUMBERS,
        endpoint=TEXTS,
        plan=st.integers(1, 2**31),
        unit=st.none() | TEXTS,
        arm=TEXTS,
        propensity=NUMBERS,
        version=TEXTS,
        flags=st.integers(0, 15),
        rows=st.lists(st.lists(VALUES, max_size=4), max_size=3),
        outputs=st.lists(OUTPUTS, max_size=3),
        latency=NUMBERS,
        context=st.none() | st.dictionaries(TEXTS, TEXTS, max_size=3),
    ),
    st.builds(
        Observed,
        at=NUMBERS,
        prediction=st.none() | TEXTS,
        endpoint=st.none() | TEXTS,
        unit=st.none() | TEXTS,
        metric=TEXTS,
        value=LABELS,
        timestamp=NUMBERS,
        id=st.none() | TEXTS,
    ),
    st.builds(Unlogged, at=NUMBERS, endpoint=TEXTS, plan=st.integers(1, 9), arm=TEXTS, count=st.integers(1, 2**40)),
    st.builds(Tick, at=NUMBERS),
)


@given(EVENTS)
def test_round_trip(event: Event) -> None:
    """Every event is read as it was written, its values with their types."""
    found = events.decode(events.encode(event))
    assert found == event
    assert repr(found) == repr(event)


OLD = {
    "a prediction": (
        [
            "p",
            1.5,
            "credit",
            2,
            "u",
            "control",
            0.9,
            "m@1",
            1,
            [[1.0, None, "x", True]],
            [{"label": "a", "probabilities": {"a": 1.0}}],
            0.01,
        ],
        Predicted(
            1.5,
            "credit",
            2,
            "u",
            "control",
            0.9,
            "m@1",
            ENROLLED,
            [[1.0, None, "x", True]],
            [Output(label="a", probabilities={"a": 1.0})],
            0.01,
        ),
    ),
    "an outcome": (
        ["o", 1.5, None, "credit", "u", "revenue", 2.5, 1.0, None],
        Observed(1.5, None, "credit", "u", "revenue", 2.5, 1.0, None),
    ),
    "what was not logged": (["u", 1.5, "credit", 2, "control", 7], Unlogged(1.5, "credit", 2, "control", 7)),
    "a tick": (["t", 1.5], Tick(1.5)),
}


@pytest.mark.parametrize(("record", "event"), OLD.values(), ids=OLD)
def test_the_bytes_of_version_one_stay_readable(record: list[object], event: Event) -> None:
    """The order of fields is the format: a journal of the first release is read by every later one."""
    assert events.decode(msgspec.msgpack.encode(record)) == event


@pytest.mark.parametrize("event", [event for _, event in OLD.values()], ids=list(OLD))
def test_fields_of_a_later_release_are_passed_over(event: Event) -> None:
    """New fields go to the end, so a worker that is a release behind still reads what it knows."""
    record = msgspec.msgpack.decode(events.encode(event))
    assert events.decode(msgspec.msgpack.encode([*record, "new"])) == event


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"garbage", msgspec.msgpack.encode(["x", 1.0]), msgspec.msgpack.encode(["t"])])
def test_other_bytes_are_no_event(payload: bytes) -> None:
    """What is no event is said to be none, by an exception that readers catch."""
    with pytest.raises(msgspec.MsgspecError):
        events.decode(payload)


def test_flags_are_independent() -> None:
    """A row can carry any of the marks together."""
    assert len({ENROLLED, FALLBACK, FORCED, PINNED, ENROLLED | FALLBACK | FORCED | PINNED}) == 5
    assert ENROLLED & FALLBACK == FORCED & PINNED == ENROLLED & FORCED == 0
