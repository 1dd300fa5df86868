"""How a plan follows from another: pure functions (plan, request) → Change.

One rule decides for all of them what a change means: `_follow`. The phase rises when assignment changes (weights, salt, set of arms,
who is held out). Pausing is no such change: while paused nobody is enrolled, and resuming goes on where it stopped. An experiment
ends when what it compares changes: its arms' versions, the set of arms, or the salt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from core.errors import Conflict, Invalid, NotFound
from routing.plan import CONTROL, AliasMove, Arm, Holdout, Plan, Shadow, check, check_weight


class Who(NamedTuple):
    """Who changes a plan, when (seconds since the epoch), and why."""

    by: str
    at: float
    reason: str


class Change(NamedTuple):
    """The next plan; where it ends the running experiment, its name and why; the alias moves to make with it."""

    plan: Plan
    ended: str | None = None
    because: str | None = None
    moves: tuple[AliasMove, ...] = ()


def create(endpoint: str, arms: Mapping[str, Arm], shadows: Mapping[str, Shadow], enrolment: float, salt: str, who: Who) -> Plan:
    """The first plan of an endpoint."""
    return check(
        Plan(
            endpoint=endpoint,
            plan=1,
            phase=1,
            parent=None,
            enrolment=enrolment,
            salt=salt,
            arms=dict(arms),
            shadows=dict(shadows),
            **who._asdict(),
        )
    )


def set_arms(plan: Plan, arms: Mapping[str, Arm], enrolment: float | None, who: Who) -> Change:
    """Other arms or versions: what starts a new comparison."""
    return _follow(plan, who, arms=dict(arms), enrolment=plan.enrolment if enrolment is None else enrolment, mode="split")


def set_traffic(plan: Plan, weights: Mapping[str, float], enrolment: float | None, who: Who) -> Change:
    """Other weights (every arm named, none added) and, where given, another enrolment."""
    if plan.mode == "paused":
        raise Conflict(f"traffic of {plan.endpoint} is paused: resume it first", code="paused")
    if set(weights) != set(plan.arms):
        unknown, missing = sorted(set(weights) - set(plan.arms)), sorted(set(plan.arms) - set(weights))
        wrong = f"no arm is called {unknown[0][:60]!r}" if unknown else f"{missing[0]} is missing"
        raise Invalid(f"weights: expected a weight for every arm ({', '.join(sorted(plan.arms))}): {wrong}", field="weights")
    arms = {name: Arm(arm.version, check_weight(name, weights[name])) for name, arm in plan.arms.items()}
    return _follow(plan, who, arms=arms, enrolment=plan.enrolment if enrolment is None else enrolment)


def set_shadows(plan: Plan, shadows: Mapping[str, Shadow], who: Who) -> Change:
    """The whole set of shadows; assignment and experiment stay."""
    return _follow(plan, who, shadows=dict(shadows))


def set_holdout(plan: Plan, holdout: Holdout | None, who: Who) -> Change:
    """Another holdout, or none any more: the only change that does anything to it, but for taking back one that cannot be served."""
    return _follow(plan, who, holdout=holdout)


def pause(plan: Plan, who: Who) -> Change:
    """All to control, weights remembered."""
    if plan.mode == "paused":
        raise Conflict(f"traffic of {plan.endpoint} is already paused", code="paused")
    return _follow(plan, who, mode="paused")


def resume(plan: Plan, who: Who) -> Change:
    """The split as it was before the pause."""
    if plan.mode != "paused":
        raise Conflict(f"traffic of {plan.endpoint} is not paused", code="not-paused")
    return _follow(plan, who, mode="split")


def start_experiment(plan: Plan, experiment: str, who: Who, salt: str | None = None) -> Change:
    """The same routing, with an experiment running on it; with another `salt` units are given their arms anew."""
    if plan.experiment is not None:
        raise Conflict(f"experiment {plan.experiment} is already running on {plan.endpoint}: stop it first", code="experiment-running")
    if sum(arm.weight > 0 for arm in plan.arms.values()) < 2 or plan.arms[CONTROL].weight == 0:
        raise Conflict(f"endpoint {plan.endpoint} needs control and another arm with weights above 0 to compare", code="nothing-to-compare")
    if salt is None:
        return _follow(plan, who, experiment=experiment)
    return Change(replace(_follow(plan, who, salt=salt).plan, experiment=experiment))


def stop_experiment(plan: Plan, who: Who) -> Change:
    """The same routing without the experiment."""
    return Change(_follow(plan, who, experiment=None).plan, plan.experiment, who.reason)


def promote(plan: Plan, arm: str | None, moves: tuple[AliasMove, ...], who: Who) -> Change:
    """Control takes the arm's version at 100 %, the other arms go, the experiment stops."""
    chosen = choose(plan, arm)
    following = _follow(plan, who, arms={CONTROL: Arm(plan.arms[chosen].version, 1.0)}, mode="split", moved=moves)
    return Change(following.plan, plan.experiment, who.reason if plan.experiment else None, moves)


def choose(plan: Plan, arm: str | None) -> str:
    """The arm to promote: optional where there is one other than control."""
    others = [name for name in plan.arms if name != CONTROL]
    if not others:
        raise Conflict(f"endpoint {plan.endpoint} has no arm but control: nothing to promote", code="nothing-to-promote")
    if arm is None:
        if len(others) > 1:
            raise Invalid(f"arm: expected one of {', '.join(sorted(others))}", field="arm")
        return others[0]
    if arm not in others:
        raise NotFound(f"arm: endpoint {plan.endpoint} has no arm {arm!r} to promote; it has {', '.join(sorted(others))}", field="arm")
    return arm


def restore(plan: Plan, target: Plan, moves: tuple[AliasMove, ...], who: Who, unserved: str | None = None) -> Change:
    """A new plan with the content of `target`, an earlier one; it inherits the target's parent, so twice goes back two.

    The holdout stays as it is, unless its version is the `unserved` one that the plan is sent back for.

    `moves` are the alias moves to make now. The new plan stands for the target: rolling back from it undoes the target's own moves.

    The running experiment goes on only where the target belongs to it too.
    """
    experiment = plan.experiment if target.experiment == plan.experiment else None
    following = _follow(
        plan,
        who,
        arms=target.arms,
        shadows=target.shadows,
        enrolment=target.enrolment,
        salt=target.salt,
        mode=target.mode,
        experiment=experiment,
        parent=target.parent,
        moved=target.moved,
        holdout=target.holdout if plan.holdout is not None and plan.holdout.version == unserved else plan.holdout,
    )
    ended = plan.experiment if following.plan.experiment is None else None
    return Change(following.plan, ended, following.because or who.reason if ended else None, moves)


def with_shadows(plan: Plan, shadows: Mapping[str, Shadow]) -> Plan:
    """The same plan with another set of shadows: where one change sets both."""
    return check(replace(plan, shadows=dict(shadows)))


def _follow(plan: Plan, who: Who, **changes: Any) -> Change:
    content = {"plan": plan.plan + 1, "parent": plan.plan, "moved": (), **who._asdict(), **changes}
    following = check(replace(plan, **content))
    if _assignment(following) != _assignment(plan):
        following = replace(following, phase=plan.phase + 1)
    if following.experiment is not None and _compared(following) != _compared(plan):
        return Change(replace(following, experiment=None), plan.experiment, f"its arms changed: {who.reason}")
    return Change(following)


def _assignment(plan: Plan) -> object:
    held = None if plan.holdout is None else (plan.holdout.share, plan.holdout.salt)
    return plan.salt, {name: plan.share(name) for name in plan.arms}, held


def _compared(plan: Plan) -> object:
    return plan.salt, {name: arm.version for name, arm in plan.arms.items()}
