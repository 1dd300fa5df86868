"""What is missing from a report is explained by what it waits for, or by why it may not be computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from experiments.design import Design
from experiments.evidence import NO_EVIDENCE, Cap, Evidence
from experiments.looks import look
from experiments.methods.joint import Joint
from experiments.methods.summary import Summary
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import Snapshot

Build = Callable[..., Any]

SIDE = Joint(Summary(900, 1.0, 900.0), Summary(900, 2.0, 900.0), 100.0)


def difference(design: Design, snapshot: Snapshot, evidence: Evidence | None = None) -> Any:
    """What is said of the first metric, after a look unless there is evidence already."""
    found = report("e1", "credit", design, snapshot, look(design, snapshot, NO_EVIDENCE) if evidence is None else evidence)
    return found["metrics"][design.metrics[0].name]["differences"]["treatment"]


def both(control: Joint | Summary, treatment: Joint | Summary, name: str = "m") -> dict[str, dict[str, Joint | Summary]]:
    return {"control": {name: control}, "treatment": {name: treatment}}


def test_a_phase_without_a_denominator(design_of: Build, snapshot_of: Build) -> None:
    """A ratio's phase that is left out says why, in the phase, and for the whole where it is the only one."""
    design = design_of(Metric(name="m", kind="ratio", denominator="views"))
    empty = Joint(Summary(900, 1.0, 900.0), Summary(900, 0.0, 0.0))
    reason = "the mean denominator 0 is within 3 standard errors of 0: a ratio to it means nothing"
    one = difference(design, snapshot_of(both(SIDE, SIDE), both(SIDE, empty)))
    assert "refused" not in one
    assert [row.get("refused") for row in one["by_phase"]] == [None, reason]
    assert difference(design, snapshot_of(both(SIDE, empty)))["refused"] == reason


def test_a_regression_of_two_units(design_of: Build, snapshot_of: Build) -> None:
    """Lin's regression asks for a third unit by name."""
    pair = Joint(Summary(2, 1.0, 1.0), Summary(2, 1.0, 1.0), 0.5)
    design = design_of(Metric(name="m", covariate="earlier", estimator="lin"))
    assert difference(design, snapshot_of(both(SIDE, pair)))["refused"] == "a regression needs 3 units or more in each arm, there are 2"


def test_a_quantile_that_was_not_taken(design_of: Build, snapshot_of: Build) -> None:
    """Before a look there is no quantile; after one there may be values that give none, or no values."""
    design = design_of(Metric(name="m", kind="quantile", quantile=0.95))
    present = {"m?": Summary(50, 1.0, 0.0)}
    snapshot = snapshot_of({"control": {"m": SIDE, **present}, "treatment": present})
    assert difference(design, snapshot, NO_EVIDENCE)["refused"] == "quantiles are taken at looks, and none has been made yet"
    assert difference(design, snapshot)["refused"] == (
        "no quantile could be taken of the values of treatment: there are too few, or those around it are all equal"
    )
    nobody = snapshot_of({"control": {"m": SIDE, **present}, "treatment": {"m?": Summary(50, 0.0, 0.0)}})
    assert (
        difference(design, nobody)["refused"] == "0 of 50 matured units of treatment have a value for m: a difference needs 2 in each arm"
    )


def test_a_cap_that_is_not_frozen(design_of: Build, snapshot_of: Build) -> None:
    """Until its cap is frozen a metric has no difference; then it has."""
    design = design_of(Metric(name="m", cap_percentile=99.0))
    snapshot = snapshot_of(both(SIDE, SIDE))
    assert difference(design, snapshot)["refused"] == "the cap at percentile 99 is frozen at a look with enough units"
    capped = look(design, snapshot, msgspec.structs.replace(NO_EVIDENCE, caps={"m": Cap(5.0, 1800, 0.0)}))
    assert difference(design, snapshot, capped)["p_value"] is not None


def test_units_that_are_not_compared_do_not_count(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Five hundred units an arm are asked of phases that have both arms: those of others are counted, and wait for none."""
    alone = {"control": {"m": summary_of(9000, 1.0, 1.0)}, "treatment": {"m": summary_of(1, 1.0, 0.0)}}
    found = difference(design_of(Metric(name="m")), snapshot_of(alone, both(summary_of(400, 1.0, 1.0), summary_of(499, 1.0, 1.0))))
    assert found["units"] == {"control": 9400, "treatment": 500}
    assert found["waiting"] == "a decision needs 500 matured units per arm: control 400, treatment 499 so far"
    assert found["lower"] is found["p_value"] is None


def test_a_relative_mde_without_a_mean(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """What a share is taken of has to be told from 0."""
    side = summary_of(900, 0.01, 1.0)
    found = difference(design_of(Metric(name="m"), relative=True), snapshot_of(both(side, side)))
    assert found["waiting"].endswith("a mean more than 3 standard errors from 0 is needed to convert the relative MDE")
    assert found["relative_refused"].startswith("the control mean 0.01 is within 3 standard errors of 0")


def test_a_margin_that_waits_for_another_metric(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """A default margin is known once the first success metric's spread is: until then there is no p value against it."""
    metrics = [Metric(name="g", role="guardrail"), Metric(name="m")]
    side = summary_of(900, 1.0, 1.0)
    found = difference(design_of(*metrics), snapshot_of({"control": {"g": side}, "treatment": {"g": side}}))
    assert found["waiting"] == "the difference that matters is not known yet on this metric, or beyond the range of floating point"
    assert found["p_value"] is found["compared_with"] is found["fixed"]["p_value"] is None


@pytest.mark.parametrize(("mde", "relative"), [(1e308, True), (5e-324, True), (1e308, False)])
def test_an_effect_out_of_range(design_of: Build, snapshot_of: Build, summary_of: Build, mde: float, relative: bool) -> None:
    """A share of the mean, or a default margin, that no number can hold is unknown, not infinite and not 0."""
    mean = 1e3 if mde > 1.0 else 1e-3
    design = design_of(Metric(name="g", role="guardrail"), Metric(name="m"), mde=mde, relative=relative)
    arm = {"g": summary_of(900, mean, mean), "m": summary_of(900, 1.0, 0.1)}
    snapshot = snapshot_of({"control": arm, "treatment": arm})
    found = report("e1", "credit", design, snapshot, look(design, snapshot, NO_EVIDENCE))["metrics"]["g"]
    assert found["margin"] is None
    assert found["differences"]["treatment"]["waiting"].endswith("or beyond the range of floating point")


@pytest.mark.parametrize(("own", "said"), [({}, False), ({"window_seconds": 60.0}, True), ({"lateness_seconds": 60.0}, True)], ids=str)
def test_windows_of_metrics_are_noted(design_of: Build, snapshot_of: Build, own: dict[str, float], said: bool) -> None:
    """The note on the window says where it does not hold."""
    design, snapshot = design_of(Metric(name="m", **own)), snapshot_of(both(SIDE, SIDE))
    note = report("e1", "credit", design, snapshot, NO_EVIDENCE)["notes"][0]
    assert note.startswith("An outcome counts within 3600 s of its unit's entry")
    assert note.endswith("Metrics that declare a window of their own have that one.") is said
