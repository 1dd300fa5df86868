"""Slices: the same comparison by country or device, adjusted over everything, deciding nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from experiments.evidence import NO_EVIDENCE
from experiments.looks import look
from experiments.methods.joint import Joint, alone
from experiments.methods.summary import EMPTY, Summary
from experiments.metric import Metric
from experiments.report import report
from experiments.slices import slices
from experiments.snapshot import ArmCounts, Phase, Snapshot

Build = Callable[..., Any]


def phase(number: int, arms: Mapping[str, Mapping[str, Summary | Joint]]) -> Phase:
    """One phase of a part: summaries alone."""
    counts = {
        arm: ArmCounts(metrics={name: each if isinstance(each, Joint) else alone(each) for name, each in by.items()})
        for arm, by in arms.items()
    }
    return Phase(number, dict.fromkeys(arms, 1.0), 0.0, None, counts)


def sliced(snapshot: Snapshot, **by_key: Mapping[str, list[Mapping[str, Mapping[str, Summary | Joint]]]]) -> Snapshot:
    """The snapshot with these parts, each a list of phases."""
    found = {
        key: {part: [phase(k + 1, arms) for k, arms in enumerate(phases)] for part, phases in parts.items()}
        for key, parts in by_key.items()
    }
    return msgspec.structs.replace(snapshot, slices=found)


@pytest.fixture
def whole(snapshot_of: Build, summary_of: Build) -> Snapshot:
    """A thousand equal units an arm."""
    snapshot: Snapshot = snapshot_of({arm: {"revenue": summary_of(1000, 1.0, 1.0)} for arm in ("control", "treatment")})
    return snapshot


def two(control: Summary, treatment: Summary) -> dict[str, dict[str, Summary]]:
    return {"control": {"revenue": control}, "treatment": {"revenue": treatment}}


def test_adjusted_over_everything(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """P values of all keys, parts, metrics and arms are one family for Benjamini and Hochberg (scipy's is the oracle)."""
    rng = np.random.default_rng(7)
    names, arms = ("revenue", "clicks"), ("control", "a", "b")

    def part() -> list[Any]:
        return [{arm: {name: summary_of(400, 1.0 + 0.1 * rng.standard_normal(), 1.0) for name in names} for arm in arms}]

    whole = snapshot_of({arm: {name: summary_of(800, 1.0, 1.0) for name in names} for arm in arms})
    snapshot = sliced(whole, country={"nl": part(), "de": part()}, device={"phone": part(), "(none)": part(), "(others)": part()})
    design = design_of(*(Metric(name=name) for name in names), slices=["country", "device"])
    found = slices(design, snapshot)
    cells = [cell for parts in found.values() for metrics in parts.values() for by_arm in metrics.values() for cell in by_arm.values()]
    assert len(cells) == 5 * 2 * 2
    assert [cell["adjusted"] for cell in cells] == pytest.approx(stats.false_discovery_control([cell["p_value"] for cell in cells]))
    assert min(cell["p_value"] for cell in cells) < 0.05


def test_a_cell(design_of: Build, whole: Snapshot, summary_of: Build) -> None:
    """Units of both arms, the overlap estimate over phases with Welch's standard error, a two-sided z test and interval."""
    phases = [two(summary_of(900, 1.0, 1.0), summary_of(100, 1.3, 2.0)), two(summary_of(200, 2.0, 1.0), summary_of(200, 2.1, 1.0))]
    found = slices(design_of(slices=["country"], alpha=0.1), sliced(whole, country={"nl": phases}))
    cell = found["country"]["nl"]["revenue"]["treatment"]
    estimate = (90 * 0.3 + 100 * 0.1) / 190
    se = np.sqrt(90**2 * (4.0 / 100 + 1.0 / 900) + 100**2 * (2.0 / 200)) / 190
    z = stats.norm.ppf(0.95)
    assert cell["units"] == {"control": 1100, "treatment": 300}
    assert (cell["estimate"], cell["se"]) == pytest.approx((estimate, se))
    assert (cell["lower"], cell["upper"]) == pytest.approx((estimate - z * se, estimate + z * se))
    assert cell["p_value"] == cell["adjusted"] == pytest.approx(2.0 * stats.norm.sf(estimate / se))


@pytest.mark.parametrize(
    ("control", "treatment", "reason"),
    [
        (Summary(500, 1.0, 500.0), EMPTY, "no phase has 2 matured units in both arms"),
        (Summary(500, 1.0, 500.0), Summary(1, 1.0, 0.0), "no phase has 2 matured units in both arms"),
        (Summary(500, 1.0, 0.0), Summary(500, 2.0, 0.0), "the values do not vary: a test needs spread in at least one arm"),
        (Summary(500, 1e300, 1.7976931348623157e308), Summary(500, 2.0, 9.0), "the figures are beyond the range of floating point"),
    ],
    ids=["none", "one", "constant", "huge"],
)
@pytest.mark.filterwarnings("error")
def test_refused_cells(design_of: Build, whole: Snapshot, summary_of: Build, control: Summary, treatment: Summary, reason: str) -> None:
    """A cell that may not be computed says why, has no figures, and is no test among those that are adjusted for."""
    parts = {"nl": [two(control, treatment)], "de": [two(summary_of(400, 1.0, 1.0), summary_of(400, 1.2, 1.0))]}
    found = slices(design_of(slices=["country"]), sliced(whole, country=parts))["country"]
    cell, other = found["nl"]["revenue"]["treatment"], found["de"]["revenue"]["treatment"]
    assert cell["refused"] == reason
    assert {cell[key] for key in ("estimate", "se", "lower", "upper", "p_value", "adjusted")} == {None}
    assert other["adjusted"] == other["p_value"] < 0.05


def test_a_ratio_without_a_denominator_says_so(design_of: Build, whole: Snapshot) -> None:
    """The reason is that of the kind, not a want of units."""
    ratio = Metric(name="rate", kind="ratio", denominator="views")
    empty = Joint(Summary(50, 1.0, 50.0), Summary(50, 0.0, 0.0))
    snapshot = sliced(whole, country={"nl": [{"control": {"rate": empty}, "treatment": {"rate": empty}}]})
    found = slices(design_of(ratio, slices=["country"]), snapshot)
    assert found["country"]["nl"]["rate"]["treatment"]["refused"].startswith("the mean denominator 0 is within 3 standard errors of 0")


def test_quantiles_are_left_out(design_of: Build, whole: Snapshot, summary_of: Build) -> None:
    """A quantile is taken of all values of an arm: there is none of a part, and none is shown."""
    metrics = [Metric(name="revenue"), Metric(name="p95", kind="quantile", quantile=0.95, source="latency", role="info")]
    side = summary_of(400, 1.0, 1.0)
    found = slices(design_of(*metrics, slices=["country"]), sliced(whole, country={"nl": [two(side, side)]}))
    assert list(found["country"]["nl"]) == ["revenue"]


def test_nothing_has_matured(design_of: Build, whole: Snapshot) -> None:
    """A declared key without parts is there, empty; undeclared ones are not."""
    assert slices(design_of(slices=["country"]), sliced(whole, device={"phone": []})) == {"country": {}}
    assert slices(design_of(), whole) == {}


def test_they_decide_nothing(design_of: Build, whole: Snapshot, summary_of: Build) -> None:
    """The grossest harm and the grossest success in parts leave the verdict, the checks and the evidence as they are."""
    good, bad, plain = (two(summary_of(900, 1.0, 1.0), summary_of(900, mean, 1.0)) for mean in (9.0, -9.0, 1.0))
    design = design_of(slices=["country"])
    reports = []
    for parts in ({"nl": [good], "de": [bad]}, {"nl": [plain], "de": [plain]}):
        snapshot = sliced(whole, country=parts)
        reports.append(report("e1", "credit", design, snapshot, look(design, snapshot, NO_EVIDENCE)))
    assert reports[0].pop("slices") != reports[1].pop("slices")
    assert reports[0] == reports[1]
    assert any("Slices are exploratory and decide nothing" in note for note in reports[0]["notes"])
