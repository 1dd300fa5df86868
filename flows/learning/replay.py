"""Replay: rebuild a learner's state from the journal, one entry after the other, and say whether it is the live one bit for bit.

Another River version can take the lessons in its stead: what if this one had been learning?
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from core.errors import Conflict, Invalid
from core.ids import VersionId, check_name
from core.values import Position
from flows.follow import between
from flows.learning import keeping, lessons, snapshots
from flows.learning.course import Course
from flows.learning.learners import learner_reader
from flows.learning.lessons import Lessons, Progress
from flows.learning.origin import Origin
from flows.learning.snapshots import Memory
from journal import segments
from journal.lookup import Lookup
from journal.reader import Entry
from models.learner import checks
from models.learner.fingerprint import fingerprint
from models.learner.learner import Learner
from models.learner.settings import Learnt
from routing.changes import Who
from store import learners, positions, registry
from store.blobs import Blobs
from store.engine import Store

CHUNK = 5000


class Source(NamedTuple):
    """Where a learner's history is kept. `key` is that of the home's snapshots."""

    store: Store
    blobs: Blobs
    journal: Path
    key: bytes


class Question(NamedTuple):
    """What to replay: the learner of `model` (`churn@1`, or `churn` where it has one learner) over a range of journal time.

    `start`, `stop`: seconds since the epoch, None for from where the learner began and up to its newest snapshot. `other`: the River
    version that learns in its stead. `into`: the model of which the result becomes the next version.
    """

    model: str
    start: float | None = None
    stop: float | None = None
    other: str | None = None
    into: str | None = None


class Told(NamedTuple):
    """A learner's state in short: two that are equal have learnt the same, bit for bit."""

    fingerprint: str
    described: dict[str, Any]


class _Live(NamedTuple):
    """The learner as its newest snapshot has it."""

    number: int
    position: Position
    memory: Memory
    told: Told


def replay(source: Source, question: Question, who: Who) -> dict[str, Any]:
    """What came of the replay, beside what the live learner says.

    `equal`: whether the model is the live one bit for bit, and labels and scores are the same; None where the two have not seen the
    same, with the `reason`. Raises Invalid, NotFound, and Conflict naming what of the journal is missing.
    """
    began = perf_counter()
    if question.into is not None:
        check_name(question.into, "into")
    origin = Origin(source.store, source.blobs, _version(source.store, question.model))
    live = _live(source, origin)
    other = origin if question.other is None else _other(source, question.other, origin)
    course, stop = _run(source, question, origin, other, live)
    artefact, _ = course.learner.dump()
    result = Told(fingerprint(other.revive(artefact)), course.learner.describe())
    reason = _unlike(question, live, stop)
    return {
        "version": str(origin.version),
        "with": question.other and str(other.version),
        "begun": course.lessons.begun._asdict(),
        "position": stop._asdict(),
        **result.described,
        **msgspec.structs.asdict(course.lessons.counts),
        "fingerprint": result.fingerprint,
        "live": {"snapshot": live.number, "fingerprint": live.told.fingerprint, **live.told.described},
        "equal": None if reason else result == live.told,
        "reason": reason,
        "into": question.into and _register(source, question.into, origin, other, course, stop, artefact, who),
        "seconds": perf_counter() - began,
    }


def _version(store: Store, model: str) -> VersionId:
    """The learning version that is meant: named itself, or the only one of its model."""
    with store.read() as connection:
        if "@" in model:
            return registry.resolve(connection, model, "model")
        registry.list_versions(connection, model)
        found = [version for version in learners.numbers(connection) if version.model == model]
    if len(found) != 1:
        named = ", ".join(map(str, sorted(found))) or "none"
        raise Invalid(f"model: expected one learner of {model}, or MODEL@VERSION; found {named}", field="model")
    return found[0]


def _live(source: Source, origin: Origin) -> _Live:
    origin.settings  # noqa: B018 - what does not learn is not waited for
    with source.store.read() as connection:
        row = learners.newest(connection, origin.version)
    if row is None:
        raise Conflict(f"the learner of {origin.version} has not begun: it does when a server runs", code="learner-not-begun")
    learner, memory = snapshots.read(source.key, origin, row)
    return _Live(row.number, row.position, memory, Told(fingerprint(learner.model), learner.describe()))


def _other(source: Source, reference: str, origin: Origin) -> Origin:
    """The version that learns in the stead of `origin`; raises Invalid where the scores that are kept are none of its kind."""
    with source.store.read() as connection:
        version = registry.resolve(connection, reference, "with")
    other = Origin(source.store, source.blobs, version)
    try:
        checks.check(origin.settings, other.river, other.fresh())
    except Invalid as error:
        raise Invalid(f"with: {other.version} cannot be scored as {origin.version} is: {error.message}", field="with") from None
    return other


def _run(source: Source, question: Question, origin: Origin, other: Origin, live: _Live) -> tuple[Course, Position]:
    """The learner after all of the range, and the position there."""
    learner = Learner(other.river, origin.settings, other.fresh, other.probes)
    made = Lessons(source.store, other.subject(origin), Lookup(source.journal).get, _begin(source.journal, live, question))
    # Another model goes on from its own state: what was restored is not its own.
    course = Course(learner, made, origin.state_of if other is origin else lambda _: None)
    first = -math.inf if question.start is None else question.start
    last = math.inf if question.stop is None else question.stop
    stop = live.position
    for taught, entries in _chunks(_timed(_entries(source, origin, made.begun, live.position), made.at), first):
        within = [entry for entry, at in entries if at <= last]
        for _ in (course.follow if taught else course.skip)(within):
            pass
        if len(within) < len(entries):
            stop = entries[len(within)][0].address.position
            break
    return course, stop


def _begin(journal: Path, live: _Live, question: Question) -> Progress:
    """Where reading begins; raises Conflict where that is no longer there, and nobody asked for a later begin."""
    progress = live.memory.progress
    begun = Position(*progress.begun)
    oldest = next(iter(segments.segments(journal)), begun.segment)
    if oldest <= begun.segment:
        return lessons.begin(begun, progress.begun_at)
    if question.start is None:
        raise Conflict(
            f"the learner began in segment {begun.segment} of the journal, whose segments before {oldest} have been deleted: its state"
            " cannot be rebuilt; --from TIME begins at a later time, with the model as it was registered",
            code="journal-expired",
        )
    return lessons.begin(Position(oldest, 0), progress.begun_at)


def _entries(source: Source, origin: Origin, start: Position, stop: Position) -> Iterator[Entry]:
    """What the live learner has read: all but what was put aside."""
    with source.store.read() as connection:
        aside = positions.aside_of(connection, learner_reader(origin.version))
    return (entry for entry in between(source.journal, start, stop, whole=True) if entry.address.position not in aside)


def _timed(entries: Iterable[Entry], at: float) -> Iterator[tuple[Entry, float]]:
    """Each entry with the journal time there."""
    for entry in entries:
        at = max(at, lessons.time_of(entry))
        yield entry, at


def _chunks(entries: Iterator[tuple[Entry, float]], first: float) -> Iterator[tuple[bool, list[tuple[Entry, float]]]]:
    """Entries in pieces, and whether they are taught: not before the journal time `first`."""
    for taught, group in groupby(entries, lambda timed: timed[1] >= first):
        while chunk := list(islice(group, CHUNK)):
            yield taught, chunk


def _unlike(question: Question, live: _Live, stop: Position) -> str | None:
    """Why the live learner has not seen the same, where it has not."""
    if question.other is not None:
        return "another version learnt"
    if question.start is not None:
        return "the replay began with the registered model at another time than the learner"
    if stop != live.position:
        return "the replay ended before the learner's newest snapshot"
    return live.memory.gap


def _register(source: Source, into: str, origin: Origin, other: Origin, course: Course, stop: Position, artefact: bytes, who: Who) -> str:
    """The next version of `into`, which does not learn."""
    labels, rows = course.learner.labels, origin.settings.learns_from
    learnt = Learnt(str(other.version), 0, labels, (stop.segment, stop.offset), str(origin.version), rows, "replay")
    keep = keeping.package_of(other, source.blobs, artefact, learnt, f"replay of {origin.version}")
    with source.store.write() as connection:
        return str(keeping.register(connection, source.blobs, into, keep, who.by, who.at, replay=str(origin.version)))
