"""The plan: the immutable, numbered routing state of an endpoint."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from core.clock import to_rfc3339
from core.errors import Invalid
from core.ids import check_name

CONTROL = "control"
"""The arm that always exists: the old model, and the fallback."""


HOLDOUT = "holdout"
"""In the place of an arm's name: the units that are held out."""


class Arm(msgspec.Struct, frozen=True):
    """A named slot with a concrete version (`credit@3`) and a weight ≥ 0."""

    version: str
    weight: float


class Shadow(msgspec.Struct, frozen=True):
    """A version that sees a `sample` share (0, 1] of the requests; nobody sees its answers.

    `remote` is where it is, where it is on another server.
    """

    version: str
    sample: float = 1.0
    remote: str | msgspec.UnsetType = msgspec.UNSET


class AliasMove(msgspec.Struct, frozen=True):
    """What a promote did to an alias, so that a rollback can undo it."""

    model: str
    alias: str
    was: int
    now: int


class Holdout(msgspec.Struct, frozen=True):
    """A `share` (0, 1) of all units that `version` serves whatever becomes of the arms; which ones follows from its own `salt`."""

    share: float
    version: str
    salt: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One routing state. `phase` rises only when assignment changes; `at` is in seconds since the epoch.

    `moved` holds the alias moves that this state came with: rolling back from it undoes them.
    """

    endpoint: str
    plan: int
    phase: int
    parent: int | None
    mode: Literal["split", "paused"] = "split"
    enrolment: float = 1.0
    salt: str
    experiment: str | None = None
    arms: dict[str, Arm]
    shadows: dict[str, Shadow] = {}
    by: str
    at: float
    reason: str
    moved: tuple[AliasMove, ...] = ()
    holdout: Holdout | None = None

    @property
    def versions(self) -> set[str]:
        """Every version that a worker needs for this plan's arms and holdout (shadows are served elsewhere)."""
        return {*(arm.version for arm in self.arms.values()), *(() if self.holdout is None else (self.holdout.version,))}

    def share(self, arm: str) -> float:
        """The arm's share of the enrolled units, in [0, 1]."""
        return self.arms[arm].weight / sum(each.weight for each in self.arms.values())


def public(plan: Plan) -> dict[str, Any]:
    """The plan as the API shows it."""
    shown: dict[str, Any] = msgspec.to_builtins(plan)
    shown["at"] = to_rfc3339(plan.at)
    del shown["moved"]
    return shown


def check(plan: Plan) -> Plan:
    """`plan` where it is one that can be served; else Invalid naming the field."""
    if CONTROL not in plan.arms:
        raise Invalid(f"arms: an arm named {CONTROL!r} must exist: it is the fallback, got {sorted(plan.arms)}", field="arms")
    for name, arm in plan.arms.items():
        check_name(name, f"arms.{name}")
        check_weight(name, arm.weight)
    if sum(arm.weight for arm in plan.arms.values()) <= 0:
        raise Invalid("weights: at least one must be above 0", field="weights")
    for name, shadow in plan.shadows.items():
        check_name(name, f"shadows.{name}")
        if not 0 < shadow.sample <= 1:
            raise Invalid(
                f"shadows.{name}.sample: expected a share above 0 and at most 1, got {shadow.sample:g}", field=f"shadows.{name}.sample"
            )
    if plan.holdout is not None:
        _check_holdout(plan, plan.holdout)
    if not 0 <= plan.enrolment <= 1:
        raise Invalid(f"enrolment: expected a share from 0 to 1, got {plan.enrolment:g}", field="enrolment")
    return plan


def _check_holdout(plan: Plan, holdout: Holdout) -> None:
    if not 0 < holdout.share < 1:
        raise Invalid(f"holdout.share: expected a share above 0 and below 1, got {holdout.share:g}", field="holdout.share")
    if HOLDOUT in plan.arms:
        raise Invalid(f"arms.{HOLDOUT}: expected another name: this one is that of the units held out", field=f"arms.{HOLDOUT}")


def check_weight(arm: str, weight: float) -> float:
    """`weight` where it is 0, or of a size that divides exactly; else Invalid."""
    if weight != 0 and not 1e-12 <= weight <= 1e12:
        raise Invalid(f"weights.{arm}: expected 0, or a number from 1e-12 to 1e12, got {weight:g}", field=f"weights.{arm}")
    return weight
