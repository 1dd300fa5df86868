"""What one transaction of `record` adds to the facts: gathered in memory, written at once."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa

from core.ids import Address
from core.values import finite
from flows.facts.trials import Use
from store import facts, shadows
from store.facts import UnitRow, ValueRow


class Gathered:
    """Counts and sums to be added to those in the store.

    `arms` are by (experiment, phase, arm), `tallies` by (experiment, name), `mirrored` by (endpoint, shadow, version).
    """

    def __init__(self) -> None:
        self.arms: defaultdict[tuple[str, int, str], dict[str, int]] = defaultdict(_no_counts)
        self.tallies: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.mirrored: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._totals: defaultdict[str, dict[tuple[str, str], tuple[float, int]]] = defaultdict(dict)
        self._values: list[ValueRow] = []

    def add(self, unit: UnitRow, use: Use, address: Address, number: float) -> None:
        """A unit has brought `number` to a metric, by the event at that address."""
        totals = self._totals[unit.experiment]
        total, events = totals.get((unit.unit, use.key), (0.0, 0))
        # Finite, so that no later sum is infinity minus infinity; what is so large is refused when it is analysed.
        totals[unit.unit, use.key] = (finite(total + number), events + 1)
        if use.metric.kind == "quantile":
            self._values.append(ValueRow(unit.experiment, use.metric.name, unit.unit, address.segment, address.offset, number))

    def write(self, connection: sa.Connection) -> None:
        """Add all of it."""
        for experiment, totals in self._totals.items():
            facts.add_totals(connection, experiment, totals)
        facts.save_values(connection, self._values)
        rows = [{"experiment": experiment, "phase": phase, "arm": arm, **counts} for (experiment, phase, arm), counts in self.arms.items()]
        facts.add_arm_counts(connection, rows)
        facts.add_tallies(connection, self.tallies)
        shadows.add_mirrored(connection, self.mirrored)


def _no_counts() -> dict[str, int]:
    return {"units": 0, "predictions": 0, "matured": 0, "cut": 0, "two_arms": 0}
