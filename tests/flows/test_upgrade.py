"""A home of the first schema with an experiment that runs: upgraded, it goes on as if nothing had been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command

from core.events import Tick
from flows.facts.report import report_in
from store import dialect, migrate
from tests.flows.flow_world import World
from tests.flows.metric_world import REVENUE, begin, close

NEW_COLUMNS = {"experiments": {"settled"}, "units": {"about"}}
NEW_TABLES = {"metrics", "unit_values", "unit_history", "look_points", "shadow_pairs"}
OLD_EVIDENCE = {"looks", "slot", "at", "frozen", "tracks", "ratio"}
OLD_TRACK = {"v", "better", "worse"}


def story(world: World) -> None:
    """Units that matured, and units that wait for their outcomes."""
    world.endpoint()
    begin(world, REVENUE)
    for number in range(50):
        world.predict(1.0 + number, f"u{number}", "treatment" if number % 2 else "control")
        world.observe(1.0 + number, f"u{number}", float(number % 7))
    world.log(Tick(100.0))


def age(home: Path) -> None:
    """Make the store what the first schema would have made of it."""
    newer = dialect.connect(dialect.sqlite_url(home / "store.db"))
    older = dialect.sqlite_url(home / "old.db")
    command.upgrade(migrate._config(older), "0001")
    tables = sa.MetaData()
    tables.reflect(dialect.connect(older))
    with newer.connect() as source, dialect.connect(older).begin() as target:
        for table in tables.sorted_tables:
            if table.name != "alembic_version":
                rows = [old(table.name, dict(row)) for row in source.execute(sa.text(f"SELECT * FROM {table.name}")).mappings()]
                if rows:
                    target.execute(sa.insert(table), rows)
    (home / "old.db").replace(home / "store.db")
    for left in ("-wal", "-shm"):
        (home / f"store.db{left}").unlink(missing_ok=True)


def old(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row as it was."""
    if table == "summaries":
        y = {"n": 0, "mean": 0.0, "m2": 0.0, **json.loads(row["body"])["y"]}
        return {**{key: row[key] for key in ("experiment", "phase", "arm", "metric")}, **{key: y[key] for key in ("n", "mean", "m2")}}
    if table == "experiments" and row["evidence"] is not None:
        evidence = {key: each for key, each in json.loads(row["evidence"]).items() if key in OLD_EVIDENCE}
        evidence["tracks"] = {
            arm: {name: {key: each for key, each in track.items() if key in OLD_TRACK} for name, track in tracks.items()}
            for arm, tracks in evidence["tracks"].items()
        }
        row["evidence"] = json.dumps(evidence).encode()
    return {key: each for key, each in row.items() if key not in NEW_COLUMNS.get(table, ())}


def test_an_experiment_goes_on(tmp_path: Path) -> None:
    """Half of its events were folded before: facts and report are those of a home that was never upgraded."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    whole, upgraded = World(tmp_path / "one"), World(tmp_path / "other")
    for world in (whole, upgraded):
        story(world)
        world.fold(entries=world.entries[:60])
    age(tmp_path / "other")
    migrate.upgrade(dialect.sqlite_url(tmp_path / "other" / "store.db"))
    for world in (whole, upgraded):
        world.fold(entries=world.entries[60:])
    left, right = whole.facts(), upgraded.facts()
    assert all(left[table] for table in ("units", "summaries", "look_points"))
    for table in left.keys() - NEW_TABLES:
        assert close(left[table], right[table]), table
    reports = []
    for world in (whole, upgraded):
        with world.store.read() as connection:
            reports.append(report_in(connection, "e1", world.at))
    assert reports[0]["outcomes"] == reports[1]["outcomes"]
    assert close(*reports)
