"""Declared metrics, joint and sliced summaries, what covariates and quantiles need, the history of looks, labelled shadow pairs."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the tables, and keep the summaries of experiments that have run."""
    op.add_column("experiments", sa.Column("settled", sa.LargeBinary(), nullable=True))
    op.add_column("units", sa.Column("about", sa.LargeBinary(), nullable=True))
    op.create_table(
        "metrics",
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("metric", sa.String(length=100), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["endpoint"], ["endpoints.endpoint"]),
        sa.PrimaryKeyConstraint("endpoint", "metric"),
    )
    op.create_table(
        "unit_values",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("metric", sa.String(length=100), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "metric", "unit", "segment", "offset"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "unit_history",
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("metric", sa.String(length=100), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "unit", "metric"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "look_points",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("treatment", sa.String(length=100), nullable=False),
        sa.Column("metric", sa.String(length=100), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("estimate", sa.Float(), nullable=False),
        sa.Column("lower", sa.Float(), nullable=True),
        sa.Column("upper", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("experiment", "look", "treatment", "metric"),
    )
    op.create_table(
        "shadow_pairs",
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("shadow", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=120), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("primary_loss", sa.Float(), nullable=False),
        sa.Column("shadow_loss", sa.Float(), nullable=False),
        sa.Column("primary_right", sa.Boolean(), nullable=True),
        sa.Column("shadow_right", sa.Boolean(), nullable=True),
        sa.Column("primary_score", sa.Float(), nullable=True),
        sa.Column("shadow_score", sa.Float(), nullable=True),
        sa.Column("positive", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("endpoint", "shadow", "version", "segment", "offset", "row"),
        sqlite_with_rowid=False,
    )
    _summaries()


def _summaries() -> None:
    """Figures in columns become a joint summary in a body, which later kinds of metrics can extend."""
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT experiment, phase, arm, metric, n, mean, m2 FROM summaries")).all()
    op.drop_table("summaries")
    table = op.create_table(
        "summaries",
        sa.Column("experiment", sa.String(length=100), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(length=100), nullable=False),
        sa.Column("slice", sa.String(length=100), nullable=False),
        sa.Column("part", sa.String(length=100), nullable=False),
        sa.Column("metric", sa.String(length=100), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "phase", "arm", "slice", "part", "metric"),
    )
    rows = [
        {
            "experiment": row.experiment,
            "phase": row.phase,
            "arm": row.arm,
            "slice": "",
            "part": "",
            "metric": row.metric,
            "body": json.dumps({"y": {"n": row.n, "mean": row.mean, "m2": row.m2}, "x": {"n": row.n}}).encode(),
        }
        for row in found
    ]
    if rows:
        connection.execute(sa.insert(table), rows)
