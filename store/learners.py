"""What learners publish: the newest snapshot of each learning version, its checkpoint, and the rows that could not be learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa

from core.ids import VersionId
from core.values import Position
from store import dialect
from store.tables import checkpoints, quarantined, snapshots

MOST_QUARANTINED = 1000
"""Rows of a learner that are kept with their reasons; all are counted in its status."""

ROWS, IDS = "rows", "ids"
"""The kinds of what a checkpoint holds of a segment: rows that have had their label, ids of examples."""

MOST_BYTES = 2**20
"""Of a checkpoint in one row of its table."""

PartKey: TypeAlias = tuple[str, int]
"""The kind and the segment of a part of a checkpoint."""


class SnapshotRow(NamedTuple):
    """A learner's newest snapshot: all up to `position` is learnt, `at` is the journal time there (seconds since the epoch).

    `artefact` is the model, `state` what the learner alone needs to go on, `status` the JSON that is shown. `signature` is that of
    `models.learner.snapshot`. `published` is the clock's time when it was stored.
    """

    version: VersionId
    number: int
    position: Position
    at: float
    published: float
    river: str
    signature: str
    artefact: bytes
    state: bytes
    status: bytes


class ServedRow(NamedTuple):
    """What of a learner's newest snapshot is served; see SnapshotRow."""

    version: VersionId
    number: int
    position: Position
    published: float
    river: str
    signature: str
    artefact: bytes


class Refused(NamedTuple):
    """A row that a learner could not learn: where its label stands in the journal, when it came, and why."""

    position: Position
    at: float
    reason: str


def publish(connection: sa.Connection, row: SnapshotRow) -> None:
    """Replace the version's snapshot. To be done in the transaction that advances its reader's position."""
    dialect.upsert(connection, snapshots, [_values(row)])


def newest(connection: sa.Connection, version: VersionId) -> SnapshotRow | None:
    """The version's snapshot; None before the first."""
    row = connection.execute(sa.select(snapshots).where(*_of(snapshots, version))).one_or_none()
    return None if row is None else _row(row)


def served(connection: sa.Connection, version: VersionId) -> ServedRow | None:
    """What of the version's snapshot is served; None before the first."""
    of = snapshots.c
    query = sa.select(of.number, of.segment, of.offset, of.published, of.river, of.signature, of.artefact).where(*_of(snapshots, version))
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return ServedRow(version, row.number, Position(row.segment, row.offset), row.published, row.river, row.signature, row.artefact)


def put_down(connection: sa.Connection, version: VersionId, floor: int, bodies: Mapping[PartKey, bytes]) -> None:
    """Write parts of the version's checkpoint, and delete what is of segments before `floor`: together with the snapshot."""
    of = checkpoints.c
    connection.execute(sa.delete(checkpoints).where(*_of(checkpoints, version), of.segment < floor))
    for (kind, segment), body in bodies.items():
        connection.execute(sa.delete(checkpoints).where(*_of(checkpoints, version), of.segment == segment, of.kind == kind))
        key = {"model": version.model, "version": version.number, "segment": segment, "kind": kind}
        pieces = (body[start : start + MOST_BYTES] for start in range(0, len(body), MOST_BYTES))
        connection.execute(sa.insert(checkpoints), [{**key, "part": part, "body": piece} for part, piece in enumerate(pieces)])


def checkpoint(connection: sa.Connection, version: VersionId) -> dict[PartKey, bytes]:
    """The version's checkpoint; empty before the first."""
    of = checkpoints.c
    query = sa.select(of.kind, of.segment, of.body).where(*_of(checkpoints, version)).order_by(of.segment, of.kind, of.part)
    rows = groupby(connection.execute(query), lambda row: (row.kind, row.segment))
    return {key: b"".join(row.body for row in parts) for key, parts in rows}


def numbers(connection: sa.Connection) -> dict[VersionId, int]:
    """The number of every learning version's newest snapshot."""
    query = sa.select(snapshots.c.model, snapshots.c.version, snapshots.c.number)
    return {VersionId(row.model, row.version): row.number for row in connection.execute(query)}


def statuses(connection: sa.Connection) -> dict[VersionId, tuple[float, bytes]]:
    """For every learning version when its newest snapshot was published, and its status."""
    query = sa.select(snapshots.c.model, snapshots.c.version, snapshots.c.published, snapshots.c.status)
    return {VersionId(row.model, row.version): (row.published, row.status) for row in connection.execute(query)}


def refuse(connection: sa.Connection, version: VersionId, rows: Sequence[Refused]) -> None:
    """Keep rows that could not be learnt; of too many the newest."""
    if not rows:
        return
    found = [
        {
            "model": version.model,
            "version": version.number,
            "segment": one.position.segment,
            "offset": one.position.offset,
            "at": one.at,
            "reason": one.reason,
        }
        for one in rows[-MOST_QUARANTINED:]
    ]
    dialect.upsert(connection, quarantined, found)
    kept = _newest_refused(version).offset(MOST_QUARANTINED).limit(1)
    last = connection.execute(kept).one_or_none()
    if last is not None:
        place = sa.tuple_(quarantined.c.segment, quarantined.c.offset)
        connection.execute(sa.delete(quarantined).where(*_of(quarantined, version), place <= (last.segment, last.offset)))


def refused(connection: sa.Connection, version: VersionId, limit: int) -> list[Refused]:
    """The newest rows that could not be learnt, newest first."""
    rows = connection.execute(_newest_refused(version).limit(limit))
    return [Refused(Position(row.segment, row.offset), row.at, row.reason) for row in rows]


def _newest_refused(version: VersionId) -> sa.Select[Any]:
    newest_first = (quarantined.c.segment.desc(), quarantined.c.offset.desc())
    return sa.select(quarantined).where(*_of(quarantined, version)).order_by(*newest_first)


def _of(table: sa.Table, version: VersionId) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return table.c.model == version.model, table.c.version == version.number


def _values(row: SnapshotRow) -> dict[str, Any]:
    values = row._asdict()
    del values["position"]
    return {
        **values,
        "model": row.version.model,
        "version": row.version.number,
        "segment": row.position.segment,
        "offset": row.position.offset,
    }


def _row(row: sa.Row[Any]) -> SnapshotRow:
    return SnapshotRow(
        VersionId(row.model, row.version),
        row.number,
        Position(row.segment, row.offset),
        row.at,
        row.published,
        row.river,
        row.signature,
        row.artefact,
        row.state,
        row.status,
    )
