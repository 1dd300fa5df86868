"""The experiments that have begun, as `record` needs them."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from experiments.design import Design
from experiments.units import Window
from store import experiments, plans
from store.experiments import ExperimentRow
from store.plans import PlanRow

_DESIGN = msgspec.json.Decoder(Design)


class Trial(NamedTuple):
    """A begun experiment. `phases` are the first plans of its endpoint's phases; times in seconds since the epoch.

    `next_look` is on the grid started + k · look_every_seconds of journal time; infinite once the experiment is over.
    """

    name: str
    endpoint: str
    started: float
    stopped: float | None
    design: Design
    window: Window
    metrics: frozenset[str]
    phases: tuple[PlanRow, ...]
    next_look: float

    def phase_end(self, phase: int) -> float | None:
        """When the phase ended; None while it lasts."""
        return next((row.at for row in self.phases if row.phase > phase), None)


def begun(connection: sa.Connection) -> dict[str, Trial]:
    """All of them by name, in the order of their start."""
    return {row.experiment: trial_of(connection, row) for row in experiments.begun(connection)}


def trial_of(connection: sa.Connection, row: ExperimentRow) -> Trial:
    """One experiment that has begun."""
    design = decode_design(row.design)
    started = row.started or row.at
    next_look = row.next_look or started + design.look_every_seconds
    over = row.stopped is not None and row.stopped < next_look
    return Trial(
        row.experiment,
        row.endpoint,
        started,
        row.stopped,
        design,
        Window(design.window_seconds, design.lateness_seconds),
        frozenset(metric.name for metric in design.metrics),
        tuple(plans.phase_heads(connection, row.endpoint)),
        math.inf if over else next_look,
    )


def decode_design(body: bytes) -> Design:
    """The design that creation wrote."""
    return _DESIGN.decode(body)


def at_time(trials: dict[str, Trial], endpoint: str, at: float) -> list[Trial]:
    """The experiments that an endpoint's outcome of that time may count in: the one begun last before it, and the stopped ones whose
    units may still have to mature, newest first.
    """
    mine = [trial for trial in reversed(trials.values()) if trial.endpoint == endpoint and trial.started <= at]
    return [trial for number, trial in enumerate(mine) if number == 0 or at < trial.window.matures(trial.stopped or at)]
