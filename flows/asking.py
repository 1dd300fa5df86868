"""Ask: how one arm's model is asked for an answer, where it may fail, hang, or be asked by too many.

Its breaker says whether it is asked at all. What takes long goes to a native thread, with a time limit; what does not is done by the hub.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Protocol, TypeAlias

from core.errors import Crowded, ModelFailed, TimedOut
from core.values import Output, Value
from flows.serving import SLOW_SECONDS, ArmRoute
from models.failure import reason
from models.package import Loaded

BREAKER_OPEN = "breaker-open"
"""The code of the failure of an arm that was not asked, because its breaker is open."""

Said: TypeAlias = tuple[list[Output], int]
"""What a version answered, and the snapshot of its learner that did."""

Timed: TypeAlias = tuple[Said, float]
"""The same, and how long the model took, in seconds."""


class Offload(Protocol):
    """Runs work of a version in one of its native threads and waits for it, for at most so many seconds.

    Raises TimedOut where the work has begun and does not end, Crowded where it has not begun.
    """

    def __call__(self, version: str, work: Callable[[], Timed], seconds: float, /) -> Timed:
        """What the work returned; what it raised is raised."""


def ask_arm(arm: ArmRoute, rows: list[list[Value]], offload: Offload, timeout: float) -> Said:
    """What the arm's model says of rows that are in the order of its own inputs.

    `timeout`: seconds beyond what so many rows should take. Raises ModelFailed where it raises, answers nonsense or not in time, and at
    once where its breaker is open.
    """
    breaker, loaded = arm.breaker, arm.loaded
    start = perf_counter()
    ticket = breaker.admit(start)
    if not ticket:
        raise ModelFailed(f"its breaker is open: {breaker.reason}", code=BREAKER_OPEN)
    due = len(rows) * loaded.seconds_per_row
    try:
        # What waits for another server does so in the hub, where it holds up nobody; threads are for what computes.
        if (due > SLOW_SECONDS or arm.pace.slow) and loaded.card.remote is None:
            said, seconds = offload(arm.version, lambda: _timed(loaded, rows), timeout + due)
        else:
            said = loaded.answer(rows)
            seconds = perf_counter() - start
    except Crowded:
        breaker.give_back(ticket, perf_counter())
        raise
    except ModelFailed as error:
        _note_failure(arm, ticket, start + due, error)
        raise
    except Exception as error:
        failed = ModelFailed(reason(error))
        _note_failure(arm, ticket, start + due, failed)
        raise failed from error
    late = seconds - due
    arm.pace.tell(late)
    breaker.succeed(ticket, start + seconds, late)
    return said


def _note_failure(arm: ArmRoute, ticket: int, due: float, error: ModelFailed) -> None:
    """What raises late has held up the hub as well. `due`: when the answer should have come."""
    now = perf_counter()
    arm.pace.tell(now - due)
    arm.breaker.fail(ticket, now, error.message, slow=isinstance(error, TimedOut))


def _timed(loaded: Loaded, rows: list[list[Value]]) -> Timed:
    """Timed in the thread: what a call waits for its turn is none of the model's doing."""
    start = perf_counter()
    said = loaded.answer(rows)
    return said, perf_counter() - start
