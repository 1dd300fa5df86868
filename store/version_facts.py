"""What versions are searched by: one row for each thing that can be asked for, kept in the transaction that changes it.

A fact has a name (`tag`, `metric.auc`), a text in small letters, and a number where it is one. Marks are the facts that follow from what
happened to a version (`tested`, `approved`, `retired`); all others follow from what it is and what is said of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import sqlalchemy as sa

from core.ids import VersionId
from store import dialect
from store.tables import version_facts

MARK = "mark"


class Fact(NamedTuple):
    """One thing that a version can be found by."""

    name: str
    text: str
    number: float | None = None


def replace(connection: sa.Connection, version: VersionId, facts: Iterable[Fact]) -> None:
    """Let these be all facts of the version beside its marks."""
    connection.execute(sa.delete(version_facts).where(*_of(version), version_facts.c.name != MARK))
    _insert(connection, version, facts)


def mark(connection: sa.Connection, version: VersionId, text: str, *, on: bool) -> None:
    """Set a mark of the version, or take it away."""
    if on:
        _insert(connection, version, [Fact(MARK, text)])
    else:
        connection.execute(sa.delete(version_facts).where(*_of(version), version_facts.c.name == MARK, version_facts.c.text == text))


def texts(connection: sa.Connection, wanted: Collection[VersionId], name: str) -> dict[VersionId, list[str]]:
    """The texts of the facts of that name of each of these versions; a version that has none is left out."""
    found: dict[VersionId, list[str]] = {}
    if wanted:
        key = sa.tuple_(version_facts.c.model, version_facts.c.version)
        query = sa.select(version_facts).where(version_facts.c.name == name, key.in_([tuple(each) for each in wanted]))
        for row in connection.execute(query):
            found.setdefault(VersionId(row.model, row.version), []).append(row.text)
    return found


def _insert(connection: sa.Connection, version: VersionId, facts: Iterable[Fact]) -> None:
    dialect.insert_new(connection, version_facts, [{"model": version.model, "version": version.number, **each._asdict()} for each in facts])


def _of(version: VersionId) -> tuple[sa.ColumnElement[bool], ...]:
    return version_facts.c.model == version.model, version_facts.c.version == version.number
