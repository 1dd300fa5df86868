"""An experiment's report: every figure behind the verdict, as plain data. Reading it never looks."""

from __future__ import annotations

import math
from typing import Any

from core.clock import to_rfc3339
from core.errors import Refused
from experiments.checks import checks
from experiments.comparison import Comparison, compare, days_left, fixed, relative
from experiments.design import Design, Metric
from experiments.effect import FEWEST_HARM
from experiments.evidence import Crossing, Evidence
from experiments.looks import FEWEST_SUCCESS
from experiments.methods.means import interval
from experiments.methods.strata import heterogeneity
from experiments.methods.summary import Summary, merge_all
from experiments.snapshot import CONTROL, Phase, Snapshot
from experiments.verdict import decide, overall


def report(experiment: str, endpoint: str, design: Design, snapshot: Snapshot, evidence: Evidence) -> dict[str, Any]:
    """The report as JSON-codable data without NaN or infinity; a figure that may not be computed is null beside `refused`.

    Times in RFC 3339; estimates are treatment − control in the metric's units, with the bounds at confidence 1 − alpha.
    """
    table = {arm: [compare(design, snapshot, evidence, arm, metric) for metric in design.metrics] for arm in snapshot.treatments}
    everything = [comparison for row in table.values() for comparison in row]
    found = checks(snapshot, evidence, everything)
    verdicts = {arm: decide(design, snapshot, row, found) for arm, row in table.items()}
    verdict = overall(verdicts)
    return {
        "experiment": experiment,
        "endpoint": endpoint,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "treatments": {arm: {"verdict": v.verdict, "reason": v.reason} for arm, v in verdicts.items()},
        "started": to_rfc3339(snapshot.started),
        "at": to_rfc3339(snapshot.at),
        "looks": {"made": evidence.looks, "last": _time(evidence.at), "every_seconds": design.look_every_seconds},
        "design": _design(design),
        "arms": {arm: _entries(snapshot, arm) for arm in snapshot.arms},
        "phases": [_phase(phase) for phase in snapshot.phases],
        "metrics": {
            metric.name: _metric(design, snapshot, evidence, metric, [c for c in everything if c.metric is metric])
            for metric in design.metrics
        },
        "outcomes": _fields(snapshot.outcomes),
        "excluded": _fields(snapshot.excluded),
        "checks": [_fields(check) for check in found],
        "notes": _notes(design, snapshot),
    }


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _time(at: float | None) -> str | None:
    return None if at is None else to_rfc3339(at)


def _design(design: Design) -> dict[str, Any]:
    fields = _fields(design)
    del fields["metrics"]
    return fields


def _entries(snapshot: Snapshot, arm: str) -> dict[str, int]:
    counts = snapshot.counts(arm)
    return {
        "units": sum(c.entered for c in counts),
        "matured": sum(c.matured for c in counts),
        "predictions": sum(c.predictions for c in counts),
    }


def _phase(phase: Phase) -> dict[str, Any]:
    total = math.fsum(phase.weights.values())
    return {
        "phase": phase.number,
        "weights": {arm: weight / total if total > 0.0 else 0.0 for arm, weight in phase.weights.items()},
        "from": to_rfc3339(phase.start),
        "to": _time(phase.end),
        "arms": {arm: {"units": counts.entered, "matured": counts.matured} for arm, counts in phase.arms.items()},
    }


def _metric(design: Design, snapshot: Snapshot, evidence: Evidence, metric: Metric, comparisons: list[Comparison]) -> dict[str, Any]:
    frozen = evidence.frozen.get(metric.name)
    matters = comparisons[0].effect if comparisons else None
    return {
        "role": metric.role,
        "kind": metric.kind,
        "direction": metric.direction,
        "window_seconds": design.window_seconds,
        "mde": matters if metric.role == "success" else None,
        "margin": matters if metric.role == "guardrail" else None,
        "margin_source": _margin_source(design, metric),
        "frozen": None if frozen is None else {**_fields(frozen), "at": to_rfc3339(frozen.at)},
        "arms": {arm: _arm(design, merge_all(snapshot.summaries(arm, metric.name))) for arm in snapshot.arms},
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


def _arm(design: Design, summary: Summary) -> dict[str, Any]:
    """Over all phases together: what the arm's units did, not to be compared across arms after a shift."""
    figures: dict[str, Any] = {"units": summary.n, "sum": None, "mean": None, "lower": None, "upper": None}
    if summary.n == 0:
        return {**figures, "refused": "no matured units"}
    total = summary.n * summary.mean
    figures |= {"sum": total if math.isfinite(total) else None, "mean": summary.mean}
    try:
        lower, upper = interval(summary, design.alpha)
    except Refused as refusal:
        return {**figures, "refused": refusal.message}
    return {**figures, "lower": lower, "upper": upper}


def _difference(design: Design, snapshot: Snapshot, c: Comparison) -> dict[str, Any]:
    increase = c.metric.direction == "increase"
    figures: dict[str, Any] = {
        "estimate": c.estimate,
        "se": c.se,
        "relative": None,
        "p_value": c.p_value,
        "lower": c.bound if increase else None,
        "upper": None if increase else c.bound,
        "alternative": "greater" if increase else "less",
        "compared_with": c.compared_with,
        "method": "always-valid",
        "shown": _crossing(c.track.better.crossed),
        "days_left": days_left(design, snapshot, c),
        "harm": {"p_value": c.harm_p_value, "shown": _crossing(c.track.worse.crossed)},
        "units": {CONTROL: c.units[0], c.treatment: c.units[1]},
        "population": None if c.population is None else {"estimate": c.population[0], "se": c.population[1]},
        "heterogeneity": _heterogeneity(c),
        "by_phase": _by_phase(snapshot, c),
    }
    if c.waiting is not None:
        figures["waiting"] = c.waiting
    if c.refused is not None:
        return {**figures, "refused": c.refused, "fixed": {"refused": c.refused}}
    return {**figures, **_fixed(design, snapshot, c)}


def _crossing(crossing: Crossing | None) -> dict[str, Any] | None:
    return None if crossing is None else {"at": to_rfc3339(crossing.at), "look": crossing.look}


def _fixed(design: Design, snapshot: Snapshot, c: Comparison) -> dict[str, Any]:
    """`fixed` and the relative lift."""
    try:
        test = fixed(design, snapshot, c)
    except Refused as refusal:
        return {"fixed": {"refused": refusal.message}}
    figures = {**_fields(test), "method": "stratified z" if test.df is None else "welch t"}
    if c.compared_with is None:
        figures["p_value"] = None
    try:
        lift = relative(design, snapshot, c, test.df)
    except Refused as refusal:
        return {"relative_refused": refusal.message, "fixed": figures}
    return {"relative": lift.estimate, "fixed": {**figures, "relative_lower": lift.lower, "relative_upper": lift.upper}}


def _heterogeneity(c: Comparison) -> dict[str, Any]:
    try:
        return _fields(heterogeneity(c.strata))
    except Refused as refusal:
        return {"refused": refusal.message}


def _by_phase(snapshot: Snapshot, c: Comparison) -> list[dict[str, Any]]:
    rows = []
    total = float(c.strata.weight.sum())
    columns = zip(snapshot.phases, c.strata.weight.tolist(), c.strata.estimate.tolist(), c.strata.se2.tolist(), strict=True)
    for phase, weight, estimate, se2 in columns:
        row: dict[str, Any] = {"phase": phase.number, "estimate": None, "se": None, "share": weight / total if total > 0.0 else 0.0}
        if weight == 0.0:
            row["refused"] = "fewer than 2 matured units in an arm"
        elif not (math.isfinite(estimate) and 0.0 < se2 < math.inf):
            row["refused"] = "the values do not vary within the arms" if se2 == 0.0 else "the values are too large"
        else:
            row |= {"estimate": estimate, "se": math.sqrt(se2)}
        rows.append(row)
    return rows


def _notes(design: Design, snapshot: Snapshot) -> list[str]:
    tests, family = len(design.deciding) * len(snapshot.treatments), len(design.success) * len(snapshot.treatments)
    late = f", if it arrived within {design.lateness_seconds:g} s after that" if design.lateness_seconds else ""
    notes = [
        f"An outcome counts within {design.window_seconds:g} s of its unit's entry{late}; a unit is analysed once that time has passed.",
        f"Each direction is controlled at alpha = {design.alpha:g}, not both jointly.",
        f"Over {tests} test{'' if tests == 1 else 's'} for harm, the probability that any rolls back falsely"
        f" is at most {min(1.0, tests * design.alpha):.3g}.",
        f"Evidence is taken at looks, every {design.look_every_seconds:g} s of journal time: success from {FEWEST_SUCCESS} matured units"
        f" per arm on, harm from {FEWEST_HARM}. Reading this report is no look and costs nothing.",
        "`fixed` is right only if it is read once, at a time chosen before the start; for watching there is p_value.",
    ]
    if family > 1:
        notes.append(f"p values are of one test each; `shown` of a success metric is decided by Holm over {family} metrics and arms.")
    return notes
