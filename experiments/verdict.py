"""The decision rule: what the evidence says should be done, with the reason in one sentence.

The rules are asked in this order, and the first that holds decides: rollback, invalid, not_enough_data, promote, keep,
continue. Harm comes before invalidity, since the worst harms break the sample ratio as well.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from core.clock import to_rfc3339
from experiments.checks import TOO_GOOD, Check, too_good
from experiments.comparison import DAY, Comparison, days_left
from experiments.design import Design
from experiments.snapshot import Snapshot
from experiments.tracking import FEWEST_SUCCESS
from experiments.watches import COVARIATE

Word: TypeAlias = Literal["rollback", "invalid", "not_enough_data", "promote", "keep", "continue"]

URGENCY: tuple[Word, ...] = ("rollback", "invalid", "promote", "not_enough_data", "continue", "keep")
"""Of several treatments' verdicts the first in this order is the experiment's: one that waits does not hide one that won."""


class Verdict(msgspec.Struct, frozen=True):
    """The word is for machines, the sentence for people."""

    verdict: Word
    reason: str


def overall(verdicts: dict[str, Verdict]) -> Verdict:
    """The experiment's verdict from its treatments'; with several, the reason names the treatment."""
    if not verdicts:
        return Verdict("not_enough_data", "no arm other than control has been given units yet.")
    arm, found = min(verdicts.items(), key=lambda item: URGENCY.index(item[1].verdict))
    return found if len(verdicts) == 1 or found.verdict == "invalid" else Verdict(found.verdict, f"{arm}: {found.reason}")


def decide(design: Design, snapshot: Snapshot, comparisons: list[Comparison], checks: list[Check]) -> Verdict:
    """The verdict on one treatment, from its comparisons (one per metric) and the experiment's checks."""
    for verdict in _rules(design, comparisons, checks):
        if verdict is not None:
            return verdict
    missing = _missing(design, snapshot, comparisons)
    if design.horizon_seconds is not None and snapshot.at >= snapshot.started + design.horizon_seconds:
        return Verdict("keep", f"the horizon of {_duration(design.horizon_seconds)} is reached and {missing}.")
    if _exhausted(design, comparisons):
        return Verdict("keep", f"the maximum of {design.planned_samples:g} planned samples is reached and {missing}.")
    return Verdict("continue", f"{missing}; {_time_left(design, snapshot, comparisons)}.")


def _rules(design: Design, comparisons: list[Comparison], checks: list[Check]) -> tuple[Verdict | None, ...]:
    """In an A/A test nothing can be promoted or rolled back: what differs is a failed check."""
    if design.aa:
        return _invalid(checks), _not_enough_data(design, comparisons)
    return _rollback(comparisons, checks), _invalid(checks), _not_enough_data(design, comparisons), _promote(comparisons)


def _rollback(comparisons: list[Comparison], checks: list[Check]) -> Verdict | None:
    """Not on an estimate that was adjusted by a covariate in which the arms differ: that comes of no treatment."""
    failed = {check.name for check in checks if check.status == "failed"}
    for c in comparisons:
        if f"{COVARIATE}/{c.metric.name}" in failed:
            continue
        crossed = c.track.worse.crossed
        if c.metric.role == "info" or crossed is None:
            continue
        beyond = f" by more than its margin of {c.effect:.4g}" if c.metric.role == "guardrail" and c.effect is not None else ""
        return Verdict(
            "rollback",
            f"{c.metric.name} is shown to be worse{beyond}: difference {_signed(c.estimate)}, always-valid p {_p(c.harm_p_value)},"
            f" since look {crossed.look} at {to_rfc3339(crossed.at)}.",
        )
    return None


def _invalid(checks: list[Check]) -> Verdict | None:
    failed = [check for check in checks if check.status == "failed"]
    return Verdict("invalid", f"the check {failed[0].name} failed: {failed[0].detail}.") if failed else None


def _not_enough_data(design: Design, comparisons: list[Comparison]) -> Verdict | None:
    """A test that is made at few looks has no evidence between them though there are units enough."""
    success = [c for c in comparisons if c.metric.role == "success"]
    later = design.sequence != "always-valid"
    if any(c.track.better.log_evidence is not None or (later and c.refused is None and min(c.compared) >= FEWEST_SUCCESS) for c in success):
        return None
    return Verdict("not_enough_data", f"{success[0].metric.name}: {success[0].refused or success[0].waiting}.")


def _promote(comparisons: list[Comparison]) -> Verdict | None:
    won = [c for c in comparisons if _superior(c) and _population_agrees(c)]
    guardrails = [c for c in comparisons if c.metric.role == "guardrail"]
    if not won or any(map(too_good, comparisons)) or any(c.track.better.crossed is None for c in guardrails):
        return None
    holding = {0: "", 1: " and its guardrail holds"}.get(len(guardrails), f" and its {len(guardrails)} guardrails hold")
    return Verdict("promote", f"{'; '.join(map(_shown, won))}{holding}.")


def _exhausted(design: Design, comparisons: list[Comparison]) -> bool:
    """Whether a group-sequential test has spent all of its α and shown nothing; what it has shown may still wait for a guardrail."""
    success = [c for c in comparisons if c.metric.role == "success"]
    done = all(c.track.interims and c.track.interims[-1].fraction >= 1.0 for c in success)
    return design.sequence == "group-sequential" and done and not any(map(_superior, success))


def _missing(design: Design, snapshot: Snapshot, comparisons: list[Comparison]) -> str:
    """What stands between this and promote."""
    superior = [c for c in comparisons if _superior(c)]
    if not superior:
        tried = [c for c in comparisons if c.metric.role == "success"]
        family = len(tried) * len(snapshot.treatments)
        by = "by weight" if tried[0].metric.weight is not None else "by Holm"
        among = f" ({by} among {family}, which takes more than p ≤ {design.alpha:g} of one)" if family > 1 else ""
        return f"no success metric is shown to be better{among}: {'; '.join(map(_figures, tried))}"
    suspicious = [c for c in comparisons if too_good(c)]
    if suspicious:
        c = suspicious[0]
        limit = f"{TOO_GOOD:g} times the MDE of {c.effect:.4g}"
        return f"{c.metric.name} changed by {_signed(c.estimate)}, more than {limit}: look for an error first"
    if not any(map(_population_agrees, superior)):
        estimate = superior[0].population and superior[0].population[0]
        return f"{superior[0].metric.name} is better where the arms overlap but not over all units ({_signed(estimate)})"
    waiting = [c for c in comparisons if c.metric.role == "guardrail" and c.track.better.crossed is None]
    return f"{_shown(superior[0])}, but not yet that the guardrail holds: {'; '.join(map(_figures, waiting))}"


def _time_left(design: Design, snapshot: Snapshot, comparisons: list[Comparison]) -> str:
    """Promotion waits for one success metric and every guardrail."""
    pending = [(c.metric.role, days_left(design, snapshot, c)) for c in comparisons if c.track.better.crossed is None]
    success = [days for role, days in pending if role == "success" and days is not None]
    needed = [*sorted(success)[:1], *(days for role, days in pending if role == "guardrail" and days is not None)]
    if not needed:
        return "how long it will take cannot be said yet"
    if max(needed) == 0.0:
        return "the planned sample is reached, more data may still decide"
    return f"about {_duration(max(needed) * DAY)} left at the present rate"


def _duration(seconds: float) -> str:
    for size, unit in ((DAY, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} seconds"


def _superior(c: Comparison) -> bool:
    return c.metric.role == "success" and c.track.better.crossed is not None


def _population_agrees(c: Comparison) -> bool:
    return c.population is not None and c.metric.sign * c.population[0] > 0.0


def _shown(c: Comparison) -> str:
    return f"{c.metric.name} is shown to be better: {_figures(c, named=False)}"


def _figures(c: Comparison, named: bool = True) -> str:
    name = f"{c.metric.name} " if named else ""
    if c.estimate is None:
        return f"{name}{c.refused}"
    side = "lower" if c.metric.direction == "increase" else "upper"
    margin = f", margin {c.effect:.4g}" if c.metric.role == "guardrail" and c.effect is not None else ""
    if c.p_value is None:
        return f"{name}{_signed(c.estimate)} ({c.waiting})"
    bound = "no bound" if c.bound is None else f"{side} bound {_signed(c.bound)}"
    return f"{name}{_signed(c.estimate)} ({bound}{margin}, {c.method} p {_p(c.p_value)})"


def _signed(value: float | None) -> str:
    return "not known" if value is None else f"{value:+.4g}"


def _p(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2g}"
