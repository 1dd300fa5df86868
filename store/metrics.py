"""Metrics declared on endpoints, as the JSON that `experiments` wrote."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from core.errors import NotFound
from store import dialect
from store.tables import metrics


class MetricRow(NamedTuple):
    """One declaration; its unit's earlier outcomes are kept from `at` on."""

    endpoint: str
    metric: str
    at: float
    by: str
    body: bytes


def save(connection: sa.Connection, row: MetricRow) -> None:
    """Declare a metric, or declare it anew."""
    dialect.upsert(connection, metrics, [row._asdict()])


def find(connection: sa.Connection, endpoint: str, metric: str) -> MetricRow | None:
    """The declaration; None where there is none."""
    query = sa.select(metrics).where(metrics.c.endpoint == endpoint, metrics.c.metric == metric)
    row = connection.execute(query).one_or_none()
    return None if row is None else MetricRow(*row)


def of_endpoint(connection: sa.Connection, endpoint: str) -> list[MetricRow]:
    """All of an endpoint, by name."""
    query = sa.select(metrics).where(metrics.c.endpoint == endpoint).order_by(metrics.c.metric)
    return [MetricRow(*row) for row in connection.execute(query)]


def every(connection: sa.Connection) -> list[MetricRow]:
    """All of all endpoints."""
    return [MetricRow(*row) for row in connection.execute(sa.select(metrics).order_by(metrics.c.endpoint, metrics.c.metric))]


def remove(connection: sa.Connection, endpoint: str, metric: str) -> None:
    """Take a declaration back; raises NotFound."""
    condition = sa.and_(metrics.c.endpoint == endpoint, metrics.c.metric == metric)
    if connection.execute(sa.delete(metrics).where(condition)).rowcount == 0:
        raise NotFound(f"no metric {metric!r} is declared on endpoint {endpoint!r}", field="metric", code="metric-not-found")
