"""Endpoints and the immutable chain of their plans, each kept as the JSON that `routing.plan` wrote."""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import NamedTuple

import sqlalchemy as sa

from core.errors import Conflict, NotFound
from store.tables import endpoints, plans


class PlanRow(NamedTuple):
    """What queries need of a plan, and its body."""

    endpoint: str
    plan: int
    phase: int
    at: float
    body: bytes


def create(connection: sa.Connection, first: PlanRow) -> None:
    """A new endpoint with its first plan; raises Conflict where the name is taken."""
    if connection.scalar(sa.select(endpoints.c.plan).where(endpoints.c.endpoint == first.endpoint)) is not None:
        raise Conflict(f"endpoint {first.endpoint!r} exists already", code="endpoint-exists")
    connection.execute(sa.insert(endpoints).values(endpoint=first.endpoint, plan=first.plan, at=first.at))
    connection.execute(sa.insert(plans).values(first._asdict()))


def append(connection: sa.Connection, row: PlanRow) -> None:
    """Make `row` the current plan; raises Conflict unless the current one is the number before it."""
    moved = connection.execute(
        sa.update(endpoints).where(endpoints.c.endpoint == row.endpoint, endpoints.c.plan == row.plan - 1).values(plan=row.plan)
    )
    if moved.rowcount != 1:
        raise Conflict(f"the plan of {row.endpoint} has changed meanwhile", code="plan-changed")
    connection.execute(sa.insert(plans).values(row._asdict()))


def current_numbers(connection: sa.Connection) -> dict[str, int]:
    """The current plan's number of every endpoint."""
    return {row.endpoint: row.plan for row in connection.execute(sa.select(endpoints).order_by(endpoints.c.endpoint))}


def current(connection: sa.Connection, endpoint: str) -> PlanRow:
    """The endpoint's current plan; raises NotFound."""
    join = plans.join(endpoints, sa.and_(plans.c.endpoint == endpoints.c.endpoint, plans.c.plan == endpoints.c.plan))
    row = connection.execute(sa.select(plans).select_from(join).where(plans.c.endpoint == endpoint)).one_or_none()
    if row is None:
        raise NotFound(f"no endpoint {endpoint!r}", field="endpoint", code="endpoint-not-found")
    return PlanRow(*row)


def all_current(connection: sa.Connection) -> list[PlanRow]:
    """The current plan of every endpoint."""
    join = plans.join(endpoints, sa.and_(plans.c.endpoint == endpoints.c.endpoint, plans.c.plan == endpoints.c.plan))
    return [PlanRow(*row) for row in connection.execute(sa.select(plans).select_from(join).order_by(plans.c.endpoint))]


def backwards(connection: sa.Connection, endpoint: str) -> Generator[PlanRow]:
    """The endpoint's plans, newest first, each read when it is asked for."""
    query = sa.select(plans).where(plans.c.endpoint == endpoint).order_by(plans.c.plan.desc())
    with connection.execute(query) as rows:
        yield from (PlanRow(*row) for row in rows)


def get(connection: sa.Connection, endpoint: str, plan: int) -> PlanRow:
    """One plan by its number; raises NotFound."""
    row = connection.execute(sa.select(plans).where(plans.c.endpoint == endpoint, plans.c.plan == plan)).one_or_none()
    if row is None:
        raise NotFound(f"endpoint {endpoint!r} has no plan {plan}", field="plan", code="plan-not-found")
    return PlanRow(*row)


def history(connection: sa.Connection, endpoint: str, limit: int) -> list[PlanRow]:
    """The newest `limit` plans, newest first; raises NotFound where there is no such endpoint."""
    current(connection, endpoint)
    rows = connection.execute(sa.select(plans).where(plans.c.endpoint == endpoint).order_by(plans.c.plan.desc()).limit(limit))
    return [PlanRow(*row) for row in rows]


def phase_heads(connection: sa.Connection, names: Collection[str]) -> dict[str, list[PlanRow]]:
    """The first plan of each phase of each of these endpoints, in order: when the phase began, and its shares."""
    first = (
        sa.select(plans.c.endpoint, sa.func.min(plans.c.plan).label("plan"))
        .where(plans.c.endpoint.in_(names))
        .group_by(plans.c.endpoint, plans.c.phase)
        .subquery()
    )
    join = plans.join(first, sa.and_(plans.c.endpoint == first.c.endpoint, plans.c.plan == first.c.plan))
    found: dict[str, list[PlanRow]] = {endpoint: [] for endpoint in names}
    for row in connection.execute(sa.select(plans).select_from(join).order_by(plans.c.endpoint, plans.c.phase)):
        found[row.endpoint].append(PlanRow(*row))
    return found
