"""What `watch` has counted of each version, and the windows that it has judged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "watch_states",
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=120), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "version"),
    )
    op.create_table(
        "watch_windows",
        sa.Column("endpoint", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("alarm", sa.Boolean(), nullable=False),
        sa.Column("summary", sa.LargeBinary(), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("endpoint", "version", "kind", "number"),
    )
