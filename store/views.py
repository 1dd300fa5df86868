"""Feature views: their declarations, and which generation of each is served."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from core.errors import NotFound
from store import dialect
from store.tables import views


class ViewRow(NamedTuple):
    """A view; `body` is the JSON that `models.features` wrote. Generation 0: nothing is served yet.

    `as_of` is when what a batch view serves was true (seconds since the epoch); a streaming view keeps that with its rows.
    """

    view: str
    at: float
    by: str
    body: bytes
    generation: int
    as_of: float | None


def save(connection: sa.Connection, row: ViewRow) -> None:
    """Declare the view, or replace it."""
    dialect.upsert(connection, views, [row._asdict()])


def find(connection: sa.Connection, view: str) -> ViewRow | None:
    """The view; None where it was never declared."""
    row = connection.execute(sa.select(views).where(views.c.view == view)).one_or_none()
    return None if row is None else _row(row)


def get(connection: sa.Connection, view: str) -> ViewRow:
    """The view; raises NotFound."""
    row = find(connection, view)
    if row is None:
        raise NotFound(f"no feature view {view[:100]!r}", field="view", code="view-not-found")
    return row


def every(connection: sa.Connection) -> list[ViewRow]:
    """All views, by name."""
    return [_row(row) for row in connection.execute(sa.select(views).order_by(views.c.view))]


def drop(connection: sa.Connection, view: str) -> None:
    """Forget the view."""
    connection.execute(sa.delete(views).where(views.c.view == view))


def _row(row: sa.Row[Any]) -> ViewRow:
    return ViewRow(row.view, row.at, row.by, row.body, row.generation, row.as_of)
