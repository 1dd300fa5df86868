"""A look: take the evidence of an experiment at a point of its grid, store it, and say when the next one is due."""

from __future__ import annotations

import math

import sqlalchemy as sa

from experiments import looks
from flows import known
from flows.report import evidence_of, snapshot
from flows.trials import Trial
from store import experiments, facts

_PAST = 1e-6
"""A look is made this many seconds past its grid point, where no rounding can put it before."""


def look(connection: sa.Connection, trial: Trial, now: float) -> Trial:
    """Make the look that is due at `trial.next_look`; returns the trial with its next one.

    Grid points before `now` (the journal time to come) at which no further unit has matured are passed over: nothing has changed there.
    """
    row = experiments.get(connection, trial.name)
    at = trial.next_look + _PAST
    evidence = looks.look(trial.design, snapshot(connection, trial, at), evidence_of(row.evidence))
    following = _next(connection, trial, now)
    experiments.update(connection, trial.name, evidence=known.encode(evidence), next_look=following)
    over = trial.stopped is not None and trial.stopped < following
    return trial._replace(next_look=math.inf if over else following)


def _next(connection: sa.Connection, trial: Trial, now: float) -> float:
    every = trial.design.look_every_seconds
    entered = facts.first_open(connection, trial.name)
    changes = now if entered is None else min(now, trial.window.matures(entered))
    done = round((trial.next_look - trial.started) / every)
    return trial.started + max(done + 1, math.ceil((changes - trial.started) / every)) * every
