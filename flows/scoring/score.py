"""Score: a version answers a file of rows, into a file. Interrupted, the same call goes on after the last whole part.

Rows are answered one by one, as an endpoint that serves this version alone answers requests of one row: with the same validation and the
same call of the model. A batch would not do: over the models of the tests, two in five answer in other last digits then, because BLAS and
vectorised functions round otherwise (docs/scoring.md).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from msgspec.structs import replace

from core.errors import Conflict, Invalid, Unavailable
from core.ids import VersionId
from flows.scoring import join, subject
from flows.scoring.columns import Columns, columns_of
from flows.scoring.join import Counts
from flows.scoring.parts import File, Job, Parts, locked, publish
from flows.scoring.rows import Chunk
from flows.scoring.source import ENDINGS, open_source
from flows.scoring.subject import Answer, Asked, Place, Subject
from models.card import Card
from models.runtime import BATCH
from store.learners import ServedRow

PART_ROWS = 20_000
PART_SECONDS = 5.0
"""A part ends after so many rows, or so long: that much is done again where a process dies."""
CHUNK = 100
"""Rows between two looks at the clock, where each is asked alone: some models take 10 ms a row."""
_DIGESTED = 1 << 20
"""Bytes at each end of the input that its digest is made of."""


class Order(NamedTuple):
    """What is to be scored, into what. `keep`: columns of the input that the output has too."""

    version: str
    input: Path
    output: Path
    keep: tuple[str, ...] = ()
    asked: Asked = "newest"
    in_batches: bool = False
    strict: bool = False
    restart: bool = False


class Progress(NamedTuple):
    """How far it is: rows that are answered, and how much of the input is read (0 to 1)."""

    rows: int
    share: float


def score(place: Place, order: Order, tell: Callable[[Progress], None], timer: Callable[[], float] = time.monotonic) -> dict[str, Any]:
    """Score the file and say what came of it; the output is there whole or not at all.

    Raises Invalid or Malformed where a file will not do, or with `strict` at the first row without an answer; NotFound for the version;
    Rejected or ModelFailed where it cannot be loaded; Conflict where another process is at it, or what was begun is another job;
    Unavailable where the output cannot be written.
    """
    _check_paths(order)
    version, card = subject.find(place, order.version)
    source = open_source(order.input, card.signature, order.keep)
    columns = columns_of(card, source.kept)
    join.check_writable(order.output, source.kept)
    try:
        with locked(order.output) as parts:
            if order.restart:
                parts.clear()
            job, snapshot = _begun(place, order, parts, version, card)
            done = _done(parts)
            answering = Subject(subject.load(place, card, snapshot))
            filling = _Filling(parts, columns, done, timer)
            for chunk in source.chunks(done, BATCH if order.in_batches else CHUNK):
                filling.take(_answers(answering, chunk, order, filling.end), chunk.kept)
                tell(Progress(filling.end, chunk.share))
            filling.put()
            if _file(order.input) != job.input:
                raise Conflict("input: the file has changed while it was read; give --restart to begin anew", code="other-job")
            counts = _finish(parts, columns, order, job)
    except OSError as error:
        raise Unavailable(f"output: {order.output} cannot be made: {error}", field="output") from None
    return _said(order, job, counts, done)


class _Filling:
    """Collects answered rows until they make a part. `end`: how many rows there are in all."""

    def __init__(self, parts: Parts, columns: Columns, done: int, timer: Callable[[], float]) -> None:
        self._parts = parts
        self._columns = columns
        self._timer = timer
        self._begun = timer()
        self._answers: list[Answer] = []
        self._kept: list[list[Any]] = []
        self.end = done

    def take(self, answers: Sequence[Answer], kept: list[Any]) -> None:
        """The next rows."""
        self._answers += answers
        self._kept.append(kept)
        self.end += len(answers)
        if len(self._answers) >= PART_ROWS or self._timer() - self._begun >= PART_SECONDS:
            self.put()

    def put(self) -> None:
        """Make a part of what there is."""
        if self._answers:
            first = self.end - len(self._answers)
            self._parts.add(first, self.end, self._columns.table(first, self._answers, self._kept))
            self._answers, self._kept = [], []
        self._begun = self._timer()


def _check_paths(order: Order) -> None:
    if order.output.suffix.lower() not in ENDINGS:
        raise Invalid(f"output: expected a name that ends in {' or '.join(ENDINGS)}, got {order.output.name!r}", field="output")
    if order.output.is_dir() or not order.output.parent.is_dir():
        raise Invalid(f"output: {order.output}: expected a file in a directory that exists", field="output")
    if order.output.exists() and order.input.exists() and order.output.samefile(order.input):
        raise Invalid("output: expected another file than the input", field="output")


def _begun(place: Place, order: Order, parts: Parts, version: VersionId, card: Card) -> tuple[Job, ServedRow | None]:
    """What was begun before, where it is the same job; else this one.

    Of what was begun the snapshot answers that answered then, whatever has been learnt since.
    """
    artefact = card.blobs.get("artefact", card.source_digest)
    job = Job(str(version), artefact, order.asked, _file(order.input), order.keep, order.in_batches, 0)
    before = parts.job() if parts.whole() else None
    if before is not None:
        job.check_same(before)
        return before, parts.snapshot(before)
    snapshot = subject.newest_snapshot(place, version, card) if order.asked == "newest" else None
    job = replace(job, snapshot=0 if snapshot is None else snapshot.number)
    parts.begin(job, snapshot)
    return job, snapshot


def _done(parts: Parts) -> int:
    """How many rows are answered already."""
    whole = parts.whole()
    return whole[-1].end if whole else 0


def _answers(answering: Subject, chunk: Chunk, order: Order, first: int) -> list[Answer]:
    answers = answering.together(chunk.rows) if order.in_batches else answering.alone(chunk.rows)
    for number, answer in enumerate(answers if order.strict else (), first):
        if answer.error is not None:
            raise Invalid(f"row {number}: {answer.error}", field="input")
    return answers


def _finish(parts: Parts, columns: Columns, order: Order, job: Job) -> Counts:
    """Join the parts, put the output into its place, and remove them."""
    draft, suffix = parts.draft("joined"), order.output.suffix.lower()
    whole = parts.whole()
    try:
        columns = columns.settled(join.labels_of(whole))
        counts = join.write(whole, columns, draft, suffix, {"tiltyard": _metadata(columns, job)})
    except pa.ArrowException as error:
        raise Invalid(f"output: what is scored so far cannot be read ({error}); give --restart to begin anew", field="output") from None
    if order.strict and counts.first is not None:
        raise Invalid(f"row {counts.first[0]}: {counts.first[1]}", field="input")
    publish(draft, order.output)
    parts.clear()
    return counts


def _metadata(columns: Columns, job: Job) -> str:
    found = {"version": job.version, "snapshot": job.snapshot, "in_batches": job.in_batches, columns.said: columns.kind}
    return msgspec.json.encode(found).decode()


def _said(order: Order, job: Job, counts: Counts, done: int) -> dict[str, Any]:
    return {
        "output": str(order.output),
        "version": job.version,
        "snapshot": job.snapshot,
        "rows": counts.rows,
        "answered": counts.rows - sum(counts.errors.values()),
        "errors": dict(counts.errors),
        "first_error": None if counts.first is None else {"row": counts.first[0], "error": counts.first[1]},
        "resumed_at": done,
    }


def _file(path: Path) -> File:
    """The file as it is now. A digest of all of it would cost as much as reading it once more."""
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        digest = hashlib.sha256(file.read(_DIGESTED))
        file.seek(max(0, stat.st_size - _DIGESTED))
        digest.update(file.read(_DIGESTED))
    return File(stat.st_size, stat.st_mtime_ns, digest.hexdigest())
