"""How a plan follows from another, as a table."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from core.errors import Conflict, Invalid, NotFound, TiltyardError
from routing import changes
from routing.changes import Change, Who
from routing.plan import AliasMove, Arm, Holdout, Plan, Shadow

WHO = Who("me", 5.0, "because")
OLD, NEW = Arm("m@1", 90), Arm("m@2", 10)
PLAN = replace(
    changes.create("credit", {"control": OLD, "treatment": NEW}, {}, 0.5, "s", Who("first", 0.0, "start")), plan=7, phase=3, parent=6
)
RUNNING = replace(PLAN, experiment="e1")
PAUSED = replace(RUNNING, mode="paused")
ALONE = replace(PLAN, arms={"control": OLD})
THREE = replace(PLAN, arms={"control": OLD, "b": NEW, "c": NEW})
TARGET = replace(RUNNING, plan=4, phase=2, parent=2, arms={"control": OLD, "treatment": Arm("m@2", 30)})

HELD = Holdout(0.1, "m@7", "h")
HOLDING = replace(RUNNING, holdout=HELD)

STAYS, RISES = 3, 4
GOES_ON, ENDS = "e1", None

TABLE: dict[str, tuple[Callable[[], Change], int, str | None]] = {
    "other weights": (lambda: changes.set_traffic(RUNNING, {"control": 1, "treatment": 1}, None, WHO), RISES, GOES_ON),
    "the same shares": (lambda: changes.set_traffic(RUNNING, {"control": 9, "treatment": 1}, None, WHO), STAYS, GOES_ON),
    "enrolment": (lambda: changes.set_traffic(RUNNING, {"control": 90, "treatment": 10}, 0.9, WHO), STAYS, GOES_ON),
    "shadows": (lambda: changes.set_shadows(RUNNING, {"next": Shadow("m@3")}, WHO), STAYS, GOES_ON),
    "a holdout": (lambda: changes.set_holdout(RUNNING, HELD, WHO), RISES, GOES_ON),
    "a larger holdout": (lambda: changes.set_holdout(HOLDING, replace(HELD, share=0.2), WHO), RISES, GOES_ON),
    "another version of the holdout": (lambda: changes.set_holdout(HOLDING, replace(HELD, version="m@8"), WHO), STAYS, GOES_ON),
    "no holdout any more": (lambda: changes.set_holdout(HOLDING, None, WHO), RISES, GOES_ON),
    "pause": (lambda: changes.pause(RUNNING, WHO), STAYS, GOES_ON),
    "resume": (lambda: changes.resume(PAUSED, WHO), STAYS, GOES_ON),
    "arms: weights alone": (lambda: changes.set_arms(RUNNING, {"control": NEW, "treatment": NEW}, None, WHO), RISES, ENDS),
    "arms: the same": (lambda: changes.set_arms(RUNNING, RUNNING.arms, None, WHO), STAYS, GOES_ON),
    "arms: another version": (
        lambda: changes.set_arms(RUNNING, {"control": OLD, "treatment": Arm("m@3", 10)}, None, WHO),
        STAYS,
        ENDS,
    ),
    "arms: one more": (lambda: changes.set_arms(RUNNING, {**RUNNING.arms, "c": NEW}, None, WHO), RISES, ENDS),
    "arms: one more of weight 0": (lambda: changes.set_arms(RUNNING, {**RUNNING.arms, "c": Arm("m@3", 0)}, None, WHO), RISES, ENDS),
    "arms: one less": (lambda: changes.set_arms(RUNNING, {"control": OLD}, None, WHO), RISES, ENDS),
    "stop": (lambda: changes.stop_experiment(RUNNING, WHO), STAYS, ENDS),
    "promote": (lambda: changes.promote(RUNNING, None, (), WHO), RISES, ENDS),
    "rollback of a shift": (lambda: changes.restore(RUNNING, TARGET, (), WHO), RISES, GOES_ON),
    "rollback of the start": (lambda: changes.restore(RUNNING, replace(PLAN, plan=6), (), WHO), STAYS, ENDS),
    "rollback to another salt": (lambda: changes.restore(RUNNING, replace(TARGET, salt="t"), (), WHO), RISES, ENDS),
    "rollback to another experiment": (lambda: changes.restore(RUNNING, replace(TARGET, experiment="e0"), (), WHO), RISES, ENDS),
}


@pytest.mark.parametrize(("make", "phase", "experiment"), TABLE.values(), ids=TABLE)
def test_phase_and_experiment(make: Callable[[], Change], phase: int, experiment: str | None) -> None:
    """The phase rises when assignment changes; the experiment ends when what it compares does, and then it is said why."""
    change = make()
    assert (change.plan.plan, change.plan.phase, change.plan.experiment) == (8, phase, experiment)
    assert (change.ended, bool(change.because)) == (("e1", True) if experiment is None else (None, False))
    assert (change.plan.by, change.plan.at, change.plan.reason) == WHO


FATES: dict[str, Callable[[], Change]] = {
    "other weights": lambda: changes.set_traffic(HOLDING, {"control": 1, "treatment": 1}, 0.2, WHO),
    "other arms": lambda: changes.set_arms(HOLDING, {"control": NEW}, None, WHO),
    "shadows": lambda: changes.set_shadows(HOLDING, {"next": Shadow("m@3")}, WHO),
    "a pause": lambda: changes.pause(HOLDING, WHO),
    "a promotion": lambda: changes.promote(HOLDING, None, (), WHO),
    "an experiment's end": lambda: changes.stop_experiment(HOLDING, WHO),
    "a rollback": lambda: changes.restore(HOLDING, TARGET, (), WHO),
    "a rollback for another version": lambda: changes.restore(HOLDING, TARGET, (), WHO, "m@2"),
}


@pytest.mark.parametrize("make", FATES.values(), ids=FATES)
def test_a_holdout_survives(make: Callable[[], Change]) -> None:
    """Whatever becomes of the arms, the same units are held out by the same version."""
    assert make().plan.holdout == HELD


def test_a_holdout_whose_version_cannot_be_served_goes_back() -> None:
    """To what it was before: else the plan that restores the former one would fail like it."""
    assert changes.restore(HOLDING, TARGET, (), WHO, "m@7").plan.holdout is None
    earlier = replace(TARGET, holdout=replace(HELD, version="m@6"))
    assert changes.restore(HOLDING, earlier, (), WHO, "m@7").plan.holdout == earlier.holdout


@pytest.mark.parametrize(
    ("holdout", "arms", "field"),
    [
        (replace(HELD, share=0.0), RUNNING.arms, "holdout.share"),
        (replace(HELD, share=1.0), RUNNING.arms, "holdout.share"),
        (replace(HELD, share=float("nan")), RUNNING.arms, "holdout.share"),
        (HELD, {**RUNNING.arms, "holdout": NEW}, "arms.holdout"),
    ],
)
def test_a_holdout_that_cannot_be(holdout: Holdout, arms: dict[str, Arm], field: str) -> None:
    """Nobody, everybody, or units whose rows an arm's could be taken for."""
    with pytest.raises(Invalid) as caught:
        changes.set_holdout(replace(RUNNING, arms=arms), holdout, WHO)
    assert caught.value.field == field


ERRORS: dict[str, tuple[Callable[[], object], type[TiltyardError], str]] = {
    "traffic while paused": (lambda: changes.set_traffic(PAUSED, {"control": 1, "treatment": 1}, None, WHO), Conflict, "paused"),
    "a weight missing": (lambda: changes.set_traffic(PLAN, {"control": 1}, None, WHO), Invalid, "invalid"),
    "a weight too many": (lambda: changes.set_traffic(PLAN, {"control": 1, "treatment": 1, "c": 1}, None, WHO), Invalid, "invalid"),
    "no weight above 0": (lambda: changes.set_traffic(PLAN, {"control": 0, "treatment": 0}, None, WHO), Invalid, "invalid"),
    "pause twice": (lambda: changes.pause(PAUSED, WHO), Conflict, "paused"),
    "resume without pause": (lambda: changes.resume(PLAN, WHO), Conflict, "not-paused"),
    "two experiments": (lambda: changes.start_experiment(RUNNING, "e2", WHO), Conflict, "experiment-running"),
    "one arm": (lambda: changes.start_experiment(ALONE, "e2", WHO), Conflict, "nothing-to-compare"),
    "one arm with traffic": (
        lambda: changes.start_experiment(replace(PLAN, arms={"control": OLD, "treatment": Arm("m@2", 0)}), "e2", WHO),
        Conflict,
        "nothing-to-compare",
    ),
    "control without traffic": (
        lambda: changes.start_experiment(replace(THREE, arms={**THREE.arms, "control": Arm("m@1", 0)}), "e2", WHO),
        Conflict,
        "nothing-to-compare",
    ),
    "nothing to promote": (lambda: changes.promote(ALONE, None, (), WHO), Conflict, "nothing-to-promote"),
    "which of two": (lambda: changes.promote(THREE, None, (), WHO), Invalid, "invalid"),
    "an unknown arm": (lambda: changes.promote(THREE, "d", (), WHO), NotFound, "not-found"),
    "promote control": (lambda: changes.promote(PLAN, "control", (), WHO), NotFound, "not-found"),
}


@pytest.mark.parametrize(("make", "error", "code"), ERRORS.values(), ids=ERRORS)
def test_what_is_refused(make: Callable[[], object], error: type[TiltyardError], code: str) -> None:
    """What the state does not allow, or what is no request, is told apart by its code."""
    with pytest.raises(error) as caught:
        make()
    assert caught.value.code == code


def test_promote() -> None:
    """Control takes the version at 100 %, the other arms go, the shadows stay, a pause ends; the plan knows its alias moves."""
    moves = (AliasMove("m", "champion", 1, 2),)
    change = changes.promote(replace(PAUSED, shadows={"next": Shadow("m@3")}), "treatment", moves, WHO)
    assert change.plan.arms == {"control": Arm("m@2", 1.0)}
    assert (change.plan.mode, change.plan.parent, change.plan.moved, change.moves) == ("split", 7, moves, moves)
    assert set(change.plan.shadows) == {"next"}


def test_a_pause_remembers_the_weights() -> None:
    """Resuming restores the split, salt and all."""
    resumed = changes.resume(changes.pause(RUNNING, WHO).plan, WHO).plan
    assert replace(resumed, plan=7, parent=6, by="first", at=0.0, reason="start") == RUNNING


def test_rollback_restores_all_of_the_content() -> None:
    """Arms, shadows, enrolment, salt, mode and what the target undoes come back, and its parent is inherited."""
    target = replace(
        TARGET, shadows={"old": Shadow("m@0")}, enrolment=0.1, salt="t", mode="paused", moved=(AliasMove("m", "champion", 1, 2),)
    )
    plan = changes.restore(RUNNING, target, (), WHO).plan
    for name in ("arms", "shadows", "enrolment", "salt", "mode", "moved", "parent"):
        assert getattr(plan, name) == getattr(target, name), name


def test_rollback_twice_goes_back_two() -> None:
    """Not back and forth between two plans."""
    first = changes.create("credit", {"control": OLD, "treatment": NEW}, {}, 1.0, "s", WHO)
    second = changes.set_traffic(first, {"control": 5, "treatment": 5}, None, WHO).plan
    third = changes.set_traffic(second, {"control": 1, "treatment": 9}, None, WHO).plan
    plans: dict[int | None, Plan] = {plan.plan: plan for plan in (first, second, third)}
    once = changes.restore(third, plans[third.parent], (), WHO).plan
    twice = changes.restore(once, plans[once.parent], (), WHO).plan
    assert (once.arms, twice.arms, twice.plan, twice.parent) == (second.arms, first.arms, 5, None)


def test_shadows_with_other_arms_in_one_change() -> None:
    """A plan may be given other shadows before it is stored; they are checked as always."""
    assert changes.with_shadows(PLAN, {"next": Shadow("m@3")}).plan == PLAN.plan
    with pytest.raises(Invalid, match=r"^shadows\.next\.sample"):
        changes.with_shadows(PLAN, {"next": Shadow("m@3", 2.0)})


def test_an_experiment_on_arms_given_anew() -> None:
    """With another salt it is one plan, in a phase of its own, with the experiment on it; else assignment stays as it was."""
    same, anew = changes.start_experiment(PLAN, "e1", WHO), changes.start_experiment(PLAN, "e1", WHO, "t")
    assert (same.plan.salt, same.plan.phase, same.plan.experiment) == ("s", 3, "e1")
    assert (anew.plan.salt, anew.plan.phase, anew.plan.experiment, anew.plan.plan) == ("t", 4, "e1", 8)
    assert (anew.ended, anew.plan.arms) == (None, PLAN.arms)
