"""Fold events into facts: the heart of `record`.

A batch is resolved (which experiment, which unit), what is known of those units is read at once, the events are applied in order in
memory, and the differences are written. Every stored outcome ends up in exactly one tally.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from core.errors import Invalid, NotFound
from core.events import ENROLLED, FORCED, PINNED, Observed, Predicted, Unlogged
from core.ids import Address, format_prediction_id, parse_prediction_id
from experiments.methods.summary import LARGEST
from flows import trials as begun_trials
from flows.known import Known
from flows.outcome import LABEL
from flows.trials import Trial
from routing.plan import CONTROL, Plan
from routing.splitter import mirrors
from store import facts
from store.facts import UnitRow, WaitingRow

COUNTED, OUTSIDE_WINDOW, UNANALYSED, QUARANTINED, DUPLICATES = "counted", "outside_window", "unanalysed", "quarantined", "duplicates"
OUTCOME_FIGURES = (COUNTED, OUTSIDE_WINDOW, UNANALYSED, QUARANTINED, DUPLICATES)
"""Each stored outcome is in one of them."""

FORCED_ROWS, UNLOGGED_ROWS = "forced", "unlogged"

NO_EXPERIMENT = ""
"""The tally of what belongs to no experiment."""

_LEFT_OUT = ("outside", "two_arms")
"""States of units that are not analysed."""

Foldable = Predicted | Observed | Unlogged


class Fold:
    """The facts of one transaction: `prepare` with all events, `apply` each in order, `flush`."""

    def __init__(self, connection: sa.Connection, known: Known, trials: dict[str, Trial], quarantine_seconds: float) -> None:
        self._connection = connection
        self._quarantine_seconds = quarantine_seconds
        self._known = known
        self._trials = trials
        self._units: dict[tuple[str, str], UnitRow | None] = {}
        self._ids: set[tuple[str, str, str]] = set()
        self._clear()

    def _clear(self) -> None:
        self._changed: set[tuple[str, str]] = set()
        self._entered: defaultdict[str, dict[str, tuple[UnitRow, float]]] = defaultdict(dict)
        self._new_ids: set[tuple[str, str, str]] = set()
        self._totals: defaultdict[str, dict[tuple[str, str], tuple[float, int]]] = defaultdict(dict)
        self._arms: defaultdict[tuple[str, int, str], dict[str, int]] = defaultdict(_no_counts)
        self._tallies: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._mirrored: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._waiting: list[WaitingRow] = []

    def prepare(self, batch: Sequence[tuple[Address, Foldable]]) -> None:
        """Read what is known of the units and identities in `batch`."""
        names: defaultdict[str, set[str]] = defaultdict(set)
        identities = set()
        for address, event in batch:
            if isinstance(event, Predicted):
                self._known.remember(address, event)
                plan = self._plan(event)
                if plan is not None and plan.experiment is not None:
                    names[plan.experiment].add(_unit_of(address, event))
            elif isinstance(event, Observed):
                home = self._home(event)
                if home.unit is not None:
                    for trial in home.trials:
                        names[trial.name].add(home.unit)
                if home.identity is not None:
                    identities.add(home.identity)
        for experiment, wanted in names.items():
            found = facts.units_of(self._connection, experiment, wanted)
            self._units.update({(experiment, name): found.get(name) for name in wanted})
        self._ids = facts.known_ids(self._connection, identities)

    def apply(self, address: Address, event: Foldable, now: float) -> None:
        """Fold one event; `now` is the journal time."""
        if isinstance(event, Predicted):
            self._predicted(address, event, now)
        elif isinstance(event, Observed):
            self._observed(address, event, now)
        else:
            plan = self._plan(event)
            self._tally(None if plan is None else plan.experiment, UNLOGGED_ROWS, event.count)

    def quarantine(self, rows: Iterable[WaitingRow]) -> None:
        """Outcomes whose unit never came."""
        for row in rows:
            self._tally(row.experiment, QUARANTINED)

    def flush(self) -> None:
        """Write what has changed since the last flush, and let outcomes that waited find the units that have come."""
        facts.save_waiting(self._connection, self._waiting)
        for experiment, entered in self._entered.items():
            for row in facts.take_waiting(self._connection, experiment, entered):
                # As both stood when the unit entered: what the batch brought since then must not matter.
                entry, at = entered[row.unit]
                if row.at <= at - self._quarantine_seconds:
                    self._tally(experiment, QUARANTINED)
                else:
                    self._place(self._trials[experiment], entry, row.metric, row.value, row.timestamp, row.at)
        facts.save_units(self._connection, [unit for key in self._changed if (unit := self._units[key]) is not None])
        for experiment, totals in self._totals.items():
            facts.add_totals(self._connection, experiment, totals)
        facts.add_arm_counts(self._connection, [_arm_row(key, counts) for key, counts in self._arms.items()])
        facts.add_tallies(self._connection, self._tallies)
        facts.add_mirrored(self._connection, self._mirrored)
        facts.save_ids(self._connection, self._new_ids)
        self._clear()

    def settled(self, unit: UnitRow) -> None:
        """A unit matured or was cut meanwhile: later events of the batch must see that."""
        if (unit.experiment, unit.unit) in self._units:
            self._units[unit.experiment, unit.unit] = unit

    def _plan(self, event: Predicted | Unlogged) -> Plan | None:
        """The plan that answered; None where the store does not have it (an older copy of the store was put back)."""
        try:
            return self._known.plan(self._connection, event.endpoint, event.plan)
        except NotFound:
            return None

    def _predicted(self, address: Address, event: Predicted, now: float) -> None:
        plan = self._plan(event)
        if plan is None:
            return
        if not event.flags & PINNED:
            self._mirror(address, event, plan)
        if plan.experiment is None or event.flags & PINNED:
            return
        if event.flags & FORCED:
            self._tally(plan.experiment, FORCED_ROWS)
            return
        key = (plan.experiment, _unit_of(address, event))
        unit = self._units.get(key)
        if event.flags & ENROLLED:
            self._analyse(key, unit, event, plan, now)
        elif unit is None and event.unit is not None:
            self._save(UnitRow(*key, CONTROL, plan.phase, now, event.propensity, "outside"))

    def _analyse(self, key: tuple[str, str], unit: UnitRow | None, event: Predicted, plan: Plan, now: float) -> None:
        counts = self._arms[key[0], plan.phase, event.arm]
        counts["predictions"] += 1
        if unit is None or unit.state == "outside":
            counts["units"] += 1
            # At journal time, which never steps back: by it the unit matures and its outcomes arrive.
            entered = UnitRow(*key, event.arm, plan.phase, now, event.propensity, facts.OPEN)
            self._save(entered)
            self._entered[key[0]][key[1]] = (entered, now)
        elif unit.state == facts.OPEN and unit.phase == plan.phase and unit.arm != event.arm and not self._due(unit, now):
            self._arms[key[0], unit.phase, unit.arm]["two_arms"] += 1
            self._save(unit._replace(state="two_arms"))

    def _due(self, unit: UnitRow, now: float) -> bool:
        """Whether the unit has matured by journal time, though it may be settled only at the end of the batch."""
        return unit.entry <= self._trials[unit.experiment].window.entered_by(now)

    def _mirror(self, address: Address, event: Predicted, plan: Plan) -> None:
        for name, shadow in plan.shadows.items():
            if shadow.sample >= 1.0 or mirrors(event.endpoint, name, shadow, format_prediction_id(address)):
                self._mirrored[event.endpoint, name, shadow.version] += 1

    def _observed(self, address: Address, event: Observed, now: float) -> None:
        home = self._home(event)
        if home.identity is not None:
            if home.identity in self._ids:
                self._tally(home.experiment, DUPLICATES)
                return
            self._ids.add(home.identity)
            self._new_ids.add(home.identity)
        if home.lost:
            self._tally(home.experiment, QUARANTINED)
        elif not home.trials or home.unit is None or isinstance(event.value, str):
            self._tally(home.experiment, UNANALYSED)
        else:
            # Without a time of its own an outcome is of the time of its arrival, so of journal time like it.
            timestamp = now if event.timestamp == event.at else event.timestamp
            self._observed_unit(address, event, home.trials, home.unit, float(event.value), timestamp, now)

    def _observed_unit(
        self, address: Address, event: Observed, trials: list[Trial], name: str, value: float, timestamp: float, now: float
    ) -> None:
        """An outcome counts in each experiment in whose window of the unit it falls; else the newest one says what became of it."""
        newest, *earlier = trials
        counted = False
        for trial in earlier:
            unit = self._units.get((trial.name, name))
            if unit is None or unit.state in _LEFT_OUT or event.metric not in trial.metrics:
                continue
            if trial.window.counts(unit.entry, timestamp, now):
                self._place(trial, unit, event.metric, value, timestamp, now)
                counted = True
        unit = self._units.get((newest.name, name))
        if unit is None and counted:
            return
        if event.metric not in newest.metrics:
            self._tally(newest.name, UNANALYSED)
        elif unit is None and event.prediction is None:
            self._waiting.append(WaitingRow(address.segment, address.offset, newest.name, name, event.metric, value, timestamp, now))
        else:
            self._place(newest, unit, event.metric, value, timestamp, now)

    def _place(self, trial: Trial, unit: UnitRow | None, metric: str, value: float, timestamp: float, arrived: float) -> None:
        if unit is None or unit.state in _LEFT_OUT:
            self._tally(trial.name, UNANALYSED)
        elif not trial.window.counts(unit.entry, timestamp, arrived):
            self._tally(trial.name, OUTSIDE_WINDOW)
        else:
            totals = self._totals[trial.name]
            total, number = totals.get((unit.unit, metric), (0.0, 0))
            # Finite, so that no later sum is infinity minus infinity; what is so large is refused when it is analysed.
            totals[unit.unit, metric] = (min(max(total + value, -LARGEST), LARGEST), number + 1)
            self._tally(trial.name, COUNTED)

    def _home(self, event: Observed) -> _Home:
        if event.prediction is None:
            trials = begun_trials.at_time(self._trials, event.endpoint or "", event.at)
            identity = None if event.id is None else (event.endpoint or "", event.metric, event.id)
            return _Home(trials[0].name if trials else None, trials, event.unit, identity)
        try:
            address, row = parse_prediction_id(event.prediction)
        except Invalid:
            return _Home(None, lost=True)
        found = self._known.prediction(address)
        if found is None or (row or 0) >= len(found.rows):
            return _Home(None, lost=True)
        plan = self._plan(found)
        experiment = None if plan is None else plan.experiment
        trials = [self._trials[experiment]] if experiment in self._trials else []
        analysed = found.flags & ENROLLED and not found.flags & FORCED
        return _Home(experiment, trials, _unit_of(address, found) if analysed else None, _identity(event, found, address, row))

    def _save(self, unit: UnitRow) -> None:
        key = (unit.experiment, unit.unit)
        self._units[key] = unit
        self._changed.add(key)

    def _tally(self, experiment: str | None, name: str, number: int = 1) -> None:
        self._tallies[experiment or NO_EXPERIMENT, name] += number


class _Home:
    """Where an outcome belongs: the experiment that accounts for it, all that it may count in, its unit if analysed, its identity."""

    __slots__ = ("experiment", "identity", "lost", "trials", "unit")

    def __init__(
        self,
        experiment: str | None,
        trials: Sequence[Trial] = (),
        unit: str | None = None,
        identity: tuple[str, str, str] | None = None,
        *,
        lost: bool = False,
    ) -> None:
        self.experiment = experiment
        self.trials = list(trials)
        self.unit = unit
        self.identity = identity
        self.lost = lost


def _identity(event: Observed, prediction: Predicted, address: Address, row: int | None) -> tuple[str, str, str] | None:
    if event.id is not None:
        return prediction.endpoint, event.metric, event.id
    if event.metric == LABEL:
        # The NUL keeps it apart from a client's `id`: those are printable.
        return prediction.endpoint, LABEL, f"\0{format_prediction_id(address)}.{row or 0}"
    return None


def _unit_of(address: Address, event: Predicted) -> str:
    # The NUL keeps a request that is its own unit apart from a client's unit: those are printable.
    return event.unit if event.unit is not None else f"\0{format_prediction_id(address)}"


def _no_counts() -> dict[str, int]:
    return {"units": 0, "predictions": 0, "matured": 0, "cut": 0, "two_arms": 0}


def _arm_row(key: tuple[str, int, str], counts: dict[str, int]) -> dict[str, Any]:
    return {"experiment": key[0], "phase": key[1], "arm": key[2], **counts}
