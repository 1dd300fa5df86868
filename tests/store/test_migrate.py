"""Migrations: they give the schema of the tables, once, whoever starts at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from core.errors import Conflict, NotFound
from core.settings import Settings
from store import dialect, engine, facts, migrate
from store.facts import SummaryKey
from store.tables import metadata

ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where a store may be; nothing is there yet."""
    return dialect.sqlite_url(tmp_path / "store.db")


def differences(url: str) -> list[object]:
    """What alembic would change to get from the database to the tables."""
    with dialect.connect(url).connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


def schema(url: str) -> set[str]:
    """The statements that made the tables and indexes."""
    with dialect.connect(url).connect() as connection:
        rows = connection.execute(sa.text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"))
        return {" ".join(row.sql.split()) for row in rows}


def test_the_migrations_give_the_tables(url: str) -> None:
    """Nothing is left to change after the newest migration."""
    migrate.upgrade(url)
    assert differences(url) == []


def test_what_alembic_does_not_compare(url: str, tmp_path: Path) -> None:
    """Tables without row ids and partial indexes are what the tables say, too."""
    migrate.upgrade(url)
    direct = dialect.sqlite_url(tmp_path / "direct.db")
    metadata.create_all(dialect.connect(direct))
    for word in ("WITHOUT ROWID", "WHERE state = 'open'"):
        assert sum(word in each for each in schema(url)) == sum(word in each for each in schema(direct)) > 0


def test_upgrading_again_changes_nothing(url: str) -> None:
    """A start of a home that is up to date leaves it as it is."""
    migrate.upgrade(url)
    before = schema(url)
    migrate.upgrade(url)
    assert schema(url) == before
    assert migrate.revisions(url)[0] == migrate.revisions(url)[1]


def test_two_processes_at_once(url: str) -> None:
    """Whoever comes second finds the work done: no error, one schema."""
    code = f"from store import migrate; migrate.upgrade({url!r})"
    starts = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [start.communicate()[1] for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0], errors
    assert differences(url) == []


def test_a_schema_from_elsewhere_is_refused(tmp_path: Path) -> None:
    """A command that may not migrate says which schema it found and what to do."""
    settings = Settings(home=str(tmp_path))
    store = engine.create(settings)
    with store.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match=r"has schema 9999, this Tiltyard knows \d+: start `tiltyard serve`") as caught:
        engine.open_existing(settings)
    assert caught.value.code == "schema"


def test_a_later_schema_is_not_migrated(tmp_path: Path) -> None:
    """`serve` of an older Tiltyard refuses a newer store in the same words, and leaves it alone."""
    settings = Settings(home=str(tmp_path))
    store = engine.create(settings)
    with store.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="9999"):
        engine.create(settings)


def test_no_home(tmp_path: Path) -> None:
    """Commands that do not create a home name the path that is missing, and leave nothing there."""
    with pytest.raises(NotFound, match=str(tmp_path / "none")):
        engine.open_existing(Settings(home=str(tmp_path / "none")))
    assert not (tmp_path / "none").exists()


def test_an_existing_home_opens(tmp_path: Path) -> None:
    """What was created can be opened."""
    settings = Settings(home=str(tmp_path))
    engine.create(settings)
    with engine.open_existing(settings).read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM plans")) == 0


FIRST: dict[str, dict[str, Any]] = {
    "endpoints": {"endpoint": "credit", "plan": 1, "at": 0.0},
    "experiments": {
        "experiment": "e1",
        "endpoint": "credit",
        "state": "running",
        "at": 0.0,
        "started": 1.0,
        "stopped": None,
        "because": None,
        "design": b'{"metrics":[{"name":"revenue"}],"mde":1.0}',
        "evidence": b'{"looks":2}',
        "next_look": 60.0,
    },
    "units": {"experiment": "e1", "unit": "u", "arm": "control", "phase": 1, "entry": 2.0, "propensity": 0.5, "state": "open"},
    "unit_totals": {"experiment": "e1", "unit": "u", "metric": "revenue", "total": 4.0, "events": 2},
    "summaries": {"experiment": "e1", "phase": 1, "arm": "control", "metric": "revenue", "n": 3, "mean": 2.5, "m2": 1.25},
    "tallies": {"experiment": "e1", "name": "counted", "number": 5},
    "positions": {"reader": "record", "segment": 1, "offset": 70, "crashes": 0, "at": 9.0},
}
"""A row of each table as the first schema has it."""


def test_a_store_of_the_first_schema(url: str) -> None:
    """Upgraded, its rows are as they were, its summaries as they are written now, and what is new is empty."""
    command.upgrade(migrate._config(url), "0001")
    with dialect.connect(url).begin() as connection:
        for table, row in FIRST.items():
            columns = ", ".join(f'"{name}"' for name in row)
            connection.execute(sa.text(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(f':{name}' for name in row)})"), row)
    migrate.upgrade(url)
    assert differences(url) == []
    with dialect.connect(url).connect() as connection:
        for table, row in FIRST.items():
            if table != "summaries":
                [found] = connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()
                assert dict(found) == {**dict.fromkeys(found), **row}
        [(key, body)] = facts.summaries_of(connection, "e1").items()
    assert key == SummaryKey(1, "control", "", "", "revenue")
    assert json.loads(body) == {"y": {"n": 3, "mean": 2.5, "m2": 1.25}, "x": {"n": 3}}
