"""Record: follow the journal, fold it into facts, mature units, make looks. The position moves in the same transaction: exactly once.

All that happens here follows from the journal: maturity and looks go by journal time, the greatest time of the events so far. When
nothing happens, `record` itself appends a `Tick`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

import sqlalchemy as sa

from core import events
from core.clock import Clock
from core.events import Event, Tick
from core.ids import Address
from flows.facts import looking
from flows.facts.entering import Entering, Load
from flows.facts.fold import Fold, Foldable
from flows.facts.histories import Histories, Unsplit
from flows.facts.maturing import mature
from flows.facts.trials import Trial, Trials
from flows.follow import decode
from flows.known import Known
from journal.reader import Entry
from store import facts

TICK_SECONDS = 1.0
"""How long nothing may happen, while units wait to mature, before a tick moves journal time."""


class Recorder:
    """Folds entries. `pread` reads a record by its address; `quarantine_seconds` is how long an outcome waits for its unit.

    `load` loads the champion where a metric's covariate is its score.
    """

    def __init__(self, pread: Callable[[Address], bytes], quarantine_seconds: float, load: Load | None = None) -> None:
        self._known = Known(pread)
        self._enters = Entering(self._known, load)
        self._trials = Trials()
        self._unsplit = Unsplit()
        self._quarantine_seconds = quarantine_seconds

    def fold(self, connection: sa.Connection, entries: Sequence[Entry], at: float) -> float:
        """Fold `entries`, which follow journal time `at`, and return the journal time after them."""
        trials = self._trials.load(connection, at)
        over = {name for name, trial in trials.items() if trial.is_over(at)}
        fold = Fold(connection, self._known, self._enters, trials, Histories(connection, self._unsplit), self._quarantine_seconds)
        decoded = _in_time([(entry.address, event) for entry in entries if (event := decode(entry)) is not None], at)
        fold.prepare([(address, event, now) for address, event, now in decoded if isinstance(event, Foldable)])
        for address, event, now in decoded:
            if now > at and any(trial.next_look <= now for trial in trials.values()):
                fold.flush()
                self._look(connection, fold, trials, now)
            at = now
            if isinstance(event, Foldable):
                fold.apply(address, event, now)
        fold.flush()
        # Only now all that waits is in the store.
        fold.quarantine(facts.expire_waiting(connection, at - self._quarantine_seconds))
        fold.flush()
        for name, trial in trials.items():
            if name not in over:
                looking.conclude(connection, mature(connection, trial, at, fold.settled), at)
        return at

    def wants_tick(self, connection: sa.Connection, at: float) -> bool:
        """Whether journal time must move though nothing happens: a look is still to be made, or units have still to mature."""
        alive = [trial for trial in self._trials.load(connection, at).values() if not trial.is_over(at)]
        return any(trial.next_look < math.inf or facts.first_open(connection, trial.name) is not None for trial in alive)

    def _look(self, connection: sa.Connection, fold: Fold, trials: dict[str, Trial], now: float) -> None:
        while True:
            trial = min(trials.values(), key=lambda each: each.next_look)
            if trial.next_look > now:
                return
            matured = mature(connection, trial, trial.next_look, fold.settled)
            trials[trial.name] = looking.look(connection, matured, now)


def _in_time(read: Sequence[tuple[Address, Event]], at: float) -> list[tuple[Address, Event, float]]:
    """Each event with its journal time: the greatest time of all up to it."""
    times = accumulate((event.at for _, event in read), max, initial=at)
    next(times)
    return [(address, event, now) for (address, event), now in zip(read, times, strict=True)]


def tick(append: Callable[[bytes], Address], clock: Clock) -> None:
    """Let journal time be now."""
    append(events.encode(Tick(clock())))
