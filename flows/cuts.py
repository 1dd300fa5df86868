"""What a shift of traffic costs: units whose window is not over when assignment changes are cut, and analysed nowhere."""

from __future__ import annotations

import sqlalchemy as sa

from flows import deploy
from flows.trials import trial_of
from routing.plan import Plan
from store import experiments, facts
from store.engine import Store


def warnings(store: Store, plan: Plan) -> list[str]:
    """What to tell whoever ordered this plan (or asked what it would be): how many units of the running experiment it cuts."""
    if plan.experiment is None or plan.parent is None:
        return []
    with store.read() as connection:
        return [said] if (said := _cut(connection, plan, plan.experiment, plan.parent)) is not None else []


def _cut(connection: sa.Connection, plan: Plan, experiment: str, parent: int) -> str | None:
    before = deploy.load(connection, plan.endpoint, parent)
    row = experiments.get(connection, experiment)
    if before.phase == plan.phase or before.experiment != experiment or row.started is None:
        return None
    window = trial_of(connection, row).window
    cut = facts.open_since(connection, experiment, plan.at - window.seconds)
    if cut == 0:
        return None
    units = "1 unit" if cut == 1 else f"{cut} units"
    return (
        f"this shift cuts {units} or more of experiment {experiment}: they entered within the last {window.seconds:g} s, so their window is"
        " not over, and they are left out of every test. Ramping by enrolment cuts none."
    )
