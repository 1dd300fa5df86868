"""The experiments that have begun, as `record` needs them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from experiments.design import Design
from experiments.evidence import Cap
from experiments.metric import EVENTS, PREDICTIONS, Metric
from experiments.units import Window
from store import experiments, plans
from store.experiments import ExperimentRow
from store.plans import PlanRow

STRAGGLERS_SECONDS = 600.0
"""How long after an experiment's end a worker that has not seen it yet may still answer by its plan, so that a unit enters."""

DENOMINATOR = "/"
"""Appended to a ratio's name: the key of its denominator's totals."""


class Use(NamedTuple):
    """What a metric makes of one kind of outcomes: a total under `key`, of those within the metric's window."""

    key: str
    window: Window
    metric: Metric


class Layout(NamedTuple):
    """A design, and what follows from it alone.

    `uses` are by name of outcome, `of_requests` those that need none; `windows` are all that metrics declare, `window` is the longest.
    """

    design: Design
    uses: Mapping[str, tuple[Use, ...]]
    of_requests: tuple[Use, ...]
    windows: tuple[Window, ...]
    window: Window


class Trial(NamedTuple):
    """A begun experiment. `phases` are the first plans of its endpoint's phases; times in seconds since the epoch.

    `next_look` is on the grid started + k · look_every_seconds of journal time; infinite once the experiment is over. `settled` says up
    to which entry units have been summarised on the metrics of a window shorter than the longest.
    """

    name: str
    endpoint: str
    started: float
    stopped: float | None
    layout: Layout
    phases: tuple[PlanRow, ...]
    next_look: float
    settled: Mapping[str, float]
    caps: Mapping[str, Cap]

    @property
    def design(self) -> Design:
        """What was declared."""
        return self.layout.design

    @property
    def window(self) -> Window:
        """The longest window: with it a unit's life in the experiment ends."""
        return self.layout.window

    def phase_end(self, phase: int) -> float | None:
        """When the phase ended; None while it lasts."""
        return next((row.at for row in self.phases if row.phase > phase), None)

    def counts(self, outcome: str, entry: float, timestamp: float, arrived: float) -> bool:
        """Whether an outcome counts for a unit on any metric."""
        return any(use.window.counts(entry, timestamp, arrived) for use in self.layout.uses.get(outcome, ()))

    def is_over(self, at: float) -> bool:
        """Whether nothing of it can change any more at journal time `at`: stopped, matured, looked at for the last time."""
        return self.stopped is not None and self.next_look == math.inf and at > self.window.matures(self.stopped) + STRAGGLERS_SECONDS


class Trials:
    """Loads the begun experiments, those that are over only once."""

    def __init__(self) -> None:
        self._over: dict[str, Trial] = {}

    def load(self, connection: sa.Connection, at: float) -> dict[str, Trial]:
        """All of them by name, in the order of their start, as they are at journal time `at`."""
        names = experiments.begun(connection)
        rows = experiments.get_many(connection, [name for name in names if name not in self._over])
        heads = plans.phase_heads(connection, {row.endpoint for row in rows})
        alive = {row.experiment: _trial(row, heads[row.endpoint]) for row in rows}
        self._over.update((name, trial) for name, trial in alive.items() if trial.is_over(at))
        return {name: alive.get(name) or self._over[name] for name in names}


def trial_of(connection: sa.Connection, row: ExperimentRow) -> Trial:
    """One experiment that has begun."""
    return _trial(row, plans.phase_heads(connection, [row.endpoint])[row.endpoint])


def _trial(row: ExperimentRow, heads: Sequence[PlanRow]) -> Trial:
    layout = _layout(row.design)
    started = row.started or row.at
    next_look = row.next_look or started + layout.design.look_every_seconds
    over = row.stopped is not None and row.stopped < next_look
    return Trial(
        row.experiment,
        row.endpoint,
        started,
        row.stopped,
        layout,
        tuple(heads),
        math.inf if over else next_look,
        {} if row.settled is None else _SETTLED.decode(row.settled),
        {} if row.evidence is None else _EVIDENCE.decode(row.evidence).caps,
    )


def decode_design(body: bytes) -> Design:
    """The design that creation wrote."""
    return _layout(body).design


def decode_metric(body: bytes) -> Metric:
    """The metric that a declaration wrote."""
    return _METRIC.decode(body)


def at_time(trials: dict[str, Trial], endpoint: str, at: float) -> list[Trial]:
    """The experiments that an endpoint's outcome of that time may count in: the one begun last before it, and the stopped ones whose
    units may still have to mature, newest first.
    """
    mine = [trial for trial in reversed(trials.values()) if trial.endpoint == endpoint and trial.started <= at]
    return [trial for number, trial in enumerate(mine) if number == 0 or at < trial.window.matures(trial.stopped or at)]


def name_of(window: Window) -> str:
    """The window as a key of `settled`."""
    return f"{window.seconds!r}+{window.lateness!r}"


class _Caps(msgspec.Struct, frozen=True):
    """The part of the evidence that `record` needs."""

    caps: dict[str, Cap] = {}


_DESIGN = msgspec.json.Decoder(Design)
_METRIC = msgspec.json.Decoder(Metric)
_EVIDENCE = msgspec.json.Decoder(_Caps)
_SETTLED = msgspec.json.Decoder(dict[str, float])


@lru_cache(maxsize=1000)
def _layout(body: bytes) -> Layout:
    design = _DESIGN.decode(body)
    uses: dict[str, list[Use]] = {}
    of_requests = []
    for metric in design.metrics:
        window = design.window(metric)
        if metric.numerator is None:
            of_requests.append(Use(metric.name, window, metric))
        else:
            uses.setdefault(metric.numerator, []).append(Use(metric.name, window, metric))
        if metric.denominator == PREDICTIONS:
            of_requests.append(Use(metric.name + DENOMINATOR, window, metric))
        elif metric.denominator not in (None, EVENTS):
            uses.setdefault(metric.denominator, []).append(Use(metric.name + DENOMINATOR, window, metric))
    windows = tuple(sorted({design.window(metric) for metric in design.metrics}, key=lambda each: each.matures(0.0)))
    return Layout(design, {name: tuple(each) for name, each in uses.items()}, tuple(of_requests), windows, windows[-1])
