"""Status: which plan is applied where, how far the shadows and readers are."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core.clock import Clock, to_rfc3339
from core.values import Position
from experiments.shadows import agreement
from flows import deploy, learner
from flows.adopt import ALIVE_SECONDS
from flows.learner import Facts
from flows.shadow import ShadowName, totals_of
from journal import segments
from routing.plan import Plan
from store import plans, positions, shadows, workers
from store.engine import Store
from store.positions import PositionRow

_WAIT_STEP = 0.02


def status(store: Store, journal: Path, endpoint: str, clock: Clock) -> dict[str, Any]:
    """The status of an endpoint; raises NotFound."""
    now = clock()
    with store.read() as connection:
        plan = deploy.load(connection, endpoint)
        alive = workers.alive(connection, now - ALIVE_SECONDS)
        behind = {
            name.shadow: {**shadow_progress(connection, journal, name, now), **shadow_report(connection, name)}
            for name in shadow_names(connection, plan)
        }
        learning = learner.facts(connection, now)
    return {
        "plan": plan.plan,
        "applied": is_applied(plan, alive),
        "workers": [_worker(worker, seen, report, plan) for worker, (seen, report) in alive.items()],
        "shadows": behind,
        "learners": _learners(learning, journal, plan),
        "readers": readers(store, journal, clock),
    }


def shadow_names(connection: sa.Connection, plan: Plan) -> list[ShadowName]:
    """The plan's shadows, and before them what is left of earlier ones of other names."""
    named = [ShadowName(plan.endpoint, name, shadow.version) for name, shadow in plan.shadows.items()]
    past = [ShadowName(plan.endpoint, *key) for key in shadows.mirrored_of(connection, plan.endpoint)]
    return [*(name for name in past if name.shadow not in plan.shadows), *named]


def readers(store: Store, journal: Path, clock: Clock) -> dict[str, dict[str, Any]]:
    """Every reader's lag in seconds and bytes, its state, and the events that it put aside."""
    now, end = clock(), segments.end(journal)
    with store.read() as connection:
        rows, aside = positions.every(connection), positions.aside(connection)
    return {
        name: {
            "lag_seconds": lag(row, end, now),
            "lag_bytes": segments.distance(journal, row.position, end),
            "state": "crashing" if row.crashes else "following" if row.position < end else "idle",
            "set_aside": aside.get(name, 0),
        }
        for name, row in rows.items()
    }


def lag(row: PositionRow, end: Position, now: float) -> float:
    """How old the newest event is that the reader has dealt with; 0 where there is none after it."""
    return max(0.0, now - row.at) if row.position < end and row.at else 0.0


def is_applied(plan: Plan, alive: dict[str, tuple[float, dict[str, Any]]]) -> bool:
    """Whether every worker that is alive serves this plan, and there is one."""
    return bool(alive) and all(report["plans"].get(plan.endpoint) == plan.plan for _, report in alive.values())


def wait_applied(store: Store, plan: Plan, seconds: float, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Wait until all workers serve `plan`, at most so long; False at once where another plan has replaced it or a worker failed on it."""
    until = clock() + seconds
    while True:
        with store.read() as connection:
            alive = workers.alive(connection, clock() - ALIVE_SECONDS)
            current = plans.current_numbers(connection).get(plan.endpoint)
        if is_applied(plan, alive):
            return True
        failed = any(
            one["endpoint"] == plan.endpoint and one["plan"] == plan.plan for _, report in alive.values() for one in report["failed"]
        )
        if failed or current != plan.plan or clock() >= until:
            return False
        sleep(_WAIT_STEP)


def hindrance(store: Store, plan: Plan, clock: Clock) -> str | None:
    """Why a plan that was waited for is not applied: another has replaced it, or a worker failed on it. None where it only takes longer."""
    with store.read() as connection:
        current = deploy.load(connection, plan.endpoint)
        alive = workers.alive(connection, clock() - ALIVE_SECONDS)
    if current.plan != plan.plan:
        return f"plan {current.plan} has replaced it: {current.reason}"
    reports = [one for _, report in alive.values() for one in report["failed"]]
    failed = [f"{one['version']}: {one['reason']}" for one in reports if one["endpoint"] == plan.endpoint and one["plan"] == plan.plan]
    return failed[0] if failed else None


def shadow_report(connection: sa.Connection, name: ShadowName) -> dict[str, Any]:
    """Agreement, difference, latency and errors of one shadow."""
    return {"version": name.version, **agreement.describe(totals_of(connection, name))}


def shadow_progress(connection: sa.Connection, journal: Path, name: ShadowName, now: float) -> dict[str, Any]:
    """mirrored = done + dropped + waiting: `record` counts the mirrored ones, the shadow's reader the others."""
    totals = totals_of(connection, name)
    mirrored = shadows.mirrored_of(connection, name.endpoint).get((name.shadow, name.version), 0)
    passed = totals.done + totals.dropped
    row = positions.get(connection, name.reader)
    return {
        "mirrored": max(mirrored, passed),
        "done": totals.done,
        "dropped": totals.dropped,
        "waiting": max(0, mirrored - passed),
        "lag_seconds": 0.0 if row is None else lag(row, segments.end(journal), now),
    }


def _learners(facts: Facts, journal: Path, plan: Plan) -> dict[str, dict[str, Any]]:
    """The plan's versions that learn, in arms and shadows: which snapshot is the newest, and how far behind it may be."""
    named = learner.named(plan)
    found = (learner.standing(journal, version, facts) for version in facts.versions if str(version) in named)
    keys = ("snapshot", "labels", "staleness_seconds", "state", "workers", "applied")
    return {one["version"]: {key: one[key] for key in keys} for one in found}


def _worker(worker: str, seen: float, report: dict[str, Any], plan: Plan) -> dict[str, Any]:
    return {
        "id": worker,
        "plan": report["plans"].get(plan.endpoint),
        "seen": to_rfc3339(seen),
        "failed": [one for one in report["failed"] if one["endpoint"] == plan.endpoint],
        "warnings": [one for one in report.get("warnings", ()) if one["version"] in plan.versions],
        "breakers": report.get("breakers", {}).get(plan.endpoint, {}),
        "open": report.get("open", {}).get(plan.endpoint, {}),
    }
