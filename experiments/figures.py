"""The figures of one metric in a report: its arms, its differences, and what they were made with."""

from __future__ import annotations

import math
from typing import Any

from core.clock import to_rfc3339
from core.errors import Refused
from experiments import estimators
from experiments.comparison import Comparison, days_left, fixed, relative
from experiments.design import Design
from experiments.evidence import Crossing, Evidence
from experiments.methods import always_valid, covariate
from experiments.methods.joint import merge_all
from experiments.methods.means import interval
from experiments.methods.strata import heterogeneity
from experiments.methods.summary import LARGEST
from experiments.metric import Metric
from experiments.snapshot import CONTROL, PRESENT, Snapshot
from experiments.tracking import EXACT_SHARE


def fields(struct: Any) -> dict[str, Any]:
    """A struct's fields by name."""
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def figures(design: Design, snapshot: Snapshot, evidence: Evidence, metric: Metric, comparisons: list[Comparison]) -> dict[str, Any]:
    """What the report says of one metric."""
    frozen = evidence.frozen.get(metric.name)
    matters = comparisons[0].effect if comparisons else None
    window = design.window(metric)
    return {
        "role": metric.role,
        "kind": metric.kind,
        "direction": metric.direction,
        "window_seconds": window.seconds,
        "lateness_seconds": window.lateness,
        "effect": matters,
        "mde": matters if metric.role == "success" else None,
        "margin": matters if metric.role == "guardrail" else None,
        "margin_source": _margin_source(design, metric),
        **_of_kind(evidence, metric),
        "covariate": _covariate(snapshot, metric),
        "frozen": None if frozen is None else {**fields(frozen), "at": to_rfc3339(frozen.at)},
        "arms": {arm: _arm(design, snapshot, metric, arm) for arm in snapshot.arms},
        "differences": {c.treatment: _difference(design, snapshot, c) for c in comparisons},
    }


def _margin_source(design: Design, metric: Metric) -> str | None:
    if metric.role != "guardrail":
        return None
    if metric.margin is not None:
        return "declared, as a share of the metric's mean" if design.relative else "declared"
    if design.relative:
        return "default: the MDE's share of this metric's own mean"
    return f"default: as many of its standard deviations as the MDE is of {design.success[0].name}'s"


def _of_kind(evidence: Evidence, metric: Metric) -> dict[str, Any]:
    """What only some kinds have: left out elsewhere."""
    found: dict[str, Any] = {}
    if metric.kind == "ratio":
        found["denominator"] = metric.denominator
    if metric.kind == "label_loss":
        found["loss"] = metric.loss
    if metric.kind == "quantile":
        found |= {
            "quantile": metric.quantile,
            "values_scanned": evidence.scanned[metric.name].values if metric.name in evidence.scanned else 0,
        }
    if metric.cap is not None:
        found["cap"] = {"value": metric.cap, "source": "declared"}
    if metric.cap_percentile is not None:
        cap = evidence.caps.get(metric.name)
        source = f"percentile {metric.cap_percentile:g} of all arms together"
        found["cap"] = {"value": None, "source": source} if cap is None else {**fields(cap), "at": to_rfc3339(cap.at), "source": source}
    return found


def _covariate(snapshot: Snapshot, metric: Metric) -> dict[str, Any] | None:
    """What the covariate explains within arms and phases: the share of the variance by which the sample can be smaller.

    `theta` is over all of them; with one treatment and one phase it is the one of the estimate.
    """
    if metric.covariate is None:
        return None
    found: dict[str, Any] = {"name": metric.covariate, "estimator": metric.estimator, "theta": None, "variance_explained": None}
    joints = [joint for arm in snapshot.arms for joint in snapshot.joints(arm, metric.name) if joint.n >= 2]
    if joints and all(joint.x.m2 == 0.0 for joint in joints):
        return {**found, "refused": "it is the same for all units: nothing can be adjusted by it"}
    try:
        theta = covariate.theta(joints)
        left = sum(covariate.adjusted(joint, theta).m2 for joint in joints)
    except Refused as refusal:
        return {**found, "refused": refusal.message}
    spread = sum(joint.y.m2 for joint in joints)
    return {**found, "theta": theta, "variance_explained": 1.0 - left / spread if 0.0 < spread < LARGEST else None}


def _arm(design: Design, snapshot: Snapshot, metric: Metric, arm: str) -> dict[str, Any]:
    """Over all phases together: what the arm's units did, not to be compared across arms after a shift."""
    joint = merge_all(snapshot.joints(arm, metric.name))
    found: dict[str, Any] = {"units": joint.n, "sum": None, "mean": None, "lower": None, "upper": None}
    if joint.n == 0:
        matured = sum(each.n for each in snapshot.joints(arm, metric.name + PRESENT))
        return {**found, "refused": f"no value of {matured} matured units can be used" if matured else "no matured units"}
    total = joint.n * joint.y.mean
    if metric.kind != "quantile" and math.isfinite(total):
        found["sum"] = total
    try:
        level = estimators.level(metric, joint)
        found["mean"] = level.mean
        found["lower"], found["upper"] = interval(level, design.alpha)
    except Refused as refusal:
        return {**found, "refused": refusal.message}
    return found


def _difference(design: Design, snapshot: Snapshot, c: Comparison) -> dict[str, Any]:
    increase = c.metric.direction == "increase"
    found: dict[str, Any] = {
        "estimate": c.estimate,
        "se": c.se,
        "relative": None,
        "p_value": c.p_value,
        "lower": c.bound if increase else None,
        "upper": None if increase else c.bound,
        "alternative": "greater" if increase else "less",
        "compared_with": c.compared_with,
        "method": design.sequence if c.metric.role == "success" else "always-valid",
        "shown": _crossing(c.track.better.crossed),
        "days_left": days_left(design, snapshot, c),
        "harm": {"p_value": c.harm_p_value, "bound": c.other, "shown": _crossing(c.track.worse.crossed)},
        "units": {CONTROL: c.units[0], c.treatment: c.units[1]},
        "population": None if c.population is None else {"estimate": c.population[0], "se": c.population[1]},
        "heterogeneity": _heterogeneity(c),
        "by_phase": _by_phase(snapshot, c),
    }
    if c.metric.kind == "binary" and c.metric.role != "guardrail":
        found["exact"] = _exact(c)
    if c.track.interims:
        found["interims"] = [each._asdict() for each in c.track.interims]
    if c.waiting is not None:
        found["waiting"] = c.waiting
    if c.refused is not None:
        return {**found, "refused": c.refused, "fixed": {"refused": c.refused}}
    return {**found, **_fixed(design, snapshot, c)}


def _crossing(crossing: Crossing | None) -> dict[str, Any] | None:
    return None if crossing is None else {"at": to_rfc3339(crossing.at), "look": crossing.look}


def _exact(c: Comparison) -> dict[str, Any]:
    """The exact test, with its share of α, as it would be if this were a look; it decides while few units have converted."""
    if c.exact is None:
        return {"refused": "no unit has converted"}
    converted = {CONTROL: c.exact.control, c.treatment: c.exact.treatment}
    better, worse = (always_valid.p_value(log_evidence + math.log(EXACT_SHARE)) for log_evidence in (c.exact.better, c.exact.worse))
    figures = {"p_value": better, "harm_p_value": worse}
    return {"converted": converted, **figures, "decides": c.exact.decides}


def _fixed(design: Design, snapshot: Snapshot, c: Comparison) -> dict[str, Any]:
    """`fixed` and the relative lift."""
    try:
        test = fixed(design, snapshot, c)
    except Refused as refusal:
        return {"fixed": {"refused": refusal.message}}
    found = {**fields(test), "method": "z" if test.df is None else "welch t", "warning": _warning(design, snapshot)}
    if c.compared_with is None:
        found["p_value"] = None
    try:
        lift = relative(design, snapshot, c, test.df)
    except Refused as refusal:
        return {"relative_refused": refusal.message, "fixed": found}
    return {"relative": lift.estimate, "fixed": {**found, "relative_lower": lift.lower, "relative_upper": lift.upper}}


def _warning(design: Design, snapshot: Snapshot) -> str | None:
    """A fixed-horizon figure is right once: at a horizon that was declared before."""
    if design.horizon_seconds is None:
        return "no horizon was declared: right only if it is read once, at a time chosen before the start"
    if snapshot.at < snapshot.started + design.horizon_seconds:
        return "looked at before its horizon: to stop because of it would make false positives many times as likely"
    return None


def _heterogeneity(c: Comparison) -> dict[str, Any]:
    try:
        return fields(heterogeneity(c.strata))
    except Refused as refusal:
        return {"refused": refusal.message}


def _by_phase(snapshot: Snapshot, c: Comparison) -> list[dict[str, Any]]:
    rows = []
    total = float(c.strata.weight.sum())
    columns = zip(snapshot.phases, c.strata.weight.tolist(), c.strata.estimate.tolist(), c.strata.se2.tolist(), strict=True)
    joints = zip(snapshot.joints(CONTROL, c.metric.name), snapshot.joints(c.treatment, c.metric.name), strict=True)
    for (phase, weight, estimate, se2), pair in zip(columns, joints, strict=True):
        row: dict[str, Any] = {"phase": phase.number, "estimate": None, "se": None, "share": weight / total if total > 0.0 else 0.0}
        if weight == 0.0:
            row["refused"] = estimators.obstacle(c.metric, *pair) or "fewer than 2 matured units in an arm"
        elif not (math.isfinite(estimate) and 0.0 < se2 < math.inf):
            row["refused"] = "the values do not vary within the arms" if se2 == 0.0 else "the values are too large"
        else:
            row |= {"estimate": estimate, "se": math.sqrt(se2)}
        rows.append(row)
    return rows
