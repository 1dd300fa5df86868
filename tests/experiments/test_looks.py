"""Looks: when they are made, what they keep, what latches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from experiments.effect import effect
from experiments.evidence import NO_EVIDENCE, Evidence
from experiments.looks import due, look, reached, rejected
from experiments.methods import srm
from experiments.methods.means import welch
from experiments.methods.summary import EMPTY, Summary, of
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import Snapshot

Build = Callable[..., Any]


def two_arms(control: Summary, treatment: Summary, metric: str = "revenue") -> dict[str, dict[str, Summary]]:
    return {"control": {metric: control}, "treatment": {metric: treatment}}


def later(snapshot: Snapshot, seconds: float) -> Snapshot:
    return msgspec.structs.replace(snapshot, at=snapshot.at + seconds)


@pytest.fixture
def even(snapshot_of: Build, summary_of: Build) -> Snapshot:
    """A thousand units an arm, no difference."""
    return snapshot_of(two_arms(summary_of(1000, 1.0, 1.0), summary_of(1000, 1.0, 1.0)))


@pytest.fixture
def better(snapshot_of: Build, summary_of: Build) -> Snapshot:
    """A thousand units an arm, five standard errors better."""
    return snapshot_of(two_arms(summary_of(1000, 1.0, 1.0), summary_of(1000, 1.25, 1.0)))


def test_the_grid(design_of: Build) -> None:
    """A look is due once a grid point after the last one has passed, never at the start."""
    design = design_of(look_every_seconds=300.0)
    assert not due(design, 1000.0, 1000.0, NO_EVIDENCE)
    assert not due(design, 1000.0, 1299.9, NO_EVIDENCE)
    assert due(design, 1000.0, 1300.0, NO_EVIDENCE)
    assert not due(design, 1000.0, 1599.0, Evidence(looks=1, slot=1))
    assert due(design, 1000.0, 9999.0, Evidence(looks=1, slot=1))


def test_a_look_off_the_grid_changes_nothing(design_of: Build, even: Snapshot, better: Snapshot) -> None:
    """Between grid points, and on a replay of the same moment, the evidence stays as it is, however good the figures."""
    design = design_of()
    evidence = look(design, even, NO_EVIDENCE)
    assert evidence.looks == 1
    assert look(design, even, evidence) is evidence
    assert look(design, later(better, 299.0), evidence) is evidence
    assert look(design, later(better, 300.0), evidence).looks == 2


def test_reading_never_looks(design_of: Build, even: Snapshot, better: Snapshot) -> None:
    """A report of a better moment shows its estimate, but p and verdict are those of the last look."""
    design = design_of()
    evidence = look(design, even, NO_EVIDENCE)
    before, after = (report("e", "c", design, snapshot, evidence) for snapshot in (even, later(better, 200.0)))
    assert after["metrics"]["revenue"]["differences"]["treatment"]["estimate"] == pytest.approx(0.25)
    for key in ("p_value", "shown"):
        assert after["metrics"]["revenue"]["differences"]["treatment"][key] == before["metrics"]["revenue"]["differences"]["treatment"][key]
    assert after["verdict"] == before["verdict"] == "continue"


def test_a_crossing_latches(design_of: Build, even: Snapshot, better: Snapshot) -> None:
    """Once shown, the moment and the look are kept, and p never rises, though the difference goes away."""
    design = design_of()
    shown = look(design, better, look(design, later(even, -600.0), NO_EVIDENCE))
    crossed = shown.track("treatment", "revenue").better.crossed
    assert crossed is not None
    assert (crossed.at, crossed.look) == (better.at, 2)
    gone = look(design, later(even, 86400.0), shown)
    assert gone.track("treatment", "revenue").better == shown.track("treatment", "revenue").better


def test_v_never_falls(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """The clock keeps the most that was known, though variance estimates fall."""
    design = design_of()
    noisy = look(design, snapshot_of(two_arms(summary_of(1000, 1.0, 9.0), summary_of(1000, 1.0, 9.0))), NO_EVIDENCE)
    calm = snapshot_of(two_arms(summary_of(1001, 1.0, 1.0), summary_of(1001, 1.0, 1.0)))
    assert look(design, later(calm, 300.0), noisy).track("treatment", "revenue").v == noisy.track("treatment", "revenue").v > 0.0


@pytest.mark.parametrize(("n", "success", "harm"), [(19, False, False), (20, False, True), (499, False, True), (500, True, True)])
def test_small_samples_decide_nothing(design_of: Build, snapshot_of: Build, summary_of: Build, n: int, success: bool, harm: bool) -> None:
    """No success before 500 units in each arm, no harm before 20, however large the difference and the other arm."""
    many = 10_000
    good = snapshot_of(two_arms(summary_of(many, 1.0, 1.0), summary_of(n, 9.0, 1.0)))
    bad = snapshot_of(two_arms(summary_of(n, 9.0, 1.0), summary_of(many, 1.0, 1.0)))
    design = design_of()
    assert (look(design, good, NO_EVIDENCE).track("treatment", "revenue").better.crossed is not None) is success
    assert (look(design, bad, NO_EVIDENCE).track("treatment", "revenue").worse.crossed is not None) is harm


def test_evidence_of_too_few_units_is_not_kept(design_of: Build, snapshot_of: Build, summary_of: Build, even: Snapshot) -> None:
    """A large difference among 400 units does not count once there are 1000 without one."""
    design = design_of()
    early = snapshot_of(two_arms(summary_of(400, 1.0, 1.0), summary_of(400, 3.0, 1.0)))
    evidence = look(design, early, NO_EVIDENCE)
    assert evidence.track("treatment", "revenue").better.log_evidence is None
    assert look(design, later(even, 300.0), evidence).track("treatment", "revenue").better.log_evidence == 0.0


def test_the_larger_standard_error_is_used(design_of: Build, snapshot_of: Build) -> None:
    """In a small arm that looks calm by chance the pooled variance counts: Welch alone would show harm, this does not."""
    control, treatment = Summary(400, 1.0, 400.0 * 9.0), Summary(20, 0.3, 20.0 * 0.04)
    assert welch(control, treatment, alternative="less").p_value < 0.0005
    evidence = look(design_of(mde=5.0), snapshot_of(two_arms(control, treatment)), NO_EVIDENCE)
    assert evidence.track("treatment", "revenue").worse.crossed is None


@pytest.mark.parametrize(("direction", "side"), [("increase", "better"), ("decrease", "worse")])
def test_direction(design_of: Build, better: Snapshot, direction: str, side: str) -> None:
    """A rise is an improvement or a harm as the metric declares."""
    evidence = look(design_of(Metric(name="revenue", direction=direction)), better, NO_EVIDENCE)
    track = evidence.track("treatment", "revenue")
    assert getattr(track, side).crossed is not None
    assert getattr(track, "worse" if side == "better" else "better").crossed is None


@pytest.mark.parametrize(
    ("loss", "holds", "hurt"), [(0.0, True, False), (0.05, True, False), (0.2, False, False), (0.35, False, True)], ids=str
)
def test_guardrails(design_of: Build, snapshot_of: Build, summary_of: Build, loss: float, holds: bool, hurt: bool) -> None:
    """A guardrail holds once its loss is shown to be below the margin of .2, and is hurt once shown above; a rise here is the loss."""
    metrics = [Metric(name="revenue"), Metric(name="latency", role="guardrail", direction="decrease", margin=0.2)]
    arms = {
        arm: {"revenue": summary_of(1000, 1.0, 1.0), "latency": summary_of(1000, 1.0 + more, 1.0)}
        for arm, more in (("control", 0.0), ("treatment", loss))
    }
    track = look(design_of(*metrics), snapshot_of(arms), NO_EVIDENCE).track("treatment", "latency")
    assert (track.better.crossed is not None) is holds
    assert (track.worse.crossed is not None) is hurt


def test_holm_over_metrics_and_arms(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """A difference shown alone is not shown as the best of four tests; one that is strong enough frees the next."""
    design = design_of(Metric(name="a"), Metric(name="b"))
    null = summary_of(1000, 1.0, 1.0)

    def shown(*best: float) -> list[bool]:
        means = [*best, *[1.0] * (4 - len(best))]
        one, two, three, four = (summary_of(1000, mean, 1.0) for mean in means)
        snapshot = snapshot_of({"control": {"a": null, "b": null}, "x": {"a": one, "b": two}, "y": {"a": three, "b": four}})
        evidence = look(design, snapshot, NO_EVIDENCE)
        return [evidence.track(arm, metric).better.crossed is not None for arm in "xy" for metric in "ab"]

    alone = look(design_of(), snapshot_of(two_arms(null, summary_of(1000, 1.132, 1.0))), NO_EVIDENCE).track("treatment", "revenue")
    assert alone.better.crossed is not None
    assert shown(1.132) == [False] * 4
    assert shown(1.3) == [True, False, False, False]
    assert shown(1.3, 1.142) == [True, False, False, False]
    assert shown(1.3, 1.142, 1.3, 1.142) == [True] * 4


def test_holm_thresholds() -> None:
    """The best of m needs M ≥ m/α, the next (m − 1)/α, and after a failure none."""
    at = {("t", "a"): math.log(3 / 0.05), ("t", "b"): math.log(2 / 0.05), ("t", "c"): math.log(1 / 0.05)}
    up = {key: value + 1e-9 for key, value in at.items()}
    assert rejected(up, 0.05) == set(up)
    assert rejected({**up, ("t", "a"): math.log(2.9 / 0.05)}, 0.05) == set()
    assert rejected({**up, ("t", "b"): math.log(1.9 / 0.05)}, 0.05) == {("t", "a")}


def test_weighted_thresholds() -> None:
    """Metric j needs M ≥ 1/(w_j α) on each arm, the weights as shares over metrics × arms; what is shown frees nothing."""
    weights = {"a": 3.0, "b": 1.0}
    needed = {"a": math.log(8.0 / 3.0 / 0.05), "b": math.log(8.0 / 0.05)}
    at = {(arm, name): needed[name] for arm in "xy" for name in "ab"}
    assert reached({key: value + 1e-9 for key, value in at.items()}, weights, 0.05) == set(at)
    assert reached({key: value - 1e-9 for key, value in at.items()}, weights, 0.05) == set()
    assert reached({**at, ("x", "a"): 1e6, ("x", "b"): 0.0}, {"a": 0.3, "b": 0.1}, 0.05) >= {("x", "a")}
    assert ("x", "b") not in reached({**at, ("x", "a"): 1e6, ("x", "b"): needed["b"] - 0.1}, weights, 0.05)


def test_weights_in_place_of_holm(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """A difference that Holm would not show as the best of two is shown with most of the weight, and less so with little of it."""
    null, lift = summary_of(1000, 1.0, 1.0), summary_of(1000, 1.13, 1.0)
    snapshot = snapshot_of({"control": {"a": null, "b": null}, "treatment": {"a": lift, "b": null}})

    def shown(*weights: float | None) -> bool:
        metrics = [Metric(name=name, weight=weight) for name, weight in zip("ab", weights, strict=True)]
        return look(design_of(*metrics), snapshot, NO_EVIDENCE).track("treatment", "a").better.crossed is not None

    assert [shown(None, None), shown(1.0, 1.0), shown(9.0, 1.0), shown(1.0, 9.0)] == [False, False, True, False]


def test_harm_and_guardrails_are_not_divided(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Weights and Holm are for success alone: each harm and each guardrail is tested at α, in each arm."""
    metrics = [Metric(name="a", weight=1.0), Metric(name="b", weight=99.0), Metric(name="g", role="guardrail", margin=0.137)]
    null, low = summary_of(1000, 1.0, 1.0), summary_of(1000, 1.0 - 0.137, 1.0)
    arm = {"a": null, "b": null, "g": null}
    evidence = look(design_of(*metrics), snapshot_of({"control": arm, "x": {**arm, "a": low}, "y": arm}), NO_EVIDENCE)
    assert evidence.track("x", "a").worse.crossed is not None
    assert evidence.track("y", "g").better.crossed is not None
    assert evidence.track("y", "a").worse.crossed is None


def test_freezing(design_of: Build, snapshot_of: Build, rng: np.random.Generator) -> None:
    """Mean and variance of all arms together are frozen at the first look with 20 units an arm, and stay."""
    control, treatment = rng.exponential(1.0, 30), rng.exponential(2.0, 20)
    design = design_of()
    assert look(design, snapshot_of(two_arms(of(control), of(treatment[:19]))), NO_EVIDENCE).frozen == {}
    evidence = look(design, snapshot_of(two_arms(of(control), of(treatment))), NO_EVIDENCE)
    frozen, both = evidence.frozen["revenue"], np.concatenate([control, treatment])
    assert frozen.mean == pytest.approx(both.mean())
    assert frozen.variance == pytest.approx(both.var(ddof=1))
    again = look(design, later(snapshot_of(two_arms(of(control * 5), of(treatment * 5))), 300.0), evidence)
    assert again.frozen == evidence.frozen


def test_a_relative_mde_waits_for_a_mean(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """With a mean within 3 standard errors of 0 there is nothing to take a share of; once there is, the MDE is frozen."""
    design = design_of(relative=True)
    early = look(design, snapshot_of(two_arms(summary_of(50, 0.1, 1.0), summary_of(50, 0.1, 1.0))), NO_EVIDENCE)
    assert early.frozen == {}
    assert effect(design, design.metrics[0], early.frozen) is None
    evidence = look(design, later(snapshot_of(two_arms(summary_of(5000, 0.1, 1.0), summary_of(5000, 0.1, 1.0))), 300.0), early)
    assert effect(design, design.metrics[0], evidence.frozen) == pytest.approx(0.01)


def test_default_margins(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Without a margin a guardrail may lose the MDE: as a share of its own mean, or in standard deviations of its own."""
    metrics = [Metric(name="revenue"), Metric(name="latency", role="guardrail", direction="decrease")]
    arm = {"revenue": summary_of(1000, 1.0, 2.0), "latency": summary_of(1000, 50.0, 8.0)}
    snapshot = snapshot_of({"control": arm, "treatment": arm})
    for relative, expected in ((True, 5.0), (False, 0.4)):
        design = design_of(*metrics, relative=relative)
        frozen = look(design, snapshot, NO_EVIDENCE).frozen
        assert effect(design, metrics[1], frozen) == pytest.approx(expected, rel=1e-3)


def test_the_ratio_alarm_latches(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """The alarm keeps its look, and later balance does not take it back."""
    some = two_arms(summary_of(1000, 1.0, 1.0), summary_of(1000, 1.0, 1.0))
    weights, design = [{"control": 1.0, "treatment": 1.0}], design_of()
    broken = snapshot_of(some, weights=weights, entered=[{"control": 50_000, "treatment": 48_000}])
    evidence = look(design, broken, NO_EVIDENCE)
    assert evidence.ratio.alarm is not None
    assert evidence.ratio.alarm.look == 1
    mended = snapshot_of(some, weights=weights, entered=[{"control": 90_000, "treatment": 90_000}])
    after = look(design, later(mended, 300.0), evidence)
    assert after.ratio.alarm == evidence.ratio.alarm
    assert after.ratio.log_evidence == evidence.ratio.log_evidence
    assert after.ratio.phases[1].log_evidence < -math.log(srm.ALARM)


def test_evidence_survives_json(design_of: Build, better: Snapshot) -> None:
    """Stored and read back between looks, evidence goes on as if it had been kept."""
    design = design_of(relative=True)
    kept = look(design, better, NO_EVIDENCE)
    stored = msgspec.json.decode(msgspec.json.encode(kept), type=Evidence)
    assert stored == kept
    assert look(design, later(better, 300.0), stored) == look(design, later(better, 300.0), kept)
    assert msgspec.json.decode(msgspec.json.encode(better), type=Snapshot) == better


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [2.0] * 50, [1e300, -1e300] * 30, [1e-300, 2e-300] * 30, [5e-324, 0.0] * 30, [1e150, -1e150] * 600],
    ids=["none", "one", "constant", "huge", "tiny", "subnormal", "squares-in-range"],
)
@pytest.mark.parametrize("relative", [False, True])
def test_looks_bear_extremes(design_of: Build, snapshot_of: Build, values: list[float], relative: bool) -> None:
    """Whatever the values, a look ends without a warning and what it keeps is finite."""
    design = design_of(Metric(name="revenue"), Metric(name="other", role="guardrail"), relative=relative)
    arm = {"revenue": of(values), "other": of(values)}
    snapshot = snapshot_of({"control": arm, "treatment": {"revenue": of([2.0 * v for v in values]), "other": EMPTY}, "absent": {}})
    evidence = look(design, snapshot, NO_EVIDENCE)
    assert evidence.looks == 1
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence) == evidence


@pytest.mark.parametrize("fields", [{}, {"test": "group-sequential", "maximum": 1.0}], ids=["always-valid", "group-sequential"])
def test_a_guardrail_makes_the_clock_slower(design_of: Build, snapshot_of: Build, summary_of: Build, fields: dict[str, Any]) -> None:
    """Its success metric is tested as that of an experiment without it, which is planned for a power of 0.9 instead of 0.8."""
    revenue, spend = summary_of(600, 1.0, 1.0), summary_of(600, 1.1, 1.0)
    alone = snapshot_of(two_arms(revenue, spend))
    both = snapshot_of({arm: {"revenue": each, "errors": each} for arm, each in (("control", revenue), ("treatment", spend))})
    tracks = []
    for design, snapshot in (
        (design_of(power=0.9, **fields), alone),
        (design_of(Metric(name="revenue"), Metric(name="errors", role="guardrail"), **fields), both),
        (design_of(**fields), alone),
    ):
        found = report("e", "c", design, snapshot, look(design, snapshot, NO_EVIDENCE))["metrics"]["revenue"]["differences"]["treatment"]
        tracks.append({name: found[name] for name in ("p_value", "lower", "harm")} | {"interims": found.get("interims")})
    assert tracks[1] == tracks[0]
    assert tracks[2] != tracks[0]
