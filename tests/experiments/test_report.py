"""The report: the contract's keys, figures that agree with each other, no silent nonsense, fast."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from experiments.evidence import NO_EVIDENCE
from experiments.looks import look
from experiments.methods.joint import alone
from experiments.methods.summary import Summary, merge, of
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import ArmCounts, Excluded, Outcomes, Phase, Snapshot

Build = Callable[..., Any]

ROOT = Path(__file__).parents[2]


def read(design: Any, snapshot: Snapshot) -> dict[str, Any]:
    """The report after one look, as it comes out of JSON."""
    found = report("e1", "credit", design, snapshot, look(design, snapshot, NO_EVIDENCE))
    assert not [leaf for leaf in leaves(found) if isinstance(leaf, float) and not math.isfinite(leaf)]
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
    return decoded


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


@pytest.fixture
def ramp(snapshot_of: Build, rng: np.random.Generator) -> tuple[Snapshot, list[tuple[np.ndarray, np.ndarray]]]:
    """Two phases, 90:10 and 50:50, with a base rate that falls; and the values themselves."""
    values = [(rng.exponential(3.0, 5400), rng.exponential(3.3, 600)), (rng.exponential(1.0, 3000), rng.exponential(1.1, 3000))]
    phases = [{"control": {"revenue": of(c)}, "treatment": {"revenue": of(t)}} for c, t in values]
    weights = [{"control": 90.0, "treatment": 10.0}, {"control": 50.0, "treatment": 50.0}]
    outcomes, excluded = Outcomes(counted=1500, outside_window=3, duplicates=12), Excluded(immature=20)
    return snapshot_of(*phases, weights=weights, outcomes=outcomes, excluded=excluded), values


def test_the_contract(design_of: Build, ramp: Any) -> None:
    """Every key of the documented report is there, with times in RFC 3339 and weights as shares."""
    found = read(design_of(), ramp[0])
    assert {"experiment", "endpoint", "verdict", "reason", "arms", "phases", "metrics", "outcomes", "excluded", "checks"} <= set(found)
    assert found["arms"] == {
        "control": {"units": 8400, "matured": 8400, "predictions": 8400},
        "treatment": {"units": 3600, "matured": 3600, "predictions": 3600},
    }
    assert found["phases"][0]["weights"] == {"control": 0.9, "treatment": 0.1}
    assert (found["phases"][0]["from"], found["phases"][1]["to"]) == ("2023-11-14T22:13:20.000Z", None)
    assert found["phases"][1]["arms"]["treatment"]["units"] == 3000
    assert found["outcomes"] == {"counted": 1500, "outside_window": 3, "unanalysed": 0, "quarantined": 0, "duplicates": 12}
    assert found["excluded"] == {"immature": 20, "cut": 0, "two_arms": 0, "forced": 0, "unlogged": 0}
    assert {"name", "status", "p_value", "detail"} == set(found["checks"][0])
    metric = found["metrics"]["revenue"]
    assert (metric["role"], metric["kind"], metric["window_seconds"]) == ("success", "continuous", 3600.0)
    assert {"units", "sum", "mean", "lower", "upper"} == set(metric["arms"]["control"])
    difference = metric["differences"]["treatment"]
    documented = {"estimate", "se", "relative", "p_value", "lower", "upper", "method", "fixed", "population", "by_phase"}
    assert documented <= set(difference)
    assert {"p_value", "lower", "upper"} <= set(difference["fixed"])
    assert (difference["method"], difference["upper"]) == ("always-valid", None)


def test_the_figures(design_of: Build, ramp: Any) -> None:
    """Arms, phases, overlap, population and lift are what numpy makes of the values themselves."""
    snapshot, values = ramp
    metric = read(design_of(), snapshot)["metrics"]["revenue"]
    control = np.concatenate([c for c, _ in values])
    arm = metric["arms"]["control"]
    assert arm["sum"] == pytest.approx(control.sum())
    bounds = stats.t.interval(0.95, len(control) - 1, control.mean(), stats.sem(control))
    assert (arm["lower"], arm["upper"]) == pytest.approx(bounds)

    difference = metric["differences"]["treatment"]
    effects = np.array([t.mean() - c.mean() for c, t in values])
    se2 = np.array([t.var(ddof=1) / len(t) + c.var(ddof=1) / len(c) for c, t in values])
    h = np.array([len(t) * len(c) / (len(t) + len(c)) for c, t in values])
    n = np.array([len(t) + len(c) for c, t in values])
    assert difference["estimate"] == pytest.approx((h * effects).sum() / h.sum())
    assert difference["population"]["estimate"] == pytest.approx((n * effects).sum() / n.sum())
    assert difference["relative"] == pytest.approx((h * effects).sum() / sum(w * c.mean() for w, (c, _) in zip(h, values, strict=True)))
    assert [row["estimate"] for row in difference["by_phase"]] == pytest.approx(effects)
    assert [row["se"] for row in difference["by_phase"]] == pytest.approx(np.sqrt(se2))
    fixed = difference["fixed"]
    assert fixed["se"] == pytest.approx(np.sqrt((h**2 * se2).sum()) / h.sum())
    assert fixed["p_value"] == pytest.approx(stats.norm.sf(fixed["estimate"] / fixed["se"]))
    assert fixed["lower"] < fixed["estimate"] < fixed["upper"]
    assert fixed["relative_lower"] < difference["relative"] < fixed["relative_upper"]
    assert difference["se"] >= fixed["se"]
    assert difference["lower"] < fixed["lower"]


def test_one_phase_is_welch(design_of: Build, snapshot_of: Build, rng: np.random.Generator) -> None:
    """In one phase the fixed test is scipy's Welch t, one-sided p beside a two-sided interval."""
    control, treatment = rng.exponential(1.0, 700), rng.exponential(1.2, 600)
    snapshot = snapshot_of({"control": {"revenue": of(control)}, "treatment": {"revenue": of(treatment)}})
    fixed = read(design_of(), snapshot)["metrics"]["revenue"]["differences"]["treatment"]["fixed"]
    expected = stats.ttest_ind(treatment, control, equal_var=False, alternative="greater")
    assert fixed["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    both = stats.ttest_ind(treatment, control, equal_var=False).confidence_interval()
    assert (fixed["lower"], fixed["upper"]) == pytest.approx((both.low, both.high))


def test_a_decrease_is_bounded_from_above(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Where less is better the estimate keeps its sign, and the bound is the upper one."""
    snapshot = snapshot_of({"control": {"latency": summary_of(2000, 1.0, 1.0)}, "treatment": {"latency": summary_of(2000, 0.8, 1.0)}})
    found = read(design_of(Metric(name="latency", direction="decrease")), snapshot)
    difference = found["metrics"]["latency"]["differences"]["treatment"]
    assert difference["estimate"] == pytest.approx(-0.2)
    assert difference["lower"] is None
    assert -0.2 < difference["upper"] < 0.0
    assert found["verdict"] == "promote"


def test_the_always_valid_bound_and_p_agree(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """At a look the bound excludes 0 exactly when p is at most alpha."""
    null = summary_of(2000, 1.0, 1.0)
    for lift in np.linspace(0.05, 0.15, 21).tolist():
        snapshot = snapshot_of({"control": {"revenue": null}, "treatment": {"revenue": summary_of(2000, 1.0 + lift, 1.0)}})
        difference = read(design_of(), snapshot)["metrics"]["revenue"]["differences"]["treatment"]
        assert (difference["lower"] > 0.0) is (difference["p_value"] <= 0.05) is (difference["shown"] is not None)


def test_the_population_is_everybody(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """With three arms a phase weighs by all of its units, those of the third arm too."""

    def phase(lift: float, third: int) -> dict[str, dict[str, Summary]]:
        units = (("control", 500, 0.0), ("a", 500, lift), ("b", third, 0.0))
        return {arm: {"revenue": summary_of(n, 1.0 + more, 1.0)} for arm, n, more in units}

    difference = read(design_of(), snapshot_of(phase(0.1, 1000), phase(0.4, 4000)))["metrics"]["revenue"]["differences"]["a"]
    assert difference["population"]["estimate"] == pytest.approx((2000 * 0.1 + 5000 * 0.4) / 7000)
    assert difference["estimate"] == pytest.approx(0.25)


@pytest.mark.parametrize("phases", [1, 2])
def test_a_guardrails_fixed_test_is_against_its_margin(design_of: Build, snapshot_of: Build, summary_of: Build, phases: int) -> None:
    """A loss of half the margin is no improvement, but shown to be within the margin."""
    phase = {"control": {"latency": summary_of(2000, 1.0, 1.0)}, "treatment": {"latency": summary_of(2000, 1.1, 1.0)}}
    metrics = Metric(name="revenue"), Metric(name="latency", role="guardrail", direction="decrease", margin=0.2)
    difference = read(design_of(*metrics), snapshot_of(*[phase] * phases))["metrics"]["latency"]["differences"]["treatment"]
    assert difference["compared_with"] == 0.2
    assert difference["fixed"]["p_value"] == pytest.approx(stats.norm.sf(0.1 / math.sqrt(2.0 / (2000 * phases))), rel=0.02)


@pytest.mark.parametrize(("n", "bounded"), [(499, False), (500, True)])
def test_a_bound_needs_500_units(design_of: Build, snapshot_of: Build, summary_of: Build, n: int, bounded: bool) -> None:
    """Like p, the always-valid bound is withheld from small arms, with the reason; the fixed one is there for what it is."""
    snapshot = snapshot_of({"control": {"revenue": summary_of(9000, 1.0, 1.0)}, "treatment": {"revenue": summary_of(n, 1.2, 1.0)}})
    difference = read(design_of(), snapshot)["metrics"]["revenue"]["differences"]["treatment"]
    assert (difference["lower"] is not None, difference["p_value"] is not None) == (bounded, bounded)
    assert ("waiting" in difference) is not bounded
    assert difference["fixed"]["lower"] is not None


EXTREMES = {
    "none": [],
    "one": [1.0],
    "constant": [2.0] * 600,
    "all zero": [0.0] * 600,
    "1e300": [1e300, -1e300, 3e299] * 300,
    "1e300 once": [*([1.0, 2.0] * 300), 1e300],
    "1e150": [1e150, 2e150] * 300,
    "1e-300": [1e-300, 2e-300] * 300,
    "largest": [1.7e308] * 600,
}


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
@pytest.mark.parametrize("treatment", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("control", [*EXTREMES.values(), [0.0, 1.0] * 300], ids=[*EXTREMES, "ordinary"])
@pytest.mark.filterwarnings("error")
def test_extremes(design_of: Build, snapshot_of: Build, control: list[float], treatment: list[float], relative: bool) -> None:
    """Whatever the values, figures are finite or null with the reason beside them, and no p value comes of nothing."""
    design = design_of(Metric(name="revenue"), Metric(name="cost", role="guardrail", direction="decrease"), relative=relative)
    sides = {"control": of(control), "treatment": of(treatment)}
    found = read(design, snapshot_of({arm: {"revenue": side, "cost": side} for arm, side in sides.items()}))
    for metric in found["metrics"].values():
        for arm, side in metric["arms"].items():
            assert side["lower"] is not None or side["refused"], arm
        difference = metric["differences"]["treatment"]
        if difference["estimate"] is None:
            assert difference["refused"]
            assert difference["p_value"] is difference["lower"] is difference["upper"] is None
            assert difference["fixed"] == {"refused": difference["refused"]}
        elif difference["p_value"] is None:
            assert difference["waiting"]
        assert (
            difference["relative"] is not None
            or "refused" in difference
            or "relative_refused" in difference
            or "refused" in difference["fixed"]
        )
    if min(len(control), len(treatment)) < 2:
        assert found["verdict"] == "not_enough_data"


def test_no_arm_but_control(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Before a treatment has any unit, and before any phase, there is a report that says so."""
    for snapshot in (snapshot_of({"control": {"revenue": summary_of(10, 1.0, 1.0)}}), Snapshot(0.0, 1000.0, [])):
        found = read(design_of(), snapshot)
        assert found["verdict"] == "not_enough_data"
        assert found["metrics"]["revenue"]["differences"] == {}


def test_an_arm_without_units(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """An arm of the weights that nobody entered is refused by name, the other is analysed."""
    some = {"revenue": summary_of(1000, 1.0, 1.0)}
    snapshot = snapshot_of({"control": some, "a": some, "b": {}}, weights=[{"control": 1.0, "a": 1.0, "b": 0.0}])
    differences = read(design_of(), snapshot)["metrics"]["revenue"]["differences"]
    assert differences["b"]["refused"] == "b has 0 matured units (a unit matures 3600 s after its entry): a difference needs 2 in each arm"
    assert "refused" not in differences["a"]


def test_arms_that_never_meet(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Units in different phases are never compared, whatever their number."""
    some = {"revenue": summary_of(1000, 1.0, 1.0)}
    snapshot = snapshot_of({"control": some, "treatment": {}}, {"control": {}, "treatment": some})
    difference = read(design_of(), snapshot)["metrics"]["revenue"]["differences"]["treatment"]
    assert difference["refused"] == "no phase has 2 matured units in both arms"


def test_before_the_first_look(design_of: Build, ramp: Any) -> None:
    """Estimates are shown, p values are not known yet: null with the reason, never 1."""
    found = report("e1", "credit", design_of(), ramp[0], NO_EVIDENCE)
    difference = found["metrics"]["revenue"]["differences"]["treatment"]
    assert difference["estimate"] is not None
    assert difference["p_value"] is difference["harm"]["p_value"] is None
    assert difference["waiting"] == "no look has been made with enough units yet"
    assert found["checks"][0]["status"] == "waiting"


def test_what_is_said(design_of: Build, ramp: Any) -> None:
    """The window, what α covers, the false-rollback rate, when looks are made and Holm are stated with their figures."""
    metrics = [Metric(name="revenue"), Metric(name="b"), Metric(name="g", role="guardrail"), Metric(name="i", role="info")]
    notes = " ".join(read(design_of(*metrics, lateness_seconds=60.0, alpha=0.02), ramp[0])["notes"])
    for said in (
        "within 3600 s of its unit's entry, if it arrived within 60 s after that",
        "Each direction is controlled at alpha = 0.02, not both jointly: a false promote or a false rollback come together at most at 0.04",
        "Over 3 tests for harm, the probability that any rolls back falsely is at most 0.06",
        "every 300 s of journal time: success from 500 matured units per arm on, harm from 20",
        "Holm over 2 metrics and arms",
    ):
        assert said in notes
    adjusted = design_of(Metric(name="revenue", covariate="champion_score", estimator="lin"))
    assert "on, harm from 20 (100 with lin)" in " ".join(read(adjusted, ramp[0])["notes"])


def test_days_left(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """From the units of the last phase per day of entry, to 1.8 times the planned sample; 0 once there."""

    def left(n: int) -> Any:
        side = {"revenue": summary_of(n, 1.0, 1.0)}
        return read(design_of(), snapshot_of({"control": side, "treatment": side}))["metrics"]["revenue"]["differences"]["treatment"][
            "days_left"
        ]

    planned = 2.0 * ((stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) / 0.1) ** 2  # units per arm at σ = 1
    days = 23.0 / 24.0  # of entries that have matured, with a window of one hour
    assert left(1000) == pytest.approx((1.8 * planned - 1000) / (1000 / days), rel=5e-3)
    assert left(10_000) == 0.0


def test_fast_enough(design_of: Build) -> None:
    """5 arms × 5 phases × 5 metrics take at most 10 ms, and no more with a billion units behind them; 40 here for a busy machine."""
    metrics = [
        Metric(name="a"),
        Metric(name="b"),
        Metric(name="c", role="guardrail"),
        Metric(name="d", role="guardrail"),
        Metric(name="e", role="info"),
    ]
    design, snapshot = design_of(*metrics), large()
    evidence = look(design, snapshot, NO_EVIDENCE)
    taken = []
    for _ in range(15):
        start = time.process_time()
        report("e1", "credit", design, snapshot, evidence)
        taken.append(time.process_time() - start)
    assert min(taken) <= 0.040


def test_a_report_does_not_wait_for_scipy_stats() -> None:
    """Importing the report leaves out scipy.stats, which would cost a command line most of a second."""
    said = "import sys, experiments.report, experiments.looks, experiments.table; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", said], check=False, cwd=ROOT).returncode == 0


def large() -> Snapshot:
    arms, n = ["control", "s", "t", "u", "v"], 10**9
    counts = ArmCounts(n, n, n, {name: alone(Summary(n, 1.0, float(n))) for name in "abcde"})
    phases = [
        Phase(k, dict.fromkeys(arms, 1.0), 86400.0 * k, 86400.0 * (k + 1) if k < 5 else None, dict.fromkeys(arms, counts))
        for k in range(1, 6)
    ]
    return Snapshot(86400.0, 86400.0 * 6, phases)


def test_a_billion_units_are_exact(design_of: Build, snapshot_of: Build) -> None:
    """Merging many large summaries at a mean of 1e8 keeps the difference of their means."""
    side = Summary(10**6, 1e8, 1e6)
    for _ in range(10):
        side = merge(side, side)
    other = msgspec.structs.replace(side, mean=side.mean + 0.01)
    difference = read(design_of(), snapshot_of({"control": {"revenue": side}, "treatment": {"revenue": other}}))["metrics"]["revenue"]
    assert difference["differences"]["treatment"]["estimate"] == pytest.approx(0.01, rel=1e-5)
