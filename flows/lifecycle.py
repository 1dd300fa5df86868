"""What happens to a version after it was registered: it is approved, retired, restored, deleted."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from core.errors import Conflict
from core.ids import VersionId, parse_version
from core.values import START
from flows import known
from flows.follow import decode
from flows.learning.learners import learner_reader
from flows.registry import describing, happening, uses
from flows.registry.uses import Uses
from journal.reader import Reader
from routing.changes import Who
from store import alias_moves, audit, lifecycle, plans, positions, registry, version_blobs, watch
from store.blobs import Blobs
from store.engine import Store
from store.lifecycle import EventRow


def approve(store: Store, reference: str, who: Who, if_match: int | None = None) -> VersionId:
    """Say that the version may serve. It is said by as many as want to, by each once.

    Raises NotFound, and Conflict where it is retired, was approved by the same already, or its revision is not `if_match`.
    """
    with store.write() as connection:
        version = _matching(connection, reference, if_match)
        uses.check_not_retired(connection, version, "version")
        if any(each.by == who.by for each in _approvals(connection, version)):
            raise Conflict(f"{version} is approved by {who.by} already", code="already-approved")
        happening.approve(connection, version, who)
    return version


def withdraw(store: Store, reference: str, who: Who, if_match: int | None = None) -> VersionId:
    """Take all approvals of the version back, whoever gave them; aliases and traffic stay. Raises NotFound, Conflict where it has none."""
    with store.write() as connection:
        version = _matching(connection, reference, if_match)
        if not _approvals(connection, version):
            raise Conflict(f"{version} is not approved", code="not-approved")
        happening.withdraw(connection, version, who)
    return version


def retire(store: Store, reference: str, who: Who, if_match: int | None = None) -> VersionId:
    """Put the version out of use: no alias and no plan may name it from now on, its approvals end, and its learner stops.

    Raises NotFound, and Conflict naming where it is used now.
    """
    with store.write() as connection:
        version = _matching(connection, reference, if_match)
        if uses.is_retired(connection, version):
            raise Conflict(f"{version} is retired already", code="retired")
        _check_unused(connection, version)
        happening.retire(connection, version, who)
        reader = learner_reader(version)
        if positions.get(connection, reader) is not None:
            positions.drop(connection, reader)
            audit.write(connection, who.at, who.by, "model.learner.stop", str(version))
    return version


def restore(store: Store, reference: str, who: Who, if_match: int | None = None) -> VersionId:
    """Take the retirement back: it may be used again, once it is approved again where that is asked for; its learner stays at rest."""
    with store.write() as connection:
        version = _matching(connection, reference, if_match)
        if not uses.is_retired(connection, version):
            raise Conflict(f"{version} is not retired", code="not-retired")
        happening.restore(connection, version, who)
    return version


class Kept(NamedTuple):
    """What a home keeps beside its store: blobs, and a journal of which closed segments stay for so many seconds."""

    blobs: Blobs
    journal: Path
    retention_seconds: float


def delete(store: Store, kept: Kept, reference: str, who: Who, if_match: int | None = None) -> VersionId:
    """Delete the version's card, tests, snapshots, windows, and the blobs that no other version names.

    What happened to it and its number stay. It must be retired, or never have been used. Raises NotFound, and Conflict where it was
    neither, where it was in a plan within the retention or since the oldest event of the journal (which may still hold rows of it), or
    where a learner needs it.
    """
    since = min(who.at - kept.retention_seconds, _oldest(kept.journal))
    with store.write() as connection:
        version = _matching(connection, reference, if_match)
        _check_deletable(connection, version, since)
        digests = known.decode_card(registry.version_row(connection, version).card).blobs.values()
        registry.delete_version(connection, version)
        watch.forget(connection, str(version))
        lifecycle.note(connection, version, EventRow(lifecycle.DELETED, who.at, who.by, who.reason))
        audit.write(connection, who.at, who.by, "model.delete", str(version), reason=who.reason)
    # Only once that cannot be taken back any more; and as a writer, so that nobody registers one of them at the same time.
    with store.write() as connection:
        for digest in version_blobs.unnamed(connection, digests):
            kept.blobs.remove(digest)
    return version


def _oldest(journal: Path) -> float:
    """The time of the first event that the journal still holds; infinity where it holds none."""
    reader = Reader(journal, START)
    try:
        while entries := reader.read(1):
            event = decode(entries[0])
            if event is not None:
                return event.at
        return float("inf")
    finally:
        reader.close()


def _matching(connection: sa.Connection, reference: str, if_match: int | None) -> VersionId:
    version = registry.resolve(connection, reference, "version")
    describing.match(registry.version_row(connection, version), if_match)
    return version


def _approvals(connection: sa.Connection, version: VersionId) -> list[EventRow]:
    return lifecycle.approvals(lifecycle.events(connection, version))


def _check_unused(connection: sa.Connection, version: VersionId) -> None:
    used = [str(use) for use in Uses(connection).of(version)]
    used += [f"alias {row.alias}" for row in registry.list_aliases(connection, version.model) if row.version == version]
    if used:
        raise Conflict(f"{version} is in use: {', '.join(used)}", code="in-use")


def _check_deletable(connection: sa.Connection, version: VersionId, since: float) -> None:
    retired = uses.is_retired(connection, version)
    _check_unused(connection, version)
    if not retired and alias_moves.ever_named(connection, version):
        raise Conflict(f"{version} has been used by an alias: retire it first", code="not-retired")
    for endpoint in plans.current_numbers(connection):
        _check_plans(connection, version, endpoint, since if retired else float("-inf"))
    _check_learners(connection, version)


def _check_plans(connection: sa.Connection, version: VersionId, endpoint: str, since: float) -> None:
    """No plan that was the current one after `since` may name the version."""
    replaced = float("inf")
    with closing(plans.backwards(connection, endpoint)) as rows:
        for row in rows:
            if replaced < since:
                return
            plan = known.decode_plan(row.body)
            if any(name == str(version) for _, name in uses.parts(plan)):
                wait = "the journal may still hold rows of it" if since > float("-inf") else "retire it first"
                raise Conflict(f"plan {plan.plan} of {endpoint} names {version}: {wait}", code="in-use")
            replaced = row.at


def _check_learners(connection: sa.Connection, version: VersionId) -> None:
    """Neither its own learner may run, nor the one that has kept it and may be told to go on from it."""
    river = known.decode_card(registry.version_row(connection, version).card).river
    learnt = None if river is None else river.learnt
    base = parse_version(learnt.base) if learnt is not None and learnt.is_of(learnt.base) else None
    for each in (version, base):
        if each is not None and positions.get(connection, learner_reader(each)) is not None:
            raise Conflict(f"the learner of {each} runs, and may go on from {version}: stop it first", code="in-use")
