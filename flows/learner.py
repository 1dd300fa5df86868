"""Learners as they are seen from outside: how far each is and how well it does; and an operator's orders to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from core import events
from core.clock import Clock, to_rfc3339
from core.errors import Conflict, NotFound
from core.events import Restored
from core.ids import VersionId, parse_version
from core.values import START, Position
from flows import deploy, known
from flows.adopt import ALIVE_SECONDS
from flows.follow import decode
from flows.learners import learner_reader, parse_learner
from flows.staleness import Watched, staleness
from journal.reader import Reader
from journal.writer import Writer
from models.card import Card
from routing.changes import Who
from routing.plan import Plan
from store import audit, learners, plans, positions, registry, workers
from store.engine import Store
from store.positions import PositionRow
from store.registry import VersionRow

MOST_SHOWN = 50
"""Quarantined rows and kept versions that are shown, the newest."""

_UNTOLD: dict[str, Any] = {
    "snapshot": 0,
    "labels": 0,
    "scores": {},
    "rolling": {},
    "served": {},
    "drift": {},
    "quarantined": 0,
    "late": 0,
    "duplicates": 0,
    "at": None,
    "state": "beginning",
}
"""What a learner says that has published nothing yet."""


class Facts(NamedTuple):
    """What the store knows of all learners at one moment: readers' positions, statuses as published, workers' reports, current plans.

    Plans are read when they are asked for, by the connection that the facts came from.
    """

    readers: Mapping[str, PositionRow]
    statuses: Mapping[VersionId, tuple[float, bytes]]
    workers: Mapping[str, dict[str, Any]]
    plans: Callable[[], Sequence[Plan]]
    now: float

    @property
    def versions(self) -> list[VersionId]:
        """Every version whose learner runs, or has published something."""
        running = {version for reader in self.readers if (version := parse_learner(reader)) is not None}
        return sorted(running | self.statuses.keys())

    def endpoints(self, version: str) -> frozenset[str]:
        """Where the version is an arm or a shadow."""
        return frozenset(plan.endpoint for plan in self.plans() if version in named(plan))


def facts(connection: sa.Connection, now: float) -> Facts:
    """The facts at `now`."""
    alive = workers.alive(connection, now - ALIVE_SECONDS)
    reports = {worker: report for worker, (_, report) in alive.items()}
    current = cache(lambda: [deploy.load(connection, endpoint) for endpoint in plans.current_numbers(connection)])
    return Facts(positions.every(connection), learners.statuses(connection), reports, current, now)


def named(plan: Plan) -> set[str]:
    """The versions of the plan's arms and shadows."""
    return {*plan.versions, *(shadow.version for shadow in plan.shadows.values())}


def show(store: Store, journal: Path, reference: str, clock: Clock) -> dict[str, Any]:
    """All that is told of one learner: of the version that `reference` names, or of the newest of a model's that learns.

    Raises NotFound where it has none.
    """
    with store.read() as connection:
        version, card = _find(connection, reference)
        told = standing(journal, version, facts(connection, clock()))
        refused = learners.refused(connection, version, MOST_SHOWN)
        kept = _kept(connection, version)
    rows = [
        {"segment": row.position.segment, "offset": row.position.offset, "at": to_rfc3339(row.at), "reason": row.reason} for row in refused
    ]
    return {**told, "quarantine": rows, "kept": kept, "settings": msgspec.to_builtins(card.river.settings if card.river else None)}


def standing(journal: Path, version: VersionId, facts: Facts) -> dict[str, Any]:
    """How far a learner is and how well it does; `staleness_seconds` is the age of the oldest label that its snapshot may not know."""
    name = str(version)
    published, body = facts.statuses.get(version, (None, b"{}"))
    told = {**_UNTOLD, **msgspec.json.decode(body)}
    reader = facts.readers.get(learner_reader(version))
    at = _position(reader, told)
    served = {worker: report["snapshots"][name] for worker, report in facts.workers.items() if name in report.get("snapshots", {})}
    return {
        "version": name,
        "running": reader is not None,
        **told,
        "state": "stopped" if reader is None else "crashing" if reader.crashes else told["state"],
        "at": None if told["at"] is None else to_rfc3339(told["at"]),
        "position": None if at is None else {"segment": at.segment, "offset": at.offset},
        "staleness_seconds": None if at is None else staleness(journal, at, Watched(version, facts.endpoints(name)), facts.now),
        "published": None if published is None else to_rfc3339(published),
        "workers": served,
        "applied": bool(served) and all(number == told["snapshot"] for number in served.values()),
    }


def rollback(store: Store, journal: Path, reference: str, to: str | int, who: Who) -> dict[str, Any]:
    """Let the learner go on from a version that it has kept, or from itself as it was registered; durable in the journal before it returns.

    `to` is `churn@17` or 17. Raises NotFound, and Conflict where the learner has never been in that state.
    """
    with store.write() as connection:
        version, _ = _find(connection, reference)
        target = VersionId(version.model, to) if isinstance(to, int) else parse_version(to, "to")
        river = known.decode_card(registry.version_row(connection, target).card).river
        if target != version and (river is None or river.learnt is None or river.learnt.base != str(version)):
            raise Conflict(f"to: {target} is no version that the learner of {version} has kept", field="to", code="not-kept")
        audit.write(connection, who.at, who.by, "model.learner.rollback", str(version), to=str(target))
        writer = Writer(journal)
        try:
            writer.append(events.encode(Restored(who.at, str(version), str(target))))
        finally:
            writer.close()
    return {"version": str(version), "to": str(target)}


def stop(store: Store, reference: str, who: Who) -> dict[str, Any]:
    """Let the learner rest: its newest snapshot is served on. It holds no journal back any more. Raises NotFound, Conflict."""
    with store.write() as connection:
        version, _ = _find(connection, reference)
        reader = learner_reader(version)
        if positions.get(connection, reader) is None:
            raise Conflict(f"the learner of {version} does not run", code="not-learning")
        positions.drop(connection, reader)
        audit.write(connection, who.at, who.by, "model.learner.stop", str(version))
    return {"version": str(version), "running": False}


def start(store: Store, journal: Path, reference: str, who: Who) -> dict[str, Any]:
    """Let the learner go on from where its newest snapshot stands. Raises NotFound, Conflict where it runs."""
    with store.write() as connection:
        version, _ = _find(connection, reference)
        reader = learner_reader(version)
        if positions.get(connection, reader) is not None:
            raise Conflict(f"the learner of {version} runs already", code="already-learning")
        snapshot = learners.newest(connection, version)
        if snapshot is not None:
            positions.begin(connection, reader, snapshot.position, snapshot.at)
        else:
            registered = registry.version_row(connection, version).at
            positions.begin(connection, reader, _place_of(journal, registered), registered)
        audit.write(connection, who.at, who.by, "model.learner.start", str(version))
    return {"version": str(version), "running": True}


def _find(connection: sa.Connection, reference: str) -> tuple[VersionId, Card]:
    if "@" in reference:
        rows = [registry.version_row(connection, registry.resolve(connection, reference, "version"))]
    else:
        rows = registry.list_versions(connection, reference)[::-1]
    for row in rows:
        card = known.decode_card(row.card)
        if card.learns:
            return row.version, card
    what = f"{rows[0].version} does not learn" if "@" in reference else f"no version of {reference!r} learns"
    raise NotFound(f"{what}: only a River model that was registered to learn has a learner", field="model", code="learner-not-found")


def _kept(connection: sa.Connection, version: VersionId) -> list[dict[str, Any]]:
    """The versions that the learner has kept, newest first."""
    found = ((row, known.decode_card(row.card).river) for row in registry.list_versions(connection, version.model)[::-1])
    kept = [
        (row, river.learnt) for row, river in found if river is not None and river.learnt is not None and river.learnt.base == str(version)
    ]
    return [_shown(row, learnt.snapshot, learnt.labels) for row, learnt in kept[:MOST_SHOWN]]


def _shown(row: VersionRow, snapshot: int, labels: int) -> dict[str, Any]:
    return {"version": str(row.version), "snapshot": snapshot, "labels": labels, "at": to_rfc3339(row.at)}


def _position(reader: PositionRow | None, told: dict[str, Any]) -> Position | None:
    if reader is not None:
        return reader.position
    place = told.get("position")
    return None if place is None else Position(place["segment"], place["offset"])


def _place_of(journal: Path, at: float) -> Position:
    """Where in the journal the events of `at` begin."""
    reader = Reader(journal, START)
    try:
        place = reader.position
        while entries := reader.read(1):
            event = decode(entries[0])
            if event is not None and event.at >= at:
                return place
            place = entries[0].next
        return place
    finally:
        reader.close()
