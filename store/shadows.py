"""Shadows: how much was mirrored to them, what their readers have folded, and the labelled rows that they have answered again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from store import dialect
from store.tables import mirrored, shadow_pairs, shadow_totals

Key = tuple[str, str, str]
"""Endpoint, shadow, version."""

_COLUMNS = shadow_pairs.c


class PairRow(NamedTuple):
    """One labelled row; the row `row` of the prediction at (segment, offset). None where an answer has no such figure."""

    segment: int
    offset: int
    row: int
    unit: str
    primary_loss: float
    shadow_loss: float
    primary_right: bool | None
    shadow_right: bool | None
    primary_score: float | None
    shadow_score: float | None
    positive: bool | None


class Counts(NamedTuple):
    """How many pairs there are, in how many of them right and wrong are known, and in how many one model alone is right."""

    rows: int
    judged: int
    only_primary: int
    only_shadow: int


def save_pairs(connection: sa.Connection, key: Key, rows: Sequence[PairRow]) -> None:
    """Keep pairs; of a row that has one already the first stays."""
    endpoint, shadow, version = key
    named = {"endpoint": endpoint, "shadow": shadow, "version": version}
    dialect.insert_new(connection, shadow_pairs, [{**named, **row._asdict()} for row in rows])


def unit_means(connection: sa.Connection, key: Key) -> Iterator[float]:
    """Each unit's mean difference of loss, shadow − primary, one after the other: there may be millions. Reads all pairs."""
    mean = sa.func.avg(_COLUMNS.shadow_loss - _COLUMNS.primary_loss)
    return iter(connection.scalars(sa.select(mean).where(_of(key)).group_by(_COLUMNS.unit)))


def counts(connection: sa.Connection, key: Key) -> Counts:
    """How many pairs there are of which kind. Reads all pairs."""
    only_primary = _number(sa.and_(_COLUMNS.primary_right, sa.not_(_COLUMNS.shadow_right)))
    only_shadow = _number(sa.and_(_COLUMNS.shadow_right, sa.not_(_COLUMNS.primary_right)))
    query = sa.select(sa.func.count(), sa.func.count(_COLUMNS.primary_right), only_primary, only_shadow).where(_of(key))
    return Counts(*connection.execute(query).one())


def newest(connection: sa.Connection, key: Key, limit: int) -> list[PairRow]:
    """The pairs of the latest predictions, latest first, at most `limit`."""
    place = (_COLUMNS.segment, _COLUMNS.offset, _COLUMNS.row)
    columns = [_COLUMNS[name] for name in PairRow._fields]
    query = sa.select(*columns).where(_of(key)).order_by(*(column.desc() for column in place)).limit(limit)
    return [PairRow(*row) for row in connection.execute(query)]


def add_mirrored(connection: sa.Connection, counts: Mapping[Key, int]) -> None:
    """Add to the number of predictions mirrored to (endpoint, shadow, version)."""
    rows = [{"endpoint": endpoint, "shadow": shadow, "version": version, "number": n} for (endpoint, shadow, version), n in counts.items()]
    dialect.add(connection, mirrored, rows)


def mirrored_of(connection: sa.Connection, endpoint: str) -> dict[tuple[str, str], int]:
    """(shadow, version) → predictions mirrored."""
    rows = connection.execute(sa.select(mirrored).where(mirrored.c.endpoint == endpoint))
    return {(row.shadow, row.version): row.number for row in rows}


def totals_of(connection: sa.Connection, endpoint: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(shadow, version) → the totals that its reader has folded."""
    rows = connection.execute(sa.select(shadow_totals).where(shadow_totals.c.endpoint == endpoint))
    return {(row.shadow, row.version): row.totals for row in rows}


def save_totals(connection: sa.Connection, endpoint: str, shadow: str, version: str, totals: dict[str, Any]) -> None:
    """Replace the totals of one shadow."""
    dialect.upsert(connection, shadow_totals, [{"endpoint": endpoint, "shadow": shadow, "version": version, "totals": totals}])


def _of(key: Key) -> sa.ColumnElement[bool]:
    endpoint, shadow, version = key
    return sa.and_(_COLUMNS.endpoint == endpoint, _COLUMNS.shadow == shadow, _COLUMNS.version == version)


def _number(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)
