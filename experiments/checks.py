"""Validity: whether the figures may be believed at all."""

from __future__ import annotations

from typing import Literal

import msgspec

from core.errors import Refused
from experiments import watches
from experiments.comparison import Comparison
from experiments.design import Design
from experiments.evidence import Evidence
from experiments.methods import srm
from experiments.methods.always_valid import p_value
from experiments.metric import Metric
from experiments.snapshot import Snapshot

MOST_LOST = 0.01
"""Share of units in two arms, or of predictions unlogged, above which the comparison is invalid."""

TOO_GOOD = 5.0
"""A difference of more than this many MDEs is more often an error than a discovery (Twyman's law)."""


class Check(msgspec.Struct, frozen=True):
    """`failed` makes the verdict invalid, `warning` is for the reader, `waiting` has nothing to judge yet."""

    name: str
    status: Literal["ok", "warning", "failed", "waiting"]
    p_value: float | None
    detail: str


def checks(design: Design, snapshot: Snapshot, evidence: Evidence, comparisons: list[Comparison]) -> list[Check]:
    """Every check, whether it failed or not."""
    arms = [counts for phase in snapshot.phases for counts in phase.arms.values()]
    entered, predictions = sum(counts.entered for counts in arms), sum(counts.predictions for counts in arms)
    excluded = snapshot.excluded
    return [
        _sample_ratio(snapshot, evidence),
        _lost("two_arms", excluded.two_arms, entered, "units were in two arms of one phase"),
        _lost("unlogged", excluded.unlogged, predictions + excluded.unlogged, "predictions were answered but not logged"),
        _propensities(snapshot.no_propensity, predictions),
        *_watched(design, evidence),
        *([_no_difference(comparisons)] if design.aa else [_too_good(comparisons)]),
    ]


def too_good(comparison: Comparison) -> bool:
    """Whether the difference exceeds 5 MDEs while its bound does not: a reason to look for an error before believing it."""
    if comparison.effect is None or comparison.estimate is None or comparison.metric.role != "success":
        return False
    limit = TOO_GOOD * comparison.effect
    bound = comparison.bound
    return abs(comparison.estimate) > limit and (bound is None or comparison.metric.sign * bound <= limit)


def _sample_ratio(snapshot: Snapshot, evidence: Evidence) -> Check:
    ratio = evidence.ratio
    if ratio.log_evidence is None:
        return Check("sample_ratio", "waiting", None, "no look has been made yet")
    p = p_value(ratio.log_evidence)
    fixed = "; ".join(_chi_square(snapshot))
    if ratio.alarm is not None:
        return Check(
            "sample_ratio", "failed", p, f"units do not enter the arms in the shares of the weights since look {ratio.alarm.look}: {fixed}"
        )
    return Check("sample_ratio", "ok", p, fixed)


def _chi_square(snapshot: Snapshot) -> list[str]:
    """Counts and χ² of each phase, which is right only if read once."""
    said = []
    for phase in snapshot.phases:
        counts = [phase.arms[arm].entered if arm in phase.arms else 0 for arm in phase.weights]
        try:
            test = f"χ² p {srm.chi_square(counts, list(phase.weights.values())).p_value:.3g}"
        except Refused as refusal:
            test = refusal.message
        weights = ":".join(f"{weight:g}" for weight in phase.weights.values())
        said.append(f"phase {phase.number}: {':'.join(map(str, counts))} units in {':'.join(phase.weights)} at {weights}, {test}")
    return said


def _lost(name: str, lost: int, of: int, what: str) -> Check:
    if of == 0:
        return Check(name, "waiting", None, "nothing has been counted yet")
    failed = lost > MOST_LOST * of
    return Check(name, "failed" if failed else "ok", None, f"{lost} of {of} {what} (at most {MOST_LOST:.0%} may be)")


def _propensities(missing: int, of: int) -> Check:
    """Without the probability of its arm a row cannot be weighed against others: who logged it has an error."""
    if of == 0:
        return Check("propensities", "waiting", None, "nothing has been counted yet")
    return Check("propensities", "failed" if missing else "ok", None, f"{missing} of {of} predictions came without a propensity")


def _watched(design: Design, evidence: Evidence) -> list[Check]:
    """One check for each thing that must not differ: the worst of all treatments."""
    found = []
    for metric in design.metrics:
        for name, applies, what in (
            (watches.COVARIATE, metric.covariate is not None, f"the covariate {metric.covariate} of {metric.name}"),
            (watches.MISSING, not metric.counts_all, f"the share of units with an outcome for {metric.name}"),
        ):
            if applies:
                found.append(_watch(f"{name}/{metric.name}", what, evidence, metric))
    return found


def _watch(name: str, what: str, evidence: Evidence, metric: Metric) -> Check:
    """Of a metric that decides nothing it is a warning: its figures are not comparable, the others are."""
    seen = {arm: by[name] for arm, by in evidence.watches.items() if name in by}
    if not seen:
        return Check(name, "waiting", None, "no look has been made with enough units that differ from each other")
    arm, worst = max(seen.items(), key=lambda item: item[1].log_evidence)
    p = p_value(worst.log_evidence)
    if worst.alarm is None:
        return Check(name, "ok", p, f"{what} does not differ between the arms beyond chance")
    status: Literal["warning", "failed"] = "warning" if metric.role == "info" else "failed"
    return Check(name, status, p, f"{what} differs between control and {arm} since look {worst.alarm.look}: they are not comparable")


def _no_difference(comparisons: list[Comparison]) -> Check:
    """In an A/A test all arms are the same: a difference that is shown comes of the set-up. That a guardrail holds shows none."""
    crossed = [
        f"{c.metric.name} of {c.treatment} {word} since look {side.crossed.look}"
        for c in comparisons
        for word, side, roles in (("better", c.track.better, ("success",)), ("worse", c.track.worse, ("success", "guardrail")))
        if side.crossed is not None and c.metric.role in roles
    ]
    if crossed:
        return Check("a_a", "failed", None, f"the arms serve the same version and differ: {'; '.join(crossed)}")
    return Check("a_a", "ok", None, "the arms serve the same version, and nothing shows a difference")


def _too_good(comparisons: list[Comparison]) -> Check:
    found = [f"{c.treatment} on {c.metric.name}: {c.estimate:+.4g}, MDE {c.effect:.4g}" for c in comparisons if too_good(c)]
    if found:
        return Check("too_good", "warning", None, f"more than {TOO_GOOD:g} times the MDE, look for an error first: {'; '.join(found)}")
    return Check("too_good", "ok", None, f"no difference above {TOO_GOOD:g} times the MDE that is not shown to be that large")
