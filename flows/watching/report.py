"""What is known of drift at an endpoint: by version the newest judgement, what fills now, and what was found before."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from core.clock import to_rfc3339
from core.ids import parse_version
from experiments.drift.distances import bins_of, psi
from flows import deploy, known
from flows.watching.comparing import compared
from flows.watching.reference import Reference, reference
from flows.watching.state import State, unpack
from flows.watching.windows import LABELS, ROWS, Measures
from routing.plan import HOLDOUT, Plan
from store import registry, watch
from store.engine import Store

HISTORY = 50
"""Windows over which the probability of a false alarm is stated."""
MOST_REASONS = 3
"""Columns whose reasons stand in the sentence on a version; the table has them all."""


def report(store: Store, endpoint: str, of: Measures, windows: int = 10) -> dict[str, Any]:
    """The report on an endpoint with the newest `windows` of each version and kind; raises NotFound.

    Versions are those of the current plan's arms and holdout, and those that were watched before, except what was deleted since.
    """
    with store.read() as connection:
        plan = deploy.load(connection, endpoint)
        bodies = {version: body for (_, version), body in watch.states(connection, endpoint).items()}
        arms = _arms(plan)
        named = [*arms, *(version for version in bodies if version not in arms)]
        versions = [version for version in named if registry.holds(connection, parse_version(version))]
        found = {version: _version(connection, endpoint, version, bodies.get(version), of, windows) for version in versions}
    return {
        "endpoint": endpoint,
        "false_alarm_rate": {
            "window": of.alpha,
            "windows": HISTORY,
            "any": min(1.0, HISTORY * of.alpha),
        },
        "window_rows": of.window,
        "least_psi": of.least_psi,
        "versions": {version: {"arms": arms.get(version, []), **one} for version, one in found.items()},
    }


def _arms(plan: Plan) -> dict[str, list[str]]:
    """The arms of each version that answers, and `holdout` for that of the units held out."""
    found: dict[str, list[str]] = {}
    for name, arm in plan.arms.items():
        found.setdefault(arm.version, []).append(name)
    if plan.holdout is not None:
        found.setdefault(plan.holdout.version, []).append(HOLDOUT)
    return found


def _version(connection: sa.Connection, endpoint: str, version: str, body: bytes | None, of: Measures, windows: int) -> dict[str, Any]:
    against = reference(known.decode_card(registry.version_row(connection, parse_version(version)).card))
    if not isinstance(against, Reference):
        return {"alarm": False, "reason": against, "notes": []}
    state = State(against, of.alpha) if body is None else unpack(body, against, of.alpha)
    kinds = {kind: _kind(connection, endpoint, version, kind, windows) for kind in (ROWS, LABELS)}
    return {
        "alarm": any(one["window"] is not None and one["window"]["alarm"] for one in kinds.values()),
        "reason": _reason(kinds, state),
        "notes": list(against.notes),
        "window": kinds[ROWS]["window"],
        "features": kinds[ROWS]["detail"].get("features", {}),
        "predictions": kinds[ROWS]["detail"].get("predictions", {}),
        "label_window": kinds[LABELS]["window"],
        "labels": kinds[LABELS]["detail"].get("labels", {}).get("label"),
        "performance": kinds[LABELS]["detail"].get("performance", {}).get("loss"),
        "filling": {"rows": state.rows, "labels": len(state.labels.seen)},
        "rolling": _rolling(against, state),
        "adwin": {
            "changes": state.changes,
            "last": None if state.last is None else {"at": to_rfc3339(state.last.at), "columns": list(state.last.columns)},
        },
        "windows": {ROWS: state.windows, LABELS: state.labels.windows},
        "alarms": {ROWS: state.alarms, LABELS: state.labels.alarms},
        "last_alarm": {kind: one["last_alarm"] for kind, one in kinds.items()},
        "history": {kind: one["history"] for kind, one in kinds.items()},
    }


def _kind(connection: sa.Connection, endpoint: str, version: str, kind: str, windows: int) -> dict[str, Any]:
    rows = watch.newest(connection, endpoint, version, kind, max(windows, 1))
    alarms = watch.newest(connection, endpoint, version, kind, 1, alarms=True)
    newest = rows[0] if rows else None
    history = [msgspec.json.decode(row.summary) for row in rows]
    return {
        "window": history[0] if history else None,
        "detail": msgspec.json.decode(newest.detail) if newest is not None and newest.detail is not None else {},
        "last_alarm": msgspec.json.decode(alarms[0].summary) if alarms else None,
        "history": history[:windows],
    }


def _rolling(against: Reference, state: State) -> dict[str, Any]:
    """The PSI of each column over the newest panes, as it stands now: no test is made of it, and no alarm follows from it."""
    tally = state.rolling(against.layout)
    scores = [psi(bins_of(column)) if min(column.sizes) else None for column in compared(against.layout, tally)]
    names = [column.name for column in against.layout.columns]
    k = against.layout.features
    return {
        "rows": tally.rows,
        "features": dict(zip(names[:k], scores[:k], strict=True)),
        "predictions": dict(zip(names[k:], scores[k:], strict=True)),
    }


def _reason(kinds: dict[str, dict[str, Any]], state: State) -> str:
    found = [window for kind in (ROWS, LABELS) if (window := kinds[kind]["window"]) is not None]
    alarms = [f"{name} {reason}" for window in found for name, reason in window["alarms"].items()]
    if alarms:
        more = len(alarms) - MOST_REASONS
        return "; ".join(alarms[:MOST_REASONS]) + (f"; and {more} more" if more > 0 else "")
    return "within chance" if found else f"no window is full yet ({state.rows} rows)"
