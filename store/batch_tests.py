"""Batch tests: what a version achieved on a data set, away from traffic. Rows are only ever added."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from core.ids import VersionId
from store import lifecycle, version_facts
from store.lifecycle import EventRow
from store.tables import batch_tests


class BatchTestRow(NamedTuple):
    """One test. `passed`: None where no threshold was declared. `body` is the JSON of the result."""

    id: int
    version: VersionId
    at: float
    by: str
    passed: bool | None
    body: bytes


def add(connection: sa.Connection, version: VersionId, at: float, by: str, passed: bool | None, body: bytes) -> int:
    """Keep the result of a test and return its number. Where thresholds were declared it is something that happened to the version."""
    if passed is not None:
        lifecycle.add(connection, version, EventRow(lifecycle.TESTED if passed else lifecycle.TEST_FAILED, at, by, ""))
        version_facts.mark(connection, version, lifecycle.TESTED, on=passed)
    values = {"model": version.model, "version": version.number, "at": at, "by": by, "passed": passed, "body": body}
    found: int = connection.execute(sa.insert(batch_tests).values(values).returning(batch_tests.c.id)).scalar_one()
    return found


def newest(connection: sa.Connection, version: VersionId, limit: int) -> list[BatchTestRow]:
    """At most so many tests of the version, newest first."""
    query = sa.select(batch_tests).where(batch_tests.c.model == version.model, batch_tests.c.version == version.number)
    rows = connection.execute(query.order_by(batch_tests.c.id.desc()).limit(limit))
    return [BatchTestRow(row.id, version, row.at, row.by, row.passed, row.body) for row in rows]
