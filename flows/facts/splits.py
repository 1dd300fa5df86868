"""When an endpoint treated its units differently: from then on what a unit brings may depend on its arm.

Units keep their arm as long as the salt stays, also from one experiment to the next. So what they bring after the endpoint was first
split by a salt says nothing about them alone, whatever plan came after.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from flows.known import decode_plan
from routing.plan import Plan
from store import plans


class Stretch(NamedTuple):
    """Journal time from `begin` to before `end`."""

    begin: float
    end: float


def unsplit(connection: sa.Connection, endpoint: str) -> list[Stretch]:
    """The stretches in which the endpoint had not yet been split by its salt of that time."""
    history = [decode_plan(row.body) for row in plans.history(connection, endpoint, limit=1_000_000)][::-1]
    return stretches(history)


def stretches(history: Sequence[Plan]) -> list[Stretch]:
    """The same from all plans of an endpoint, oldest first."""
    ends = [*(plan.at for plan in history[1:]), math.inf]
    split: set[str] = set()
    found = []
    for plan, end in zip(history, ends, strict=True):
        if plan.mode == "split" and plan.enrolment > 0.0 and len({arm.version for arm in plan.arms.values() if arm.weight > 0.0}) > 1:
            split.add(plan.salt)
        if plan.salt not in split:
            found.append(Stretch(plan.at, end))
    return found
