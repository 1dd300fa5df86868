"""Metrics declared on an endpoint: what an experiment takes from there, so that each says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import to_rfc3339
from core.errors import Invalid
from experiments.design import Design
from experiments.metric import Metric
from flows import known
from flows.deploy import Order, Place
from flows.trials import decode_metric
from store import audit, facts, metrics, plans
from store.engine import Store
from store.metrics import MetricRow


def declare(place: Place, endpoint: str, metric: Metric, order: Order) -> dict[str, Any]:
    """Declare a metric, or declare it anew: experiments to come take it from here, those that exist keep theirs."""
    with place.store.write(keep=not order.dry_run) as connection:
        plans.current(connection, endpoint)
        before = metrics.find(connection, endpoint, metric.name)
        at = order.who.at
        if before is not None and _same_history(decode_metric(before.body), metric):
            at = before.at
        else:
            facts.forget_history(connection, endpoint, metric.name)
        row = MetricRow(endpoint, metric.name, at, order.who.by, known.encode(metric))
        metrics.save(connection, row)
        audit.write(connection, order.who.at, order.who.by, "metric.declare", f"{endpoint}/{metric.name}", reason=order.who.reason)
        return describe(row)


def remove(place: Place, endpoint: str, metric: str, order: Order) -> None:
    """Take a declaration back; experiments that exist keep theirs. Raises NotFound."""
    with place.store.write(keep=not order.dry_run) as connection:
        plans.current(connection, endpoint)
        metrics.remove(connection, endpoint, metric)
        facts.forget_history(connection, endpoint, metric)
        audit.write(connection, order.who.at, order.who.by, "metric.remove", f"{endpoint}/{metric}", reason=order.who.reason)


def list_all(store: Store, endpoint: str) -> list[dict[str, Any]]:
    """The metrics declared on an endpoint, by name; raises NotFound."""
    with store.read() as connection:
        plans.current(connection, endpoint)
        return [describe(row) for row in metrics.of_endpoint(connection, endpoint)]


def describe(row: MetricRow) -> dict[str, Any]:
    """The declaration as the API shows it; `since` is when the history of its units began to be kept."""
    fields: dict[str, Any] = msgspec.to_builtins(decode_metric(row.body))
    return {"endpoint": row.endpoint, **fields, "since": to_rfc3339(row.at), "by": row.by}


def complete(store: Store, endpoint: str, design: Mapping[str, Any]) -> dict[str, Any]:
    """A design as it was asked for, with what it leaves out of its metrics taken from the endpoint's declarations.

    A metric may be a name alone; without `metrics` it is all that are declared. Raises NotFound, and Invalid where neither says any.
    """
    with store.read() as connection:
        plans.current(connection, endpoint)
        declared = {row.metric: msgspec.json.decode(row.body) for row in metrics.of_endpoint(connection, endpoint)}
    asked = design.get("metrics", list(declared))
    if not asked:
        raise Invalid(f"metrics: expected at least one, and none is declared on endpoint {endpoint}", field="metrics")
    return {**design, "metrics": [_filled(each, declared) for each in asked] if isinstance(asked, list) else asked}


def check_histories(connection: sa.Connection, endpoint: str, design: Design) -> None:
    """A covariate of what units brought earlier needs that to have been kept; raises Invalid naming the metric where it was not."""
    for metric in design.metrics:
        if metric.covariate != "earlier":
            continue
        row = metrics.find(connection, endpoint, metric.name)
        if row is None or not _same_history(decode_metric(row.body), metric):
            raise Invalid(
                f"metrics.{metric.name}.covariate: what units bring earlier is kept from the moment that the metric is declared on the"
                f" endpoint with this covariate: `tiltyard metric declare {endpoint} {metric.name} --covariate earlier`",
                field="covariate",
            )


def _filled(asked: Any, declared: Mapping[str, Mapping[str, Any]]) -> Any:
    if isinstance(asked, str):
        asked = {"name": asked}
    if not isinstance(asked, dict) or not isinstance(asked.get("name"), str):
        return asked
    return {**declared.get(asked["name"], {}), **asked}


def _same_history(left: Metric, right: Metric) -> bool:
    return (left.covariate, left.numerator, left.kind, left.loss) == (right.covariate, right.numerator, right.kind, right.loss)
