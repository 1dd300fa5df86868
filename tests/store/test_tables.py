"""Queries by subject: plans, registry, dialect, tokens, workers, audit, facts."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from core.errors import Conflict, Invalid, NotFound
from core.ids import VersionId
from store import (
    alias_moves,
    audit,
    batch_tests,
    dialect,
    experiments,
    facts,
    lifecycle,
    plans,
    registry,
    tokens,
    version_blobs,
    version_facts,
    workers,
)
from store.engine import Store
from store.experiments import ExperimentRow
from store.facts import UnitRow, WaitingRow
from store.plans import PlanRow
from store.tables import aliases, quarantined, tallies, versions
from store.tables import batch_tests as batch_tests_table
from store.tables import version_blobs as version_blobs_table
from store.tables import version_facts as version_facts_table
from store.tokens import TokenRow
from store.version_facts import Fact


def plan(number: int, phase: int = 1) -> PlanRow:
    """A plan of `credit`."""
    return PlanRow("credit", number, phase, float(number), b"{}")


def test_plans_are_a_chain(store: Store) -> None:
    """A plan is stored only behind the current one: whoever is too late gets a Conflict, and history stays as it was."""
    with store.write() as connection:
        plans.create(connection, plan(1))
        plans.append(connection, plan(2))
    for number in (2, 4):
        with store.write() as connection, pytest.raises(Conflict) as caught:
            plans.append(connection, plan(number))
        assert caught.value.code == "plan-changed"
    with store.read() as connection:
        assert plans.history(connection, "credit", 9) == [plan(2), plan(1)]
        assert plans.current(connection, "credit") == plan(2)
        assert plans.current_numbers(connection) == {"credit": 2}
        assert [plans.in_force(connection, "credit", at) for at in (1.0, 1.9, 2.0, 9.0)] == [plan(1), plan(1), plan(2), plan(2)]


def test_an_endpoint_is_created_once(store: Store) -> None:
    """A taken name is a Conflict."""
    with store.write() as connection:
        plans.create(connection, plan(1))
        with pytest.raises(Conflict, match="exists already"):
            plans.create(connection, plan(1))


def test_what_does_not_exist(store: Store) -> None:
    """Unknown endpoints, plans, versions, models, experiments and tokens are NotFound."""
    with store.write() as connection:
        for ask in (
            lambda: plans.current(connection, "credit"),
            lambda: plans.get(connection, "credit", 1),
            lambda: plans.in_force(connection, "credit", 1.0),
            lambda: plans.history(connection, "credit", 1),
            lambda: registry.version_row(connection, VersionId("credit", 1)),
            lambda: registry.list_versions(connection, "credit"),
            lambda: registry.resolve(connection, "credit@1", "arms.control"),
            lambda: registry.resolve(connection, "credit@champion", "arms.control"),
            lambda: registry.set_alias(connection, VersionId("credit", 1), "champion", "me", 0.0),
            lambda: experiments.get(connection, "e1"),
            lambda: tokens.revoke(connection, "t"),
        ):
            with pytest.raises(NotFound):
                ask()


def test_phase_heads(store: Store) -> None:
    """The first plan of each phase, in order, of each endpoint that is asked for."""
    with store.write() as connection:
        plans.create(connection, plan(1))
        plans.create(connection, plan(1)._replace(endpoint="other"))
        for number, phase in ((2, 1), (3, 2), (4, 2), (5, 3)):
            plans.append(connection, plan(number, phase))
        heads = plans.phase_heads(connection, {"credit", "other", "nobody"})
        assert {name: [row.plan for row in rows] for name, rows in heads.items()} == {"credit": [1, 3, 5], "other": [1], "nobody": []}
        assert plans.phase_heads(connection, ["other"]) == {"other": heads["other"]}


def test_versions_are_numbered_by_model(store: Store) -> None:
    """Each model counts its own versions, and a reference names one by number or alias."""
    with store.write() as connection:
        added = [registry.add_version(connection, model, b"card", "me", 1.0) for model in ("a", "a", "b")]
        assert added == [VersionId("a", 1), VersionId("a", 2), VersionId("b", 1)]
        registry.set_alias(connection, added[0], "champion", "me", 2.0)
        registry.set_alias(connection, added[1], "champion", "you", 3.0)
        assert registry.resolve(connection, "a@champion", "f") == registry.resolve(connection, "a@2", "f") == added[1]
        assert [(row.alias, row.version, row.by) for row in registry.list_aliases(connection, "a")] == [("champion", added[1], "you")]
        assert registry.list_models(connection) == ["a", "b"]
        for reference in ("a", "a@", "a@0", "a@03"):
            with pytest.raises(Invalid, match=r"^f: expected MODEL@NUMBER"):
                registry.resolve(connection, reference, "f")


def test_a_deleted_version_takes_along_what_refers_to_it(store: Store) -> None:
    """Every table that refers to versions is rid of it, and of it alone; its events and the history of aliases refer to nothing."""
    with store.write() as connection:
        gone, stays = (registry.add_version(connection, "a", b"{}", "me", 1.0) for _ in range(2))
        for version in (gone, stays):
            batch_tests.add(connection, version, 2.0, "me", True, b"{}")
            version_facts.replace(connection, version, [Fact("tag", "t")])
            version_blobs.add(connection, version, ["d" * 64])
            connection.execute(sa.insert(quarantined).values(model="a", version=version.number, segment=1, offset=2, at=3.0, reason="odd"))
            registry.set_alias(connection, version, f"alias-{version.number}", "me", 4.0)
        registry.delete_version(connection, gone)
        assert [registry.holds(connection, version) for version in (gone, stays)] == [False, True]
        for table in (versions, version_facts_table, version_blobs_table, quarantined, batch_tests_table, aliases):
            assert set(connection.scalars(sa.select(table.c.version))) == {2}
        assert [event.event for event in lifecycle.events(connection, gone)] == ["registered", "tested"]
        assert alias_moves.ever_named(connection, gone)
        with pytest.raises(NotFound):
            registry.version_row(connection, gone)
        assert registry.newest_versions(connection, "a", 9) == registry.list_versions(connection, "a") != []


def test_add_and_upsert(store: Store) -> None:
    """`add` sums by key, `upsert` replaces by key, `insert_new` keeps what is there; several rows of one key in one call too."""

    def row(number: int, name: str = "counted") -> dict[str, object]:
        return {"experiment": "e", "name": name, "number": number}

    with store.write() as connection:
        dialect.add(connection, tallies, [row(2), row(3), row(1, "other")])
        dialect.add(connection, tallies, [row(-1)])
        assert facts.tallies_of(connection, "e") == {"counted": 4, "other": 1}
        dialect.upsert(connection, tallies, [row(7), row(9)])
        dialect.insert_new(connection, tallies, [row(8), row(5, "new")])
        for change in (dialect.add, dialect.upsert, dialect.insert_new):
            change(connection, tallies, [])
        assert facts.tallies_of(connection, "e") == {"counted": 9, "other": 1, "new": 5}


def test_writers_wait_for_each_other(store: Store) -> None:
    """Who reads first and writes later loses no update to another who does the same."""

    def add_one() -> None:
        for _ in range(20):
            with store.write() as connection:
                number = facts.tallies_of(connection, "e").get("n", 0)
                dialect.upsert(connection, tallies, [{"experiment": "e", "name": "n", "number": number + 1}])

    threads = [threading.Thread(target=add_one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as connection:
        assert facts.tallies_of(connection, "e") == {"n": 60}


def test_a_reader_sees_one_moment(store: Store) -> None:
    """What is written meanwhile is not seen half-way."""
    with store.read() as reading:
        assert facts.tallies_of(reading, "e") == {}
        with store.write() as connection:
            facts.add_tallies(connection, {("e", "n"): 1})
        assert facts.tallies_of(reading, "e") == {}


def test_foreign_keys_hold(store: Store) -> None:
    """An experiment needs its endpoint."""
    row = ExperimentRow("e1", "none", "draft", 0.0, None, None, None, b"{}", None, None)
    with pytest.raises(sa.exc.IntegrityError), store.write() as connection:
        experiments.add(connection, row)


def test_more_names_than_a_query_takes(store: Store) -> None:
    """Units are found however many are asked for."""
    rows = [UnitRow("e", f"u{number}", "control", 1, float(number), 0.5, facts.OPEN) for number in range(1203)]
    with store.write() as connection:
        facts.save_units(connection, rows)
        assert facts.units_of(connection, "e", [row.unit for row in rows]) == {row.unit: row for row in rows}
        assert len(facts.due(connection, "e", 100.0)) == 101
        assert facts.first_open(connection, "e") == 0.0
        assert facts.first_open(connection, "other") is None


def test_waiting_is_taken_once(store: Store) -> None:
    """An outcome that waits is handed out once, to its own experiment's unit, or expires."""
    rows = [WaitingRow(1, offset, "e", unit, "m", 1.0, 0.0, at) for offset, unit, at in ((3, "a", 1.0), (1, "a", 5.0), (2, "b", 9.0))]
    with store.write() as connection:
        facts.save_waiting(connection, rows)
        assert facts.take_waiting(connection, "other", ["a"]) == []
        assert facts.expire_waiting(connection, 1.0) == [rows[0]]
        assert facts.take_waiting(connection, "e", ["a"]) == [rows[1]]
        assert facts.take_waiting(connection, "e", ["a"]) == []
        assert facts.expire_waiting(connection, 9.0) == [rows[2]]


def test_identities_are_exact(store: Store) -> None:
    """The same id under another metric or endpoint is another identity."""
    with store.write() as connection:
        facts.save_ids(connection, {("credit", "m", "1")})
        facts.save_ids(connection, {("credit", "m", "1")})
        asked = [("credit", "m", "1"), ("credit", "n", "1"), ("other", "m", "1")]
        assert facts.known_ids(connection, asked) == {asked[0]}


def test_tokens(store: Store) -> None:
    """A token is found by its digest until it is revoked."""
    row = TokenRow("ci", "d" * 64, "operate", 1.0, False)
    with store.write() as connection:
        tokens.add(connection, row)
        assert tokens.find(connection, row.digest) == row
        assert tokens.find(connection, "e" * 64) is None
        tokens.revoke(connection, "ci")
        assert tokens.find(connection, row.digest) is None
        assert tokens.list_all(connection) == [row._replace(revoked=True)]


def test_workers(store: Store) -> None:
    """A worker's last report counts while it is fresh."""
    with store.write() as connection:
        workers.report(connection, "w1", 1.0, {"plans": {}})
        workers.report(connection, "w1", 9.0, {"plans": {"credit": 2}})
        workers.report(connection, "w2", 2.0, {})
        assert workers.alive(connection, 5.0) == {"w1": (9.0, {"plans": {"credit": 2}})}
        workers.forget(connection, ["w2"])
        assert set(workers.alive(connection, 0.0)) == {"w1"}


def test_audit(store: Store) -> None:
    """The newest rows first, with their details."""
    with store.write() as connection:
        for number in range(3):
            audit.write(connection, float(number), "me", "act", f"s{number}", number=number)
        found = audit.newest(connection, 2)
    assert [(row["subject"], row["detail"]) for row in found] == [("s2", {"number": 2}), ("s1", {"number": 1})]
