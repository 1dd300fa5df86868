"""Assignment: exact shares, the same arm everywhere and always, and only the units moved that must move."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace
from scipy.stats import binomtest, chisquare

from routing.plan import Arm, Plan, Shadow
from routing.splitter import Assignment, Splitter, mirrors

MILLION = [f"u-{number}" for number in range(10**6)]
SOME = MILLION[:100_000]
SIGNIFICANT = 0.001


def plan(weights: dict[str, float], enrolment: float = 1.0, salt: str = "salt") -> Plan:
    """A first plan with these weights."""
    arms = {name: Arm(f"m@{number}", weight) for number, (name, weight) in enumerate(weights.items(), 1)}
    return Plan(endpoint="credit", plan=1, phase=1, parent=None, enrolment=enrolment, salt=salt, arms=arms, by="me", at=0.0, reason="")


def assigned(weights: dict[str, float], units: list[str], enrolment: float = 1.0, salt: str = "salt") -> list[Assignment]:
    """Each unit's assignment."""
    return list(map(Splitter(plan(weights, enrolment, salt)).assign, units))


@pytest.mark.parametrize("weights", [{"control": 90, "treatment": 10}, {"control": 1, "b": 1, "c": 0.5}], ids=["two arms", "three arms"])
def test_shares_are_exact(weights: dict[str, float]) -> None:
    """Of 10⁶ units each arm gets its share, as near as chance lets it."""
    counts = Counter(assignment.arm for assignment in assigned(weights, MILLION))
    expected = [len(MILLION) * weight / sum(weights.values()) for weight in weights.values()]
    assert chisquare([counts[arm] for arm in weights], expected).pvalue > SIGNIFICANT


def test_propensity_is_the_share() -> None:
    """An assignment says with which probability it was made."""
    for assignment in assigned({"control": 9, "treatment": 1}, SOME[:1000]):
        assert assignment.propensity == {"control": 0.9, "treatment": 0.1}[assignment.arm]
        assert assignment.enrolled


IN_ANOTHER_PROCESS = """
import msgspec, sys
from routing.plan import Plan
from routing.splitter import Splitter
assign = Splitter(msgspec.json.decode(sys.stdin.readline(), type=Plan)).assign
print("".join("012"[["control", "b", "c"].index(assign(f"u-{number}").arm)] for number in range(20_000)))
"""


def test_the_same_arm_in_another_process() -> None:
    """Another Python with another hash seed assigns every unit as this one does."""
    import msgspec

    weights = {"control": 2.0, "b": 1.0, "c": 1.0}
    found = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=msgspec.json.encode(plan(weights)).decode() + "\n",
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert found == "".join(str(list(weights).index(each.arm)) for each in assigned(weights, MILLION[:20_000]))


KNOWN = {"u-0": "control", "u-1": "treatment", "u-2": "treatment", "u-3": "control", "u-4": "control", "u-5": "control"}


def test_the_same_arm_in_every_release() -> None:
    """A restart after an upgrade moves nobody: the hash is part of the format."""
    found = assigned({"control": 1, "treatment": 1}, list(KNOWN))
    assert {unit: assignment.arm for unit, assignment in zip(KNOWN, found, strict=True)} == KNOWN


def test_the_order_of_arms_does_not_matter() -> None:
    """A plan that names its arms in another order assigns alike."""
    left, right = assigned({"control": 3, "b": 2, "c": 1}, SOME[:20_000]), assigned({"c": 1, "control": 3, "b": 2}, SOME[:20_000])
    assert left == right


def test_a_shift_moves_only_what_it_must() -> None:
    """10 → 50 % moves units into treatment alone, and only the 40 % that are missing there."""
    before, after = assigned({"control": 90, "treatment": 10}, SOME), assigned({"control": 50, "treatment": 50}, SOME)
    moves = Counter((left.arm, right.arm) for left, right in zip(before, after, strict=True) if left.arm != right.arm)
    assert set(moves) == {("control", "treatment")}
    assert binomtest(moves["control", "treatment"], len(SOME), 0.4).pvalue > SIGNIFICANT


def test_a_new_arm_takes_from_the_others_alone() -> None:
    """A third arm moves nobody between the two that were there."""
    before, after = assigned({"control": 1, "b": 1}, SOME), assigned({"control": 1, "b": 1, "c": 1}, SOME)
    assert {right.arm for left, right in zip(before, after, strict=True) if left.arm != right.arm} == {"c"}


def test_raising_enrolment_moves_nobody() -> None:
    """Who is enrolled stays enrolled, in the same arm; only the expected share joins."""
    before, after = assigned({"control": 1, "treatment": 1}, SOME, 0.2), assigned({"control": 1, "treatment": 1}, SOME, 0.5)
    assert all(right == left for left, right in zip(before, after, strict=True) if left.enrolled)
    assert binomtest(sum(each.enrolled for each in before), len(SOME), 0.2).pvalue > SIGNIFICANT
    assert binomtest(sum(each.enrolled for each in after), len(SOME), 0.5).pvalue > SIGNIFICANT


def test_enrolment_tells_nothing_of_the_arm() -> None:
    """Among the enrolled the shares are those of the plan: enrolment is drawn by another salt."""
    enrolled = Counter(each.arm for each in assigned({"control": 1, "treatment": 1}, SOME, 0.1) if each.enrolled)
    assert binomtest(enrolled["treatment"], enrolled.total(), 0.5).pvalue > SIGNIFICANT


def test_who_is_not_enrolled_is_served_control() -> None:
    """They are outside the experiment, with certainty."""
    assert set(assigned({"control": 1, "treatment": 1}, SOME[:1000], 0.0)) == {Assignment("control", 1.0, False)}


def test_another_salt_is_another_draw() -> None:
    """After a change of salt a unit's arm says nothing of its arm before."""
    before, after = assigned({"control": 1, "b": 1}, SOME), assigned({"control": 1, "b": 1}, SOME, salt="other")
    same = sum(left.arm == right.arm for left, right in zip(before, after, strict=True))
    assert binomtest(same, len(SOME), 0.5).pvalue > SIGNIFICANT


def test_without_a_unit_each_request_is_drawn_afresh() -> None:
    """No unit: the shares hold over requests, enrolled ones among them."""
    splitter = Splitter(plan({"control": 1, "treatment": 1}, 0.5))
    drawn = [splitter.assign(None) for _ in range(20_000)]
    enrolled = [each for each in drawn if each.enrolled]
    assert binomtest(len(enrolled), len(drawn), 0.5).pvalue > 1e-6  # not seeded: this is the system's own randomness
    assert binomtest(sum(each.arm == "treatment" for each in enrolled), len(enrolled), 0.5).pvalue > 1e-6


@pytest.mark.parametrize("unit", ["u-1", None])
def test_paused(unit: str | None) -> None:
    """While paused everybody is served control and nobody is enrolled."""
    splitter = Splitter(replace(plan({"control": 0, "treatment": 1}), mode="paused"))
    assert splitter.assign(unit) == Assignment("control", 1.0, False)


def test_an_arm_of_weight_zero_gets_nobody() -> None:
    """Weight 0 is no traffic, even where it is the only other arm."""
    assert {each.arm for each in assigned({"control": 0, "treatment": 5}, SOME[:1000])} == {"treatment"}
    assert {each.propensity for each in assigned({"control": 0, "treatment": 5}, SOME[:10])} == {1.0}


@pytest.mark.parametrize(
    "weights", [{"control": 1e12, "treatment": 1e12}, {"control": 5e-324, "treatment": 5e-324}, {"control": 1e12, "treatment": 1e-9}]
)
def test_extreme_weights_assign(weights: dict[str, float]) -> None:
    """Every weight that a plan may have can be assigned by."""
    assert {each.arm for each in assigned(weights, SOME[:100])} <= set(weights)


def test_any_text_is_a_unit() -> None:
    """Half a surrogate pair is assigned as any other key."""
    assert assigned({"control": 1, "treatment": 1}, ["\ud800", "", "ключ"])


def test_a_sampled_shadow_sees_its_share_and_always_the_same() -> None:
    """Whoever asks whether a prediction is mirrored gets the same answer; two shadows are drawn independently."""
    shadow = Shadow("m@2", 0.3)
    ids = [f"p1-{number:x}-0000000000000000" for number in range(50_000)]
    seen = [mirrors("credit", "next", shadow, each) for each in ids]
    assert seen == [mirrors("credit", "next", shadow, each) for each in ids]
    assert binomtest(sum(seen), len(ids), 0.3).pvalue > SIGNIFICANT
    both = sum(left and mirrors("credit", "other", shadow, each) for left, each in zip(seen, ids, strict=True))
    assert binomtest(both, len(ids), 0.09).pvalue > SIGNIFICANT
    assert all(mirrors("credit", "next", Shadow("m@2"), each) for each in ids[:100])
