"""The circuit breaker of an arm: it says whether the arm's model may be asked, and is told what became of it.

Closed: the model is asked. Where too many of its last calls failed or were slow the breaker opens: nobody asks it for a while. Then it is
half-open: one request at a time asks it, as a probe. Enough good probes in a row close the breaker; a bad one opens it again, for longer.

It reads no clock and takes no lock: whoever asks says what time it is, and one thread does.
"""

from __future__ import annotations

from math import ceil
from typing import Final, Literal, NamedTuple, TypeAlias

State: TypeAlias = Literal["closed", "open", "half-open"]
STATES: Final[tuple[State, ...]] = ("closed", "open", "half-open")

PROBES: Final = 3
"""Good probes in a row that close a breaker."""
LONGEST_SECONDS: Final = 60.0
"""However often it has opened in a row, it stays open for no longer than this, or than its first time where that is longer."""


class Limits(NamedTuple):
    """What opens a breaker: `share` of the last `calls` failed, or took `slow_seconds` too long. It is open for `open_seconds` at first."""

    calls: int = 20
    share: float = 0.5
    slow_seconds: float = 1.0
    open_seconds: float = 5.0


DEFAULT_LIMITS: Final = Limits()


class Breaker:
    """One arm's. A call begins with `admit` and ends with one of `succeed`, `fail` and `give_back`. Closed they take 0.2 µs together.

    Without a fallback (control) a call that fails at once is no bad one: to refuse others for it would answer nobody, and let one client
    whose rows the model cannot take shut out all. What is slow counts: it holds what others need.
    """

    __slots__ = (
        "_bad",
        "_failures_count",
        "_fewest",
        "_limits",
        "_made",
        "_mask",
        "_openings",
        "_probes",
        "_turn",
        "_until",
        "reason",
        "state",
    )

    def __init__(self, limits: Limits, *, has_fallback: bool = True) -> None:
        self.state: State = "closed"
        self.reason = ""
        """Why it is not closed: the last bad call's."""
        self._limits = limits
        self._failures_count = has_fallback
        self._mask = (1 << limits.calls) - 1
        self._fewest = ceil(round(limits.share * limits.calls, 6))
        self._bad = 0
        self._made = 0
        self._turn = 1
        self._until = 0.0
        self._openings = 0
        self._probes = 0

    def admit(self, now: float) -> int:
        """A ticket for one call, to tell its end with; 0 where the model may not be asked. `now` in seconds, of a clock that only rises."""
        if self.state == "closed":
            return self._turn
        if now < self._until:
            return 0
        self.state = "half-open"
        self._turn += 1
        # A probe that nothing is heard of does not keep the next one away for good.
        self._until = now + self._limits.open_seconds
        return self._turn

    def succeed(self, ticket: int, now: float, late: float) -> None:
        """The model answered, `late` seconds later than its rows should take."""
        if late > self._limits.slow_seconds:
            self._tell_bad(ticket, now, f"it took {late:.3g} s longer than it should")
        else:
            self._tell_good(ticket, now)

    def fail(self, ticket: int, now: float, reason: str, *, slow: bool) -> None:
        """The model raised or answered nonsense; `slow` where it did not answer in time."""
        if slow or self._failures_count:
            self._tell_bad(ticket, now, reason)
        else:
            self._tell_good(ticket, now)

    def give_back(self, ticket: int, now: float) -> None:
        """The model was not asked after all, which says nothing of it."""
        if ticket == self._turn and self.state == "half-open":
            self._until = now

    def _tell_good(self, ticket: int, now: float) -> None:
        if ticket != self._turn:
            return  # it was asked before the breaker opened, or as a probe that was given up
        if self.state == "closed":
            self._bad = (self._bad << 1) & self._mask
            self._made += 1
            return
        self._probes += 1
        self._until = now
        if self._probes >= PROBES:
            self.state, self.reason = "closed", ""
            self._bad = self._made = self._openings = 0

    def _tell_bad(self, ticket: int, now: float, reason: str) -> None:
        if ticket != self._turn:
            return
        if self.state == "closed":
            self._bad = (self._bad << 1 | 1) & self._mask
            self._made += 1
            if self._made < self._limits.calls or self._bad.bit_count() < self._fewest:
                return
        self._open(now, reason)

    def _open(self, now: float, reason: str) -> None:
        first = self._limits.open_seconds
        self.state, self.reason = "open", reason
        self._until = now + min(first * 2.0 ** min(self._openings, 30), max(first, LONGEST_SECONDS))
        self._openings += 1
        self._probes = 0
        self._turn += 1  # what was asked before has no say any more
