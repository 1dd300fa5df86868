"""Time: seconds since the epoch as floats inside, RFC 3339 in UTC outside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

from core.errors import Invalid

Clock: TypeAlias = Callable[[], float]
"""Returns seconds since the epoch; `time.time` in production, a counter in tests."""


def to_rfc3339(seconds: float) -> str:
    """`2026-05-03T12:00:00.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_rfc3339(text: str, field: str = "timestamp") -> float:
    """Seconds since the epoch; raises Invalid when `text` is no RFC 3339 time with an offset."""
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or "T" not in text.upper():
        raise Invalid(f"{field}: expected an RFC 3339 time such as 2026-05-03T12:00:00Z, got {text[:60]!r}", field=field)
    try:
        return moment.timestamp()
    except (OverflowError, ValueError):
        raise Invalid(f"{field}: {text[:60]!r} is outside the range of dates", field=field) from None
