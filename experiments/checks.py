"""Validity: whether the figures may be believed at all."""

from __future__ import annotations

from typing import Literal

import msgspec

from core.errors import Refused
from experiments.comparison import Comparison
from experiments.evidence import Evidence
from experiments.methods import srm
from experiments.methods.always_valid import p_value
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


def checks(snapshot: Snapshot, evidence: Evidence, comparisons: list[Comparison]) -> list[Check]:
    """Every check, whether it failed or not."""
    arms = [counts for phase in snapshot.phases for counts in phase.arms.values()]
    entered, predictions = sum(counts.entered for counts in arms), sum(counts.predictions for counts in arms)
    excluded = snapshot.excluded
    return [
        _sample_ratio(snapshot, evidence),
        _lost("two_arms", excluded.two_arms, entered, "units were in two arms of one phase"),
        _lost("unlogged", excluded.unlogged, predictions + excluded.unlogged, "predictions were answered but not logged"),
        _too_good(comparisons),
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


def _too_good(comparisons: list[Comparison]) -> Check:
    found = [f"{c.treatment} on {c.metric.name}: {c.estimate:+.4g}, MDE {c.effect:.4g}" for c in comparisons if too_good(c)]
    if found:
        return Check("too_good", "warning", None, f"more than {TOO_GOOD:g} times the MDE, look for an error first: {'; '.join(found)}")
    return Check("too_good", "ok", None, f"no difference above {TOO_GOOD:g} times the MDE that is not shown to be that large")
