"""Experiments: their design and evidence as the JSON that `experiments` wrote, and their state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from core.errors import Conflict, NotFound
from store.tables import experiments

DRAFT, RUNNING, STOPPED = "draft", "running", "stopped"


class ExperimentRow(NamedTuple):
    """One experiment; times in seconds since the epoch, `next_look` in journal time.

    `settled` says how far units have matured on metrics with a shorter window than the longest.
    """

    experiment: str
    endpoint: str
    state: str
    at: float
    started: float | None
    stopped: float | None
    because: str | None
    design: bytes
    evidence: bytes | None
    next_look: float | None
    settled: bytes | None = None


def add(connection: sa.Connection, row: ExperimentRow) -> None:
    """A new experiment; raises Conflict where the name is taken."""
    if connection.scalar(sa.select(experiments.c.state).where(experiments.c.experiment == row.experiment)) is not None:
        raise Conflict(f"experiment {row.experiment!r} exists already", code="experiment-exists")
    connection.execute(sa.insert(experiments).values(row._asdict()))


def get(connection: sa.Connection, experiment: str) -> ExperimentRow:
    """The experiment; raises NotFound."""
    row = connection.execute(sa.select(experiments).where(experiments.c.experiment == experiment)).one_or_none()
    if row is None:
        raise NotFound(f"no experiment {experiment!r}", field="experiment", code="experiment-not-found")
    return ExperimentRow(*row)


def get_many(connection: sa.Connection, names: Sequence[str]) -> list[ExperimentRow]:
    """The experiments of these names."""
    return [ExperimentRow(*row) for row in connection.execute(sa.select(experiments).where(experiments.c.experiment.in_(names)))]


def list_all(connection: sa.Connection) -> list[ExperimentRow]:
    """All experiments, oldest first."""
    return [ExperimentRow(*row) for row in connection.execute(sa.select(experiments).order_by(experiments.c.at))]


def begun(connection: sa.Connection) -> list[str]:
    """Names of the experiments that have ever run, in the order of their start."""
    query = sa.select(experiments.c.experiment).where(experiments.c.started.is_not(None)).order_by(experiments.c.started)
    return list(connection.scalars(query))


def running(connection: sa.Connection) -> list[str]:
    """Names of the experiments that run now."""
    return list(connection.scalars(sa.select(experiments.c.experiment).where(experiments.c.state == RUNNING)))


def update(connection: sa.Connection, experiment: str, **changes: Any) -> None:
    """Change columns of an existing experiment."""
    connection.execute(sa.update(experiments).where(experiments.c.experiment == experiment).values(**changes))
