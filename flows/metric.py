"""Metrics declared on an endpoint: what an experiment takes from there, so that each says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import to_rfc3339
from core.errors import Conflict, Invalid
from core.ids import parse_version
from experiments.design import Design
from experiments.losses import OF_VALUES
from experiments.metric import Metric
from flows import known
from flows.deploy import Order, Place, matching
from flows.facts.trials import decode_design, decode_metric
from flows.follow import RECORD
from store import audit, experiments, facts, metrics, plans, positions, registry
from store.engine import Store
from store.metrics import MetricRow

_ROLES = ("success", "guardrail", "info")


def declare(place: Place, endpoint: str, metric: Metric, order: Order) -> dict[str, Any]:
    """Declare a metric, or declare it anew: experiments to come take it from here, those that exist keep theirs.

    Raises NotFound, and Conflict where a running experiment needs the history that the new declaration would forget.
    """
    with place.store.write(keep=not order.dry_run) as connection:
        matching(connection, endpoint, order)
        check_losses(connection, endpoint, [metric])
        before = metrics.find(connection, endpoint, metric.name)
        if before is not None and _same_history(decode_metric(before.body), metric):
            at = before.at
        else:
            _forget(connection, endpoint, metric.name)
            at = _after_all_recorded(connection, order.who.at)
        row = MetricRow(endpoint, metric.name, at, order.who.by, known.encode(metric))
        metrics.save(connection, row)
        audit.write(connection, order.who.at, order.who.by, "metric.declare", f"{endpoint}/{metric.name}", reason=order.who.reason)
        return describe(row)


def remove(place: Place, endpoint: str, metric: str, order: Order) -> None:
    """Take a declaration back; experiments that exist keep theirs. Raises NotFound, and Conflict where a running one needs its history."""
    with place.store.write(keep=not order.dry_run) as connection:
        matching(connection, endpoint, order)
        metrics.remove(connection, endpoint, metric)
        _forget(connection, endpoint, metric)
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

    A metric may be a name alone; without `metrics` it is all that are declared, success metrics first. Raises NotFound, and Invalid
    where neither says any.
    """
    with store.read() as connection:
        plans.current(connection, endpoint)
        declared = {row.metric: msgspec.json.decode(row.body) for row in metrics.of_endpoint(connection, endpoint)}
    asked = design.get("metrics", sorted(declared, key=lambda name: _ROLES.index(declared[name].get("role", "success"))))
    if not asked and not declared:
        raise Invalid(f"metrics: expected at least one, and none is declared on endpoint {endpoint}", field="metrics")
    return {**design, "metrics": [_filled(each, declared) for each in asked] if isinstance(asked, list) else asked}


def check_losses(connection: sa.Connection, endpoint: str, metrics: Sequence[Metric]) -> None:
    """A squared or absolute loss is of models that answer a value, the others of models that answer a label; raises Invalid naming it."""
    plan = known.decode_plan(plans.current(connection, endpoint).body)
    cards = [known.decode_card(registry.version_row(connection, parse_version(arm.version)).card) for arm in plan.arms.values()]
    for metric in metrics:
        for card in cards:
            if metric.loss is not None and (card.signature.task != "classification") != (metric.loss in OF_VALUES):
                needed = "values (regressors)" if metric.loss in OF_VALUES else "labels (classifiers)"
                said = f"{metric.loss} is a loss of {needed}, {endpoint} has models for {card.signature.task}"
                raise Invalid(f"metrics.{metric.name}.loss: {said}", field=f"metrics.{metric.name}.loss")


def check_histories(connection: sa.Connection, endpoint: str, design: Design) -> None:
    """A covariate of what units brought earlier needs that to have been kept; raises Invalid naming the metric where it was not."""
    for metric in design.metrics:
        if metric.covariate != "earlier":
            continue
        if kept_since(connection, endpoint, metric) is None:
            raise Invalid(
                f"metrics.{metric.name}.covariate: what units bring earlier is kept from the moment that the metric is declared on"
                f" the endpoint with this covariate: `tiltyard metric declare {metric.name} --endpoint {endpoint} --covariate earlier`",
                field=f"metrics.{metric.name}.covariate",
            )


def kept_since(connection: sa.Connection, endpoint: str, metric: Metric) -> float | None:
    """After which time of arrival the outcomes of an experiment's metric are part of its units' history; None where it is not kept."""
    row = metrics.find(connection, endpoint, metric.name)
    return row.at if row is not None and _same_history(decode_metric(row.body), metric) else None


def _after_all_recorded(connection: sa.Connection, at: float) -> float:
    """`at`, or the journal time that `record` has reached: a history begins with no outcome that was folded without it."""
    read = positions.get(connection, RECORD)
    return at if read is None else max(at, read.at)


def _forget(connection: sa.Connection, endpoint: str, name: str) -> None:
    for running in experiments.running(connection):
        row = experiments.get(connection, running)
        needed = [each.name for each in decode_design(row.design).metrics if each.covariate == "earlier"]
        if row.endpoint == endpoint and name in needed:
            raise Conflict(f"experiment {running} is running and needs the history of {name}: stop it first", code="metric-in-use")
    facts.forget_history(connection, endpoint, name)


def _filled(asked: Any, declared: Mapping[str, Mapping[str, Any]]) -> Any:
    if isinstance(asked, str):
        asked = {"name": asked}
    if not isinstance(asked, dict) or not isinstance(asked.get("name"), str):
        return asked
    return {**declared.get(asked["name"], {}), **asked}


def _same_history(left: Metric, right: Metric) -> bool:
    return (left.covariate, left.numerator, left.kind, left.loss) == (right.covariate, right.numerator, right.kind, right.loss)
