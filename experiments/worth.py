"""What a unit is worth on a metric: the pair of values that its summaries are made of."""

from __future__ import annotations

from typing import NamedTuple

from core.values import finite
from experiments.metric import EVENTS, Metric


class Brought(NamedTuple):
    """What a unit brought within its window: the sum of its outcomes and their number, and the same of a ratio's denominator."""

    total: float = 0.0
    events: int = 0
    below: float = 0.0
    number: int = 0

    def above(self, value: float) -> Brought:
        """With one more outcome."""
        return self._replace(total=finite(self.total + value), events=self.events + 1)

    def beneath(self, value: float) -> Brought:
        """With one more of the denominator's."""
        return self._replace(below=finite(self.below + value), number=self.number + 1)


NOTHING = Brought()


def measure(metric: Metric, brought: Brought, x: float) -> tuple[float, float] | None:
    """The unit's value before any cap, with its covariate `x` or denominator; None where the metric leaves the unit out."""
    total, events, below, number = brought
    if metric.kind == "ratio":
        return (total, float(events) if metric.denominator == EVENTS else below) if events or number else None
    if not metric.counts_all and not events:
        return None
    if metric.kind == "binary":
        return float(total > 0.0), x
    return total / events if metric.kind == "label_loss" else total, x
