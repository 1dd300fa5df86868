"""Alembic's entry: one connection, one transaction, no configuration file."""

from __future__ import annotations

from alembic import context

from store import dialect
from store.tables import metadata

with dialect.connect(context.config.attributes["url"]).connect() as connection:
    connection = connection.execution_options(writes=True)
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
