"""Batch tests as they are kept with their versions."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import to_rfc3339
from core.errors import NotFound
from core.ids import VersionId
from store import batch_tests, registry
from store.batch_tests import BatchTestRow
from store.engine import Store

MOST = 1000


def list_tests(store: Store, reference: str, limit: int = 50) -> dict[str, Any]:
    """The version's tests, newest first, each in short; raises NotFound."""
    with store.read() as connection:
        version = registry.resolve(connection, reference, "version")
        rows = batch_tests.newest(connection, version, limit)
    return {"version": str(version), "tests": [summary(row) for row in rows]}


def show_test(store: Store, reference: str, number: int | None = None) -> dict[str, Any]:
    """One test of the version with all its figures, the newest where none is named; raises NotFound."""
    with store.read() as connection:
        version = registry.resolve(connection, reference, "version")
        row = batch_tests.find(connection, version, number)
    if row is None:
        which = "no test" if number is None else f"no test {number}"
        raise NotFound(f"version {version} has {which}", field="test", code="test-not-found")
    return whole(row)


def newest_summary(connection: sa.Connection, version: VersionId) -> dict[str, Any] | None:
    """The version's newest test in short, as a card shows it; None where there is none."""
    row = next(iter(batch_tests.newest(connection, version, 1)), None)
    return None if row is None else summary(row)


def whole(row: BatchTestRow) -> dict[str, Any]:
    """A test as it is shown: its number, who made it when, and the stored result."""
    body: dict[str, Any] = msgspec.json.decode(row.body)
    return {"id": row.id, "version": str(row.version), "at": to_rfc3339(row.at), "by": row.by, "passed": row.passed, **body}


def summary(row: BatchTestRow) -> dict[str, Any]:
    """The test in short: its data, its metrics with their intervals, and the reasons for which it failed."""
    found = whole(row)
    kept = ("id", "version", "at", "by", "passed", "task", "data", "metrics")
    failed = [check["reason"] for check in found.get("checks", ()) if check["passed"] is False]
    return {**{name: found.get(name) for name in kept}, "failed": failed}
