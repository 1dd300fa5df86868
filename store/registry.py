"""Models, versions and aliases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from core.errors import NotFound
from core.ids import VersionId, parse_version
from store import dialect
from store.tables import aliases, models, versions


class VersionRow(NamedTuple):
    """A registered version; `card` is the JSON that `models.package` wrote, `about` what people say of it."""

    version: VersionId
    at: float
    by: str
    card: bytes
    about: bytes
    revision: int


class AliasRow(NamedTuple):
    """Where an alias points, since when, and who put it there."""

    alias: str
    version: VersionId
    at: float
    by: str


def add_version(connection: sa.Connection, model: str, card: bytes, by: str, at: float, about: bytes = b"{}") -> VersionId:
    """The next version of `model`, which is created where it does not exist."""
    dialect.insert_new(connection, models, [{"model": model, "at": at}])
    last = connection.scalar(sa.select(sa.func.max(versions.c.version)).where(versions.c.model == model))
    version = VersionId(model, (last or 0) + 1)
    connection.execute(sa.insert(versions).values(model=model, version=version.number, at=at, by=by, card=card, about=about))
    return version


def version_row(connection: sa.Connection, version: VersionId) -> VersionRow:
    """The version; raises NotFound."""
    row = connection.execute(_of(versions, version.model).where(versions.c.version == version.number)).one_or_none()
    if row is None:
        raise NotFound(f"no version {version}", field="version", code="version-not-found")
    return _version_row(version, row)


def list_models(connection: sa.Connection) -> list[str]:
    """The names of all models."""
    return list(connection.scalars(sa.select(models.c.model).order_by(models.c.model)))


def list_versions(connection: sa.Connection, model: str) -> list[VersionRow]:
    """All versions of a model, oldest first; raises NotFound where there is no such model."""
    rows = connection.execute(_of(versions, model).order_by(versions.c.version)).all()
    if not rows:
        raise NotFound(f"no model {model!r}", field="model", code="model-not-found")
    return [_version_row(VersionId(model, row.version), row) for row in rows]


def newest_versions(connection: sa.Connection, model: str, limit: int) -> list[VersionRow]:
    """At most so many versions of a model, newest first; [] where there is no such model."""
    rows = connection.execute(_of(versions, model).order_by(versions.c.version.desc()).limit(limit))
    return [_version_row(VersionId(model, row.version), row) for row in rows]


def newest_first(connection: sa.Connection) -> Iterator[VersionRow]:
    """The versions of all models, the one that was registered last first."""
    query = sa.select(versions).order_by(versions.c.at.desc(), versions.c.version.desc())
    rows = connection.execute(query.execution_options(yield_per=100))
    return (_version_row(VersionId(row.model, row.version), row) for row in rows)


def list_aliases(connection: sa.Connection, model: str) -> list[AliasRow]:
    """The aliases of a model."""
    rows = connection.execute(_of(aliases, model).order_by(aliases.c.alias))
    return [AliasRow(row.alias, VersionId(model, row.version), row.at, row.by) for row in rows]


def set_alias(connection: sa.Connection, version: VersionId, alias: str, by: str, at: float) -> None:
    """Point `alias` at an existing version; raises NotFound."""
    version_row(connection, version)
    dialect.upsert(connection, aliases, [{"model": version.model, "alias": alias, "version": version.number, "at": at, "by": by}])


def resolve(connection: sa.Connection, reference: str, field: str) -> VersionId:
    """The existing version that `credit@3` or `credit@champion` names; raises Invalid or NotFound naming `field`."""
    model, _, name = reference.partition("@")
    if name.isdigit() or not name:
        version = parse_version(reference, field)
    else:
        row = connection.execute(_of(aliases, model).where(aliases.c.alias == name)).one_or_none()
        if row is None:
            raise NotFound(f"{field}: model {model!r} has no alias {name!r}", field=field, code="alias-not-found")
        version = VersionId(model, row.version)
    try:
        version_row(connection, version)
    except NotFound:
        raise NotFound(f"{field}: no version {version}", field=field, code="version-not-found") from None
    return version


def _version_row(version: VersionId, row: Any) -> VersionRow:
    return VersionRow(version, row.at, row.by, row.card, row.about, row.revision)


def _of(table: sa.Table, model: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(table).where(table.c.model == model)
