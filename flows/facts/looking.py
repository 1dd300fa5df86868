"""A look: take the evidence of an experiment at a point of its grid, store it, and say when the next one is due."""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace

from core.clock import to_rfc3339
from core.errors import Refused
from experiments import looks
from experiments.comparison import compare
from experiments.evidence import Cap, Evidence
from experiments.snapshot import Snapshot
from flows import known
from flows.facts import maturing
from flows.facts.report import evidence_of, snapshot
from flows.facts.trials import Trial
from store import experiments, facts
from store.engine import Store

RETRY = 1.25
"""Times as many units before a cap is tried again that could not be taken from them: each try reads them all."""

_PAST = 1e-6
"""A look is made this many seconds past its grid point, where no rounding can put it before."""


def look(connection: sa.Connection, trial: Trial, now: float) -> Trial:
    """Make the look that is due at `trial.next_look`; returns the trial with its next one.

    Where no unit has entered or matured since the last one, and the horizon has not come, there is nothing to see, and none is made.
    """
    row = experiments.get(connection, trial.name)
    evidence = evidence_of(row.evidence)
    seen = _seen(connection, trial)
    following = _next(connection, trial, now)
    if seen != evidence.seen or _horizon_comes(trial, evidence):
        after = _looked(connection, trial, replace(evidence, seen=seen))
        trial = trial._replace(caps=after.caps)
        experiments.update(connection, trial.name, evidence=known.encode(after))
    experiments.update(connection, trial.name, next_look=following)
    over = trial.stopped is not None and trial.stopped < following
    return trial._replace(next_look=math.inf if over else following)


def conclude(connection: sa.Connection, trial: Trial, at: float) -> None:
    """Read the values of quantile metrics once more when the last unit of a stopped experiment has matured: no look will."""
    if trial.next_look < math.inf or all(metric.kind != "quantile" for metric in trial.design.metrics):
        return
    evidence, seen = evidence_of(experiments.get(connection, trial.name).evidence), _seen(connection, trial)
    if seen == evidence.seen or facts.first_open(connection, trial.name) is not None:
        return
    scanned = maturing.take_quantiles(connection, trial, at, evidence.scanned, growth=1.0)
    experiments.update(connection, trial.name, evidence=known.encode(replace(evidence, scanned=scanned, seen=seen)))


def _looked(connection: sa.Connection, trial: Trial, evidence: Evidence) -> Evidence:
    at = trial.next_look + _PAST
    evidence = _capped(connection, trial, evidence)
    trial = trial._replace(caps=evidence.caps)
    evidence = replace(evidence, scanned=maturing.take_quantiles(connection, trial, trial.next_look, evidence.scanned))
    seen = snapshot(connection, trial, at)
    after = looks.look(trial.design, seen, evidence)
    facts.add_points(connection, _points(trial, seen, after))
    return after


def _seen(connection: sa.Connection, trial: Trial) -> list[float]:
    """What changes when there is something new to see: units that entered, that matured, and how far shorter windows have come."""
    counts = facts.arm_counts_of(connection, trial.name)
    entered, settled = sum(row["units"] for row in counts), sum(row["matured"] + row["cut"] + row["two_arms"] for row in counts)
    return [float(entered), float(settled), *(trial.settled[key] for key in sorted(trial.settled))]


def _horizon_comes(trial: Trial, evidence: Evidence) -> bool:
    """Whether this look is the first at or after the horizon."""
    if trial.design.horizon_seconds is None:
        return False
    horizon = trial.started + trial.design.horizon_seconds
    return (evidence.at or trial.started) < horizon <= trial.next_look + _PAST


def history(store: Store, experiment: str) -> list[dict[str, Any]]:
    """What all looks have seen, by treatment and metric, oldest first; raises NotFound."""
    with store.read() as connection:
        experiments.get(connection, experiment)
        rows = facts.points_of(connection, experiment)
    return [{**row, "at": to_rfc3339(row["at"])} for row in rows]


def _capped(connection: sa.Connection, trial: Trial, evidence: Evidence) -> Evidence:
    """The evidence with the caps that can be frozen at this look, from the units that had matured at its grid point: no later one, which
    would be summarised once more when it is due.
    """
    at = trial.next_look
    for metric in trial.design.metrics:
        if metric.cap_percentile is None or metric.name in evidence.caps:
            continue
        matured = facts.entered_count(connection, trial.name, trial.design.window(metric).entered_by(at))
        if matured < RETRY * evidence.uncapped.get(metric.name, 0):
            continue
        try:
            frozen = maturing.freeze_cap(connection, trial, metric, at)
        except Refused:
            evidence = replace(evidence, uncapped={**evidence.uncapped, metric.name: matured})
            continue
        if frozen is not None:
            evidence = replace(evidence, caps={**evidence.caps, metric.name: Cap(*frozen, at)})
            maturing.summarise_all(connection, trial._replace(caps=evidence.caps), metric, at)
    return evidence


def _points(trial: Trial, seen: Snapshot, evidence: Evidence) -> list[dict[str, Any]]:
    """Estimates with both of their always-valid bounds, for those who want to see how they came about."""
    found = []
    for treatment in seen.treatments:
        for metric in trial.design.metrics:
            c = compare(trial.design, seen, evidence, treatment, metric)
            if c.estimate is None:
                continue
            reach = None if c.other is None else abs(c.other - c.estimate)
            bounds = {"lower": None, "upper": None} if reach is None else {"lower": c.estimate - reach, "upper": c.estimate + reach}
            key = {"experiment": trial.name, "look": evidence.looks, "treatment": treatment, "metric": metric.name}
            found.append({**key, "at": seen.at, "estimate": c.estimate, **bounds})
    return found


def _next(connection: sa.Connection, trial: Trial, now: float) -> float:
    """The next grid point at which something may have changed: a unit has matured, or the horizon has come."""
    every = trial.design.look_every_seconds
    entered = facts.first_open(connection, trial.name)
    changes = now if entered is None else min(now, trial.layout.windows[0].matures(entered))
    if trial.design.horizon_seconds is not None and trial.next_look < trial.started + trial.design.horizon_seconds:
        changes = min(changes, trial.started + trial.design.horizon_seconds)
    done = round((trial.next_look - trial.started) / every)
    return trial.started + max(done + 1, math.ceil((changes - trial.started) / every)) * every
