"""Fold events into facts: the heart of `record`.

A batch is resolved (which experiment, which unit), what is known of those units is read at once, the events are applied in order in
memory, and the differences are written. Every stored outcome ends up in exactly one tally of an experiment, or of none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from msgspec.structs import replace

from core.errors import NotFound
from core.events import ENROLLED, FORCED, PINNED, Observed, Predicted, Unlogged
from core.ids import Address, format_prediction_id
from core.values import Label, Output
from experiments import losses
from flows.facts import entering, maturing
from flows.facts.entering import About, Entering
from flows.facts.gathered import Gathered
from flows.facts.histories import Histories
from flows.facts.homes import Home, Identity, happened, home_of, unit_of
from flows.facts.trials import Trial
from flows.known import Known
from routing.plan import CONTROL, Plan
from routing.splitter import mirrors
from store import facts
from store.facts import UnitRow, WaitingRow

COUNTED, OUTSIDE_WINDOW, UNANALYSED, QUARANTINED, DUPLICATES = "counted", "outside_window", "unanalysed", "quarantined", "duplicates"
OUTCOME_FIGURES = (COUNTED, OUTSIDE_WINDOW, UNANALYSED, QUARANTINED, DUPLICATES)
"""Each stored outcome is in one of them."""

FORCED_ROWS, UNLOGGED_ROWS, NO_PROPENSITY_ROWS = "forced", "unlogged", "no_propensity"
NO_EXPERIMENT = ""
"""The tally of what belongs to no experiment."""

_LEFT_OUT = ("outside", "two_arms")
"""States of units that are not analysed."""

Foldable = Predicted | Observed | Unlogged


class Fold:
    """The facts of one transaction: `prepare` with all events, `apply` each in order, `flush`."""

    def __init__(
        self,
        connection: sa.Connection,
        known: Known,
        enters: Entering,
        trials: dict[str, Trial],
        histories: Histories,
        quarantine_seconds: float,
    ) -> None:
        self._connection = connection
        self._quarantine_seconds = quarantine_seconds
        self._known = known
        self._enters = enters
        self._trials = trials
        self._histories = histories
        self._units: dict[tuple[str, str], UnitRow | None] = {}
        self._ids: set[Identity] = set()
        self._clear()

    def _clear(self) -> None:
        self._changed: set[tuple[str, str]] = set()
        self._gathered = Gathered()
        self._entered: defaultdict[str, dict[str, tuple[UnitRow, float]]] = defaultdict(dict)
        self._to_score: list[tuple[tuple[str, str], Predicted, Plan]] = []
        self._new_ids: set[Identity] = set()
        self._waiting: list[WaitingRow] = []

    def prepare(self, batch: Sequence[tuple[Address, Foldable, float]]) -> None:
        """Read what is known of the units and identities in `batch`: events with their addresses and journal times."""
        names: defaultdict[str, set[str]] = defaultdict(set)
        identities = set()
        for address, event, now in batch:
            if isinstance(event, Predicted):
                self._known.remember(address, event)
                plan = self._plan(event)
                if plan is not None and plan.experiment is not None:
                    names[plan.experiment].add(unit_of(address, event))
                    self._histories.want(event.endpoint, event.unit)
            elif isinstance(event, Observed):
                home = self._home(event, now)
                if home.unit is not None:
                    for trial in home.trials:
                        names[trial.name].add(home.unit)
                if home.identity is not None:
                    identities.add(home.identity)
                self._histories.want(home.endpoint, home.client)
        for experiment, wanted in names.items():
            found = facts.units_of(self._connection, experiment, wanted)
            self._units.update({(experiment, name): found.get(name) for name in wanted})
        self._ids = facts.known_ids(self._connection, identities)
        self._histories.read(self._connection)

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
                    address = Address(row.segment, row.offset, 0)
                    self._place(self._trials[experiment], entry, address, row.metric, row.value, None, row.timestamp, row.at)
        self._score()
        facts.save_units(self._connection, [unit for key in self._changed if (unit := self._units[key]) is not None])
        self._gathered.write(self._connection)
        facts.save_ids(self._connection, self._new_ids)
        self._histories.write(self._connection)
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

    def _home(self, event: Observed, now: float) -> Home:
        return home_of(self._known, self._trials, self._plan, event, now)

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
        key = (plan.experiment, unit_of(address, event))
        unit = self._units.get(key)
        if event.flags & ENROLLED:
            self._analyse(key, unit, address, event, plan, now)
        elif unit is None and event.unit is not None:
            self._save(UnitRow(*key, CONTROL, plan.phase, now, event.propensity, "outside"))

    def _analyse(self, key: tuple[str, str], unit: UnitRow | None, address: Address, event: Predicted, plan: Plan, now: float) -> None:
        counts = self._gathered.arms[key[0], plan.phase, event.arm]
        counts["predictions"] += 1
        if not 0.0 < event.propensity <= 1.0:
            self._tally(key[0], NO_PROPENSITY_ROWS)
        if unit is None or unit.state == "outside":
            counts["units"] += 1
            unit = self._enter(key, event, plan, now)
        elif unit.state == facts.OPEN and unit.phase == plan.phase and unit.arm != event.arm and not self._due(unit, now):
            self._leave_out(unit, now)
            return
        trial = self._trials.get(key[0])
        if trial is not None and unit.state == facts.OPEN:
            self._requested(trial, unit, address, event, now)

    def _leave_out(self, unit: UnitRow, now: float) -> None:
        """It has been in two arms. What it brought to a metric whose window was over by now stays, in whatever batch that is found out."""
        trial = self._trials[unit.experiment]
        if unit.entry <= trial.layout.windows[0].entered_by(now):
            self.flush()
            self._trials[trial.name] = maturing.mature_early(self._connection, trial, now)
        self._gathered.arms[unit.experiment, unit.phase, unit.arm]["two_arms"] += 1
        self._save((self._units[unit.experiment, unit.unit] or unit)._replace(state="two_arms"))

    def _enter(self, key: tuple[str, str], event: Predicted, plan: Plan, now: float) -> UnitRow:
        """At journal time, which never steps back: by it the unit matures and its outcomes arrive."""
        trial, about = self._trials.get(key[0]), About()
        if trial is not None:
            about = About(self._covariates(trial, event, 0.0), self._enters.parts(self._connection, trial, event, plan))
            if any(metric.covariate == "champion_score" for metric in trial.design.metrics):
                self._to_score.append((key, event, plan))
        unit = UnitRow(*key, event.arm, plan.phase, now, event.propensity, facts.OPEN, entering.encode(about))
        self._save(unit)
        self._entered[key[0]][key[1]] = (unit, now)
        return unit

    def _covariates(self, trial: Trial, event: Predicted, champion: float) -> dict[str, float]:
        history = {} if event.unit is None else self._histories.of(event.endpoint, event.unit)
        return entering.covariates(trial.design.metrics, history, champion)

    def _score(self) -> None:
        """Ask the champion once for all units that have entered."""
        scores = self._enters.scores(self._connection, [(event, plan) for _, event, plan in self._to_score])
        for (key, _, _), score in zip(self._to_score, scores, strict=True):
            if (unit := self._units[key]) is None:
                continue
            about = entering.decode(unit.about)
            metrics = [metric for metric in self._trials[key[0]].design.metrics if metric.covariate == "champion_score"]
            scored = replace(about, x={**about.x, **{metric.name: score for metric in metrics}})
            self._save(unit._replace(about=entering.encode(scored)))

    def _requested(self, trial: Trial, unit: UnitRow, address: Address, event: Predicted, now: float) -> None:
        """What metrics make of the request itself: one more in a denominator, or a latency."""
        for use in trial.layout.of_requests:
            if use.window.counts(unit.entry, now, now):
                self._gathered.add(unit, use, address, event.latency if use.metric.source == "latency" else 1.0)

    def _due(self, unit: UnitRow, now: float) -> bool:
        """Whether the unit has matured by journal time, though it may be settled only at the end of the batch."""
        return unit.entry <= self._trials[unit.experiment].window.entered_by(now)

    def _mirror(self, address: Address, event: Predicted, plan: Plan) -> None:
        for name, shadow in plan.shadows.items():
            if shadow.sample >= 1.0 or mirrors(event.endpoint, name, shadow, format_prediction_id(address)):
                self._gathered.mirrored[event.endpoint, name, shadow.version] += 1

    def _observed(self, address: Address, event: Observed, now: float) -> None:
        home = self._home(event, now)
        if home.identity is not None:
            if home.identity in self._ids:
                self._tally(home.experiment, DUPLICATES)
                return
            self._ids.add(home.identity)
            self._new_ids.add(home.identity)
        self._histories.add(home, event, now)
        if home.lost:
            self._tally(home.experiment, QUARANTINED)
        elif not home.trials or home.unit is None:
            self._tally(home.experiment, UNANALYSED)
        else:
            self._observed_unit(address, event, home, home.unit, happened(event, now), now)

    def _observed_unit(self, address: Address, event: Observed, home: Home, name: str, timestamp: float, now: float) -> None:
        """An outcome counts in each experiment in whose window of the unit it falls; else the newest one says what became of it."""
        newest, *earlier = home.trials
        counted = False
        for trial in earlier:
            unit = self._units.get((trial.name, name))
            if unit is None or unit.state in _LEFT_OUT:
                continue
            if trial.counts(event.metric, unit.entry, timestamp, now):
                self._place(trial, unit, address, event.metric, event.value, home.answer, timestamp, now)
                counted = True
        unit = self._units.get((newest.name, name))
        if unit is None and counted:
            return
        if event.metric not in newest.layout.uses:
            self._tally(newest.name, UNANALYSED)
        elif unit is None and event.prediction is None and not isinstance(event.value, str):
            waiting = WaitingRow(address.segment, address.offset, newest.name, name, event.metric, float(event.value), timestamp, now)
            self._waiting.append(waiting)
        else:
            self._place(newest, unit, address, event.metric, event.value, home.answer, timestamp, now)

    def _place(
        self,
        trial: Trial,
        unit: UnitRow | None,
        address: Address,
        metric: str,
        value: Label,
        answer: Output | None,
        timestamp: float,
        arrived: float,
    ) -> None:
        if unit is None or unit.state in _LEFT_OUT:
            self._tally(trial.name, UNANALYSED)
            return
        inside = [use for use in trial.layout.uses.get(metric, ()) if use.window.counts(unit.entry, timestamp, arrived)]
        numbers = [(use, number) for use in inside if (number := losses.measured(use.metric.loss, value, answer)) is not None]
        for use, number in numbers:
            self._gathered.add(unit, use, address, number)
        self._tally(trial.name, COUNTED if numbers else UNANALYSED if inside else OUTSIDE_WINDOW)

    def _save(self, unit: UnitRow) -> None:
        key = (unit.experiment, unit.unit)
        self._units[key] = unit
        self._changed.add(key)

    def _tally(self, experiment: str | None, name: str, number: int = 1) -> None:
        self._gathered.tallies[experiment or NO_EXPERIMENT, name] += number
