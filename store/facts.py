"""What `record` has folded: units and what they brought, counts by arm, summaries, tallies, outcomes that wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from core.values import finite
from store import dialect
from store.tables import (
    arm_counts,
    look_points,
    outcome_ids,
    summaries,
    tallies,
    unit_history,
    unit_totals,
    unit_values,
    units,
    waiting,
)

_CHUNK = 500
OPEN = "open"


class UnitRow(NamedTuple):
    """One unit of one experiment. `state`: open, matured, cut, two_arms, or outside (seen, but not enrolled).

    `about` is what was known of it at entry (see `flows.facts.entering`).
    """

    experiment: str
    unit: str
    arm: str
    phase: int
    entry: float
    propensity: float
    state: str
    about: bytes | None = None


class ValueRow(NamedTuple):
    """One value of a unit on a quantile metric, at the address of the event that brought it."""

    experiment: str
    metric: str
    unit: str
    segment: int
    offset: int
    value: float


class SummaryKey(NamedTuple):
    """Whose summary: all units where `slice` and `part` are empty, else those with that part of the slice."""

    phase: int
    arm: str
    slice: str
    part: str
    metric: str


class WaitingRow(NamedTuple):
    """An outcome whose unit has not been seen yet."""

    segment: int
    offset: int
    experiment: str
    unit: str
    metric: str
    value: float
    timestamp: float
    at: float


def units_of(connection: sa.Connection, experiment: str, names: Iterable[str]) -> dict[str, UnitRow]:
    """The known ones among the named units."""
    query = sa.select(units).where(units.c.experiment == experiment)
    return {row.unit: UnitRow(*row) for chunk in _chunks(names) for row in connection.execute(query.where(units.c.unit.in_(chunk)))}


def due(connection: sa.Connection, experiment: str, entered_by: float, after: float | None = None) -> list[UnitRow]:
    """Open units that entered at or before that time (and later than `after`), in the order of their entry."""
    query = sa.select(units).where(
        units.c.experiment == experiment, units.c.state == sa.literal_column("'open'"), units.c.entry <= entered_by
    )
    if after is not None:
        query = query.where(units.c.entry > after)
    return [UnitRow(*row) for row in connection.execute(query.order_by(units.c.entry, units.c.unit))]


def entered(connection: sa.Connection, experiment: str, entered_by: float) -> list[UnitRow]:
    """Units analysed or still to be that entered at or before that time, in the order of their entry."""
    query = sa.select(units).where(
        units.c.experiment == experiment, units.c.state.in_((OPEN, "matured", "cut")), units.c.entry <= entered_by
    )
    return [UnitRow(*row) for row in connection.execute(query.order_by(units.c.entry, units.c.unit))]


def first_open(connection: sa.Connection, experiment: str) -> float | None:
    """The earliest entry of the experiment's units that have still to mature; None where all have."""
    query = sa.select(sa.func.min(units.c.entry)).where(units.c.experiment == experiment, units.c.state == sa.literal_column("'open'"))
    found: float | None = connection.scalar(query)
    return found


def entered_count(connection: sa.Connection, experiment: str, entered_by: float) -> int:
    """How many units, analysed or still to be, entered at or before that time."""
    query = sa.select(sa.func.count()).where(
        units.c.experiment == experiment, units.c.state.in_((OPEN, "matured", "cut")), units.c.entry <= entered_by
    )
    return connection.scalar(query) or 0


def open_since(connection: sa.Connection, experiment: str, entry: float) -> int:
    """How many units that have still to mature entered later than that."""
    query = sa.select(sa.func.count()).where(
        units.c.experiment == experiment, units.c.state == sa.literal_column("'open'"), units.c.entry > entry
    )
    return connection.scalar(query) or 0


def totals_of(connection: sa.Connection, experiment: str, names: Iterable[str]) -> dict[tuple[str, str], tuple[float, int]]:
    """(unit, key of a total) → the sum of its counted outcomes, and their number."""
    query = sa.select(unit_totals).where(unit_totals.c.experiment == experiment)
    found = (row for chunk in _chunks(names) for row in connection.execute(query.where(unit_totals.c.unit.in_(chunk))))
    # Each part of a sum is finite, but the store may have added two of them to infinity.
    return {(row.unit, row.metric): (finite(row.total), row.events) for row in found}


def save_values(connection: sa.Connection, rows: Sequence[ValueRow]) -> None:
    """Keep single values."""
    dialect.insert_new(connection, unit_values, [row._asdict() for row in rows])


def values_of(connection: sa.Connection, experiment: str, metric: str) -> Iterator[tuple[str, float]]:
    """(unit, value) of all values of a metric, unit by unit."""
    query = sa.select(unit_values.c.unit, unit_values.c.value).where(unit_values.c.experiment == experiment, unit_values.c.metric == metric)
    return ((unit, value) for unit, value in connection.execute(query.order_by(*unit_values.primary_key)))


def history_of(connection: sa.Connection, endpoint: str, names: Iterable[str]) -> dict[tuple[str, str], tuple[float, int]]:
    """(unit, metric) → the sum of its outcomes so far, and their number."""
    query = sa.select(unit_history).where(unit_history.c.endpoint == endpoint)
    found = (row for chunk in _chunks(names) for row in connection.execute(query.where(unit_history.c.unit.in_(chunk))))
    return {(row.unit, row.metric): (row.total, row.events) for row in found}


def save_history(connection: sa.Connection, endpoint: str, history: dict[tuple[str, str], tuple[float, int]]) -> None:
    """Replace the history of (unit, metric)."""
    rows = [
        {"endpoint": endpoint, "unit": unit, "metric": metric, "total": total, "events": events}
        for (unit, metric), (total, events) in history.items()
    ]
    dialect.upsert(connection, unit_history, rows)


def forget_history(connection: sa.Connection, endpoint: str, metric: str) -> None:
    """Drop the history of a metric: it means something else from now on."""
    connection.execute(sa.delete(unit_history).where(unit_history.c.endpoint == endpoint, unit_history.c.metric == metric))


def save_units(connection: sa.Connection, rows: Sequence[UnitRow]) -> None:
    """Insert or replace units."""
    dialect.upsert(connection, units, [row._asdict() for row in rows])


def add_totals(connection: sa.Connection, experiment: str, totals: dict[tuple[str, str], tuple[float, int]]) -> None:
    """Add (sum, events) to the totals of (unit, metric)."""
    rows = [
        {"experiment": experiment, "unit": unit, "metric": metric, "total": total, "events": events}
        for (unit, metric), (total, events) in totals.items()
    ]
    dialect.add(connection, unit_totals, rows)


def add_arm_counts(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add to the counts of (experiment, phase, arm)."""
    dialect.add(connection, arm_counts, rows)


def arm_counts_of(connection: sa.Connection, experiment: str) -> list[dict[str, Any]]:
    """The counts of an experiment by phase and arm."""
    query = sa.select(arm_counts).where(arm_counts.c.experiment == experiment).order_by(arm_counts.c.phase, arm_counts.c.arm)
    return [dict(row) for row in connection.execute(query).mappings()]


def summaries_of(connection: sa.Connection, experiment: str) -> dict[SummaryKey, bytes]:
    """Every summary as the JSON that was saved."""
    query = sa.select(summaries).where(summaries.c.experiment == experiment)
    return {SummaryKey(*row[1:6]): row.body for row in connection.execute(query)}


def save_summaries(connection: sa.Connection, experiment: str, found: dict[SummaryKey, bytes]) -> None:
    """Replace summaries."""
    dialect.upsert(connection, summaries, [{"experiment": experiment, **key._asdict(), "body": body} for key, body in found.items()])


def add_points(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Keep what a look has seen."""
    dialect.insert_new(connection, look_points, rows)


def points_of(connection: sa.Connection, experiment: str) -> list[dict[str, Any]]:
    """What all looks have seen, in their order."""
    query = sa.select(look_points).where(look_points.c.experiment == experiment).order_by(look_points.c.look)
    return [dict(row) for row in connection.execute(query).mappings()]


def add_tallies(connection: sa.Connection, counts: dict[tuple[str, str], int]) -> None:
    """Add to the tallies of (experiment, name)."""
    dialect.add(connection, tallies, [{"experiment": experiment, "name": name, "number": n} for (experiment, name), n in counts.items()])


def tallies_of(connection: sa.Connection, experiment: str) -> dict[str, int]:
    """The tallies of an experiment."""
    rows = connection.execute(sa.select(tallies).where(tallies.c.experiment == experiment))
    return {row.name: row.number for row in rows}


def every_tally(connection: sa.Connection) -> dict[tuple[str, str], int]:
    """All tallies by (experiment, name)."""
    return {(row.experiment, row.name): row.number for row in connection.execute(sa.select(tallies))}


def known_ids(connection: sa.Connection, keys: Iterable[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Those of the (endpoint, metric, id) that have been recorded."""
    wanted = set(keys)
    query = sa.select(outcome_ids)
    found = (row for chunk in _chunks({key[2] for key in wanted}) for row in connection.execute(query.where(outcome_ids.c.id.in_(chunk))))
    return wanted & {(row.endpoint, row.metric, row.id) for row in found}


def save_ids(connection: sa.Connection, keys: Iterable[tuple[str, str, str]]) -> None:
    """Remember outcome identities."""
    dialect.insert_new(connection, outcome_ids, [{"endpoint": endpoint, "metric": metric, "id": id_} for endpoint, metric, id_ in keys])


def save_waiting(connection: sa.Connection, rows: Sequence[WaitingRow]) -> None:
    """Let outcomes wait for their units."""
    dialect.insert_new(connection, waiting, [row._asdict() for row in rows])


def take_waiting(connection: sa.Connection, experiment: str, names: Iterable[str]) -> list[WaitingRow]:
    """Remove and return the outcomes that waited for the named units, in journal order."""
    if connection.execute(sa.select(waiting.c.offset).where(waiting.c.experiment == experiment).limit(1)).first() is None:
        return []
    mine = waiting.c.experiment == experiment
    return [row for chunk in _chunks(names) for row in _take(connection, sa.and_(mine, waiting.c.unit.in_(chunk)))]


def expire_waiting(connection: sa.Connection, arrived_by: float) -> list[WaitingRow]:
    """Remove and return the outcomes that arrived at or before that time."""
    return _take(connection, waiting.c.at <= arrived_by)


def _take(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[WaitingRow]:
    query = sa.select(waiting).where(condition).order_by(waiting.c.segment, waiting.c.offset)
    rows = [WaitingRow(*row) for row in connection.execute(query)]
    if rows:
        connection.execute(sa.delete(waiting).where(condition))
    return rows


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    listed = list(names)
    return (listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK))
