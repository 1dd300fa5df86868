"""Times: RFC 3339 in UTC outside, seconds inside."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import from_rfc3339, to_rfc3339
from core.errors import Invalid


@given(st.integers(0, 4_000_000_000_000))
def test_round_trip_to_the_millisecond(milliseconds: int) -> None:
    """A time is read as it was shown."""
    assert from_rfc3339(to_rfc3339(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01t00:00:10z", 10.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T00:00:00.25Z", 0.25),
        ("2026-05-03T12:00:00Z", 1777809600.0),
    ],
)
def test_forms_that_clients_send(text: str, seconds: float) -> None:
    """Any offset and any fraction is understood."""
    assert from_rfc3339(text) == seconds


def test_how_a_time_is_shown() -> None:
    """In UTC with milliseconds and a Z."""
    assert to_rfc3339(1777809600.5) == "2026-05-03T12:00:00.500Z"


@pytest.mark.parametrize(
    "text", ["", "now", "2026-05-03", "2026-05-03T12:00:00", "2026-05-03 12:00:00Z", "2026-13-03T12:00:00Z", "1e9", "\0"]
)
def test_what_is_no_time(text: str) -> None:
    """A time without an offset, or no time at all, is refused with the field and an example."""
    with pytest.raises(Invalid, match=r"^since: expected an RFC 3339 time such as") as caught:
        from_rfc3339(text, "since")
    assert caught.value.field == "since"


@given(st.text(max_size=40))
def test_never_another_exception(text: str) -> None:
    """Whatever text comes: a number, or Invalid."""
    with suppress(Invalid):
        assert isinstance(from_rfc3339(text), float)
