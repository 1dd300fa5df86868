"""Learners as they are seen from outside: how far each is and how well it does; and an operator's orders to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from core import events
from core.clock import Clock, to_rfc3339
from core.errors import Conflict, JournalError, NotFound, Unavailable
from core.events import Restored
from core.ids import VersionId, parse_version
from core.values import START, Position
from flows import deploy, known
from flows.adopt import ALIVE_SECONDS
from flows.follow import decode
from flows.learning.learners import learner_reader, parse_learner
from flows.learning.staleness import Watched, staleness
from flows.registry import uses
from journal.reader import Entry, Reader
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
_MOST_LOOKED_AT = 200
"""Versions of a model among which the kept ones are looked for, the newest."""
APPLIED_SECONDS = 2.0
"""A worker whose snapshot was published so shortly before the newest one keeps up: there may be three of them in a second."""
_AT_ONCE = 1000

_UNTOLD: dict[str, Any] = {
    "snapshot": 0,
    "labels": 0,
    "scores": {},
    "scored": {},
    "rolling": {},
    "served": {},
    "drift": {},
    "quarantined": 0,
    "late": 0,
    "duplicates": 0,
    "unknown": 0,
    "expired": 0,
    "unfit": 0,
    "forced": 0,
    "at": None,
    "state": "beginning",
}
"""What a learner says that has published nothing yet."""


class Facts(NamedTuple):
    """What the store knows of all learners at one moment: readers' positions, statuses as published, workers' reports.

    `watched` tells of every version whose learner runs, or has published something, which rows it learns from.
    """

    readers: Mapping[str, PositionRow]
    statuses: Mapping[VersionId, tuple[float, bytes]]
    workers: Mapping[str, dict[str, Any]]
    watched: Mapping[VersionId, Watched]
    now: float

    @property
    def versions(self) -> list[VersionId]:
        """Every version whose learner runs, or has published something."""
        return sorted(self.watched)


def facts(connection: sa.Connection, now: float) -> Facts:
    """The facts at `now`. What is told of them by `standing` needs the journal, and no connection any more."""
    alive = workers.alive(connection, now - ALIVE_SECONDS)
    reports = {worker: report for worker, (_, report) in alive.items()}
    readers, statuses = positions.every(connection), learners.statuses(connection)
    running = {version for reader in readers if (version := parse_learner(reader)) is not None}
    return Facts(readers, statuses, reports, _watched(connection, running | statuses.keys()), now)


def _watched(connection: sa.Connection, versions: Iterable[VersionId]) -> dict[VersionId, Watched]:
    versions = list(versions)
    current = [deploy.load(connection, endpoint) for endpoint in plans.current_numbers(connection)] if versions else []
    return {version: Watched(version, _endpoints(connection, version, current)) for version in versions}


def _endpoints(connection: sa.Connection, version: VersionId, current: Iterable[Plan]) -> frozenset[str]:
    """Where the version learns from rows that others answered: at none of them where it learns from its own alone."""
    river = known.decode_card(registry.version_row(connection, version).card).river
    if river is None or river.settings is None or river.settings.learns_from == "own":
        return frozenset()
    return frozenset(plan.endpoint for plan in current if str(version) in named(plan))


def named(plan: Plan) -> set[str]:
    """The versions of the plan's arms and shadows."""
    return {*plan.versions, *(shadow.version for shadow in plan.shadows.values())}


def show(store: Store, journal: Path, reference: str, clock: Clock) -> dict[str, Any]:
    """All that is told of one learner: of the version that `reference` names, or of the newest of a model's that learns.

    Raises NotFound where it has none.
    """
    with store.read() as connection:
        version, card = _find(connection, reference)
        found = facts(connection, clock())
        refused = learners.refused(connection, version, MOST_SHOWN)
        kept = _kept(connection, version)
    # Outside the transaction: it reads the journal.
    told = standing(journal, version, found)
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
    reports = {worker: report for worker, report in facts.workers.items() if name in report.get("snapshots", {})}
    return {
        "version": name,
        "running": reader is not None,
        **told,
        "state": "stopped" if reader is None else "crashing" if reader.crashes else told["state"],
        "at": None if told["at"] is None else to_rfc3339(max(told["at"], 0.0 if reader is None else reader.at)),
        "position": None if at is None else {"segment": at.segment, "offset": at.offset},
        "staleness_seconds": None if at is None else staleness(journal, at, facts.watched[version], facts.now),
        "published": None if published is None else to_rfc3339(published),
        "workers": {worker: report["snapshots"][name] for worker, report in reports.items()},
        "applied": bool(reports) and all(_keeps_up(name, told["snapshot"], published, report) for report in reports.values()),
    }


def rollback(store: Store, journal: Path, reference: str, to: str | int, who: Who) -> dict[str, Any]:
    """Let the learner go on from a version that it has kept, or from itself as it was registered; durable in the journal before it returns.

    `to` is `churn@17` or 17. Raises Invalid, NotFound, and Conflict where the learner has never been in that state; Unavailable and
    JournalError, which say so where the order stands all the same.
    """
    writer = Writer(journal)
    try:
        version, target = _order(store, writer, reference, to, who)
    except BaseException:
        with suppress(JournalError):
            writer.close()
        raise
    try:
        writer.close()
    except JournalError as error:
        raise JournalError(f"{version} goes on from {target}, but a power cut could undo it: {error.message}") from error
    return {"version": str(version), "to": str(target)}


def _order(store: Store, writer: Writer, reference: str, to: str | int, who: Who) -> tuple[VersionId, VersionId]:
    ordered = ""
    try:
        with store.write() as connection:
            version, target = _wanted(connection, reference, to)
            audit.write(connection, who.at, who.by, "model.learner.rollback", str(version), to=str(target))
            writer.append(events.encode(Restored(who.at, str(version), str(target))))
            ordered = f"{version} goes on from {target}"
    except sa.exc.DBAPIError as error:
        if not ordered:
            raise
        # The journal cannot take back what it has, and the learner follows the journal.
        message = f"{ordered}, but the audit log does not say so: the store could not be written: {error.orig}"
        raise Unavailable(message, code="store-unavailable") from error
    return version, target


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
    """Let the learner go on from where its newest snapshot stands. Raises NotFound, Conflict where it runs or the version is retired."""
    with store.read() as connection:
        version, _ = _find(connection, reference)
        snapshot = learners.newest(connection, version)
        registered = registry.version_row(connection, version).at
    # Before the transaction, since the whole journal may have to be looked through.
    position, at = (_place_of(journal, registered), registered) if snapshot is None else (snapshot.position, snapshot.at)
    with store.write() as connection:
        uses.check_not_retired(connection, version, "version")
        reader = learner_reader(version)
        if positions.get(connection, reader) is not None:
            raise Conflict(f"the learner of {version} runs already", code="already-learning")
        positions.begin(connection, reader, position, at)
        audit.write(connection, who.at, who.by, "model.learner.start", str(version))
    return {"version": str(version), "running": True}


def _keeps_up(name: str, newest: int, published: float | None, report: Mapping[str, Any]) -> bool:
    """Whether what a worker serves is the newest snapshot, or not much older."""
    at = report.get("snapshots_published", {}).get(name, 0.0)
    return report["snapshots"][name] == newest or (published is not None and at >= published - APPLIED_SECONDS)


def _wanted(connection: sa.Connection, reference: str, to: str | int) -> tuple[VersionId, VersionId]:
    """The learning version, and the one whose state it is to go on from."""
    version, _ = _find(connection, reference)
    name = str(to)
    target = parse_version(f"{version.model}@{name}" if name.isdecimal() else name, "to")
    river = known.decode_card(registry.version_row(connection, target).card).river
    if target != version and (river is None or river.learnt is None or not river.learnt.is_of(str(version))):
        raise Conflict(f"to: {target} is no version that the learner of {version} has kept", field="to", code="not-kept")
    return version, target


def _find(connection: sa.Connection, reference: str) -> tuple[VersionId, Card]:
    rows = _candidates(connection, reference)
    for row in rows:
        card = known.decode_card(row.card)
        if card.learns:
            return row.version, card
    what = f"{rows[0].version} does not learn" if "@" in reference else f"no version of {reference!r} learns"
    raise NotFound(f"{what}: only a River model that was registered to learn has a learner", field="model", code="learner-not-found")


def _candidates(connection: sa.Connection, reference: str) -> list[VersionRow]:
    """The version that is meant; of a model the newest that has a learner, and only where none is known all of them, newest first."""
    if "@" in reference:
        return [registry.version_row(connection, registry.resolve(connection, reference, "version"))]
    running = (parse_learner(reader) for reader in positions.every(connection))
    having = {version for version in (*running, *learners.numbers(connection)) if version is not None and version.model == reference}
    if having:
        return [registry.version_row(connection, max(having))]
    return registry.list_versions(connection, reference)[::-1]


def _kept(connection: sa.Connection, version: VersionId) -> list[dict[str, Any]]:
    """Versions that the learner has kept, newest first."""
    rows = registry.newest_versions(connection, version.model, _MOST_LOOKED_AT)
    found = ((row, known.decode_card(row.card).river) for row in rows)
    kept = [
        (row, river.learnt) for row, river in found if river is not None and river.learnt is not None and river.learnt.is_of(str(version))
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
        for entry in _all(reader):
            event = decode(entry)
            if event is not None and event.at >= at:
                break
            place = entry.next
        return place
    finally:
        reader.close()


def _all(reader: Reader) -> Iterator[Entry]:
    while entries := reader.read(_AT_ONCE):
        yield from entries
