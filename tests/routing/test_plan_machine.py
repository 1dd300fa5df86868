"""Any sequence of changes keeps the invariants of plans: numbers, phases, experiments, parents."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.errors import TiltyardError
from routing import changes
from routing.changes import Change, Who
from routing.plan import CONTROL, Arm, Holdout, Plan, Shadow

WEIGHTS = st.integers(0, 3)
VERSIONS = st.integers(1, 3).map("m@{}".format)
ARMS = st.dictionaries(st.sampled_from(["b", "c"]), st.builds(Arm, VERSIONS, WEIGHTS)).flatmap(
    lambda others: st.builds(Arm, VERSIONS, WEIGHTS).map(lambda control: {CONTROL: control, **others})
)


def shares(plan: Plan) -> dict[str, Fraction]:
    """Each arm's share, exactly."""
    total = sum(Fraction(arm.weight) for arm in plan.arms.values())
    return {name: Fraction(arm.weight) / total for name, arm in plan.arms.items()}


def versions(plan: Plan) -> dict[str, str]:
    """Each arm's version."""
    return {name: arm.version for name, arm in plan.arms.items()}


def held(plan: Plan) -> tuple[float, str] | None:
    """Who is held out."""
    return None if plan.holdout is None else (plan.holdout.share, plan.holdout.salt)


class Changing(RuleBasedStateMachine):
    """An endpoint, its history, and the experiments that have run on it."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self.plan = changes.create("credit", {CONTROL: Arm("m@1", 1), "b": Arm("m@2", 1)}, {}, 1.0, "s", self.who())
        self.history = {1: self.plan}
        self.content: list[Plan] = [self.plan]
        """What rolling back again and again goes through."""
        self.experiments = 0
        self.held: Holdout | None = None

    def who(self) -> Who:
        """The next change's author."""
        self.time += 1.0
        return Who("me", self.time, f"at {self.time}")

    def follow(self, change: Change, expected: str | None) -> None:
        """Take the next plan, after a look at what it is to the one before."""
        before, after = self.plan, change.plan
        assert after.plan == before.plan + 1
        moved = (shares(before), before.salt, held(before)) != (shares(after), after.salt, held(after))
        assert after.phase == before.phase + moved
        assert after.experiment == expected
        assert change.ended == (before.experiment if before.experiment != after.experiment and before.experiment else None)
        assert (change.because is not None) == (change.ended is not None)
        self.plan = self.history[after.plan] = after

    def ahead(self, change: Change, expected: str | None) -> None:
        """A change that is no rollback."""
        assert change.plan.parent == self.plan.plan
        self.follow(change, expected)
        self.content.append(self.plan)

    def goes_on(self, after: Plan) -> str | None:
        """The experiment, where what it compares stays."""
        return self.plan.experiment if versions(after) == versions(self.plan) else None

    @rule(weights=st.lists(WEIGHTS, min_size=3, max_size=3), enrolment=st.none() | st.sampled_from([0.0, 0.5, 1.0]))
    def traffic(self, weights: list[int], enrolment: float | None) -> None:
        try:
            change = changes.set_traffic(self.plan, dict(zip(self.plan.arms, map(float, weights), strict=False)), enrolment, self.who())
        except TiltyardError:
            assert self.plan.mode == "paused" or not any(weights[: len(self.plan.arms)])
        else:
            self.ahead(change, self.plan.experiment)

    @rule(arms=ARMS)
    def arms(self, arms: dict[str, Arm]) -> None:
        try:
            change = changes.set_arms(self.plan, arms, None, self.who())
        except TiltyardError:
            assert not any(arm.weight for arm in arms.values())
        else:
            self.ahead(change, self.goes_on(change.plan))

    @rule(version=VERSIONS)
    def shadows(self, version: str) -> None:
        self.ahead(changes.set_shadows(self.plan, {"next": Shadow(version)}, self.who()), self.plan.experiment)

    @rule(holdout=st.none() | st.builds(Holdout, st.sampled_from([0.1, 0.2]), VERSIONS, st.sampled_from(["h", "i"])))
    def holdout(self, holdout: Holdout | None) -> None:
        self.ahead(changes.set_holdout(self.plan, holdout, self.who()), self.plan.experiment)
        self.held = holdout

    @rule()
    def pause_or_resume(self) -> None:
        turn = changes.resume if self.plan.mode == "paused" else changes.pause
        self.ahead(turn(self.plan, self.who()), self.plan.experiment)

    @rule()
    def start(self) -> None:
        self.experiments += 1
        try:
            change = changes.start_experiment(self.plan, f"e{self.experiments}", self.who())
        except TiltyardError:
            weights = [arm.weight for arm in self.plan.arms.values()]
            assert self.plan.experiment is not None or self.plan.arms[CONTROL].weight == 0 or sum(map(bool, weights)) < 2
        else:
            self.ahead(change, f"e{self.experiments}")

    @precondition(lambda self: self.plan.experiment is not None)
    @rule()
    def stop(self) -> None:
        self.ahead(changes.stop_experiment(self.plan, self.who()), None)

    @precondition(lambda self: len(self.plan.arms) > 1)
    @rule()
    def promote(self) -> None:
        arm = next(name for name in self.plan.arms if name != CONTROL)
        version = self.plan.arms[arm].version
        self.ahead(changes.promote(self.plan, arm, (), self.who()), None)
        assert self.plan.arms == {CONTROL: Arm(version, 1.0)}

    @precondition(lambda self: self.plan.parent is not None)
    @rule()
    def rollback(self) -> None:
        target = self.history[self.plan.parent]
        change = changes.restore(self.plan, target, (), self.who())
        same = target.experiment == self.plan.experiment and versions(target) == versions(self.plan)
        self.follow(change, self.plan.experiment if same else None)
        assert self.plan.parent == target.parent
        self.content.pop()

    @invariant()
    def rolling_back_follows_the_changes_made(self) -> None:
        """The content is that of the last change that was not rolled back."""
        expected = self.content[-1]
        for name in ("arms", "shadows", "enrolment", "salt", "mode"):
            assert getattr(self.plan, name) == getattr(expected, name)

    @invariant()
    def the_holdout_is_what_was_last_asked_for(self) -> None:
        """Whatever came after."""
        assert self.plan.holdout == self.held

    @invariant()
    def control_always_exists(self) -> None:
        """There is always a fallback, and somebody is served."""
        assert CONTROL in self.plan.arms
        assert sum(shares(self.plan).values()) == 1


Changing.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAnySequence = Changing.TestCase
