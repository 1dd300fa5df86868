"""The tables. What floor 2 packages own (plans, cards, designs, evidence) is kept as their JSON; columns are what queries need."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import JSON, Boolean, Column, Float, ForeignKeyConstraint, Index, Integer, LargeBinary, String, Table, Text

metadata = sa.MetaData()

models = Table(
    "models",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("at", Float, nullable=False),
    Column("last", Integer, nullable=False, server_default="0"),
    Column("description", Text, nullable=False, server_default=""),
    Column("owner", String(200), nullable=False, server_default=""),
    Column("revision", Integer, nullable=False, server_default="1"),
)

versions = Table(
    "versions",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("by", String(100), nullable=False),
    Column("card", LargeBinary, nullable=False),
    Column("about", LargeBinary, nullable=False, server_default="{}"),
    Column("revision", Integer, nullable=False, server_default="1"),
    ForeignKeyConstraint(["model"], ["models.model"]),
)
Index("versions_at", versions.c.at, versions.c.model, versions.c.version)

version_events = Table(
    "version_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("by", String(200), nullable=False),
    Column("event", String(30), nullable=False),
    Column("reason", Text, nullable=False),
)
Index("version_events_version", version_events.c.model, version_events.c.version)

version_facts = Table(
    "version_facts",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("name", String(120), primary_key=True),
    Column("text", String(500), primary_key=True),
    Column("number", Float),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
    sqlite_with_rowid=False,
)
Index("version_facts_text", version_facts.c.name, version_facts.c.text, version_facts.c.model, version_facts.c.version)
Index("version_facts_number", version_facts.c.name, version_facts.c.number, version_facts.c.model, version_facts.c.version)

version_blobs = Table(
    "version_blobs",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
    sqlite_with_rowid=False,
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("alias", String(100), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("by", String(100), nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)
Index("aliases_alias", aliases.c.alias, aliases.c.model, aliases.c.version)

alias_moves = Table(
    "alias_moves",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String(100), nullable=False),
    Column("alias", String(100), nullable=False),
    Column("version", Integer),
    Column("at", Float, nullable=False),
    Column("by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
)
Index("alias_moves_alias", alias_moves.c.model, alias_moves.c.alias)

alias_rules = Table(
    "alias_rules",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("alias", String(100), primary_key=True),
    Column("needs_test", Boolean, nullable=False),
    Column("needs_approval", Boolean, nullable=False),
    Column("by_another", Boolean, nullable=False),
    Column("at", Float, nullable=False),
    Column("by", String(200), nullable=False),
    ForeignKeyConstraint(["model"], ["models.model"]),
)

batch_tests = Table(
    "batch_tests",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("by", String(200), nullable=False),
    Column("passed", Boolean),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)
Index("batch_tests_version", batch_tests.c.model, batch_tests.c.version)

endpoints = Table(
    "endpoints",
    metadata,
    Column("endpoint", String(100), primary_key=True),
    Column("plan", Integer, nullable=False),
    Column("at", Float, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("endpoint", String(100), primary_key=True),
    Column("plan", Integer, primary_key=True),
    Column("phase", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(["endpoint"], ["endpoints.endpoint"]),
)

metrics = Table(
    "metrics",
    metadata,
    Column("endpoint", String(100), primary_key=True),
    Column("metric", String(100), primary_key=True),
    Column("at", Float, nullable=False),
    Column("by", String(200), nullable=False),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(["endpoint"], ["endpoints.endpoint"]),
)

experiments = Table(
    "experiments",
    metadata,
    Column("experiment", String(100), primary_key=True),
    Column("endpoint", String(100), nullable=False),
    Column("state", String(10), nullable=False),
    Column("at", Float, nullable=False),
    Column("started", Float),
    Column("stopped", Float),
    Column("because", Text),
    Column("design", LargeBinary, nullable=False),
    Column("evidence", LargeBinary),
    Column("next_look", Float),
    Column("settled", LargeBinary),
    ForeignKeyConstraint(["endpoint"], ["endpoints.endpoint"]),
)

units = Table(
    "units",
    metadata,
    Column("experiment", String(100), primary_key=True),
    Column("unit", String, primary_key=True),
    Column("arm", String(100), nullable=False),
    Column("phase", Integer, nullable=False),
    Column("entry", Float, nullable=False),
    Column("propensity", Float, nullable=False),
    Column("state", String(10), nullable=False),
    Column("about", LargeBinary),
    sqlite_with_rowid=False,
)
Index("units_open", units.c.experiment, units.c.entry, sqlite_where=units.c.state == "open")

unit_totals = Table(
    "unit_totals",
    metadata,
    Column("experiment", String(100), primary_key=True),
    Column("unit", String, primary_key=True),
    Column("metric", String(100), primary_key=True),
    Column("total", Float, nullable=False),
    Column("events", Integer, nullable=False),
    sqlite_with_rowid=False,
)

unit_values = Table(
    "unit_values",
    metadata,
    Column("experiment", String(100), primary_key=True),
    Column("metric", String(100), primary_key=True),
    Column("unit", String, primary_key=True),
    Column("segment", Integer, primary_key=True),
    Column("offset", Integer, primary_key=True),
    Column("value", Float, nullable=False),
    sqlite_with_rowid=False,
)

unit_history = Table(
    "unit_history",
    metadata,
    Column("endpoint", String(100), primary_key=True),
    Column("unit", String, primary_key=True),
    Column("metric", String(100), primary_key=True),
    Column("total", Float, nullable=False),
    Column("events", Integer, nullable=False),
    sqlite_with_rowid=False,
)

summaries = Table(
    "summaries",
    metadata,
    Column("experiment", String(100), primary_key=True),
    Column("phase", Integer, primary_key=True),
    Column("arm", String(100), primary_key=True),
    Column("slice", String(100), primary_key=True),
    Column("part", String(100), primary_key=True),
    Column("metric", String(100), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

look_points = Table(
    "look_points",
    metadata,
    Column("experiment", String(100), primary_key=True),
    Column("look", Integer, primary_key=True),
    Column("treatment", String(100), primary_key=True),
    Column("metric", String(100), primary_key=True),
    Column("at", Float, nullable=False),
    Column("estimate", Float, nullable=False),
    Column("lower", Float),
    Column("upper", Float),
)

arm_counts = Table(
    "arm_counts",
    metadata,
    Column("experiment", String(100), primary_key=True),
    Column("phase", Integer, primary_key=True),
    Column("arm", String(100), primary_key=True),
    Column("units", Integer, nullable=False),
    Column("predictions", Integer, nullable=False),
    Column("matured", Integer, nullable=False),
    Column("cut", Integer, nullable=False),
    Column("two_arms", Integer, nullable=False),
)

tallies = Table(
    "tallies",
    metadata,
    Column("experiment", String(100), primary_key=True),
    Column("name", String(30), primary_key=True),
    Column("number", Integer, nullable=False),
)

outcome_ids = Table(
    "outcome_ids",
    metadata,
    Column("endpoint", String(100), primary_key=True),
    Column("metric", String(100), primary_key=True),
    Column("id", String, primary_key=True),
    sqlite_with_rowid=False,
)

waiting = Table(
    "waiting",
    metadata,
    Column("segment", Integer, primary_key=True),
    Column("offset", Integer, primary_key=True),
    Column("experiment", String(100), nullable=False),
    Column("unit", String, nullable=False),
    Column("metric", String(100), nullable=False),
    Column("value", Float, nullable=False),
    Column("timestamp", Float, nullable=False),
    Column("at", Float, nullable=False),
)
Index("waiting_unit", waiting.c.experiment, waiting.c.unit)

shadow_totals = Table(
    "shadow_totals",
    metadata,
    Column("endpoint", String(100), primary_key=True),
    Column("shadow", String(100), primary_key=True),
    Column("version", String(120), primary_key=True),
    Column("totals", JSON, nullable=False),
)

shadow_pairs = Table(
    "shadow_pairs",
    metadata,
    Column("endpoint", String(100), primary_key=True),
    Column("shadow", String(100), primary_key=True),
    Column("version", String(120), primary_key=True),
    Column("segment", Integer, primary_key=True),
    Column("offset", Integer, primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("unit", String, nullable=False),
    Column("primary_loss", Float, nullable=False),
    Column("shadow_loss", Float, nullable=False),
    Column("primary_right", Boolean),
    Column("shadow_right", Boolean),
    Column("primary_score", Float),
    Column("shadow_score", Float),
    Column("positive", Boolean),
    sqlite_with_rowid=False,
)

mirrored = Table(
    "mirrored",
    metadata,
    Column("endpoint", String(100), primary_key=True),
    Column("shadow", String(100), primary_key=True),
    Column("version", String(120), primary_key=True),
    Column("number", Integer, nullable=False),
)

positions = Table(
    "positions",
    metadata,
    Column("reader", String(300), primary_key=True),
    Column("segment", Integer, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("at", Float, nullable=False),
)

set_aside = Table(
    "set_aside",
    metadata,
    Column("reader", String(300), primary_key=True),
    Column("segment", Integer, primary_key=True),
    Column("offset", Integer, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("segment", Integer, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("published", Float, nullable=False),
    Column("river", String(50), nullable=False),
    Column("signature", String(64), nullable=False),
    Column("artefact", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("status", LargeBinary, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("segment", Integer, primary_key=True),
    Column("kind", String(10), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)

quarantined = Table(
    "quarantined",
    metadata,
    Column("model", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("segment", Integer, primary_key=True),
    Column("offset", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
    sqlite_with_rowid=False,
)

views = Table(
    "views",
    metadata,
    Column("view", String(100), primary_key=True),
    Column("at", Float, nullable=False),
    Column("by", String(200), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("as_of", Float),
)

watch_states = Table(
    "watch_states",
    metadata,
    Column("endpoint", String(100), primary_key=True),
    Column("version", String(120), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

watch_windows = Table(
    "watch_windows",
    metadata,
    Column("endpoint", String(100), primary_key=True),
    Column("version", String(120), primary_key=True),
    Column("kind", String(10), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("alarm", Boolean, nullable=False),
    Column("summary", LargeBinary, nullable=False),
    Column("detail", LargeBinary),
)

workers = Table(
    "workers",
    metadata,
    Column("worker", String(100), primary_key=True),
    Column("seen", Float, nullable=False),
    Column("report", JSON, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token", String(100), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scope", String(10), nullable=False),
    Column("at", Float, nullable=False),
    Column("revoked", Boolean, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(50), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("detail", JSON, nullable=False),
)
