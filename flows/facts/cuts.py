"""What a shift of traffic costs: units whose window is not over when assignment changes are cut, and analysed nowhere."""

from __future__ import annotations

import sqlalchemy as sa

from flows.facts.trials import trial_of
from flows.known import decode_plan
from routing.plan import Plan
from store import experiments, facts, plans
from store.engine import Store
from store.experiments import ExperimentRow


def warnings(store: Store, plan: Plan) -> list[str]:
    """What to tell whoever ordered this plan (or asked what it would be): how many units it cuts, of the running experiment and of those
    that have stopped while units had still to mature.
    """
    with store.read() as connection:
        before = _before(connection, plan)
        if before is None or before.phase == plan.phase:
            return []
        begun = [row for row in experiments.list_all(connection) if row.endpoint == plan.endpoint and row.started is not None]
        return [said for row in begun if (said := _cut(connection, plan, row)) is not None]


def _before(connection: sa.Connection, plan: Plan) -> Plan | None:
    """The plan in force before this one, which need not be its parent; the current one where this is only asked about."""
    current = plans.current_numbers(connection).get(plan.endpoint, 0)
    number = min(current, plan.plan - 1)
    return decode_plan(plans.get(connection, plan.endpoint, number).body) if number > 0 else None


def _cut(connection: sa.Connection, plan: Plan, row: ExperimentRow) -> str | None:
    window = trial_of(connection, row).window
    cut = facts.open_since(connection, row.experiment, plan.at - window.seconds)
    if cut == 0:
        return None
    units = "1 unit" if cut == 1 else f"{cut} units"
    return (
        f"this shift cuts {units} or more of experiment {row.experiment}: they entered within the last {window.seconds:g} s, so their"
        " window is not over, and they are left out of every test. Ramping by enrolment cuts none."
    )
