"""The decision rule, in its order, as a table of cases."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from experiments.evidence import NO_EVIDENCE
from experiments.looks import look
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import Excluded
from experiments.verdict import Verdict, overall

Build = Callable[..., Any]

METRICS = [
    Metric(name="revenue"),
    Metric(name="latency", role="guardrail", direction="decrease", margin=0.2),
    Metric(name="clicks", role="info"),
]
BROKEN = {"control": 50_000, "treatment": 45_000}

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    # case, what differs from a thousand equal units an arm, verdict, what the reason says
    ("nothing differs", {}, "continue", r"no success metric is shown to be better: revenue \+0 .* left at the present rate"),
    ("harm", {"revenue": -0.4}, "rollback", r"revenue is shown to be worse: difference -0\.4, always-valid p .* since look 1"),
    ("harm among few units", {"revenue": -2.0, "n": 60}, "rollback", "revenue is shown to be worse"),
    ("harm and a broken ratio", {"revenue": -0.4, "entered": BROKEN}, "rollback", "revenue is shown to be worse"),
    ("harm at the horizon", {"revenue": -0.4, "horizon": True}, "rollback", "revenue is shown to be worse"),
    (
        "a guardrail hurt, success shown",
        {"revenue": 0.4, "latency": 0.5},
        "rollback",
        r"latency is shown to be worse by more than its margin of 0\.2",
    ),
    ("harm on an info metric", {"clicks": -3.0}, "continue", "no success metric"),
    ("a broken ratio", {"entered": BROKEN}, "invalid", "the check sample_ratio failed: .*50000:45000 units in control:treatment"),
    ("a broken ratio, success shown", {"revenue": 0.4, "entered": BROKEN}, "invalid", "sample_ratio"),
    ("a broken ratio, few units", {"n": 100, "entered": BROKEN}, "invalid", "sample_ratio"),
    ("a broken ratio at the horizon", {"entered": BROKEN, "horizon": True}, "invalid", "sample_ratio"),
    ("1.1 % unlogged", {"revenue": 0.4, "excluded": Excluded(unlogged=23)}, "invalid", "unlogged failed: 23 of 2023 predictions"),
    ("0.9 % unlogged", {"revenue": 0.4, "excluded": Excluded(unlogged=18)}, "promote", "revenue"),
    ("1.1 % in two arms", {"excluded": Excluded(two_arms=22)}, "invalid", "two_arms failed: 22 of 2000 units"),
    ("499 units an arm", {"revenue": 0.4, "n": 499}, "not_enough_data", "500 matured units per arm: control 499, treatment 499 so far"),
    ("499 units at the horizon", {"n": 499, "horizon": True}, "not_enough_data", "500 matured units"),
    ("no units", {"n": 0}, "not_enough_data", "control has 0 matured units"),
    ("no spread", {"sd": 0.0}, "not_enough_data", "do not vary"),
    ("no look yet", {"revenue": 0.4, "looks": False}, "not_enough_data", "no look has been made"),
    ("success", {"revenue": 0.4}, "promote", r"revenue is shown to be better: \+0\.4 \(lower bound \+0\.2.*\) and its guardrail holds"),
    ("success at the horizon", {"revenue": 0.4, "horizon": True}, "promote", "revenue is shown to be better"),
    (
        "success, guardrail open",
        {"revenue": 0.4, "latency": 0.15},
        "continue",
        r"not yet that the guardrail holds: latency \+0\.15 \(upper bound",
    ),
    (
        "guardrail open at the horizon",
        {"revenue": 0.4, "latency": 0.15, "horizon": True},
        "keep",
        "the horizon of 22 hours is reached and .*latency",
    ),
    (
        "five times the MDE and more",
        {"revenue": 0.6},
        "continue",
        r"revenue changed by \+0\.6, more than 5 times the MDE of 0\.1: look for an error",
    ),
    ("surely five times the MDE and more", {"revenue": 0.9}, "promote", "revenue is shown to be better"),
    (
        "no success at the horizon",
        {"horizon": True},
        "keep",
        "the horizon of 22 hours is reached and no success metric is shown to be better",
    ),
]


@pytest.fixture
def judged(design_of: Build, snapshot_of: Build, summary_of: Build) -> Build:
    """The report after one look at a thousand equal units an arm, apart from what is named."""

    def build(n: int = 1000, sd: float = 1.0, horizon: bool = False, looks: bool = True, **differs: Any) -> dict[str, Any]:
        def arm(**means: float) -> dict[str, Any]:
            return {metric.name: summary_of(n, 1.0 + means.get(metric.name, 0.0), sd) for metric in METRICS}

        entered = [differs.pop("entered")] if "entered" in differs else []
        excluded = differs.pop("excluded", Excluded())
        snapshot = snapshot_of(
            {"control": arm(), "treatment": arm(**differs)},
            weights=[{"control": 1.0, "treatment": 1.0}],
            entered=entered,
            excluded=excluded,
        )
        design = design_of(*METRICS, horizon_seconds=22 * 3600.0 if horizon else None)
        evidence = look(design, snapshot, NO_EVIDENCE) if looks else NO_EVIDENCE
        return report("e1", "credit", design, snapshot, evidence)

    return build


@pytest.mark.parametrize(("case", "verdict", "reason"), [pytest.param(*row[1:], id=row[0]) for row in CASES])
def test_the_order_of_the_rules(judged: Build, case: dict[str, Any], verdict: str, reason: str) -> None:
    """rollback → invalid → not_enough_data → promote → keep → continue, each with its reason in one sentence."""
    found = judged(**case)
    assert (found["verdict"], found["treatments"]["treatment"]["verdict"]) == (verdict, verdict)
    assert re.search(reason, found["reason"]), found["reason"]
    assert found["reason"].endswith(".")


def test_promotion_needs_the_population(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Better where the arms overlap, worse over all units: not promoted, and said so."""
    first = {"control": {"revenue": summary_of(50_000, 1.0, 1.0)}, "treatment": {"revenue": summary_of(600, 0.6, 9.0)}}
    second = {"control": {"revenue": summary_of(2000, 1.0, 1.0)}, "treatment": {"revenue": summary_of(2000, 1.3, 1.0)}}
    design, snapshot = design_of(), snapshot_of(first, second)
    evidence = look(design, msgspec.structs.replace(snapshot, phases=snapshot.phases[1:]), NO_EVIDENCE)
    assert evidence.track("treatment", "revenue").better.crossed is not None
    found = report("e1", "credit", design, snapshot, evidence)
    assert found["verdict"] == "continue"
    assert "not over all units (-0.3" in found["reason"]


def test_one_success_among_two_promotes(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """A second success metric need not improve too, as long as it is not shown to be hurt."""
    metrics = [Metric(name="a"), Metric(name="b")]
    null, high = summary_of(1000, 1.0, 1.0), summary_of(1000, 1.3, 1.0)
    design, snapshot = design_of(*metrics), snapshot_of({"control": {"a": null, "b": null}, "treatment": {"a": null, "b": high}})
    found = report("e1", "credit", design, snapshot, look(design, snapshot, NO_EVIDENCE))
    assert found["verdict"] == "promote"
    assert "b is shown to be better" in found["reason"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["continue", "rollback"], "rollback"),
        (["promote", "rollback"], "rollback"),
        (["not_enough_data", "promote"], "promote"),
        (["continue", "promote", "keep"], "promote"),
        (["continue", "not_enough_data"], "not_enough_data"),
        (["keep", "keep"], "keep"),
        (["invalid", "invalid"], "invalid"),
        (["keep"], "keep"),
        ([], "not_enough_data"),
    ],
)
def test_the_experiments_verdict(words: list[Any], expected: str) -> None:
    """Of several treatments the most urgent verdict is the experiment's, and its reason names the treatment."""
    found = overall({f"t{i}": Verdict(word, "because.") for i, word in enumerate(words)})
    assert found.verdict == expected
    if len(words) > 1 and expected != "invalid":
        assert found.reason == f"t{words.index(expected)}: because."


@pytest.fixture
def decided(design_of: Build, snapshot_of: Build, summary_of: Build) -> Build:
    """`decided(metrics, arms, …)`: the report after one look; `arms` has the lift per metric over means of 1, of a thousand units each."""

    def build(metrics: list[Metric], arms: dict[str, dict[str, float]], n: int = 1000, **fields: Any) -> dict[str, Any]:
        by_arm = {
            arm: {m.name: summary_of(n, 1.0 + lifts.get(m.name, 0.0), 1.0) for m in metrics}
            for arm, lifts in {"control": {}, **arms}.items()
        }
        design, snapshot = design_of(*metrics, **fields), snapshot_of(by_arm)
        return report("e1", "credit", design, snapshot, look(design, snapshot, NO_EVIDENCE))

    return build


LESS = Metric(name="cost", direction="decrease")
CEILING = Metric(name="latency", role="guardrail", direction="decrease", margin=0.2)
FLOOR = Metric(name="rating", role="guardrail", margin=0.2)


@pytest.mark.parametrize(
    ("lifts", "verdict", "reason"),
    [
        ({"cost": -0.4}, "promote", r"cost is shown to be better: -0\.4 \(upper bound -0\.2.* and its 2 guardrails hold"),
        ({"cost": 0.4}, "rollback", r"cost is shown to be worse: difference \+0\.4"),
        ({"cost": -0.6}, "continue", r"cost changed by -0\.6, more than 5 times the MDE of 0\.1"),
        ({"cost": -0.4, "latency": 0.5}, "rollback", r"latency is shown to be worse by more than its margin of 0\.2: difference \+0\.5"),
        ({"cost": -0.4, "rating": -0.5}, "rollback", r"rating is shown to be worse by more than its margin of 0\.2: difference -0\.5"),
        ({"cost": -0.4, "latency": -0.5, "rating": 0.5}, "promote", "its 2 guardrails hold"),
        ({"cost": -0.4, "latency": 0.15}, "continue", r"guardrail holds: latency \+0\.15 \(upper bound \+0\.2"),
        ({"cost": -0.4, "rating": -0.15}, "continue", r"guardrail holds: rating -0\.15 \(lower bound -0\.2"),
    ],
)
def test_directions(decided: Build, lifts: dict[str, float], verdict: str, reason: str) -> None:
    """Success, harm, margins and bounds are each on the side that the metric's direction says."""
    found = decided([LESS, CEILING, FLOOR], {"treatment": lifts})
    assert found["verdict"] == verdict
    assert re.search(reason, found["reason"]), found["reason"]


def test_several_treatments(decided: Build) -> None:
    """Each treatment has its own verdict against control; the experiment's is the most urgent, and names it."""
    metrics = [Metric(name="m"), CEILING]
    found = decided(metrics, {"a": {"m": 0.4}, "b": {"m": -0.4}, "c": {}, "d": {"m": 0.4, "latency": 0.15}})
    assert {arm: each["verdict"] for arm, each in found["treatments"].items()} == {
        "a": "promote",
        "b": "rollback",
        "c": "continue",
        "d": "continue",
    }
    assert found["verdict"] == "rollback"
    assert found["reason"].startswith("b: m is shown to be worse")


def test_checks_are_of_the_experiment(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """While one fails no treatment can be promoted, but one that harms is rolled back."""
    arms = {arm: {"m": summary_of(1000, 1.0 + lift, 1.0)} for arm, lift in (("control", 0.0), ("a", 0.4), ("b", -0.4))}
    design, snapshot = design_of(Metric(name="m")), snapshot_of(arms, no_propensity=1)
    found = report("e1", "credit", design, snapshot, look(design, snapshot, NO_EVIDENCE))
    assert {arm: each["verdict"] for arm, each in found["treatments"].items()} == {"a": "invalid", "b": "rollback"}


@pytest.mark.parametrize(
    ("lifts", "n", "verdict", "reason"),
    [
        ({}, 5000, "keep", "the maximum of 1 planned samples is reached and no success metric is shown to be better"),
        ({"m": 0.09}, 5000, "promote", "m is shown to be better"),
        ({"m": -0.2}, 5000, "rollback", "m is shown to be worse"),
        ({}, 1000, "continue", "left at the present rate"),
        ({"m": 0.09, "latency": 0.15}, 2000, "continue", "not yet that the guardrail holds: latency"),
        ({"latency": 0.15}, 2000, "keep", "the maximum of 1 planned samples is reached"),
        ({}, 499, "not_enough_data", "500 matured units per arm: control 499, treatment 499 so far"),
    ],
)
def test_a_spent_maximum(decided: Build, lifts: dict[str, float], n: int, verdict: str, reason: str) -> None:
    """With all of α spent and nothing shown control is kept; what is shown waits for its guardrail, whose test goes on."""
    found = decided([Metric(name="m"), CEILING], {"treatment": lifts}, n=n, maximum=1.0)
    assert found["verdict"] == verdict
    assert reason in found["reason"]


@pytest.mark.parametrize(
    ("horizon", "lifts", "verdict"), [(4000.0, {"m": 0.2}, "promote"), (4000.0, {}, "keep"), (9e9, {"m": 0.2}, "continue")], ids=str
)
def test_a_fixed_horizon(decided: Build, horizon: float, lifts: dict[str, float], verdict: str) -> None:
    """Before its horizon it continues, whatever the figures; at it, the one test decides."""
    assert decided([Metric(name="m")], {"treatment": lifts}, test="fixed-horizon", horizon_seconds=horizon)["verdict"] == verdict


def test_weights_decide_who_is_promoted(decided: Build) -> None:
    """The same difference is a success of the metric that has the weight, and none of the other."""
    for weights, verdict in (((9.0, 1.0), "promote"), ((1.0, 9.0), "continue"), ((None, None), "continue")):
        found = decided([Metric(name=name, weight=weight) for name, weight in zip("ab", weights, strict=True)], {"treatment": {"a": 0.13}})
        assert found["verdict"] == verdict
        by = "Holm" if weights[0] is None else "the declared weights"
        assert any(f"decided by {by} over 2 metrics and arms" in note for note in found["notes"])
