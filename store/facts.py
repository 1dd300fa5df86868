"""What `record` has folded: units and their totals, counts by arm, summaries, tallies, outcomes that wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from store import dialect
from store.tables import arm_counts, mirrored, outcome_ids, shadow_totals, summaries, tallies, unit_totals, units, waiting

_CHUNK = 500
OPEN = "open"


class UnitRow(NamedTuple):
    """One unit of one experiment. `state`: open, matured, cut, two_arms, or outside (seen, but not enrolled)."""

    experiment: str
    unit: str
    arm: str
    phase: int
    entry: float
    propensity: float
    state: str


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


def due(connection: sa.Connection, experiment: str, entered_by: float) -> list[UnitRow]:
    """Open units that entered at or before that time."""
    query = sa.select(units).where(
        units.c.experiment == experiment, units.c.state == sa.literal_column("'open'"), units.c.entry <= entered_by
    )
    return [UnitRow(*row) for row in connection.execute(query)]


def first_open(connection: sa.Connection, experiment: str) -> float | None:
    """The earliest entry of the experiment's units that have still to mature; None where all have."""
    query = sa.select(sa.func.min(units.c.entry)).where(units.c.experiment == experiment, units.c.state == sa.literal_column("'open'"))
    found: float | None = connection.scalar(query)
    return found


def totals_of(connection: sa.Connection, experiment: str, names: Iterable[str]) -> dict[tuple[str, str], float]:
    """(unit, metric) → the sum of its counted outcomes."""
    query = sa.select(unit_totals.c.unit, unit_totals.c.metric, unit_totals.c.total).where(unit_totals.c.experiment == experiment)
    found = (row for chunk in _chunks(names) for row in connection.execute(query.where(unit_totals.c.unit.in_(chunk))))
    return {(row.unit, row.metric): row.total for row in found}


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


def summaries_of(connection: sa.Connection, experiment: str) -> dict[tuple[int, str, str], tuple[int, float, float]]:
    """(phase, arm, metric) → (n, mean, m2)."""
    query = sa.select(summaries).where(summaries.c.experiment == experiment)
    return {(row.phase, row.arm, row.metric): (row.n, row.mean, row.m2) for row in connection.execute(query)}


def save_summaries(connection: sa.Connection, experiment: str, found: dict[tuple[int, str, str], tuple[int, float, float]]) -> None:
    """Replace the summaries of (phase, arm, metric)."""
    rows = [
        {"experiment": experiment, "phase": phase, "arm": arm, "metric": metric, "n": n, "mean": mean, "m2": m2}
        for (phase, arm, metric), (n, mean, m2) in found.items()
    ]
    dialect.upsert(connection, summaries, rows)


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


def waiting_count(connection: sa.Connection, experiment: str) -> int:
    """How many outcomes of an experiment wait for their unit."""
    return connection.scalar(sa.select(sa.func.count()).select_from(waiting).where(waiting.c.experiment == experiment)) or 0


def add_mirrored(connection: sa.Connection, counts: dict[tuple[str, str, str], int]) -> None:
    """Add to the number of predictions mirrored to (endpoint, shadow, version)."""
    rows = [{"endpoint": endpoint, "shadow": shadow, "version": version, "number": n} for (endpoint, shadow, version), n in counts.items()]
    dialect.add(connection, mirrored, rows)


def mirrored_of(connection: sa.Connection, endpoint: str) -> dict[tuple[str, str], int]:
    """(shadow, version) → predictions mirrored."""
    rows = connection.execute(sa.select(mirrored).where(mirrored.c.endpoint == endpoint))
    return {(row.shadow, row.version): row.number for row in rows}


def shadow_totals_of(connection: sa.Connection, endpoint: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(shadow, version) → the totals that its reader has folded."""
    rows = connection.execute(sa.select(shadow_totals).where(shadow_totals.c.endpoint == endpoint))
    return {(row.shadow, row.version): row.totals for row in rows}


def save_shadow_totals(connection: sa.Connection, endpoint: str, shadow: str, version: str, totals: dict[str, Any]) -> None:
    """Replace the totals of one shadow."""
    dialect.upsert(connection, shadow_totals, [{"endpoint": endpoint, "shadow": shadow, "version": version, "totals": totals}])


def _take(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[WaitingRow]:
    query = sa.select(waiting).where(condition).order_by(waiting.c.segment, waiting.c.offset)
    rows = [WaitingRow(*row) for row in connection.execute(query)]
    if rows:
        connection.execute(sa.delete(waiting).where(condition))
    return rows


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    listed = list(names)
    return (listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK))
