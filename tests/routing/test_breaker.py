"""The breaker of an arm: when it opens, how it probes, when it closes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.breaker import LONGEST_SECONDS, PROBES, Breaker, Limits

LIMITS = Limits(calls=10, share=0.5, slow_seconds=1.0, open_seconds=5.0)


class Arm:
    """A breaker, and calls through it one after another at a time that the test sets."""

    def __init__(self, *, has_fallback: bool = True) -> None:
        self.breaker = Breaker(LIMITS, has_fallback=has_fallback)
        self.now = 100.0

    def call(self, *, ok: bool = True, late: float = 0.0, slow: bool = False) -> bool:
        """Whether the model was asked."""
        ticket = self.breaker.admit(self.now)
        if not ticket:
            return False
        if ok:
            self.breaker.succeed(ticket, self.now, late)
        else:
            self.breaker.fail(ticket, self.now, "broke", slow=slow)
        return True

    def open(self) -> None:
        """Let it open."""
        while self.breaker.state != "open":
            self.call(ok=False, slow=True)

    @property
    def state(self) -> str:
        """The breaker's."""
        return self.breaker.state


@pytest.mark.parametrize(
    ("calls", "state"), [("x" * 9, "closed"), ("x" * 10, "open"), (".x" * 5, "open"), ("." + ".x" * 4 + ".", "closed")]
)
def test_it_opens_where_half_of_the_last_calls_fail(calls: str, state: str) -> None:
    """But not before so many were made, and not one failure earlier."""
    arm = Arm()
    for each in calls:
        arm.call(ok=each == ".")
    assert arm.state == state


def test_what_lies_far_back_does_not_count() -> None:
    """Failures that good calls have followed are forgotten."""
    arm = Arm()
    for each in "xxxx" + "." * 6 + "xxxx" + "." * 6:
        arm.call(ok=each == ".")
    assert arm.state == "closed"


def test_slow_answers_open_it() -> None:
    """An answer that came too late is as bad as none; the reason says by how much."""
    arm = Arm()
    for _ in range(9):
        arm.call(late=1.5)
    assert arm.state == "closed"
    arm.call(late=1.5)
    assert (arm.state, arm.breaker.reason) == ("open", "it took 1.5 s longer than it should")
    assert not arm.call()


@pytest.mark.parametrize(("slow", "state"), [(False, "closed"), (True, "open")])
def test_without_a_fallback_only_time_counts(slow: bool, state: str) -> None:
    """One client whose rows control cannot take shuts out nobody; a control that hangs is not asked any more."""
    arm = Arm(has_fallback=False)
    for _ in range(50):
        arm.call(ok=False, slow=slow)
    assert arm.state == state


def test_one_probe_at_a_time() -> None:
    """While it is open nobody asks; then one does, and until its end no other."""
    arm = Arm()
    arm.open()
    arm.now += 4.9
    assert not arm.call()
    arm.now += 0.1
    probe = arm.breaker.admit(arm.now)
    assert (probe > 0, arm.state, arm.call()) == (True, "half-open", False)
    arm.breaker.succeed(probe, arm.now, 0.0)
    assert arm.call()


def test_good_probes_in_a_row_close_it() -> None:
    """And it begins anew: as many calls must be bad again before it opens."""
    arm = Arm()
    arm.open()
    arm.now += 5.0
    for _ in range(PROBES):
        assert arm.state != "closed"
        assert arm.call()
    assert (arm.state, arm.breaker.reason) == ("closed", "")
    for _ in range(9):
        arm.call(ok=False)
    assert arm.state == "closed"


def test_a_bad_probe_opens_it_for_longer() -> None:
    """Twice as long each time, up to a bound; closing forgets that."""
    arm = Arm()
    arm.open()
    for seconds in (5.0, 10.0, 20.0, 40.0, LONGEST_SECONDS, LONGEST_SECONDS):
        arm.now += seconds - 0.1
        assert not arm.call(ok=False)
        arm.now += 0.1
        assert arm.call(ok=False)
        assert arm.state == "open"
    arm.now += LONGEST_SECONDS
    for _ in range(PROBES):
        arm.call()
    arm.open()
    arm.now += 5.0
    assert arm.call()


def test_who_was_asked_before_it_opened_has_no_say() -> None:
    """A late answer of an earlier call closes nothing, and a late failure prolongs nothing."""
    arm = Arm()
    tickets = [arm.breaker.admit(arm.now) for _ in range(20)]
    arm.open()
    arm.now += 5.0
    probe = arm.breaker.admit(arm.now)
    for ticket in tickets:
        arm.breaker.succeed(ticket, arm.now, 0.0)
        arm.breaker.fail(ticket, arm.now, "late", slow=True)
    assert arm.state == "half-open"
    arm.breaker.succeed(probe, arm.now, 0.0)
    assert arm.call()


def test_a_probe_that_was_not_made_or_is_lost_leaves_room_for_the_next() -> None:
    """One that is given back at once, one of which nothing is heard after as long as it was open at first."""
    arm = Arm()
    arm.open()
    arm.now += 5.0
    arm.breaker.give_back(arm.breaker.admit(arm.now), arm.now)
    lost = arm.breaker.admit(arm.now)
    assert lost
    assert not arm.breaker.admit(arm.now + 4.9)
    assert arm.breaker.admit(arm.now + 5.0)
    arm.breaker.fail(lost, arm.now + 5.0, "late", slow=True)
    assert arm.state == "half-open"


@given(st.lists(st.tuples(st.sampled_from(["good", "bad", "late", "given back"]), st.floats(0.0, 20.0)), max_size=200))
def test_whatever_happens_it_asks_again(history: list[tuple[str, float]]) -> None:
    """After any history a model that is well again is asked within the longest time, and then closes it."""
    arm = Arm()
    for what, seconds in history:
        arm.now += seconds
        ticket = arm.breaker.admit(arm.now)
        if what == "given back":
            arm.breaker.give_back(ticket, arm.now)
        elif ticket:
            arm.call(ok=what == "good", late=2.0 if what == "late" else 0.0)
    arm.now += LONGEST_SECONDS
    for _ in range(PROBES):
        assert arm.call()
    assert arm.state == "closed"
