"""The report of an experiment: facts → snapshot → report. Costs the same at any number of events; never looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import to_rfc3339
from core.errors import Conflict
from experiments import report as reports
from experiments.evidence import NO_EVIDENCE, Evidence
from experiments.methods.joint import Joint
from experiments.snapshot import ArmCounts, Excluded, Outcomes, Phase, Snapshot
from flows import known
from flows.facts import fold, maturing
from flows.facts.trials import Trial, trial_of
from flows.follow import RECORD
from store import experiments, facts, positions
from store.engine import Store
from store.experiments import DRAFT
from store.facts import SummaryKey
from store.plans import PlanRow

_EVIDENCE = msgspec.json.Decoder(Evidence)


def report(store: Store, experiment: str) -> dict[str, Any]:
    """The JSON of an experiment's report; raises NotFound, or Conflict where it has not begun."""
    with store.read() as connection:
        return report_in(connection, experiment)


def report_in(connection: sa.Connection, experiment: str, at: float | None = None) -> dict[str, Any]:
    """The same inside a transaction; `at` is the journal time, where no reader's position says it."""
    row = experiments.get(connection, experiment)
    if row.started is None:
        what = "is a draft: start it first" if row.state == DRAFT else "was given up before it had begun"
        raise Conflict(f"experiment {experiment!r} {what}", code=f"experiment-{row.state}")
    trial = trial_of(connection, row)
    if at is None:
        read = positions.get(connection, RECORD)
        at = 0.0 if read is None else read.at
    seen = snapshot(connection, trial, max(row.started, at))
    found = reports.report(experiment, row.endpoint, trial.design, seen, evidence_of(row.evidence))
    return {
        **found,
        "state": row.state,
        "started": to_rfc3339(row.started),
        "stopped": to_rfc3339(row.stopped) if row.stopped is not None else None,
        "stopped_because": row.because,
    }


def evidence_of(body: bytes | None) -> Evidence:
    """The evidence that the last look stored."""
    return NO_EVIDENCE if body is None else _EVIDENCE.decode(body)


def snapshot(connection: sa.Connection, trial: Trial, at: float) -> Snapshot:
    """The facts of an experiment at journal time `at`."""
    counts = facts.arm_counts_of(connection, trial.name)
    tallies = facts.tallies_of(connection, trial.name)
    summaries = maturing.decode_summaries(connection, trial.name)
    bounds = _phases(trial, at)
    return Snapshot(
        started=trial.started,
        at=at,
        phases=[_phase(trial, head, end, counts, summaries, ("", "")) for head, end in bounds],
        outcomes=Outcomes(
            counted=tallies.get(fold.COUNTED, 0),
            outside_window=tallies.get(fold.OUTSIDE_WINDOW, 0),
            unanalysed=tallies.get(fold.UNANALYSED, 0),
            quarantined=tallies.get(fold.QUARANTINED, 0),
            duplicates=tallies.get(fold.DUPLICATES, 0),
        ),
        excluded=Excluded(
            immature=sum(row["units"] - row["matured"] - row["cut"] - row["two_arms"] for row in counts),
            cut=sum(row["cut"] for row in counts),
            two_arms=sum(row["two_arms"] for row in counts),
            forced=tallies.get(fold.FORCED_ROWS, 0),
            unlogged=tallies.get(fold.UNLOGGED_ROWS, 0),
        ),
        no_propensity=tallies.get(fold.NO_PROPENSITY_ROWS, 0),
        slices={
            key: {
                part: [_phase(trial, head, end, counts, summaries, (key, part)) for head, end in bounds]
                for part in {each.part for each in summaries if each.slice == key}
            }
            for key in trial.design.slices
        },
    )


def _phases(trial: Trial, at: float) -> list[tuple[PlanRow, float | None]]:
    """The phases in which the experiment ran until `at`, each with its end (None: still on)."""
    ends = [*(row.at for row in trial.phases[1:]), None]
    over = trial.stopped
    found = []
    for head, end in zip(trial.phases, ends, strict=True):
        began, ended = max(head.at, trial.started), end if over is None else min(over, end or over)
        if began <= at and (end is None or end > trial.started) and (over is None or began < over):
            found.append((head, ended))
    return found


def _phase(
    trial: Trial,
    head: PlanRow,
    end: float | None,
    counts: Sequence[Mapping[str, Any]],
    summaries: Mapping[SummaryKey, Joint],
    part: tuple[str, str],
) -> Phase:
    """A phase with the summaries of one part of a slice, ("", "") for all units."""
    plan = known.decode_plan(head.body)
    found: dict[str, dict[str, Joint]] = {}
    for key, each in summaries.items():
        if (key.phase, key.slice, key.part) == (head.phase, *part):
            found.setdefault(key.arm, {})[key.metric] = each
    mine = {row["arm"]: row for row in counts if row["phase"] == head.phase}
    return Phase(
        number=head.phase,
        weights={name: plan.share(name) for name in plan.arms},
        start=max(head.at, trial.started),
        end=end,
        arms={
            name: ArmCounts(
                entered=row["units"],
                matured=row["matured"],
                predictions=row["predictions"],
                metrics=found.get(name, {}),
            )
            for name, row in mine.items()
        },
    )
