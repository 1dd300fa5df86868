"""What a look adds to the evidence: the always-valid test, the exact test of conversions, group-sequential and fixed-horizon tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import msgspec
import numpy as np
import pytest
from scipy import integrate, stats

from experiments.design import Design
from experiments.evidence import NO_EVIDENCE, Evidence, Side, Track
from experiments.looks import look
from experiments.methods import always_valid, group_sequential
from experiments.methods.summary import Summary
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import Snapshot
from experiments.tracking import EXACT_SHARE

Build = Callable[..., Any]

PLANNED = 2.0 * ((stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) / 0.1) ** 2
"""Units per arm of a fixed-horizon test of an MDE of .1 at σ = 1: 1237."""


@pytest.fixture
def at(snapshot_of: Build, summary_of: Build) -> Build:
    """`at(k, n, lift)`: n units an arm with σ = 1 and this difference of means, at the k-th point of the grid."""

    def build(k: int, n: int, lift: float = 0.0, **fields: Any) -> Snapshot:
        arms = {arm: {"revenue": summary_of(n, 1.0 + more, 1.0)} for arm, more in (("control", 0.0), ("treatment", lift))}
        snapshot: Snapshot = snapshot_of(arms, **fields)
        return msgspec.structs.replace(snapshot, at=snapshot.started + 300.0 * k)

    return build


def watched(design: Design, *snapshots: Snapshot) -> list[Track]:
    """The track of the first metric after each of these looks."""
    evidence, found = NO_EVIDENCE, []
    for snapshot in snapshots:
        evidence = look(design, snapshot, evidence)
        found.append(evidence.track("treatment", design.metrics[0].name))
    return found


def difference(design: Design, *snapshots: Snapshot) -> Any:
    """What the report says of the first metric after these looks, at the last snapshot."""
    evidence = NO_EVIDENCE
    for snapshot in snapshots:
        evidence = look(design, snapshot, evidence)
    found = report("e1", "credit", design, snapshots[-1], evidence)
    return found["metrics"][design.metrics[0].name]["differences"]["treatment"]


def test_always_valid(design_of: Build, at: Build) -> None:
    """Evidence is the mixture's at z = U/√V and the clock V/V*, for the other side at −z, and the largest of the looks."""
    tracks = watched(design_of(), at(1, 1000, 0.1), at(2, 2000, 0.1), at(3, 2000, 0.02))
    c = always_valid.tuning(0.05)
    for n, track in ((1000, tracks[0]), (2000, tracks[1])):
        z, x = 0.1 / math.sqrt(2.0 / n), n / PLANNED
        assert track.better.log_evidence == pytest.approx(float(always_valid.log_evidence(z, x, c)), rel=1e-2)
    assert tracks[0].worse.log_evidence == 0.0
    assert tracks[2].better == tracks[1].better
    assert tracks[2].v == pytest.approx(tracks[1].v)


@pytest.mark.parametrize(("direction", "sign"), [("increase", 1.0), ("decrease", -1.0)])
def test_the_bound_is_where_the_evidence_is_one_over_alpha(design_of: Build, at: Build, direction: str, sign: float) -> None:
    """Against a difference of the bound M would be 1/α, on the side of the improvement; the harm's bound mirrors it."""
    design = design_of(Metric(name="revenue", direction=direction))
    found = difference(design, at(1, 2000, sign * 0.12))
    bound = found["lower"] if sign > 0.0 else found["upper"]
    z, x = sign * (found["estimate"] - bound) / found["se"], 2000 / PLANNED
    assert float(always_valid.log_evidence(z, x, always_valid.tuning(0.05))) == pytest.approx(math.log(20.0), rel=1e-2)
    assert found["harm"]["bound"] - found["estimate"] == pytest.approx(found["estimate"] - bound)


@pytest.mark.parametrize("mde", [1e-300, 1e300])
def test_a_clock_that_cannot_run(design_of: Build, at: Build, mde: float) -> None:
    """With an MDE beyond all proportion there is no evidence, which is said: no p value of 1 that nothing stands behind."""
    found = difference(design_of(mde=mde), at(1, 2000, 0.5))
    assert found["p_value"] is found["harm"]["p_value"] is found["lower"] is None
    assert found["waiting"] == "the MDE is too far from the spread of the values for a test to be timed by it"
    assert found["fixed"]["p_value"] < 1e-9


def binary(control: tuple[int, int], treatment: tuple[int, int]) -> dict[str, dict[str, Summary]]:
    """(units, converted) of each arm."""
    return {
        arm: {"sale": Summary(n, k / n, k * (1.0 - k / n))} for arm, (n, k) in (("control", control), ("treatment", treatment)) if n > 0
    }


def test_exact_while_few_convert(design_of: Build, snapshot_of: Build) -> None:
    """Below 50 conversions E = ∫ θ^s (1 − θ)^f dθ/(1 − e) over e^s (1 − e)^f, phases multiplied, with its share of α; mirrored for harm."""
    first, second = binary((900, 4), (100, 3)), binary((1000, 2), (1000, 14))
    track = watched(design_of(Metric(name="sale", kind="binary")), snapshot_of(first, second))[0]

    def log_e(s: int, f: int, e: float) -> float:
        area = integrate.quad(lambda p: p**s * (1.0 - p) ** f, e, 1.0, epsabs=0.0)[0] / (1.0 - e)
        return math.log(area) - s * math.log(e) - f * math.log1p(-e)

    assert track.better.log_evidence == pytest.approx(log_e(3, 4, 0.1) + log_e(14, 2, 0.5) + math.log(EXACT_SHARE), rel=1e-9)
    assert track.worse.log_evidence == max(0.0, log_e(4, 3, 0.9) + log_e(2, 14, 0.5) + math.log(EXACT_SHARE))
    fewer = watched(design_of(Metric(name="sale", kind="binary", direction="decrease")), snapshot_of(first, second))[0]
    assert fewer.worse.log_evidence == track.better.log_evidence > 0.0
    harmed = watched(design_of(Metric(name="sale", kind="binary")), snapshot_of(binary((900, 20), (600, 2))))[0]
    assert harmed.worse.log_evidence == pytest.approx(log_e(20, 2, 0.6) + math.log(EXACT_SHARE), rel=1e-9)
    assert harmed.worse.log_evidence > 0.5


@pytest.mark.parametrize(("converted", "exact"), [((9, 40), True), ((10, 40), False)])
def test_exact_below_50_conversions(design_of: Build, snapshot_of: Build, converted: tuple[int, int], exact: bool) -> None:
    """From the fiftieth on the normal approximation takes over; the report says which decides."""
    snapshot = snapshot_of(binary((2000, converted[0]), (2000, converted[1])))
    design = design_of(Metric(name="sale", kind="binary"), mde=0.01)
    found = difference(design, snapshot)
    assert found["exact"]["decides"] is exact
    assert found["exact"]["converted"] == {"control": converted[0], "treatment": converted[1]}
    assert (found["p_value"] == found["exact"]["p_value"]) is exact


@pytest.mark.parametrize(
    ("control", "treatment", "better", "worse"),
    [
        ((19, 18), (19, 0), None, None),
        ((20, 20), (20, 0), None, True),
        ((499, 0), (499, 20), None, False),
        ((500, 0), (500, 20), True, False),
        ((600, 600), (600, 0), False, True),
        ((600, 0), (600, 600), True, False),
    ],
)
def test_all_and_none_converted(
    design_of: Build, snapshot_of: Build, control: tuple[int, int], treatment: tuple[int, int], better: bool | None, worse: bool | None
) -> None:
    """Where the values do not vary the exact test decides, success from 500 units an arm, harm from 20; None before."""
    track = watched(design_of(Metric(name="sale", kind="binary")), snapshot_of(binary(control, treatment)))[0]
    for side, expected in ((track.better, better), (track.worse, worse)):
        assert (None if side.log_evidence is None else side.crossed is not None) is expected


def test_none_converted(design_of: Build, snapshot_of: Build) -> None:
    """With no conversion at all there is nothing to test, and both the estimate's and the exact test's figures say why."""
    found = difference(design_of(Metric(name="sale", kind="binary")), snapshot_of(binary((600, 0), (600, 0))))
    assert found["refused"] == "no outcome sale has counted for any unit"
    assert found["exact"] == {"refused": "no unit has converted"}
    assert found["p_value"] is found["harm"]["p_value"] is None


def test_a_binary_guardrail_is_never_exact(design_of: Build, snapshot_of: Build) -> None:
    """Against a margin there is no exact test: the normal one is all there is."""
    metrics = [Metric(name="sale", kind="binary", role="guardrail", margin=0.5), Metric(name="revenue")]
    found = difference(design_of(*metrics), snapshot_of(binary((600, 5), (600, 5))))
    assert "exact" not in found
    assert found["p_value"] < 0.05


@pytest.mark.parametrize("test", [{}, {"maximum": 1.0}, {"test": "fixed-horizon", "horizon_seconds": 1e9}], ids=str)
def test_info_metrics_are_always_valid(design_of: Build, snapshot_of: Build, at: Build, test: dict[str, Any]) -> None:
    """Whatever decides on success, others are tested at every look, by the exact test too."""
    for metric, snapshot in (
        (Metric(name="sale", kind="binary", role="info"), snapshot_of(binary((600, 1), (600, 30)))),
        (Metric(name="revenue", role="info"), at(1, 1000, 0.5)),
    ):
        found = difference(design_of(metric, Metric(name="other"), relative=True, **test), snapshot)
        assert found["method"] == "always-valid"
        assert found["p_value"] < 0.05
        assert found["shown"] is not None


# Group-sequential tests


@pytest.fixture
def spending(design_of: Build) -> Design:
    """At most the fixed-horizon sample, in 4 steps."""
    design: Design = design_of(maximum=1.0, interim_looks=4)
    return design


def part(share: float) -> int:
    """So many units an arm that this share of the planned sample is reached, just."""
    return math.ceil(PLANNED * share * 1.01)


def test_looks_count_at_steps_of_the_maximum(spending: Design, at: Build) -> None:
    """Between two steps nothing is spent and p is unmoved, however good the figures."""
    tracks = watched(spending, at(1, part(0.4)), at(2, part(0.5)), at(3, part(0.7), 0.9), at(4, part(0.75)), at(5, part(1.4)), at(6, 9999))
    assert [len(track.interims) for track in tracks] == [1, 2, 2, 3, 4, 4]
    assert [each.fraction for each in tracks[-1].interims] == pytest.approx([0.404, 0.505, 0.7575, 1.0], rel=0.01)
    assert tracks[1] == msgspec.structs.replace(tracks[2], v=tracks[1].v, worse=tracks[1].worse)


def test_no_look_counts_before_500_units(design_of: Build, at: Build) -> None:
    """With an MDE that few units show, α is not spent on them; harm needs 20 as ever."""
    design = design_of(mde=0.5, maximum=1.0)
    tracks = watched(design, at(1, 499, 0.9), at(2, 500, 0.9))
    assert [len(track.interims) for track in tracks] == [0, 1]
    assert tracks[0].better.log_evidence is None
    assert tracks[1].better.crossed is not None
    assert watched(design, at(1, 20, -3.0))[0].worse.crossed is not None


def test_the_p_value_and_the_limit(spending: Design, at: Build) -> None:
    """p is the smallest α whose bounds were crossed; the limit is the estimate less the bound's reach, at the last look that counted."""
    snapshots = [at(1, part(0.5), 0.05), at(2, part(0.75), 0.08), at(3, part(1.0), 0.08)]
    tracks = watched(spending, *snapshots)
    for k, track in enumerate(tracks, start=1):
        z = track.interims[-1].z
        n = part((0.5, 0.75, 1.0)[k - 1])
        lift = (0.05, 0.08, 0.08)[k - 1]
        assert z == pytest.approx(lift / math.sqrt(2.0 / n), rel=1e-3)
        gathered = [each.information for each in track.interims]
        p = group_sequential.p_value([(each.fraction, each.z) for each in track.interims], information=gathered)
        assert track.better.log_evidence == pytest.approx(-math.log(p))
        bound = group_sequential.bounds(0.05, [each.fraction for each in track.interims], information=gathered)[-1]
        assert bound is not None
        assert track.limit == pytest.approx(lift - bound * math.sqrt(2.0 / n), rel=1e-2)
        assert (track.better.crossed is not None) is (z >= bound) is (track.limit >= 0.0)
    assert tracks[2].better.crossed is not None


def test_p_never_rises(spending: Design, at: Build) -> None:
    """Worse figures at a later look leave p where it was."""
    tracks = watched(spending, at(1, part(0.5), 0.09), at(2, part(0.75), 0.02), at(3, part(1.0), -0.03))
    found = [track.better.log_evidence for track in tracks]
    assert found == pytest.approx([found[0]] * 3, rel=1e-9)
    assert found[0] > 0.5
    limits = [track.limit for track in tracks]
    assert limits[2] < limits[1]


def test_the_horizon_spends_all(design_of: Build, at: Build) -> None:
    """At the horizon t is 1 though less has been gathered, and that is the last look that counts; its bound knows what was gathered."""
    design = design_of(maximum=1.0, interim_looks=4, horizon_seconds=3900.0)
    tracks = watched(design, at(1, part(0.5), 0.05), at(13, part(0.6), 0.09), at(14, part(0.9), 0.5))
    assert [each.fraction for each in tracks[1].interims] == [tracks[0].interims[0].fraction, 1.0]
    assert tracks[1].better.crossed is not None
    assert tracks[2].interims == tracks[1].interims
    gathered = [each.information for each in tracks[1].interims]
    assert gathered == pytest.approx([0.5, 0.6], rel=0.02)
    bound = group_sequential.bounds(0.05, [each.fraction for each in tracks[1].interims], information=gathered)[-1]
    assert bound is not None
    assert tracks[1].limit == pytest.approx(0.09 - bound * math.sqrt(2.0 / part(0.6)), rel=1e-2)


def test_a_decrease_is_bounded_from_above(design_of: Build, at: Build) -> None:
    """Where less is better the limit is the upper one, below 0 where it is shown."""
    design = design_of(Metric(name="revenue", direction="decrease"), maximum=1.0, interim_looks=4)
    found = difference(design, at(1, part(1.0), -0.1))
    assert found["lower"] is None
    assert -0.1 < found["upper"] < 0.0
    assert found["shown"] is not None


def test_what_a_group_sequential_test_waits_for(design_of: Build, at: Build, snapshot_of: Build) -> None:
    """Before its first step, while few convert, and at a look that spends next to nothing, the missing figures are explained."""
    late = design_of(mde=0.01, maximum=1.0, interim_looks=4)
    assert difference(late, at(1, 5000))["waiting"] == "the first of 4 equal steps to 1 planned samples is not reached at a look yet"
    few = difference(design_of(Metric(name="sale", kind="binary"), maximum=1.0, mde=0.01), snapshot_of(binary((900, 9), (900, 11))))
    assert few["waiting"] == "the group-sequential test needs 50 converting units, there are 20"
    early = difference(design_of(mde=0.02, maximum=1.0, interim_looks=50), at(1, 700))
    assert (early["lower"], early["interims"][0]["fraction"]) == (None, pytest.approx(0.0226, rel=0.01))
    assert early["waiting"] == "the last look spent too little of alpha to have a bound"


# Fixed-horizon tests


def test_fixed_horizon_is_made_once(design_of: Build, at: Build) -> None:
    """Nothing before the horizon, at its first look the z test, and never again."""
    design = design_of(test="fixed-horizon", horizon_seconds=3900.0)
    tracks = watched(design, at(12, 1900, 0.9), at(13, 2000, 0.06), at(14, 9000, 0.9))
    assert tracks[0].better.log_evidence is None
    assert tracks[0].interims == []
    assert tracks[1].better.log_evidence == pytest.approx(-stats.norm.logsf(0.06 / math.sqrt(2.0 / 2000)), rel=1e-2)
    assert (tracks[2].better, tracks[2].interims, tracks[2].limit) == (tracks[1].better, tracks[1].interims, tracks[1].limit)


@pytest.mark.parametrize(("lift", "shown"), [(0.051, False), (0.0535, True)])
def test_the_fixed_horizon_figures(design_of: Build, at: Build, lift: float, shown: bool) -> None:
    """p is the normal tail, the bound the estimate less 1.645 standard errors, and both agree."""
    design = design_of(test="fixed-horizon", horizon_seconds=3900.0)
    found = difference(design, at(13, 1900, lift))
    assert found["p_value"] == pytest.approx(stats.norm.sf(lift / math.sqrt(2.0 / 1900)), rel=1e-3)
    assert found["lower"] == pytest.approx(lift - stats.norm.ppf(0.95) * math.sqrt(2.0 / 1900), abs=1e-5)
    assert (found["shown"] is not None) is (found["lower"] > 0.0) is shown
    assert found["method"] == "fixed-horizon"


def test_a_horizon_with_few_units_waits_for_them(design_of: Build, at: Build) -> None:
    """500 units an arm are needed at the horizon too; the test is made at the first look that has them."""
    tracks = watched(design_of(test="fixed-horizon", horizon_seconds=3900.0), at(13, 499, 0.5), at(14, 500, 0.5))
    assert [len(track.interims) for track in tracks] == [0, 1]


def test_harm_does_not_wait_for_the_horizon(design_of: Build, at: Build) -> None:
    """Harm is always-valid under every test."""
    for test in ({"test": "fixed-horizon", "horizon_seconds": 1e6}, {"maximum": 1.0}):
        assert watched(design_of(**test), at(1, 100, -2.0))[0].worse.crossed is not None


def test_interims_survive_json(spending: Design, at: Build) -> None:
    """Stored between looks, a group-sequential test goes on as if it had been kept."""
    kept = look(spending, at(1, part(0.5), 0.05), NO_EVIDENCE)
    stored = msgspec.json.decode(msgspec.json.encode(kept), type=Evidence)
    after = at(2, part(1.0), 0.05)
    assert look(spending, after, stored) == look(spending, after, kept)
    assert np.isfinite(look(spending, after, kept).track("treatment", "revenue").limit)


def test_both_tests_of_a_binary_metric_share_alpha(design_of: Build, snapshot_of: Build) -> None:
    """Where the exact test has been used at a look that counts, the normal one after it has nine tenths of α, else all of it."""
    early, late = snapshot_of(binary((2000, 9), (2000, 9))), snapshot_of(binary((4000, 60), (4000, 120)))
    design = design_of(Metric(name="sale", kind="binary"), mde=0.01)
    evidence = look(design, early, NO_EVIDENCE)
    assert evidence.track("treatment", "sale").better.exact
    untouched = {"treatment": {"sale": Track(evidence.track("treatment", "sale").v)}}
    later = msgspec.structs.replace(late, at=late.at + 300.0)
    shared, alone = (look(design, later, msgspec.structs.replace(evidence, tracks=each)) for each in (evidence.tracks, untouched))
    expected = alone.track("treatment", "sale").better.log_evidence + math.log1p(-EXACT_SHARE)
    assert shared.track("treatment", "sale").better == Side(pytest.approx(expected), ANY, True)
