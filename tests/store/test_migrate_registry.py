"""The registry of a store that was filled before versions had a history."""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa
from alembic import command

from core.ids import VersionId
from store import alias_moves, dialect, lifecycle, migrate, registry, version_blobs, version_facts
from store.engine import Store
from store.search import Condition, Has, InState, Order, search

CARD = {
    "signature": {"features": [{"name": "Age"}, {"name": "x"}], "task": "classification"},
    "format": "skops",
    "blobs": {"artefact": "a" * 64, "golden": "b" * 64},
}


def test_what_stands_becomes_history(tmp_path: Path) -> None:
    """Versions have been registered, aliases moved, tests passed; versions are found by their cards; numbers go on behind the last."""
    url = dialect.sqlite_url(tmp_path / "store.db")
    command.upgrade(migrate._config(url), "0004")
    with dialect.connect(url).begin() as connection:
        connection.execute(sa.text("INSERT INTO models VALUES ('fraud_model', 1.0), ('empty', 1.0)"))
        for number in (1, 2):
            values = {"n": number, "at": 10.0 * number, "card": json.dumps(CARD).encode()}
            connection.execute(
                sa.text("INSERT INTO versions (model, version, at, by, card) VALUES ('fraud_model', :n, :at, 'Ann', :card)"), values
            )
        connection.execute(sa.text("INSERT INTO aliases VALUES ('fraud_model', 'champion', 1, 15.0, 'bob')"))
        for number, passed in ((1, 0), (1, 1), (2, 1), (2, 0), (2, None)):
            connection.execute(
                sa.text(
                    "INSERT INTO batch_tests (model, version, at, by, passed, body) VALUES ('fraud_model', :n, 20.0, 'tester', :p, '{}')"
                ),
                {"n": number, "p": passed},
            )
    migrate.upgrade(url)
    first, second = VersionId("fraud_model", 1), VersionId("fraud_model", 2)
    with Store(url).write() as connection:
        [event] = lifecycle.events(connection, second)
        assert (event.event, event.at, event.by) == ("registered", 20.0, "Ann")
        [move] = alias_moves.newest(connection, "fraud_model", "champion", 9)
        assert (move.version, move.at, move.by) == (first, 15.0, "bob")
        assert version_facts.marks_of(connection, first) == {"tested"}
        assert version_facts.marks_of(connection, second) == set()
        assert version_blobs.unnamed(connection, ["a" * 64, "b" * 64, "c" * 64]) == {"c" * 64}
        for condition in (
            Has("task", "classification"),
            Has("runtime", "sklearn"),
            Has("feature", "age"),
            Has("by", "ann"),
            Has("word", "fraud", begins=True),
            Has("word", "model"),
            InState("registered"),
        ):
            found = search(connection, [Condition(condition)], Order("model", descending=False), None, 9, set())
            assert [each.version for each in found] == ([second] if condition == InState("registered") else [first, second])
        assert registry.add_version(connection, "fraud_model", b"{}", "me", 30.0) == VersionId("fraud_model", 3)
        assert registry.add_version(connection, "empty", b"{}", "me", 30.0) == VersionId("empty", 1)
