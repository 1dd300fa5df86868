"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "arm_counts",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(length=100), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("predictions", sa.Integer(), nullable=False),
        sa.Column("matured", sa.Integer(), nullable=False),
        sa.Column("cut", sa.Integer(), nullable=False),
        sa.Column("two_arms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "phase", "arm"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "endpoints",
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("plan", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint"),
    )
    op.create_table(
        "mirrored",
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("shadow", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=120), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "shadow", "version"),
    )
    op.create_table(
        "models",
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("model"),
    )
    op.create_table(
        "outcome_ids",
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("metric", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "metric", "id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "positions",
        sa.Column("reader", sa.String(length=300), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("reader"),
    )
    op.create_table(
        "set_aside",
        sa.Column("reader", sa.String(length=300), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("reader", "segment", "offset"),
    )
    op.create_table(
        "shadow_totals",
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("shadow", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=120), nullable=False),
        sa.Column("totals", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "shadow", "version"),
    )
    op.create_table(
        "summaries",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(length=100), nullable=False),
        sa.Column("metric", sa.String(length=100), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("m2", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "phase", "arm", "metric"),
    )
    op.create_table(
        "tallies",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "name"),
    )
    op.create_table(
        "tokens",
        sa.Column("token", sa.String(length=100), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=10), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("token"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "unit_totals",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("metric", sa.String(length=100), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "unit", "metric"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "units",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("arm", sa.String(length=100), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("entry", sa.Float(), nullable=False),
        sa.Column("propensity", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "unit"),
        sqlite_with_rowid=False,
    )
    op.create_index("units_open", "units", ["experiment", "entry"], unique=False, sqlite_where=sa.text("state = 'open'"))
    op.create_table(
        "waiting",
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("metric", sa.String(length=100), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("timestamp", sa.Float(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("segment", "offset"),
    )
    op.create_index("waiting_unit", "waiting", ["experiment", "unit"], unique=False)
    op.create_table(
        "workers",
        sa.Column("worker", sa.String(length=100), nullable=False),
        sa.Column("seen", sa.Float(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("worker"),
    )
    op.create_table(
        "experiments",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("started", sa.Float(), nullable=True),
        sa.Column("stopped", sa.Float(), nullable=True),
        sa.Column("because", sa.Text(), nullable=True),
        sa.Column("design", sa.LargeBinary(), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=True),
        sa.Column("next_look", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["endpoint"],
            ["endpoints.endpoint"],
        ),
        sa.PrimaryKeyConstraint("experiment"),
    )
    op.create_table(
        "plans",
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("plan", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint"],
            ["endpoints.endpoint"],
        ),
        sa.PrimaryKeyConstraint("endpoint", "plan"),
    )
    op.create_table(
        "versions",
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("card", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model"],
            ["models.model"],
        ),
        sa.PrimaryKeyConstraint("model", "version"),
    )
    op.create_table(
        "aliases",
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("alias", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["versions.model", "versions.version"],
        ),
        sa.PrimaryKeyConstraint("model", "alias"),
    )
