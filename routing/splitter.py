"""Assigning units to arms: weighted rendezvous hashing.

Each arm draws u = uniform(salt, arm, unit) and the arm with the smallest −ln(u)/weight wins: the first of independent
exponential clocks with rates proportional to the weights, so shares are exact, and a change of weights moves only the units
that it must. (Schindelhauer & Schomaker 2005, "Weighted distributed hash tables".)
"""

from __future__ import annotations

import os
from math import log
from typing import NamedTuple

from routing.hashing import Hasher
from routing.plan import CONTROL, HOLDOUT, Plan, Shadow


class Assignment(NamedTuple):
    """The arm, the probability with which it was assigned, and whether the unit is enrolled in the experiment.

    An arm's probability is that among the units that are enrolled, the holdout's that among all.
    """

    arm: str
    propensity: float
    enrolled: bool


class Splitter:
    """Assigns units by one plan. Immutable; about 2.5 µs for two arms."""

    def __init__(self, plan: Plan) -> None:
        weighted = [(name, arm.weight) for name, arm in plan.arms.items() if arm.weight > 0]
        total = sum(weight for _, weight in weighted)
        self._arms = [(Hasher(plan.salt, "arm", name), -1.0 / weight, Assignment(name, weight / total, True)) for name, weight in weighted]
        self._enrolment = plan.enrolment
        self._enrol = Hasher(plan.salt, "enrolment")
        # A paused plan serves control to everybody and enrols nobody: its rows are no evidence about the split.
        self._paused = plan.mode == "paused"
        self._held: tuple[Hasher, float, Assignment] | None = None
        if plan.holdout is not None:
            # The endpoint is part of the scope, not the plan's salt: who is held out stays so whatever the plan becomes.
            scope = Hasher(plan.holdout.salt, "holdout", plan.endpoint)
            self._held = scope, plan.holdout.share, Assignment(HOLDOUT, plan.holdout.share, False)

    def assign(self, unit: str | None) -> Assignment:
        """The unit's assignment; None (a request without a unit) is drawn afresh each time, and never held out."""
        if self._held is not None and unit is not None and self._held[0].uniform(unit) < self._held[1]:
            return self._held[2]
        if self._paused:
            return _OUTSIDE
        key = os.urandom(8).hex() if unit is None else unit
        if self._enrolment < 1.0 and self._enrol.uniform(key) >= self._enrolment:
            return _OUTSIDE
        if len(self._arms) == 1:
            return self._arms[0][2]
        return min((log(hasher.uniform(key)) * scale, assignment) for hasher, scale, assignment in self._arms)[1]


_OUTSIDE = Assignment(CONTROL, 1.0, False)


def mirrors(endpoint: str, name: str, shadow: Shadow, prediction_id: str) -> bool:
    """Whether this shadow sees that prediction: the same answer in every process that asks."""
    return shadow.sample >= 1.0 or Hasher("shadow", endpoint, name).uniform(prediction_id) < shadow.sample
