"""Where the rules of a decision begin and end: evidence to both sides of each threshold, written out as numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from experiments.design import Design
from experiments.evidence import NO_EVIDENCE, Evidence, Side, Track
from experiments.looks import look
from experiments.methods import conversions, srm
from experiments.methods.joint import Joint
from experiments.methods.summary import Summary
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import Snapshot

Build = Callable[..., Any]


@pytest.fixture
def sale(design_of: Build) -> Design:
    """A binary metric, tested at α = .05."""
    design: Design = design_of(Metric(name="sale", kind="binary"), mde=0.01)
    return design


def converted(n: int, control: int, treatment: int) -> dict[str, dict[str, Summary]]:
    """n units in each arm, of which so many converted."""
    return {arm: {"sale": Summary(n, k / n, k * (1.0 - k / n))} for arm, k in (("control", control), ("treatment", treatment))}


@pytest.mark.parametrize(
    ("estimator", "n", "decided"), [("cuped", 20, True), ("cuped", 99, True), ("lin", 20, False), ("lin", 99, False), ("lin", 100, True)]
)
def test_harm_of_a_lin_adjusted_metric_waits_for_100_units(
    design_of: Build, snapshot_of: Build, estimator: Any, n: int, decided: bool
) -> None:
    """A regression of each arm shows no harm before 100 units in the smaller one, however large the difference; CUPED shows it from 20."""
    arms = {
        arm: {"m": Joint(Summary(units, mean, float(units)), Summary(units, 5.0, float(units)))}
        for arm, units, mean in (("control", 1000, 9.0), ("treatment", n, 1.0))
    }
    design = design_of(Metric(name="m", covariate="earlier", estimator=estimator))
    worse = look(design, snapshot_of(arms), NO_EVIDENCE).track("treatment", "m").worse
    assert (worse.log_evidence is not None) is (worse.crossed is not None) is decided


@pytest.mark.parametrize("watched", ["covariate_balance", "missing_outcomes"])
@pytest.mark.parametrize(
    ("role", "status", "verdict"), [("success", "failed", "invalid"), ("guardrail", "failed", "invalid"), ("info", "warning", "continue")]
)
def test_an_info_metric_whose_arms_differ_is_a_warning(
    design_of: Build, snapshot_of: Build, summary_of: Build, watched: str, role: Any, status: str, verdict: str
) -> None:
    """Covariates or missingness that differ make a metric that decides nothing incomparable, and no other: the verdict stands."""
    given: dict[str, Any] = {"kind": "label_loss", "loss": "squared"} if watched == "missing_outcomes" else {"covariate": "earlier"}
    arms = {
        arm: {
            "revenue": summary_of(2000, 1.0, 1.0),
            "m": Joint(summary_of(1000, 1.0, 1.0), summary_of(1000, 5.0 + more, 1.0)),
            "m?": summary_of(2000, 0.9 - more, 0.3),
        }
        for arm, more in (("control", 0.0), ("treatment", 0.4))
    }
    design, snapshot = design_of(Metric(name="revenue"), Metric(name="m", role=role, **given)), snapshot_of(arms)
    found = report("e1", "credit", design, snapshot, look(design, snapshot, NO_EVIDENCE))
    (check,) = [each for each in found["checks"] if each["name"] == f"{watched}/m"]
    assert (check["status"], found["verdict"]) == (status, verdict)


@pytest.mark.parametrize(("treatment", "p", "status"), [(48_725, 0.00187, "ok"), (48_675, 0.00102, "ok"), (48_672, 0.00099, "failed")])
def test_the_sample_ratio_alarms_at_one_in_a_thousand(
    design_of: Build, snapshot_of: Build, summary_of: Build, treatment: int, p: float, status: str
) -> None:
    """50,000 units in control and fewer in treatment, at even weights: evidence of more than .001 is no alarm, of less it is."""
    arms = {arm: {"revenue": summary_of(1000, 1.0, 1.0)} for arm in ("control", "treatment")}
    entered = {"control": 50_000, "treatment": treatment}
    design, snapshot = design_of(), snapshot_of(arms, weights=[dict.fromkeys(arms, 1.0)], entered=[entered])
    evidence = look(design, snapshot, NO_EVIDENCE)
    assert math.exp(-srm.log_evidence([50_000, treatment], [1, 1])) == pytest.approx(p, rel=0.01)
    assert (evidence.ratio.alarm is not None) is (status == "failed")
    assert report("e1", "credit", design, snapshot, evidence)["checks"][0]["status"] == status


@pytest.mark.parametrize(("s", "f", "e", "decided"), [(34, 11, 151, False), (31, 9, 196, False), (21, 4, 204, True), (33, 10, 208, True)])
def test_the_exact_test_has_a_tenth_of_alpha(sale: Design, snapshot_of: Build, s: int, f: int, e: float, decided: bool) -> None:
    """While few convert, E must reach 10/α = 200 for success, and for harm."""
    assert math.exp(conversions.log_evidence(s, f, 0.5)) == pytest.approx(e, rel=0.005)
    better = look(sale, snapshot_of(converted(1000, f, s)), NO_EVIDENCE).track("treatment", "sale").better
    worse = look(sale, snapshot_of(converted(1000, s, f)), NO_EVIDENCE).track("treatment", "sale").worse
    assert (better.crossed is not None) is (worse.crossed is not None) is decided
    assert better.exact is worse.exact is True


@pytest.mark.parametrize(("treatment", "m", "decided"), [(701, 21.7, False), (702, 22.95, True), (703, 24.3, True)])
def test_the_mixture_after_it_has_nine_tenths(sale: Design, snapshot_of: Build, treatment: int, m: float, decided: bool) -> None:
    """Once the exact test has been used, M must reach 1/(.9 α) = 22.2; without it 1/α = 20."""
    snapshot: Snapshot = snapshot_of(converted(4000, 600, treatment))
    used = Evidence(tracks={"treatment": {"sale": Track(better=Side(0.0, exact=True))}})
    alone, after = (look(sale, snapshot, evidence).track("treatment", "sale").better for evidence in (NO_EVIDENCE, used))
    assert alone.log_evidence == pytest.approx(math.log(m), abs=0.005)
    assert alone.crossed is not None
    assert (after.crossed is not None) is decided


@pytest.mark.parametrize(("errors", "frozen"), [(2.0, False), (2.95, False), (3.05, True), (3.5, True)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_relative_mde_is_frozen_above_3_standard_errors(
    design_of: Build, snapshot_of: Build, errors: float, frozen: bool, sign: float
) -> None:
    """The mean of all units, to either side of 0, in standard errors of theirs; an MDE in the metric's own units does not wait for it."""
    error = math.sqrt(100.0 / 99.0 / 100.0)
    side = Summary(50, sign * errors * error, 50.0)
    snapshot = snapshot_of({"control": {"revenue": side}, "treatment": {"revenue": side}})
    assert ("revenue" in look(design_of(relative=True), snapshot, NO_EVIDENCE).frozen) is frozen
    assert "revenue" in look(design_of(), snapshot, NO_EVIDENCE).frozen
