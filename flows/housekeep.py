"""Housekeeping, by the supervisor: rotate and expire the journal, send failed plans back, retire shadows that are done."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace

from core.clock import Clock
from core.errors import Conflict
from core.settings import Settings
from core.values import START, Position
from flows import deploy
from flows.adopt import ALIVE_SECONDS, GONE_SECONDS
from flows.deploy import Order, Place
from flows.follow import RECORD, WATCH, decode
from flows.known import Known
from flows.shadow import ShadowName, mirrored, parse_reader, save_totals, totals_of
from journal import segments
from journal.reader import Reader
from journal.rotation import rotate
from routing.changes import Who
from store import positions, workers
from store.engine import Store

PROVEN_SECONDS = 60.0
"""A plan of this age that is served somewhere is not to blame for a worker that cannot serve it."""

DEATH_SECONDS = 3600.0
"""How long a version that workers died of is not tried again, where there is no other plan to go back to."""

LINGER_SECONDS = 10.0
"""How long after its last plan a shadow may still find requests that were answered by that plan."""

_log = logging.getLogger("tiltyard.housekeep")


def begin_readers(store: Store, directory: Path) -> None:
    """The readers that every home has: `record` starts at the journal's beginning, `watch` with what comes from now on.

    Those that stand behind the end start at the beginning.
    """
    end = segments.end(directory)
    with store.write() as connection:
        positions.begin(connection, RECORD, START, 0.0)
        positions.begin(connection, WATCH, end, 0.0)
        for reader, row in positions.every(connection).items():
            if row.position > end:
                _log.error(
                    "%s stands at %s, behind the journal's end %s: another journal, read from its beginning", reader, row.position, end
                )
                positions.advance(connection, reader, row.position, START, row.at)


def wanted_readers(store: Store) -> list[str]:
    """The readers that must run."""
    with store.read() as connection:
        return list(positions.every(connection))


def send_back(place: Place, clock: Clock) -> None:
    """Where a worker cannot serve the current plan, restore the one before it.

    A plan that has been served for a while and still is elsewhere stays: what fails then is that worker, and it tries again.
    """
    now = clock()
    with place.store.read() as connection:
        reports = workers.alive(connection, now - ALIVE_SECONDS)
        failures = [
            (worker, one)
            for worker, (_, report) in reports.items()
            for one in report["failed"]
            if not _proven(connection, one["endpoint"], one["plan"], reports, now)
        ]
    for worker, failure in failures:
        what = failure["version"] or "the plan"
        reason = f"sent back: {what} failed on worker {worker}: {failure['reason']}"
        try:
            order = Order(Who("tiltyard", now, reason), if_match=failure["plan"])
            deploy.rollback(place, failure["endpoint"], None, order, failure["version"])
            _log.error("%s: %s", failure["endpoint"], reason)
        except Conflict as error:
            # Another plan is current by now, or there is none to go back to: then it stays as it is, and says so in `status`.
            _log.debug("%s: not sent back: %s", failure["endpoint"], error.message)


def _proven(connection: sa.Connection, endpoint: str, number: int, reports: dict[str, tuple[float, dict[str, Any]]], now: float) -> bool:
    served = any(report["plans"].get(endpoint) == number for _, report in reports.values())
    return served and now - deploy.load(connection, endpoint, number).at > PROVEN_SECONDS


def keep_journal(store: Store, directory: Path, settings: Settings, clock: Clock) -> None:
    """Close a segment that is large enough; delete what all have read and is old; at the cap overtake shadows and `watch`, nobody else."""
    end = segments.end(directory)
    if end.offset >= settings.segment_bytes:
        rotate(directory, end.segment)
    with store.read() as connection:
        rows = positions.every(connection)
    least = min((row.position for row in rows.values()), default=Position(1, 0))
    segments.expire(directory, least, clock() - settings.retention_seconds)
    must = min((row.position for reader, row in rows.items() if reader != WATCH and parse_reader(reader) is None), default=None)
    if segments.size(directory) > settings.journal_cap_bytes and must is not None:
        for name in map(parse_reader, rows):
            if name is not None:
                _drop(store, directory, name, Position(must.segment, 0))
        _pass_over(store, WATCH, Position(must.segment, 0))
        segments.overtake(directory, must, settings.journal_cap_bytes)


def retire_shadows(store: Store, directory: Path, clock: Clock) -> None:
    """Forget the readers of shadows that no plan names any more and that have done all that was mirrored to them."""
    with store.write() as connection:
        for reader, row in positions.every(connection).items():
            name = parse_reader(reader)
            if name is None or row.position < segments.end(directory):
                continue
            plan = deploy.load(connection, name.endpoint)
            shadow = plan.shadows.get(name.shadow)
            if (shadow is None or shadow.version != name.version) and clock() > plan.at + LINGER_SECONDS:
                positions.drop(connection, reader)


def forget_workers(store: Store, clock: Clock) -> None:
    """Delete the reports of workers that are long gone; later those of workers that died while they loaded a version."""
    now = clock()
    with store.write() as connection:
        gone = [
            worker
            for worker, (seen, report) in workers.alive(connection, 0.0).items()
            if seen < now - (DEATH_SECONDS if "loading" in report else GONE_SECONDS)
        ]
        workers.forget(connection, gone)


def forget_all_workers(store: Store) -> None:
    """Delete all reports: those of a server that has ended say nothing of the one that begins."""
    with store.write() as connection:
        workers.forget(connection, workers.alive(connection, 0.0).keys())


def _drop(store: Store, directory: Path, name: ShadowName, until: Position) -> None:
    """Move a shadow on to `until`, and count what it never saw as dropped: so nothing is lost without being said."""
    with store.write() as connection:
        row = positions.get(connection, name.reader)
        if row is None or row.position >= until:
            return
        dropped, at = _count(connection, directory, name, row.position, until, row.at)
        totals = totals_of(connection, name)
        save_totals(connection, name, replace(totals, dropped=totals.dropped + dropped))
        positions.advance(connection, name.reader, row.position, until, at)
    _log.warning("shadow %s was overtaken at the journal's cap: %s requests dropped", name.reader, dropped)


def _pass_over(store: Store, reader: str, until: Position) -> None:
    """Move a reader on to `until`: what it never saw is missing in what it counts, and in nothing else."""
    with store.write() as connection:
        row = positions.get(connection, reader)
        if row is None or row.position >= until:
            return
        positions.advance(connection, reader, row.position, until, row.at)
    _log.warning("%s was overtaken at the journal's cap", reader)


def _count(connection: sa.Connection, directory: Path, name: ShadowName, start: Position, until: Position, at: float) -> tuple[int, float]:
    known, found = Known(), 0
    reader = Reader(directory, start)
    try:
        while reader.position < until:
            entries = [entry for entry in reader.read(1000) if entry.address.position < until]
            if not entries:
                break
            read = [(entry.address, event) for entry in entries if (event := decode(entry)) is not None]
            found += len(mirrored(connection, known, name, read))
            at = max([at, *(event.at for _, event in read)])
    finally:
        reader.close()
    return found, at
