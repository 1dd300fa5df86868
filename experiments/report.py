"""An experiment's report: every figure behind the verdict, as plain data. Reading it never looks."""

from __future__ import annotations

import math
from typing import Any

from core.clock import to_rfc3339
from experiments.checks import checks
from experiments.comparison import compare
from experiments.design import Design
from experiments.effect import FEWEST_HARM
from experiments.evidence import Evidence
from experiments.figures import fields, figures
from experiments.slices import slices
from experiments.snapshot import Phase, Snapshot
from experiments.tracking import FEWEST_HARM_LIN, FEWEST_SUCCESS
from experiments.verdict import decide, overall


def report(experiment: str, endpoint: str, design: Design, snapshot: Snapshot, evidence: Evidence) -> dict[str, Any]:
    """The report as JSON-codable data without NaN or infinity; a figure that may not be computed is null beside `refused`.

    Times in RFC 3339; estimates are treatment − control in the metric's units, with the bounds at confidence 1 − alpha.
    """
    table = {arm: [compare(design, snapshot, evidence, arm, metric) for metric in design.metrics] for arm in snapshot.treatments}
    everything = [comparison for row in table.values() for comparison in row]
    found = checks(design, snapshot, evidence, everything)
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
            metric.name: figures(design, snapshot, evidence, metric, [c for c in everything if c.metric is metric])
            for metric in design.metrics
        },
        "slices": slices(design, snapshot),
        "outcomes": fields(snapshot.outcomes),
        "excluded": fields(snapshot.excluded),
        "checks": [fields(check) for check in found],
        "notes": _notes(design, snapshot),
    }


def _time(at: float | None) -> str | None:
    return None if at is None else to_rfc3339(at)


def _design(design: Design) -> dict[str, Any]:
    found = fields(design)
    del found["metrics"]
    return {**found, "test": design.sequence, "maximum": design.planned_samples if design.sequence == "group-sequential" else None}


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


def _notes(design: Design, snapshot: Snapshot) -> list[str]:
    tests, family = len(design.deciding) * len(snapshot.treatments), len(design.success) * len(snapshot.treatments)
    lin = f" ({FEWEST_HARM_LIN} with lin)" if any(metric.estimator == "lin" for metric in design.metrics) else ""
    late = f", if it arrived within {design.lateness_seconds:g} s after that" if design.lateness_seconds else ""
    own = any((m.window_seconds, m.lateness_seconds) != (None, None) for m in design.metrics)
    notes = [
        f"An outcome counts within {design.window_seconds:g} s of its unit's entry{late}; a unit is analysed once that time has passed."
        + (" Metrics that declare a window of their own have that one." if own else ""),
        f"Each direction is controlled at alpha = {design.alpha:g}, not both jointly: a false promote or a false rollback come together"
        f" at most at {min(1.0, 2.0 * design.alpha):g}.",
        f"Over {tests} test{'' if tests == 1 else 's'} for harm, the probability that any rolls back falsely"
        f" is at most {min(1.0, tests * design.alpha):.3g}.",
        f"Evidence is taken at looks, every {design.look_every_seconds:g} s of journal time: success from {FEWEST_SUCCESS} matured units"
        f" per arm on, harm from {FEWEST_HARM}{lin}. Reading this report is no look and costs nothing.",
        _on_success(design),
        "`fixed` is right only if it is read once, at a time chosen before the start; for watching there is p_value.",
    ]
    if family > 1:
        by = "the declared weights" if design.success[0].weight is not None else "Holm"
        notes.append(f"p values are of one test each; `shown` of a success metric is decided by {by} over {family} metrics and arms.")
    shared = [metric.name for metric in design.success if metric.mde is None]
    if len(shared) > 1 and not design.relative:
        notes.append(
            f"The MDE of {design.mde:g} is taken in the units of each of {', '.join(shared)}: declare `mde` where that is not meant."
        )
    if design.slices:
        notes.append(
            "Slices are exploratory and decide nothing; their p values are of fixed-horizon tests, adjusted by Benjamini-Hochberg."
        )
    return notes


def _on_success(design: Design) -> str:
    harm = "harm and guardrails are always-valid, at every look"
    if design.sequence == "group-sequential":
        return (
            f"Success is group-sequential ({design.spending} spending, up to {design.planned_samples:g} planned samples in"
            f" {design.interim_looks} steps, the rest at the horizon); {harm}."
        )
    if design.sequence == "fixed-horizon":
        return f"Success is decided once, at the first look after the horizon; {harm}."
    return "Success, harm and guardrails are always-valid: right at every look, whenever one stops."
