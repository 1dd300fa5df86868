"""Extreme input through looks and the report: every kind of metric, every test, any number of looks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Refused
from experiments.design import Design
from experiments.evidence import NO_EVIDENCE, Cap, Evidence
from experiments.looks import look
from experiments.methods import joint, quantile
from experiments.methods.joint import NOTHING, Joint, alone
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import PRESENT, ArmCounts, Phase, Snapshot
from experiments.table import table

Build = Callable[..., Any]

DAY = 86400.0

KINDS: dict[str, dict[str, Any]] = {
    "continuous": {},
    "capped": {"cap": 5.0},
    "capped-at-percentile": {"cap_percentile": 99.0},
    "count": {"kind": "count"},
    "binary": {"kind": "binary"},
    "label_loss": {"kind": "label_loss", "loss": "absolute"},
    "ratio": {"kind": "ratio", "denominator": "views"},
    "quantile": {"kind": "quantile", "quantile": 0.5},
    "cuped": {"covariate": "earlier"},
    "lin": {"covariate": "champion_score", "estimator": "lin"},
    "binary-cuped": {"kind": "binary", "covariate": "earlier"},
}

TESTS: dict[str, dict[str, Any]] = {
    "always-valid": {},
    "always-valid-relative": {"relative": True},
    "group-sequential": {"maximum": 1.0},
    "group-sequential-many-looks": {"maximum": 1.0, "interim_looks": 50, "alpha": 0.01},
    "pocock-relative": {"test": "group-sequential", "spending": "pocock", "relative": True, "horizon_seconds": 1.5 * DAY},
    "fixed-horizon": {"test": "fixed-horizon", "horizon_seconds": 0.5 * DAY},
    "fixed-horizon-before": {"test": "fixed-horizon", "horizon_seconds": 30 * DAY},
    "a-a": {"aa": True},
}

VALUES: dict[str, list[float]] = {
    "none": [],
    "one": [1.0],
    "two": [1.0, 2.0],
    "constant": [1.0] * 600,
    "zero": [0.0] * 600,
    "ordinary": [0.0, 1.0, 3.0] * 200,
    "1e300": [1e300, -1e300, 3e299] * 200,
    "1e300 once": [*([1.0, 2.0] * 300), 1e300],
    "1e150": [1e150, 2e150] * 300,
    "1e-300": [1e-300, 2e-300] * 300,
    "largest": [1.7e308] * 600,
}


def measured(metric: Metric, values: list[float]) -> dict[str, Joint]:
    """What is kept of an arm with these values: as the metric's kind takes them, the covariate or denominator not quite the same."""
    y = np.array(values)
    if metric.kind == "binary":
        y = (y > 0.0).astype(float)
    if metric.cap is not None or metric.cap_percentile is not None:
        y = np.minimum(y, 5.0)
    if metric.kind == "quantile":
        try:
            found = alone(quantile.of(y, np.arange(y.size) // 2, metric.quantile or 0.5))
        except Refused:
            found = NOTHING
    else:
        x = np.roll(y, 1) if metric.covariate is not None or metric.kind == "ratio" else np.zeros(y.size)
        found = joint.of(y, x)
    present = {} if metric.counts_all else {metric.name + PRESENT: joint.of(np.ones(y.size), np.zeros(y.size))}
    return {**({metric.name: found} if found.n else {}), **present}


def snapshot_after(days: int, phases: list[dict[str, dict[str, Joint]]]) -> Snapshot:
    """These phases, each a day long, a thousand entries an arm, seen at the end of a day; the first is a slice too."""
    built = []
    for k, arms in enumerate(phases):
        matured = {arm: max((j.n for j in joints.values()), default=0) for arm, joints in arms.items()}
        counts = {arm: ArmCounts(1000, matured[arm], 1000, joints) for arm, joints in arms.items()}
        built.append(Phase(k + 1, dict.fromkeys(arms, 1.0), k * DAY, None if k == len(phases) - 1 else (k + 1) * DAY, counts))
    return Snapshot(0.0, max(days, len(phases)) * DAY, built, slices={"country": {"nl": built[:1], "(none)": []}})


def judged(design: Design, *snapshots: Snapshot) -> dict[str, Any]:
    """The report after a look at each, as strict JSON; a cap is frozen from the start."""
    caps = {metric.name: Cap(5.0, 600, 0.0) for metric in design.metrics if metric.cap_percentile is not None}
    evidence = msgspec.structs.replace(NO_EVIDENCE, caps=caps)
    for snapshot in snapshots:
        evidence = look(design, snapshot, evidence)
        assert msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence) == evidence
    found = report("e1", "credit", design, snapshots[-1], evidence)
    assert not re.search(r"\b(nan|inf|None)\b", table(found))
    decoded: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return decoded


def unsaid(found: dict[str, Any]) -> Iterator[str]:
    """Figures that are missing without a reason beside them."""
    for name, metric in found["metrics"].items():
        for arm, side in metric["arms"].items():
            if None in (side["mean"], side["lower"], side["upper"]) and not side.get("refused"):
                yield f"{name} of {arm}"
        for arm, d in metric["differences"].items():
            yield from (f"{what} of {name} for {arm}" for what in missing(d))
    for parts in found["slices"].values():
        for part, metrics in parts.items():
            for name, arms in metrics.items():
                if any(None in cell.values() and not cell.get("refused") for cell in arms.values()):
                    yield f"slice {part} of {name}"


def missing(d: dict[str, Any]) -> Iterator[str]:
    said = bool(d.get("refused") or d.get("waiting"))
    if (d["estimate"] is None or d["se"] is None) and not d.get("refused"):
        yield "estimate"
    if not said and None in (d["p_value"], d["lower"] if d["alternative"] == "greater" else d["upper"]):
        yield "p value or bound"
    if not said and None in (d["harm"]["p_value"], d["harm"]["bound"]):
        yield "harm"
    fixed = d["fixed"]
    if "refused" not in fixed and (None in (fixed["lower"], fixed["upper"]) or (fixed["p_value"] is None and not said)):
        yield "fixed"
    if d["relative"] is None and not (d.get("relative_refused") or fixed.get("refused")):
        yield "relative"
    if d["population"] is None and not d.get("refused"):
        yield "population"
    if any(row["estimate"] is None and not row.get("refused") for row in d["by_phase"]):
        yield "phase"
    if d["heterogeneity"].get("p_value") is None and not d["heterogeneity"].get("refused"):
        yield "heterogeneity"


def nothing_of_nothing(found: dict[str, Any]) -> Iterator[str]:
    """P values that no estimate stands behind; an exact test of conversions needs none."""
    for name, metric in found["metrics"].items():
        for arm, d in metric["differences"].items():
            if "refused" in d and metric["kind"] != "binary" and (d["p_value"], d["harm"]["p_value"]) != (None, None):
                yield f"{name} of {arm}"


@pytest.mark.parametrize("treatment", VALUES)
@pytest.mark.parametrize("test", TESTS)
@pytest.mark.filterwarnings("error")
def test_every_kind_and_test(design_of: Build, test: str, treatment: str) -> None:
    """Every figure of every kind under every test is finite, or null with the reason beside it, against ordinary values and its own."""
    metrics = [Metric(name=f"{role}-{kind}", role=role, **fields) for kind, fields in KINDS.items() for role in ("success", "guardrail")]
    design = design_of(*metrics, slices=["country"], **TESTS[test])
    for control in ("ordinary", treatment):
        arms = {"control": VALUES[control], "treatment": VALUES[treatment], "absent": []}
        phase = {arm: {k: j for metric in metrics for k, j in measured(metric, values).items()} for arm, values in arms.items()}
        found = judged(design, snapshot_after(1, [phase]), snapshot_after(2, [phase, phase]))
        assert not list(unsaid(found))
        assert not list(nothing_of_nothing(found))
        if min(len(VALUES[control]), len(VALUES[treatment])) < 2:
            assert found["verdict"] == "not_enough_data"


MAGNITUDES = st.sampled_from([0.0, 1e-310, 1e-150, 1.0, 1e150, 1e300])
NUMBERS = st.builds(lambda m, x: m * x, MAGNITUDES, st.floats(-9.0, 9.0))
SAMPLES = st.one_of(
    st.lists(NUMBERS, max_size=8),
    st.builds(lambda values, k: values * k, st.lists(NUMBERS, min_size=1, max_size=3), st.integers(20, 700)),
    st.builds(lambda n: [1.0] * n + [0.0] * (1000 - n), st.integers(0, 60)),
)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("error")
def test_any_snapshots(design_of: Build, data: st.DataObject) -> None:
    """Whatever came, in one phase or several, at one look or several, is reported without a figure that is no number or says nothing."""
    kind, test = data.draw(st.sampled_from(sorted(KINDS))), data.draw(st.sampled_from(sorted(TESTS)))
    direction = data.draw(st.sampled_from(["increase", "decrease"]))
    metrics = [Metric(name=f"m-{role}", role=role, direction=direction, **KINDS[kind]) for role in ("success", "guardrail", "info")]
    mde = data.draw(st.sampled_from([1e-300, 1e-6, 0.1, *([] if kind.startswith("binary") else [10.0, 1e300])]))
    design = design_of(*metrics, **{**TESTS[test], "mde": mde})
    snapshots, phases = [], []
    for days in range(1, 1 + data.draw(st.integers(1, 3))):
        arms = data.draw(st.fixed_dictionaries({"control": SAMPLES, "treatment": SAMPLES}))
        phases.append({arm: {k: j for metric in metrics for k, j in measured(metric, values).items()} for arm, values in arms.items()})
        snapshots.append(snapshot_after(days, list(phases)))
    found = judged(design, *snapshots)
    assert not list(unsaid(found))
    if len(snapshots) == 1:  # what an earlier look has found stays, though no more can be said now
        assert not list(nothing_of_nothing(found))
    assert found["reason"].endswith(".")
    assert "None" not in found["reason"]
