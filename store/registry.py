"""Models, versions and aliases."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import sqlalchemy as sa

from core.errors import NotFound
from core.ids import VersionId, parse_version
from store import alias_moves, dialect, lifecycle
from store.lifecycle import EventRow
from store.tables import aliases, metadata, models, versions


class ModelRow(NamedTuple):
    """A model: what people say of it, its newest version (None where all were deleted) and their number."""

    model: str
    description: str
    owner: str
    revision: int
    latest: int | None
    number: int


class VersionRow(NamedTuple):
    """A registered version; `card` is the JSON that `models.package` wrote, `about` what people say of it.

    `revision` rises with every change of what is said of it and everything that happens to it.
    """

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
    """The next version of `model`, which is created where it does not exist. A number is never given twice, also after a deletion."""
    dialect.insert_new(connection, models, [{"model": model, "at": at}])
    following = sa.update(models).where(models.c.model == model).values(last=models.c.last + 1).returning(models.c.last)
    version = VersionId(model, connection.execute(following).scalar_one())
    connection.execute(sa.insert(versions).values(model=model, version=version.number, at=at, by=by, card=card, about=about))
    lifecycle.note(connection, version, EventRow(lifecycle.REGISTERED, at, by, ""))
    return version


def delete_version(connection: sa.Connection, version: VersionId) -> None:
    """Delete the version and all that is kept of it in tables that refer to it; what happened to it stays."""
    values = {versions.c.model: version.model, versions.c.version: version.number}
    for table in reversed(metadata.sorted_tables):
        for reference in table.foreign_key_constraints:
            if reference.referred_table is versions:
                connection.execute(sa.delete(table).where(*(part.parent == values[part.column] for part in reference.elements)))
    connection.execute(sa.delete(versions).where(versions.c.model == version.model, versions.c.version == version.number))


def set_about(connection: sa.Connection, version: VersionId, about: bytes) -> None:
    """Replace what people say of the version; its revision rises."""
    where = (versions.c.model == version.model, versions.c.version == version.number)
    connection.execute(sa.update(versions).where(*where).values(about=about))
    lifecycle.touch(connection, version)


def version_row(connection: sa.Connection, version: VersionId) -> VersionRow:
    """The version; raises NotFound."""
    row = connection.execute(_of(versions, version.model).where(versions.c.version == version.number)).one_or_none()
    if row is None:
        raise NotFound(f"no version {version}", field="version", code="version-not-found")
    return _version_row(row)


def holds(connection: sa.Connection, version: VersionId) -> bool:
    """Whether there is such a version."""
    query = sa.select(versions.c.version).where(versions.c.model == version.model, versions.c.version == version.number)
    return connection.execute(query).one_or_none() is not None


def list_models(connection: sa.Connection) -> list[str]:
    """The names of all models."""
    return list(connection.scalars(sa.select(models.c.model).order_by(models.c.model)))


def models_after(connection: sa.Connection, after: str, limit: int) -> list[ModelRow]:
    """At most so many models with names behind `after`, by name."""
    return _models(connection, sa.select(models).where(models.c.model > after).order_by(models.c.model).limit(limit))


def model_row(connection: sa.Connection, model: str) -> ModelRow:
    """One model; raises NotFound."""
    found = _models(connection, _of(models, model))
    if not found:
        raise NotFound(f"no model {model!r}", field="model", code="model-not-found")
    return found[0]


def set_model(connection: sa.Connection, model: str, description: str, owner: str) -> None:
    """Replace what people say of a model; its revision rises."""
    values = {"description": description, "owner": owner, "revision": models.c.revision + 1}
    connection.execute(sa.update(models).where(models.c.model == model).values(values))


def list_versions(connection: sa.Connection, model: str) -> list[VersionRow]:
    """All versions of a model, oldest first; raises NotFound where there is no such model, or none of its versions is left."""
    rows = connection.execute(_of(versions, model).order_by(versions.c.version)).all()
    if not rows:
        raise NotFound(f"no model {model!r}", field="model", code="model-not-found")
    return [*map(_version_row, rows)]


def versions_after(connection: sa.Connection, model: str, after: int, limit: int) -> list[VersionRow]:
    """At most so many versions of a model with numbers above `after`, oldest first; [] where there is no such model."""
    query = _of(versions, model).where(versions.c.version > after).order_by(versions.c.version).limit(limit)
    return [*map(_version_row, connection.execute(query))]


def newest_versions(connection: sa.Connection, model: str, limit: int) -> list[VersionRow]:
    """At most so many versions of a model, newest first; [] where there is no such model."""
    return [*map(_version_row, connection.execute(_of(versions, model).order_by(versions.c.version.desc()).limit(limit)))]


def list_aliases(connection: sa.Connection, model: str) -> list[AliasRow]:
    """The aliases of a model."""
    return aliases_of(connection, [model])[model]


def aliases_of(connection: sa.Connection, names: Collection[str]) -> dict[str, list[AliasRow]]:
    """The aliases of each of these models, by name."""
    found: dict[str, list[AliasRow]] = {name: [] for name in names}
    for row in connection.execute(sa.select(aliases).where(aliases.c.model.in_(found)).order_by(aliases.c.alias)):
        found[row.model].append(AliasRow(row.alias, VersionId(row.model, row.version), row.at, row.by))
    return found


def alias_row(connection: sa.Connection, model: str, alias: str) -> AliasRow | None:
    """Where an alias points; None where it does not stand."""
    row = connection.execute(_of(aliases, model).where(aliases.c.alias == alias)).one_or_none()
    return None if row is None else AliasRow(alias, VersionId(model, row.version), row.at, row.by)


def set_alias(connection: sa.Connection, version: VersionId, alias: str, by: str, at: float, reason: str = "") -> None:
    """Point `alias` at an existing version, and keep that in its history; raises NotFound. Nothing changes where it did already."""
    version_row(connection, version)
    standing = alias_row(connection, version.model, alias)
    if standing is not None and standing.version == version:
        return
    dialect.upsert(connection, aliases, [{"model": version.model, "alias": alias, "version": version.number, "at": at, "by": by}])
    alias_moves.add(connection, version.model, alias, version.number, by, at, reason)


def remove_alias(connection: sa.Connection, model: str, alias: str, by: str, at: float, reason: str) -> None:
    """Take an alias away, and keep that in its history; raises NotFound."""
    removed = connection.execute(sa.delete(aliases).where(aliases.c.model == model, aliases.c.alias == alias))
    if removed.rowcount != 1:
        raise NotFound(f"alias: model {model!r} has no alias {alias!r}", field="alias", code="alias-not-found")
    alias_moves.add(connection, model, alias, None, by, at, reason)


def resolve(connection: sa.Connection, reference: str, field: str) -> VersionId:
    """The existing version that `credit@3` or `credit@champion` names; raises Invalid or NotFound naming `field`."""
    model, _, name = reference.partition("@")
    if name.isdigit() or not name:
        version = parse_version(reference, field)
    else:
        row = alias_row(connection, model, name)
        if row is None:
            raise NotFound(f"{field}: model {model!r} has no alias {name!r}", field=field, code="alias-not-found")
        version = row.version
    try:
        version_row(connection, version)
    except NotFound:
        raise NotFound(f"{field}: no version {version}", field=field, code="version-not-found") from None
    return version


def _models(connection: sa.Connection, query: sa.Select[Any]) -> list[ModelRow]:
    rows = connection.execute(query).all()
    latest, count = sa.func.max(versions.c.version).label("latest"), sa.func.count().label("number")
    grouped = sa.select(versions.c.model, latest, count).where(versions.c.model.in_([row.model for row in rows])).group_by(versions.c.model)
    held = {row.model: (row.latest, row.number) for row in connection.execute(grouped)}
    return [ModelRow(row.model, row.description, row.owner, row.revision, *held.get(row.model, (None, 0))) for row in rows]


def _version_row(row: Any) -> VersionRow:
    return VersionRow(VersionId(row.model, row.version), row.at, row.by, row.card, row.about, row.revision)


def _of(table: sa.Table, model: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(table).where(table.c.model == model)
