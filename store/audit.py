"""The audit log: who changed what. Rows are only ever added."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from store.tables import audit


def write(connection: sa.Connection, at: float, actor: str, action: str, subject: str, **detail: Any) -> None:
    """One row, in the transaction of the change that it tells of."""
    connection.execute(sa.insert(audit).values(at=at, actor=actor, action=action, subject=subject, detail=detail))


def newest(connection: sa.Connection, limit: int) -> list[dict[str, Any]]:
    """The newest `limit` rows, newest first."""
    return [dict(row) for row in connection.execute(sa.select(audit).order_by(audit.c.id.desc()).limit(limit)).mappings()]
