"""What people say of a version, and batch tests: what it achieved on a data set, away from traffic."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("versions", sa.Column("about", sa.LargeBinary(), nullable=False, server_default="{}"))
    op.add_column("versions", sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
    op.create_table(
        "batch_tests",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("batch_tests_version", "batch_tests", ["model", "version"])
