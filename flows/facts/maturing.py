"""From units to summaries: what matures is measured, and merged into the summaries of its phase, arm and slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
import sqlalchemy as sa

from core.errors import Refused
from experiments.evidence import Scan
from experiments.methods import joint, quantile, winsor
from experiments.methods.joint import Joint
from experiments.metric import Metric
from experiments.slices import MOST_PARTS, OTHERS
from experiments.snapshot import PRESENT
from experiments.units import Window
from experiments.worth import Brought, measure
from flows.facts import entering
from flows.facts.trials import DENOMINATOR, Trial, name_of
from store import experiments, facts
from store.facts import SummaryKey, UnitRow

FEWEST_BEYOND = 5.0
"""Units above a cap that is taken from a percentile: with fewer it would be little but the largest value."""

GROWTH = 1.02
"""How many times as many units must have come before all values of a quantile metric are read once more."""

Totals = Mapping[tuple[str, str], tuple[float, int]]
"""(unit, key) → the sum of what counted, and its number."""

Pairs = dict[SummaryKey, list[tuple[float, float]]]
"""What is to be merged into each summary: a value and its covariate or denominator for each unit."""

_JOINT = msgspec.json.Decoder(Joint)


def mature(connection: sa.Connection, trial: Trial, now: float, settled: Callable[[UnitRow], None]) -> Trial:
    """Summarise the trial's units that are due at journal time `now`; with the longest window their life in it ends."""
    trial = mature_early(connection, trial, now)
    longest = trial.window
    due = facts.due(connection, trial.name, longest.entered_by(now))
    if due:
        rows = [unit._replace(state=_settle(trial, longest, unit)) for unit in due]
        facts.save_units(connection, rows)
        for unit in rows:
            settled(unit)
        _count(connection, trial.name, rows)
        summarise(connection, trial, longest, [unit for unit in rows if unit.state == "matured"], _metrics(trial, longest))
    return trial


def mature_early(connection: sa.Connection, trial: Trial, now: float) -> Trial:
    """Summarise the units that are due at `now` on metrics of shorter windows than the longest; they stay open for the others."""
    for window in trial.layout.windows[:-1]:
        trial = _mature_early(connection, trial, window, now)
    return trial


def freeze_cap(connection: sa.Connection, trial: Trial, metric: Metric, now: float) -> tuple[float, int] | None:
    """The cap of a metric at its percentile of all arms together, and how many units it is from; None while there are too few.

    Reads all units that have matured, this once; they are summarised with it, as those to come will be. Raises Refused where the
    percentile is no cap: nothing would vary below it.
    """
    window = trial.design.window(metric)
    units = [unit for unit in facts.entered(connection, trial.name, window.entered_by(now)) if _settle(trial, window, unit) == "matured"]
    if metric.cap_percentile is None or not _reaches_beyond(len(units), metric.cap_percentile):
        return None
    totals = facts.totals_of(connection, trial.name, [unit.unit for unit in units])
    values = [pair[0] for unit in units if (pair := _measure(metric, None, unit, totals)) is not None]
    if not _reaches_beyond(len(values), metric.cap_percentile):
        return None
    return winsor.cap_of(values, metric.cap_percentile), len(values)


def _reaches_beyond(n: int, percentile: float) -> bool:
    return n * (1.0 - percentile / 100.0) >= FEWEST_BEYOND


def summarise_all(connection: sa.Connection, trial: Trial, metric: Metric, now: float) -> None:
    """Summarise all units that have matured on one metric, which could not be summarised before."""
    window = trial.design.window(metric)
    units = facts.entered(connection, trial.name, window.entered_by(now))
    summarise(connection, trial, window, [unit for unit in units if _settle(trial, window, unit) == "matured"], [metric])


def summarise(connection: sa.Connection, trial: Trial, window: Window, units: Sequence[UnitRow], metrics: Sequence[Metric]) -> None:
    """Merge matured units into the summaries of these metrics."""
    wanted = [metric for metric in metrics if metric.cap_percentile is None or metric.name in trial.caps]
    if not units or not wanted:
        return
    totals = facts.totals_of(connection, trial.name, [unit.unit for unit in units])
    known = facts.summaries_of(connection, trial.name)
    parts = _Parts(known)
    pairs: Pairs = defaultdict(list)
    for unit in units:
        places = [("", ""), *((key, parts.of(key, part)) for key, part in entering.decode(unit.about).parts.items())]
        for metric in wanted:
            cap = trial.caps[metric.name].value if metric.cap_percentile is not None else metric.cap
            _collect(pairs, metric, unit, _measure(metric, cap, unit, totals), places)
    merged = {key: joint.merge(_decoded(known.get(key)), joint.of(*zip(*found, strict=True))) for key, found in pairs.items()}
    facts.save_summaries(connection, trial.name, {key: msgspec.json.encode(each) for key, each in merged.items()})


def take_quantiles(
    connection: sa.Connection, trial: Trial, now: float, before: Mapping[str, Scan], growth: float = GROWTH
) -> dict[str, Scan]:
    """Replace the summaries of quantile metrics by what all matured units' values say; by metric, what was read for that.

    A quantile cannot be merged: this reads them all, so only once there are more than `growth` times as many units as `before`, whether it
    could be taken then or not.
    """
    scanned = dict(before)
    for metric in trial.design.metrics:
        if metric.kind != "quantile" or metric.quantile is None:
            continue
        window = trial.design.window(metric)
        matured = facts.entered_count(connection, trial.name, window.entered_by(now))
        if matured > growth * scanned.get(metric.name, Scan(0, 0)).units:
            values, owners = _values(connection, trial, metric, window.entered_by(now))
            facts.save_summaries(connection, trial.name, dict(_quantiles(metric.name, metric.quantile, values, owners)))
            scanned[metric.name] = Scan(sum(map(len, values.values())), matured)
    return scanned


def _values(
    connection: sa.Connection, trial: Trial, metric: Metric, entered_by: float
) -> tuple[dict[tuple[int, str], list[float]], dict[tuple[int, str], list[int]]]:
    """All values of a metric's matured units by phase and arm, and beside each the number of its unit."""
    window = trial.design.window(metric)
    places = {
        unit.unit: (unit.phase, unit.arm)
        for unit in facts.entered(connection, trial.name, entered_by)
        if _settle(trial, window, unit) == "matured"
    }
    values: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
    owners: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    numbers: dict[str, int] = {}
    for unit, value in facts.values_of(connection, trial.name, metric.name):
        place = places.get(unit)
        if place is not None:
            values[place].append(value)
            owners[place].append(numbers.setdefault(unit, len(numbers)))
    return values, owners


def _quantiles(
    metric: str, nu: float, values: Mapping[tuple[int, str], list[float]], owners: Mapping[tuple[int, str], list[int]]
) -> Iterable[tuple[SummaryKey, bytes]]:
    for (phase, arm), found in values.items():
        try:
            summary = quantile.of(np.array(found), np.array(owners[phase, arm]), nu)
        except Refused:
            continue
        yield SummaryKey(phase, arm, "", "", metric), msgspec.json.encode(joint.alone(summary))


def decode_summaries(connection: sa.Connection, experiment: str) -> dict[SummaryKey, Joint]:
    """Every summary of an experiment."""
    return {key: _JOINT.decode(body) for key, body in facts.summaries_of(connection, experiment).items()}


def _mature_early(connection: sa.Connection, trial: Trial, window: Window, now: float) -> Trial:
    """Metrics of a shorter window; the units stay open for the others, so how far it got is kept beside them."""
    key, entered_by = name_of(window), window.entered_by(now)
    after = trial.settled.get(key)
    if after is not None and entered_by <= after:
        return trial
    due = facts.due(connection, trial.name, entered_by, after)
    if not due:
        return trial
    matured = [unit for unit in due if _settle(trial, window, unit) == "matured"]
    summarise(connection, trial, window, matured, _metrics(trial, window))
    settled = {**trial.settled, key: due[-1].entry}
    experiments.update(connection, trial.name, settled=msgspec.json.encode(settled))
    return trial._replace(settled=settled)


def _metrics(trial: Trial, window: Window) -> list[Metric]:
    return [metric for metric in trial.design.metrics if trial.design.window(metric) == window]


def _settle(trial: Trial, window: Window, unit: UnitRow) -> str:
    return window.settle(unit.entry, trial.phase_end(unit.phase))


def _count(connection: sa.Connection, experiment: str, rows: Iterable[UnitRow]) -> None:
    counts: defaultdict[tuple[int, str], dict[str, int]] = defaultdict(lambda: {"matured": 0, "cut": 0})
    for unit in rows:
        counts[unit.phase, unit.arm][unit.state] += 1
    zero = {"units": 0, "predictions": 0, "two_arms": 0}
    facts.add_arm_counts(
        connection, [{"experiment": experiment, "phase": phase, "arm": arm, **zero, **count} for (phase, arm), count in counts.items()]
    )


def _collect(pairs: Pairs, metric: Metric, unit: UnitRow, pair: tuple[float, float] | None, places: Sequence[tuple[str, str]]) -> None:
    for slice_, part in places:
        key = SummaryKey(unit.phase, unit.arm, slice_, part, metric.name)
        if pair is not None and metric.kind != "quantile":
            pairs[key].append(pair)
        if not metric.counts_all:
            pairs[key._replace(metric=metric.name + PRESENT)].append((float(pair is not None), 0.0))


def _measure(metric: Metric, cap: float | None, unit: UnitRow, totals: Totals) -> tuple[float, float] | None:
    """A matured unit's value, with its covariate or denominator; None where the metric leaves it out."""
    above, below = (totals.get((unit.unit, key), (0.0, 0)) for key in (metric.name, metric.name + DENOMINATOR))
    x = entering.decode(unit.about).x.get(metric.name, 0.0) if metric.covariate is not None else 0.0
    pair = measure(metric, Brought(*above, *below), x)
    return pair if pair is None or cap is None else (min(pair[0], cap), pair[1])


class _Parts:
    """The parts of slices that are kept apart: the first that matured, up to a number of them."""

    def __init__(self, known: Iterable[SummaryKey]) -> None:
        self._seen: defaultdict[str, set[str]] = defaultdict(set)
        for key in known:
            self._seen[key.slice].add(key.part)

    def of(self, slice_: str, part: str) -> str:
        """The part, or that of all others."""
        seen = self._seen[slice_]
        if part not in seen and len(seen - {OTHERS}) >= MOST_PARTS:
            return OTHERS
        seen.add(part)
        return part


def _decoded(body: bytes | None) -> Joint:
    return joint.NOTHING if body is None else _JOINT.decode(body)
