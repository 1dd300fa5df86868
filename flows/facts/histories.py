"""What units have brought before they entered an experiment: the covariates of metrics that were declared with `earlier`.

Kept from the declaration on for the units that clients name, until the endpoint is split: a covariate must not depend on the arm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from core.events import Observed
from core.values import finite
from experiments import losses
from experiments.metric import Metric
from flows.facts import splits
from flows.facts.homes import Home
from flows.facts.splits import Stretch
from flows.facts.trials import decode_metric
from store import facts, metrics, plans


class Kept(NamedTuple):
    """A metric whose history is kept of outcomes that arrived after `since`."""

    metric: Metric
    since: float


class Unsplit:
    """The stretches in which endpoints were not split, read once for each plan."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, list[Stretch]]] = {}

    def of(self, connection: sa.Connection, endpoint: str) -> list[Stretch]:
        """Those of an endpoint."""
        current = plans.current(connection, endpoint).plan
        if self._known.get(endpoint, (0, []))[0] != current:
            self._known[endpoint] = current, splits.unsplit(connection, endpoint)
        return self._known[endpoint][1]


class Histories:
    """The histories of one transaction: `want` units, `read` them, `add` outcomes, `write` what has changed."""

    def __init__(self, connection: sa.Connection, unsplit: Unsplit) -> None:
        self._kept: defaultdict[str, list[Kept]] = defaultdict(list)
        for row in metrics.every(connection):
            metric = decode_metric(row.body)
            if metric.covariate == "earlier":
                self._kept[row.endpoint].append(Kept(metric, row.at))
        self._unsplit = {endpoint: unsplit.of(connection, endpoint) for endpoint in self._kept}
        self._wanted: defaultdict[str, set[str]] = defaultdict(set)
        self._known: defaultdict[str, dict[tuple[str, str], tuple[float, int]]] = defaultdict(dict)
        self._changed: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def want(self, endpoint: str | None, unit: str | None) -> None:
        """The history of that unit will be needed."""
        if endpoint is not None and unit is not None and endpoint in self._kept:
            self._wanted[endpoint].add(unit)

    def read(self, connection: sa.Connection) -> None:
        """Read what is wanted."""
        for endpoint, names in self._wanted.items():
            self._known[endpoint].update(facts.history_of(connection, endpoint, names))

    def of(self, endpoint: str, unit: str) -> dict[str, tuple[float, int]]:
        """By metric the sum of the unit's outcomes so far, and their number."""
        known = self._known.get(endpoint, {})
        kept: Sequence[Kept] = self._kept.get(endpoint, ())
        return {each.metric.name: known[unit, each.metric.name] for each in kept if (unit, each.metric.name) in known}

    def add(self, home: Home, event: Observed, now: float) -> None:
        """One more outcome, at journal time `now`; what came after the endpoint was split may depend on the arm, and is no covariate."""
        if home.client is None or home.endpoint is None or home.endpoint not in self._kept:
            return
        if not any(stretch.begin <= now < stretch.end for stretch in self._unsplit[home.endpoint]):
            return
        known = self._known[home.endpoint]
        for metric, since in self._kept[home.endpoint]:
            if metric.numerator != event.metric or event.at <= since:
                continue
            number = losses.measured(metric.loss, event.value, home.answer)
            if number is not None:
                key = (home.client, metric.name)
                total, events = known.get(key, (0.0, 0))
                known[key] = (finite(total + number), events + 1)
                self._changed[home.endpoint].add(key)

    def write(self, connection: sa.Connection) -> None:
        """Write what has changed."""
        for endpoint, keys in self._changed.items():
            facts.save_history(connection, endpoint, {key: self._known[endpoint][key] for key in keys})
        self._changed.clear()
