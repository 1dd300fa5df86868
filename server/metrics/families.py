"""The metrics that web workers count themselves, as a table: name, help, labels, buckets.

Base units, and labels only from registered names: an unknown endpoint or metric is the empty label.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Key: TypeAlias = tuple[str, ...]
"""Names one row: the family's name, then its label values in the family's order."""

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency buckets, in seconds; a last one without bound follows."""


class Family(NamedTuple):
    """One metric. Without `bounds` it is a counter of one cell; with them a histogram: the sum, then a cell per bucket."""

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """The number of doubles in a row of this family."""
        return len(self.bounds) + 2 if self.bounds else 1


REQUESTS = Family("tiltyard_requests_total", "Requests answered, by status code.", ("endpoint", "code"))
SECONDS = Family("tiltyard_request_seconds", "Time from the arrival of a request to its answer.", ("endpoint", "arm"), BOUNDS)
PREDICTIONS = Family("tiltyard_predictions_total", "Predictions answered, by assigned arm.", ("endpoint", "arm"))
FALLBACKS = Family("tiltyard_fallbacks_total", "Predictions that control answered because the assigned arm failed.", ("endpoint", "arm"))
UNLOGGED = Family("tiltyard_unlogged_predictions_total", "Predictions answered without a record in the journal.", ("endpoint", "arm"))
OUTCOMES = Family("tiltyard_outcomes_total", "Outcomes accepted.", ("metric",))
UNREAD = Family("tiltyard_feature_failed_lookups_total", "Look-ups in a feature view that could not be made.", ("view",))

FAMILIES = {family.name: family for family in (REQUESTS, SECONDS, PREDICTIONS, FALLBACKS, UNLOGGED, OUTCOMES, UNREAD)}
