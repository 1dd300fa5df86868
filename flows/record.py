"""Record: follow the journal, fold it into facts, mature units, make looks. The position moves in the same transaction: exactly once.

All that happens here follows from the journal: maturity and looks go by journal time, the greatest time of the events so far. When
nothing happens, `record` itself appends a `Tick`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa

from core import events
from core.clock import Clock
from core.events import Tick
from core.ids import Address
from experiments.methods import summary
from experiments.methods.summary import LARGEST, Summary
from flows import looking
from flows import trials as begun_trials
from flows.fold import Fold, Foldable
from flows.follow import decode
from flows.known import Known
from flows.trials import Trial
from journal.reader import Entry
from store import facts
from store.facts import UnitRow

TICK_SECONDS = 1.0
"""How long nothing may happen, while units wait to mature, before a tick moves journal time."""


class Recorder:
    """Folds entries. `pread` reads a record by its address; `quarantine_seconds` is how long an outcome waits for its unit."""

    def __init__(self, pread: Callable[[Address], bytes], quarantine_seconds: float) -> None:
        self._known = Known(pread)
        self._quarantine_seconds = quarantine_seconds

    def fold(self, connection: sa.Connection, entries: Sequence[Entry], at: float) -> float:
        """Fold `entries`, which follow journal time `at`, and return the journal time after them."""
        trials = begun_trials.begun(connection)
        fold = Fold(connection, self._known, trials, self._quarantine_seconds)
        decoded = [(entry.address, event) for entry in entries if (event := decode(entry)) is not None]
        fold.prepare([(address, event) for address, event in decoded if isinstance(event, Foldable)])
        for address, event in decoded:
            now = max(at, event.at)
            if now > at and any(trial.next_look <= now for trial in trials.values()):
                fold.flush()
                self._look(connection, fold, trials, now)
            at = now
            if isinstance(event, Foldable):
                fold.apply(address, event, now)
        fold.quarantine(facts.expire_waiting(connection, at - self._quarantine_seconds))
        fold.flush()
        for trial in trials.values():
            mature(connection, trial, at, fold.settled)
        return at

    def _look(self, connection: sa.Connection, fold: Fold, trials: dict[str, Trial], now: float) -> None:
        while True:
            trial = min(trials.values(), key=lambda each: each.next_look)
            if trial.next_look > now:
                return
            mature(connection, trial, trial.next_look, fold.settled)
            trials[trial.name] = looking.look(connection, trial, now)


def wants_tick(connection: sa.Connection) -> bool:
    """Whether journal time must move though nothing happens: a look is due on a running experiment, or units have still to mature."""
    trials = begun_trials.begun(connection).values()
    return any(trial.stopped is None or facts.first_open(connection, trial.name) is not None for trial in trials)


def tick(append: Callable[[bytes], Address], clock: Clock) -> None:
    """Let journal time be now."""
    append(events.encode(Tick(clock())))


def mature(connection: sa.Connection, trial: Trial, now: float, settled: Callable[[UnitRow], None]) -> None:
    """Settle the trial's units that are due at journal time `now`, and fold those that matured into the summaries."""
    due = facts.due(connection, trial.name, trial.window.entered_by(now))
    if not due:
        return
    rows = [unit._replace(state=trial.window.settle(unit.entry, trial.phase_end(unit.phase))) for unit in due]
    matured = [unit for unit in rows if unit.state == "matured"]
    facts.save_units(connection, rows)
    for unit in rows:
        settled(unit)
    _count(connection, trial.name, rows)
    _summarise(connection, trial, matured)


def _count(connection: sa.Connection, experiment: str, rows: Iterable[UnitRow]) -> None:
    counts: defaultdict[tuple[int, str], dict[str, int]] = defaultdict(lambda: {"matured": 0, "cut": 0})
    for unit in rows:
        counts[unit.phase, unit.arm][unit.state] += 1
    zero = {"units": 0, "predictions": 0, "two_arms": 0}
    facts.add_arm_counts(
        connection, [{"experiment": experiment, "phase": phase, "arm": arm, **zero, **count} for (phase, arm), count in counts.items()]
    )


def _summarise(connection: sa.Connection, trial: Trial, matured: Sequence[UnitRow]) -> None:
    totals = facts.totals_of(connection, trial.name, [unit.unit for unit in matured])
    values: defaultdict[tuple[int, str, str], list[float]] = defaultdict(list)
    for unit in matured:
        for metric in trial.metrics:
            # A unit without events counts as 0: that is what it brought.
            total = totals.get((unit.unit, metric), 0.0)
            values[unit.phase, unit.arm, metric].append(min(max(total, -LARGEST), LARGEST))
    known = facts.summaries_of(connection, trial.name)
    merged = {key: summary.merge(Summary(*known.get(key, (0, 0.0, 0.0))), summary.of(found)) for key, found in values.items()}
    facts.save_summaries(connection, trial.name, {key: (each.n, each.mean, each.m2) for key, each in merged.items()})
