"""What each web worker last reported of itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from store import dialect
from store.tables import workers


def report(connection: sa.Connection, worker: str, seen: float, body: dict[str, Any]) -> None:
    """Replace the worker's report."""
    dialect.upsert(connection, workers, [{"worker": worker, "seen": seen, "report": body}])


def alive(connection: sa.Connection, since: float) -> dict[str, tuple[float, dict[str, Any]]]:
    """The reports of workers seen after `since`, with when they were seen."""
    rows = connection.execute(sa.select(workers).where(workers.c.seen >= since).order_by(workers.c.worker))
    return {row.worker: (row.seen, row.report) for row in rows}


def forget(connection: sa.Connection, names: Collection[str]) -> None:
    """Delete the reports of these workers."""
    connection.execute(sa.delete(workers).where(workers.c.worker.in_(names)))
