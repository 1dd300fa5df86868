"""What must not differ between arms, whatever the treatment does: covariates from before entry, and how many units have no outcome.

Each is tested at every look, two-sided and always-valid, and rings at M ≥ 1000.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from experiments.design import Design
from experiments.effect import FEWEST_HARM
from experiments.evidence import Crossing, Watch
from experiments.methods import always_valid
from experiments.methods.strata import compare, overlap
from experiments.methods.summary import Summary, merge, merge_all, stack
from experiments.snapshot import CONTROL, PRESENT, Snapshot

ALARM = 0.001
"""The p value at which an alarm latches."""

TUNED_FOR = 10_000.0
"""Units per arm at which the test is most sensitive."""

COVARIATE, MISSING = "covariate_balance", "missing_outcomes"
"""The names of the checks."""


def look(design: Design, snapshot: Snapshot, known: Mapping[str, Mapping[str, Watch]], number: int) -> dict[str, dict[str, Watch]]:
    """The watches after this look, by treatment and `check/metric`."""
    found: dict[str, dict[str, Watch]] = {}
    for treatment in snapshot.treatments:
        mine = dict(known.get(treatment, {}))
        for name, control, treated in _watched(design, snapshot, treatment):
            after = _watch(mine.get(name), control, treated, snapshot.at, number)
            if after is not None:
                mine[name] = after
        found[treatment] = mine
    return found


def _watched(design: Design, snapshot: Snapshot, treatment: str) -> Iterator[tuple[str, list[Summary], list[Summary]]]:
    for metric in design.metrics:
        if metric.covariate is not None:
            sides = [[joint.x for joint in snapshot.joints(arm, metric.name)] for arm in (CONTROL, treatment)]
            yield f"{COVARIATE}/{metric.name}", sides[0], sides[1]
        if not metric.counts_all:
            sides = [[joint.y for joint in snapshot.joints(arm, metric.name + PRESENT)] for arm in (CONTROL, treatment)]
            yield f"{MISSING}/{metric.name}", sides[0], sides[1]


def _watch(known: Watch | None, control: Sequence[Summary], treatment: Sequence[Summary], at: float, number: int) -> Watch | None:
    strata = compare(stack(control), stack(treatment))
    sums = overlap(strata)
    units = [sum(s.n for s, weight in zip(side, strata.weight, strict=True) if weight > 0.0) for side in (control, treatment)]
    gained = float(sums.v)
    if gained == 0.0:  # all of one arm are equal, and so are all of the other: the spread is between the arms
        gained = _between(strata.weight.tolist(), control, treatment)
    if min(units) < FEWEST_HARM or not 0.0 < gained < math.inf:
        return known
    if known is None:
        pooled = merge_all([*control, *treatment])
        known = Watch(pooled.m2 / (pooled.n - 1))
    v = max(known.v, gained)
    # In one phase of two arms of that many units each, V is n σ² / 2.
    x = v / (0.5 * TUNED_FOR * known.variance)
    log_m = float(always_valid.log_evidence(float(sums.u) / math.sqrt(v), x, always_valid.tuning(ALARM, one_sided=False), one_sided=False))
    if not math.isfinite(log_m):
        return known
    alarm = known.alarm
    if alarm is None and log_m >= -math.log(ALARM):
        alarm = Crossing(at, number, log_m)
    return Watch(known.variance, v, max(known.log_evidence, log_m), alarm)


def _between(weights: Sequence[float], control: Sequence[Summary], treatment: Sequence[Summary]) -> float:
    """V from the variance of both arms together, which under the null hypothesis is that of each; 0.0 where all units are equal."""
    phases = [(h, merge(*pair)) for h, *pair in zip(weights, control, treatment, strict=True) if h > 0.0]
    return math.fsum(h * both.m2 / (both.n - 1) for h, both in phases)
