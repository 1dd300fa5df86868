"""What is known of two versions together: batch tests on the same data, an experiment that compared them, one as the other's shadow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from core.clock import to_rfc3339
from core.errors import NotFound
from core.ids import VersionId
from flows import deploy, known, learner
from flows.facts import report
from flows.shadow import ShadowName
from flows.status import shadow_progress, shadow_report
from routing.plan import CONTROL, Plan
from store import batch_tests, experiments, plans
from store.batch_tests import BatchTestRow
from store.experiments import RUNNING, ExperimentRow

MOST_TESTS = 50
"""Batch tests of each version among which a pair on the same data is looked for, the newest."""
_ARM = ("units", "mean", "lower", "upper", "refused")
_DIFFERENCE = ("estimate", "se", "relative", "p_value", "lower", "upper", "method", "refused", "waiting")


class Pair(NamedTuple):
    """The versions that are compared."""

    left: VersionId
    right: VersionId


def batch(connection: sa.Connection, pair: Pair) -> dict[str, Any] | None:
    """The metrics of the newest batch tests that both versions have on the same data; None where there are none."""
    left, right = (_by_data(batch_tests.newest(connection, side, MOST_TESTS)) for side in pair)
    shared = [digest for digest in left if digest in right]
    if not shared:
        return None
    digest = max(shared, key=lambda each: min(left[each].id, right[each].id))
    one, other = _metrics(left[digest]), _metrics(right[digest])
    return {
        "data": _data(left[digest]),
        "left": _test(left[digest]),
        "right": _test(right[digest]),
        "metrics": {name: {"left": one.get(name), "right": other.get(name)} for name in dict.fromkeys((*one, *other))},
    }


def paired(connection: sa.Connection, pair: Pair) -> dict[str, Any] | None:
    """The differences on the same rows that the newest batch test of one against the other found; None where there is none.

    They are those of the side `of`, which was under test, less the other.
    """
    found = [
        (row.id, side, row)
        for side, version, other in (("left", pair.left, pair.right), ("right", pair.right, pair.left))
        for row in batch_tests.newest(connection, version, MOST_TESTS)
        if _body(row).get("against") == str(other)
    ]
    if not found:
        return None
    _, side, row = max(found)
    comparison = _body(row).get("comparison")
    metrics = comparison.get("metrics") if isinstance(comparison, dict) else None
    return {"of": side, **_test(row), "data": _data(row), "metrics": metrics if isinstance(metrics, list) else []}


def live(connection: sa.Connection, pair: Pair) -> dict[str, Any] | None:
    """The report of the experiment that compares the two, of the last one where none runs; None where there was none.

    A difference is that of the arm `of` against control; None where neither is control.
    """
    found = _compared(connection, pair)
    if found is None:
        return None
    row, arms = found
    told = report.report_in(connection, row.experiment)
    head = {key: told[key] for key in ("experiment", "endpoint", "state", "started", "stopped", "at", "verdict", "reason")}
    return {**head, "arms": arms, "metrics": {name: _metric(metric, arms) for name, metric in told["metrics"].items()}}


def shadows(connection: sa.Connection, journal: Path, pair: Pair, now: float) -> list[dict[str, Any]]:
    """How far the answers agree wherever one is a shadow of an endpoint whose control the other is now."""
    found = []
    for endpoint in plans.current_numbers(connection):
        plan = deploy.load(connection, endpoint)
        for control, other in ((pair.left, pair.right), (pair.right, pair.left)):
            if plan.arms[CONTROL].version != str(control):
                continue
            for name in (name for name, shadow in plan.shadows.items() if shadow.version == str(other)):
                key = ShadowName(endpoint, name, str(other))
                told = {**shadow_progress(connection, journal, key, now), **shadow_report(connection, key)}
                found.append({"endpoint": endpoint, "shadow": name, "control": str(control), **told})
    return found


def learning(connection: sa.Connection, pair: Pair, now: float) -> learner.Facts | None:
    """What the store knows of their learners; None where neither has one. `learners` tells it, which needs the journal alone."""
    found = learner.facts(connection, now)
    return found if any(version in found.watched for version in pair) else None


def learners(facts: learner.Facts | None, journal: Path, pair: Pair) -> dict[str, dict[str, Any] | None]:
    """How well each learner does; None for a version that has none."""
    keys = ("state", "snapshot", "labels", "scores", "rolling", "served")

    def told(version: VersionId) -> dict[str, Any] | None:
        if facts is None or version not in facts.watched:
            return None
        standing = learner.standing(journal, version, facts)
        return {key: standing[key] for key in keys}

    return {"left": told(pair.left), "right": told(pair.right)}


def _compared(connection: sa.Connection, pair: Pair) -> tuple[ExperimentRow, dict[str, str]] | None:
    """The experiment, and by side the arm in it."""
    begun = [row for row in experiments.list_all(connection) if row.started is not None]
    for row in sorted(begun, key=lambda row: (row.state == RUNNING, row.started), reverse=True):
        try:
            plan = known.decode_plan(plans.in_force(connection, row.endpoint, row.started or row.at).body)
        except NotFound:
            continue
        arms = {side: _arm(plan, version) for side, version in pair._asdict().items()}
        if arms["left"] is not None and arms["right"] is not None:
            return row, {side: arm for side, arm in arms.items() if arm is not None}
    return None


def _arm(plan: Plan, version: VersionId) -> str | None:
    """The arm that serves the version: control before others."""
    names = [name for name, arm in plan.arms.items() if arm.version == str(version)]
    return CONTROL if CONTROL in names else next(iter(names), None)


def _metric(metric: Mapping[str, Any], arms: Mapping[str, str]) -> dict[str, Any]:
    sides = {side: _chosen(metric["arms"].get(arm, {}), _ARM) for side, arm in arms.items()}
    of = next((side for side, arm in arms.items() if arm in metric["differences"]), None)
    compared = of is not None and CONTROL in arms.values()
    difference = {"of": of, **_chosen(metric["differences"][arms[of]], _DIFFERENCE)} if of is not None and compared else None
    return {"role": metric["role"], "kind": metric["kind"], **sides, "difference": difference}


def _chosen(figures: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: figures[key] for key in keys if key in figures}


def _test(row: BatchTestRow) -> dict[str, Any]:
    return {"test": row.id, "at": to_rfc3339(row.at), "by": row.by, "passed": row.passed}


def _body(row: BatchTestRow) -> dict[str, Any]:
    """What a test says; nothing where that cannot be read."""
    try:
        return msgspec.json.decode(row.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _data(row: BatchTestRow) -> dict[str, Any]:
    """On which data: the file's name and digest; nothing where it does not say."""
    data = _body(row).get("data")
    return _chosen(data, ("file", "sha256")) if isinstance(data, dict) else {}


def _by_data(rows: Sequence[BatchTestRow]) -> dict[str, BatchTestRow]:
    """By digest of the data the newest test."""
    told = [(_data(row).get("sha256"), row) for row in reversed(rows)]
    return {digest: row for digest, row in told if isinstance(digest, str)}


def _metrics(row: BatchTestRow) -> dict[str, dict[str, Any]]:
    """By name the value with its interval."""
    given = _body(row).get("metrics")
    rows = given.items() if isinstance(given, dict) else ()
    return {name: _chosen(found, ("value", "lower", "upper")) for name, found in rows if isinstance(found, dict)}
