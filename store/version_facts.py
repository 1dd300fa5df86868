"""What versions are searched by: one row for each thing that can be asked for, kept in the transaction that changes it.

A fact has a name (`tag`, `metric.auc`), a text in small letters, and a number where it is one. Marks are the facts that follow from what
happened to a version (`tested`, `approved`, `retired`), figures `test.…` those of its newest batch test; all others follow from what it is
and what is said of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from core.ids import VersionId
from store import dialect
from store.tables import version_facts, versions

MARK = "mark"
TEST = "test."
"""What the name of a figure of the newest batch test begins with."""


class Fact(NamedTuple):
    """One thing that a version can be found by."""

    name: str
    text: str
    number: float | None = None


def replace(connection: sa.Connection, version: VersionId, facts: Iterable[Fact]) -> None:
    """Let these be all facts of the version beside its marks and what was tested."""
    others = (version_facts.c.name != MARK, sa.not_(_is_tested()))
    connection.execute(sa.delete(version_facts).where(*_of(version), *others))
    _insert(connection, version, facts)


def replace_tested(connection: sa.Connection, version: VersionId, figures: Mapping[str, float]) -> None:
    """Let these be the figures of the version's newest batch test."""
    connection.execute(sa.delete(version_facts).where(*_of(version), _is_tested()))
    _insert(connection, version, [Fact(TEST + name, repr(figure), figure) for name, figure in figures.items()])


def mark(connection: sa.Connection, version: VersionId, text: str, *, on: bool) -> None:
    """Set a mark of the version, or take it away."""
    if on:
        _insert(connection, version, [Fact(MARK, text)])
    else:
        connection.execute(sa.delete(version_facts).where(*_of(version), version_facts.c.name == MARK, version_facts.c.text == text))


def marks(connection: sa.Connection, model: str, numbers: Collection[int]) -> dict[VersionId, set[str]]:
    """The marks of each of these versions of a model."""
    found: dict[VersionId, set[str]] = {VersionId(model, number): set() for number in numbers}
    where = (version_facts.c.model == model, version_facts.c.version.in_(numbers), version_facts.c.name == MARK)
    for row in connection.execute(sa.select(version_facts.c.version, version_facts.c.text).where(*where)):
        found[VersionId(model, row.version)].add(row.text)
    return found


def marks_of(connection: sa.Connection, version: VersionId) -> set[str]:
    """The marks of a version."""
    return marks(connection, version.model, [version.number])[version]


def having(connection: sa.Connection, name: str, text: str) -> list[VersionId]:
    """The versions of all models that have this fact, the one that was registered last first."""
    join = version_facts.join(versions, sa.and_(versions.c.model == version_facts.c.model, versions.c.version == version_facts.c.version))
    query = sa.select(versions.c.model, versions.c.version).select_from(join)
    query = query.where(version_facts.c.name == name, version_facts.c.text == text)
    rows = connection.execute(query.order_by(versions.c.at.desc(), versions.c.version.desc()))
    return [VersionId(row.model, row.version) for row in rows]


def _is_tested() -> sa.ColumnElement[bool]:
    return version_facts.c.name.startswith(TEST, autoescape=True)


def _insert(connection: sa.Connection, version: VersionId, facts: Iterable[Fact]) -> None:
    dialect.insert_new(connection, version_facts, [{"model": version.model, "version": version.number, **each._asdict()} for each in facts])


def _of(version: VersionId) -> tuple[sa.ColumnElement[bool], ...]:
    return version_facts.c.model == version.model, version_facts.c.version == version.number
