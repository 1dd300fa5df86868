"""What happened to versions and aliases, the rules of aliases, and the facts that versions are searched by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_AT_ONCE = 200


def upgrade() -> None:
    """Add the tables and indexes, and fill them with what stands already."""
    _columns()
    _happenings()
    _facts()
    op.create_index("versions_at", "versions", ["at", "model", "version"])
    op.create_index("aliases_alias", "aliases", ["alias", "model", "version"])
    _fill()


def _columns() -> None:
    for column in (
        sa.Column("last", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("description", sa.Text(), nullable=False, server_default=""),
        sa.Column("owner", sa.String(length=200), nullable=False, server_default=""),
        sa.Column("revision", sa.Integer(), nullable=False, server_default="1"),
    ):
        op.add_column("models", column)


def _happenings() -> None:
    op.create_table(
        "version_events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("event", sa.String(length=30), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("version_events_version", "version_events", ["model", "version"])
    op.create_table(
        "alias_moves",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("alias", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("alias_moves_alias", "alias_moves", ["model", "alias"])
    op.create_table(
        "alias_rules",
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("alias", sa.String(length=100), nullable=False),
        sa.Column("needs_test", sa.Boolean(), nullable=False),
        sa.Column("needs_approval", sa.Boolean(), nullable=False),
        sa.Column("by_another", sa.Boolean(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.model"]),
        sa.PrimaryKeyConstraint("model", "alias"),
    )


def _facts() -> None:
    op.create_table(
        "version_facts",
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("text", sa.String(length=500), nullable=False),
        sa.Column("number", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
        sa.PrimaryKeyConstraint("model", "version", "name", "text"),
        sqlite_with_rowid=False,
    )
    op.create_index("version_facts_text", "version_facts", ["name", "text", "model", "version"])
    op.create_index("version_facts_number", "version_facts", ["name", "number", "model", "version"])
    op.create_table(
        "version_blobs",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
        sa.PrimaryKeyConstraint("digest", "model", "version"),
        sqlite_with_rowid=False,
    )


def _fill() -> None:
    for statement in (
        "UPDATE models SET last = coalesce((SELECT max(version) FROM versions WHERE versions.model = models.model), 0)",
        "INSERT INTO version_events (model, version, at, by, event, reason)"
        " SELECT model, version, at, by, 'registered', '' FROM versions ORDER BY at, model, version",
        "INSERT INTO alias_moves (model, alias, version, at, by, reason) SELECT model, alias, version, at, by, '' FROM aliases ORDER BY at",
        "INSERT INTO version_facts (model, version, name, text)"
        " SELECT model, version, 'mark', 'tested' FROM batch_tests AS one WHERE passed AND id ="
        " (SELECT max(id) FROM batch_tests WHERE model = one.model AND version = one.version AND passed IS NOT NULL)",
    ):
        op.execute(statement)
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT model, version, by, card FROM versions"))
    for part in rows.partitions(_AT_ONCE):
        found = [(row.model, row.version, row.by, msgspec.json.decode(row.card)) for row in part]
        facts = [dict(zip("mvnt", (*one[:2], *fact), strict=True)) for one in found for fact in _told(*one)]
        blobs = [{"d": digest, "m": one[0], "v": one[1]} for one in found for digest in set(one[3].get("blobs", {}).values())]
        if facts:
            connection.execute(sa.text("INSERT OR IGNORE INTO version_facts (model, version, name, text) VALUES (:m, :v, :n, :t)"), facts)
        if blobs:
            connection.execute(sa.text("INSERT INTO version_blobs (digest, model, version) VALUES (:d, :m, :v)"), blobs)


def _told(model: str, _version: int, by: str, card: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a card says that is searched by; no version of before has anything said of it."""
    yield "by", by.casefold()
    yield from (("word", word.casefold()) for word in re.findall(r"\w+", model.replace("_", " ")))
    form, signature = card.get("format"), card.get("signature", {})
    if form:
        yield "runtime", form if form in ("linear", "onnx", "river") else "sklearn"
    if "task" in signature:
        yield "task", signature["task"]
    yield from (("feature", each["name"].casefold()) for each in signature.get("features", ()))
