"""Recompute: the facts of an experiment once more, from the journal alone, in a store of its own beside the real one.

Plans, versions, declared metrics and designs are what people ordered, so they are copied. All that `record` made of events is made anew,
by the same code: whoever doubts a figure can see whether it follows from what was logged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import sqlalchemy as sa

from core.errors import Conflict, NotFound
from core.settings import Settings
from core.values import Position
from flows import metric
from flows.facts import report
from flows.facts.entering import Load
from flows.facts.record import Recorder
from flows.facts.trials import decode_design
from flows.follow import RECORD, decode
from journal.lookup import Lookup
from journal.reader import Entry, Reader
from journal.segments import segments
from store import engine, experiments, positions, tables
from store.engine import Store
from store.experiments import ExperimentRow

BATCH = 5000

TOLERANCE = 1e-9
"""How far a figure may be off, as a share of it: batches merged in another order round otherwise."""

_ORDERED = (tables.models, tables.versions, tables.aliases, tables.endpoints, tables.plans, tables.metrics, tables.experiments)
"""What people ordered, parents first."""

_MADE = {"evidence": None, "next_look": None, "settled": None}
"""What `record` has made of an experiment."""


class Recomputed(NamedTuple):
    """The report made anew from `events` events, and where it differs from the one that `record` has made."""

    report: dict[str, Any]
    events: int
    differences: list[str]


class Source(NamedTuple):
    """Where to read from. `load` and `quarantine_seconds` are as `record` has them."""

    store: Store
    journal: Path
    load: Load
    quarantine_seconds: float


def recompute(source: Source, experiment: str) -> Recomputed:
    """The report from the journal alone, as of where `record` stands now.

    Raises NotFound, or Conflict where the experiment has not begun, the journal that it began with has expired, or the history of its
    units was forgotten.
    """
    with source.store.read() as connection:
        row = experiments.get(connection, experiment)
        stood = positions.get(connection, RECORD)
        aside = positions.aside_of(connection, RECORD)
        ordered = {table: [dict(each) for each in connection.execute(sa.select(table)).mappings()] for table in _ORDERED}
        live = report.report_in(connection, experiment)
        needed = _needed(connection, row)
    if stood is None:
        raise NotFound("nothing has been recorded yet: start `tiltyard serve`", code="nothing-recorded")
    with TemporaryDirectory(prefix="tiltyard-recompute-") as directory:
        store = engine.create(Settings(home=directory))
        with store.write() as connection:
            for table, rows in ordered.items():
                if rows:
                    connection.execute(sa.insert(table), [{**each, **_MADE} if table is tables.experiments else each for each in rows])
        events, at = _replay(source, store, stood.position, aside, needed)
        with store.read() as connection:
            anew = report.report_in(connection, experiment, at)
    return Recomputed(anew, events, list(differences(live, anew)))


def _replay(source: Source, store: Store, until: Position, aside: set[Position], needed: float) -> tuple[int, float]:
    """Fold all events up to that position; how many there were, and the journal time after them."""
    first = min(segments(source.journal), default=1)
    reader = Reader(source.journal, Position(first, 0))
    recorder = Recorder(Lookup(source.journal).get, source.quarantine_seconds, source.load)
    events, at = 0, 0.0
    try:
        while True:
            entries = [entry for entry in reader.read(BATCH) if entry.address.position < until]
            if events == 0 and first > 1:
                _check_start(entries, needed)
            if not entries:
                return events, at
            with store.write() as connection:
                at = recorder.fold(connection, [entry for entry in entries if entry.address.position not in aside], at)
            events += len(entries)
    finally:
        reader.close()


def _needed(connection: sa.Connection, row: ExperimentRow) -> float:
    """From when on the journal is needed: the start, or where covariates are what units brought earlier, since that has been kept."""
    needed = row.started or 0.0
    for each in decode_design(row.design).metrics:
        if each.covariate == "earlier":
            since = metric.kept_since(connection, row.endpoint, each)
            if since is None or since > (row.started or 0.0):
                raise Conflict(
                    f"metric {each.name} was declared anew or removed since {row.experiment} began, and what its units had brought earlier"
                    " is forgotten: it cannot be recomputed",
                    code="history-forgotten",
                )
            needed = min(needed, since)
    return needed


def _check_start(entries: Sequence[Entry], needed: float) -> None:
    event = next((event for entry in entries if (event := decode(entry)) is not None), None)
    if event is None or event.at > needed:
        raise Conflict(
            "the journal from when the experiment began, or the history of its units, has expired: it cannot be recomputed",
            code="journal-expired",
        )


def differences(left: Any, right: Any, path: str = "") -> Iterator[str]:
    """Where two reports differ, numbers by more than rounding; `path: left, right`."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            yield from differences(left.get(key), right.get(key), f"{path}.{key}".removeprefix("."))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, pair in enumerate(zip(left, right, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif not _same(left, right):
        yield f"{path}: {left}, recomputed {right}"


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=1e-12)
    return bool(left == right)
