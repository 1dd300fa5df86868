"""Schema migrations with Alembic. Only the creation of a home and `serve` migrate; others refuse a schema they do not know."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from core.errors import Conflict
from store import dialect

# Alembic tells at INFO what it did; that it had nothing to do is no news.
logging.getLogger("alembic").setLevel(logging.WARNING)

_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(url: str) -> None:
    """Bring the schema at `url` to the newest revision; nothing happens where it is there already.

    Raises Conflict where a later Tiltyard has migrated it.
    """
    found, expected = revisions(url)
    if found == expected:
        return
    try:
        command.upgrade(_config(url), "head")
    except CommandError:
        raise Conflict(
            f"the store has schema {found}, this Tiltyard knows none after {expected}: it needs a later one", code="schema"
        ) from None


def revisions(url: str) -> tuple[str | None, str | None]:
    """The schema's revision in the database (None: empty), and the newest that this Tiltyard knows."""
    engine = dialect.connect(url)
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    return found, ScriptDirectory.from_config(_config(url)).get_current_head()


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["url"] = url
    return config
