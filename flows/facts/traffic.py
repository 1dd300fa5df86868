"""What an endpoint's units have brought so far, from the journal alone: as if an experiment had run on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.events import FORCED, HELD_OUT, PINNED, Observed, Predicted
from core.ids import Address, parse_prediction_id
from core.values import Position, finite
from experiments import losses
from experiments.methods import joint, winsor
from experiments.methods.joint import Joint
from experiments.metric import EVENTS, PREDICTIONS, Metric
from experiments.units import Window
from experiments.worth import NOTHING, measure
from flows.facts.entering import earlier
from flows.facts.homes import Identity, happened, home_of, own_unit, unit_of
from flows.follow import decode
from flows.known import Known
from journal import segments
from journal.lookup import Lookup
from journal.reader import Entry, Reader
from journal.segment import path

BATCH = 500


class Unit:
    """A unit: its entry, what it brought within the window, and the sum and number of its earlier outcomes."""

    __slots__ = ("before", "brought", "entry")

    def __init__(self, entry: float, before: tuple[float, int]) -> None:
        self.entry = entry
        self.brought = NOTHING
        self.before = before


class Traffic(NamedTuple):
    """The units that entered from `first` to `end` (journal time in seconds), in the order of their entry."""

    units: list[Unit]
    first: float
    end: float


class Values(NamedTuple):
    """Of the units whose windows were `over` at the end: how many had outcomes of the metric, and the values of those that it counts.

    y is the value, x a ratio's denominator, else what the unit had brought before its entry.
    """

    over: int
    with_outcomes: int
    joint: Joint


def scan(journal: Path, endpoint: str, metric: Metric, window: Window, since: float, enter_from: float | None = None) -> Traffic:
    """The units whose first request in the journal's time from `since` on (or `enter_from`) was answered by the endpoint.

    What comes into the journal meanwhile is left out.
    """
    seen = _Scan(endpoint, metric, window, since if enter_from is None else enter_from, Known(Lookup(journal).get))
    at = since
    for entry in entries(journal, since):
        event = decode(entry)
        if event is None or event.at < since:
            continue
        at = max(at, event.at)
        if isinstance(event, Predicted):
            seen.predicted(entry.address, event, at)
        elif isinstance(event, Observed):
            seen.observed(event, at)
    units = list(seen.units.values())
    return Traffic(units, units[0].entry if units else at, at)


def values(traffic: Traffic, metric: Metric, window: Window) -> Values:
    """What units brought whose windows were over at the end of the traffic; values above a metric's cap count as that.

    Raises Refused where a cap at a percentile needs more units.
    """
    by = window.entered_by(traffic.end)
    over = [unit for unit in traffic.units if unit.entry <= by]
    counts = len(over), sum(unit.brought.events > 0 for unit in over)
    pairs = [pair for unit in over if (pair := measure(metric, unit.brought, earlier(metric, *unit.before))) is not None]
    if not pairs:
        return Values(*counts, joint.NOTHING)
    y, x = zip(*pairs, strict=True)
    cap = metric.cap if metric.cap_percentile is None else winsor.cap_of(y, metric.cap_percentile)
    return Values(*counts, joint.of(y if cap is None else [min(each, cap) for each in y], x))


def entries(journal: Path, since: float) -> Iterator[Entry]:
    """What stands in the journal now, but for the segments that were last written before `since`."""
    end = segments.end(journal)
    late = _late(journal, since)
    if not late:
        return
    reader = Reader(journal, Position(late[0], 0))
    try:
        while entries := reader.read(BATCH):
            for entry in entries:
                if entry.address.position >= end:
                    return
                yield entry
    finally:
        reader.close()


def size_since(journal: Path, since: float) -> int:
    """How many bytes `entries` reads."""
    late = _late(journal, since)
    return segments.distance(journal, Position(late[0], 0), segments.end(journal)) if late else 0


def _late(journal: Path, since: float) -> list[int]:
    """The first segment that was written since then, and all after it."""
    end = segments.end(journal)
    return [number for number in segments.segments(journal) if _written(journal, number) >= since or number >= end.segment]


class _Scan:
    def __init__(self, endpoint: str, metric: Metric, window: Window, enter_from: float, known: Known) -> None:
        self.units: dict[str, Unit] = {}
        self._endpoint = endpoint
        self._metric = metric
        self._window = window
        self._enter_from = enter_from
        self._known = known
        self._wanted = {metric.numerator, metric.denominator} - {None, PREDICTIONS, EVENTS}
        self._ids: set[Identity] = set()
        self._before: dict[str, tuple[float, int]] = {}

    def predicted(self, address: Address, event: Predicted, now: float) -> None:
        """A request; one whose arm was not drawn by chance says nothing of an experiment."""
        self._known.remember(address, event)
        if event.endpoint != self._endpoint or event.flags & (FORCED | PINNED | HELD_OUT) or now < self._enter_from:
            return
        name = unit_of(address, event)
        unit = self.units.get(name)
        if unit is None:
            unit = self.units[name] = Unit(now, self._before.pop(name, (0.0, 0)))
        if self._metric.denominator == PREDICTIONS and self._window.counts(unit.entry, now, now):
            unit.brought = unit.brought.beneath(1.0)

    def observed(self, event: Observed, now: float) -> None:
        """An outcome of the metric; one that repeats another's identity is that other."""
        if event.metric not in self._wanted or (event.prediction is None and event.endpoint != self._endpoint):
            return
        home = home_of(self._known, {}, lambda _: None, event, event.at)
        if home.lost or home.endpoint != self._endpoint or home.identity in self._ids:
            return
        if home.identity is not None:
            self._ids.add(home.identity)
        number = losses.measured(self._metric.loss, event.value, home.answer)
        if number is None:
            return
        name = home.client if home.client is not None or event.prediction is None else own_unit(parse_prediction_id(event.prediction)[0])
        unit = self.units.get(name or "")
        if unit is not None and self._window.counts(unit.entry, happened(event, now), now):
            self._add(unit, event.metric, number)
        elif unit is None and home.client is not None and event.metric == self._metric.numerator:
            total, events = self._before.get(home.client, (0.0, 0))
            self._before[home.client] = (finite(total + number), events + 1)

    def _add(self, unit: Unit, outcome: str, number: float) -> None:
        if outcome == self._metric.numerator:
            unit.brought = unit.brought.above(number)
        if outcome == self._metric.denominator:
            unit.brought = unit.brought.beneath(number)


def _written(journal: Path, number: int) -> float:
    try:
        return path(journal, number).stat().st_mtime
    except FileNotFoundError:
        return 0.0
