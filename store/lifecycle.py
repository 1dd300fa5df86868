"""What happened to versions: who did it, when and why. Rows are only ever added, and outlive their version."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from core.ids import VersionId
from store.tables import version_events, versions

REGISTERED, DELETED = "registered", "deleted"
TESTED, TEST_FAILED = "tested", "test failed"
APPROVED, WITHDRAWN = "approved", "approval withdrawn"
RETIRED, RESTORED = "retired", "restored"


class EventRow(NamedTuple):
    """Something that happened to a version; `at` in seconds since the epoch."""

    event: str
    at: float
    by: str
    reason: str


def add(connection: sa.Connection, version: VersionId, event: EventRow) -> None:
    """Keep the event, and let the version's revision rise."""
    touch(connection, version)
    note(connection, version, event)


def note(connection: sa.Connection, version: VersionId, event: EventRow) -> None:
    """Keep the event alone: of a version that is new, or no more."""
    connection.execute(sa.insert(version_events).values(model=version.model, version=version.number, **event._asdict()))


def touch(connection: sa.Connection, version: VersionId) -> None:
    """Let the version's revision rise by one: whoever has seen it before must look again."""
    where = (versions.c.model == version.model, versions.c.version == version.number)
    connection.execute(sa.update(versions).where(*where).values(revision=versions.c.revision + 1))


def events(connection: sa.Connection, version: VersionId) -> list[EventRow]:
    """All that happened to the version, oldest first."""
    query = sa.select(version_events.c.event, version_events.c.at, version_events.c.by, version_events.c.reason)
    where = (version_events.c.model == version.model, version_events.c.version == version.number)
    return [EventRow(*row) for row in connection.execute(query.where(*where).order_by(version_events.c.id))]


def approvals(happened: list[EventRow]) -> list[EventRow]:
    """The approvals that count: those since the last withdrawal and since it was last retired."""
    ended = [place for place, each in enumerate(happened) if each.event in (WITHDRAWN, RETIRED)]
    return [each for each in happened[ended[-1] if ended else 0 :] if each.event == APPROVED]
