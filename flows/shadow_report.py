"""The report on one shadow: what it has done, and what its answers are worth beside those that users saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core.clock import Clock
from core.errors import Invalid, NotFound
from experiments.shadows import report as shadow_report
from experiments.shadows.report import Pairs
from flows import deploy
from flows.shadow import ShadowName, totals_of
from flows.status import shadow_names, shadow_progress
from store import shadows
from store.engine import Store
from store.shadows import PairRow

MOST_ROWS = 100_000
"""Labelled rows, the newest, that the tests at one moment are made of: they take about 1 s."""


def report(store: Store, journal: Path, endpoint: str, shadow: str | None, clock: Clock) -> dict[str, Any]:
    """The report on a shadow of an endpoint, on its only one where none is named.

    Raises NotFound where there is none, Invalid where there are several to choose from.
    """
    with store.read() as connection:
        name = _chosen(connection, endpoint, shadow)
        progress = shadow_progress(connection, journal, name, clock())
        totals = totals_of(connection, name)
        rows = shadows.newest(connection, name, MOST_ROWS)
    subject = {"endpoint": name.endpoint, "shadow": name.shadow, "version": name.version}
    return {**subject, **progress, **shadow_report.report(totals, _pairs(rows))}


def _chosen(connection: sa.Connection, endpoint: str, shadow: str | None) -> ShadowName:
    """Of several versions that a name has had the one that the plan names, else the last."""
    names = {name.shadow: name for name in shadow_names(connection, deploy.load(connection, endpoint))}
    if shadow is None and len(names) > 1:
        raise Invalid(f"shadow: expected one of {', '.join(names)}", field="shadow")
    found = names.get(shadow) if shadow is not None else next(iter(names.values()), None)
    if found is None:
        which = "no shadow" if shadow is None else f"no shadow {shadow[:100]!r}"
        raise NotFound(f"endpoint {endpoint} has {which}", code="shadow-not-found")
    return found


def _pairs(rows: Sequence[PairRow]) -> Pairs:
    def column(name: str) -> list[Any]:
        return [getattr(row, name) for row in reversed(rows)]

    return Pairs(
        units=column("unit"),
        primary_loss=column("primary_loss"),
        shadow_loss=column("shadow_loss"),
        primary_right=column("primary_right"),
        shadow_right=column("shadow_right"),
        primary_score=column("primary_score"),
        shadow_score=column("shadow_score"),
        positive=column("positive"),
        newest=len(rows) == MOST_ROWS,
    )
