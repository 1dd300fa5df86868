"""Experiments: create, start, stop. Starting and stopping make a plan."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from core.clock import to_rfc3339
from core.errors import Conflict
from core.ids import check_name
from experiments.design import Design
from flows import deploy, known, metric
from flows.deploy import Order, Place
from flows.facts.trials import decode_design
from routing import changes
from routing.plan import CONTROL, Arm, Plan
from store import audit, experiments
from store.engine import Store
from store.experiments import DRAFT, RUNNING, STOPPED, ExperimentRow


class Changed(NamedTuple):
    """The experiment as the API shows it, and the plan that its start or end made."""

    shown: dict[str, Any]
    plan: Plan | None


def create(
    place: Place, name: str, endpoint: str, design: Design, order: Order, *, draft: bool = False, salt: str | None = None
) -> Changed:
    """A new experiment, started at once unless `draft`; with another `salt` units are given their arms anew."""
    check_name(name, "experiment")
    with place.store.write(keep=not order.dry_run) as connection:
        deploy.matching(connection, endpoint, order)
        metric.check_histories(connection, endpoint, design)
        metric.check_losses(connection, endpoint, design.metrics)
        row = ExperimentRow(name, endpoint, DRAFT, order.who.at, None, None, None, known.encode(design), None, None)
        experiments.add(connection, row)
        audit.write(connection, order.who.at, order.who.by, "experiment.create", name, endpoint=endpoint)
        plan = None if draft else _start(connection, place, row, order, salt)
        return Changed(describe(experiments.get(connection, name)), plan)


def start(place: Place, name: str, order: Order, salt: str | None = None) -> Changed:
    """Run a draft (with another `salt` units are given their arms anew).

    Raises Conflict where it has begun, or another one runs on the endpoint.
    """
    with place.store.write(keep=not order.dry_run) as connection:
        row = experiments.get(connection, name)
        if row.state != DRAFT:
            raise Conflict(f"experiment {name!r} is {row.state}: only a draft can be started", code=f"experiment-{row.state}")
        metric.check_histories(connection, row.endpoint, decode_design(row.design))
        plan = _start(connection, place, row, order, salt)
        return Changed(describe(experiments.get(connection, name)), plan)


def stop(place: Place, name: str, order: Order) -> Changed:
    """End a running experiment; its routing stays, and units that have entered still mature. A draft is given up."""
    with place.store.write(keep=not order.dry_run) as connection:
        row = experiments.get(connection, name)
        if row.state == DRAFT:
            deploy.matching(connection, row.endpoint, order)
            experiments.update(connection, name, state=STOPPED, stopped=order.who.at, because=order.who.reason)
            audit.write(connection, order.who.at, order.who.by, "experiment.end", name, because=order.who.reason)
            return Changed(describe(experiments.get(connection, name)), None)
        if row.state != RUNNING:
            raise Conflict(f"experiment {name!r} is {row.state}: only a running one can be stopped", code=f"experiment-{row.state}")
        plan = deploy.change_experiment(
            connection, place, row.endpoint, "experiment.stop", order, lambda plan: changes.stop_experiment(plan, order.who)
        )
        return Changed(describe(experiments.get(connection, name)), plan)


def show(store: Store, name: str) -> dict[str, Any]:
    """One experiment and its design."""
    with store.read() as connection:
        return describe(experiments.get(connection, name))


def list_all(store: Store) -> list[dict[str, Any]]:
    """All experiments, oldest first."""
    with store.read() as connection:
        return [describe(row) for row in experiments.list_all(connection)]


def describe(row: ExperimentRow) -> dict[str, Any]:
    """The experiment as the API shows it."""
    return {
        "experiment": row.experiment,
        "endpoint": row.endpoint,
        "state": row.state,
        "created": to_rfc3339(row.at),
        "started": None if row.started is None else to_rfc3339(row.started),
        "stopped": None if row.stopped is None else to_rfc3339(row.stopped),
        "stopped_because": row.because,
        "design": decode_design(row.design),
    }


def _start(connection: sa.Connection, place: Place, row: ExperimentRow, order: Order, salt: str | None) -> Plan:
    if decode_design(row.design).aa:
        order = _make_a_a(connection, place, row.endpoint, order)
    plan = deploy.change_experiment(
        connection,
        place,
        row.endpoint,
        "experiment.start",
        order,
        lambda current: changes.start_experiment(current, row.experiment, order.who, salt),
    )
    experiments.update(connection, row.experiment, state=RUNNING, started=plan.at)
    return plan


def _make_a_a(connection: sa.Connection, place: Place, endpoint: str, order: Order) -> Order:
    """An A/A test needs arms of one version: where control is alone, a second one like it is added at equal weight.

    Returns the order for what follows: its condition on the plan has been checked where this made one.
    """
    plan = deploy.load(connection, endpoint)
    versions = {arm.version for arm in plan.arms.values()}
    if len(versions) > 1:
        raise Conflict(
            f"an A/A test needs arms that serve the same version, those of {endpoint} serve {', '.join(sorted(versions))}", code="not-a-a"
        )
    if len(plan.arms) > 1:
        return order
    arms = {CONTROL: Arm(plan.arms[CONTROL].version, 50.0), "treatment": Arm(plan.arms[CONTROL].version, 50.0)}
    deploy.change_experiment(
        connection, place, endpoint, "endpoint.arms", order, lambda current: changes.set_arms(current, arms, None, order.who)
    )
    return order._replace(if_match=None)
