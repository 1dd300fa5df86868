"""Who is held out: the share, for good, and independent of everything else."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace
from scipy.stats import binomtest

from routing.plan import Arm, Holdout, Plan
from routing.splitter import Assignment, Splitter

UNITS = [f"u-{number}" for number in range(100_000)]
SIGNIFICANT = 0.001
ARMS = {"control": Arm("m@1", 1.0), "treatment": Arm("m@2", 1.0)}
PLAN = Plan(endpoint="credit", plan=1, phase=1, parent=None, salt="s", arms=ARMS, by="me", at=0.0, reason="")
HOLDING = replace(PLAN, holdout=Holdout(0.05, "m@1", "h"))


def assigned(plan: Plan, units: list[str] = UNITS) -> list[Assignment]:
    """Each unit's assignment."""
    return list(map(Splitter(plan).assign, units))


def held(plan: Plan) -> set[str]:
    """The units that are held out."""
    return {unit for unit, each in zip(UNITS, assigned(plan), strict=True) if each.arm == "holdout"}


def test_the_share_is_held_out_and_not_enrolled() -> None:
    """With the share as its propensity; the others are split as they were, with their propensities among themselves."""
    before, after = assigned(PLAN), assigned(HOLDING)
    out = [each for each in after if each.arm == "holdout"]
    assert set(out) == {Assignment("holdout", 0.05, False)}
    assert binomtest(len(out), len(UNITS), 0.05).pvalue > SIGNIFICANT
    assert all(right in (left, out[0]) for left, right in zip(before, after, strict=True))


OTHERS = {
    "weights": replace(HOLDING, arms={"control": Arm("m@1", 9.0), "treatment": Arm("m@2", 1.0)}),
    "salt": replace(HOLDING, salt="other"),
    "a promotion": replace(HOLDING, arms={"control": Arm("m@2", 1.0)}),
    "a pause": replace(HOLDING, mode="paused"),
    "nobody enrolled": replace(HOLDING, enrolment=0.0),
}


@pytest.mark.parametrize("plan", OTHERS.values(), ids=OTHERS)
def test_the_same_units_stay_held_out(plan: Plan) -> None:
    """Whatever the plan does to the others."""
    assert held(plan) == held(HOLDING)


def test_a_larger_share_holds_out_those_that_were_and_more() -> None:
    """Nobody comes back by it."""
    assert held(HOLDING) < held(replace(HOLDING, holdout=Holdout(0.2, "m@3", "h")))


@pytest.mark.parametrize(
    "plan", [replace(HOLDING, holdout=Holdout(0.05, "m@1", "i")), replace(HOLDING, endpoint="other")], ids=["salt", "endpoint"]
)
def test_another_salt_or_endpoint_holds_out_others(plan: Plan) -> None:
    """Being held out here says nothing of being held out there."""
    both = len(held(HOLDING) & held(plan))
    assert binomtest(both, len(held(HOLDING)), 0.05).pvalue > SIGNIFICANT


def test_being_held_out_says_nothing_of_the_arm_or_the_enrolment() -> None:
    """Who is left is split and enrolled as all were."""
    left = [each for each in assigned(replace(HOLDING, enrolment=0.5, holdout=Holdout(0.5, "m@1", "h"))) if each.arm != "holdout"]
    enrolled = Counter(each.arm for each in left if each.enrolled)
    assert binomtest(enrolled.total(), len(left), 0.5).pvalue > SIGNIFICANT
    assert binomtest(enrolled["treatment"], enrolled.total(), 0.5).pvalue > SIGNIFICANT


def test_a_request_without_a_unit_is_never_held_out() -> None:
    """A holdout is of units: this request could not be kept apart from the unit's next one."""
    splitter = Splitter(replace(HOLDING, holdout=Holdout(0.99, "m@1", "h")))
    assert {splitter.assign(None).arm for _ in range(1000)} == {"control", "treatment"}


KNOWN = {"u-1", "u-3", "u-5"}


def test_the_same_units_in_every_release() -> None:
    """The hash is part of the format: an upgrade brings nobody back."""
    splitter = Splitter(replace(HOLDING, holdout=Holdout(0.3, "m@1", "h")))
    assert {f"u-{number}" for number in range(6) if splitter.assign(f"u-{number}").arm == "holdout"} == KNOWN
