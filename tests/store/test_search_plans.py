"""How SQLite answers a search: by indexes, whatever is asked. A clock would say so on some machines only."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from core.ids import VersionId
from store import registry, search, version_facts
from store.engine import Store
from store.search import FEW, After, AllOf, AnyOf, Compares, Condition, Has, InState, IsOf, Named, Order, Registered, Wanted
from store.version_facts import Fact

SERVING = {VersionId("a", 1), VersionId("a", 2)}
WANTED: dict[str, Wanted] = {
    "text": Has("tag", "fraud"),
    "beginning": Has("word", "fra", begins=True),
    "number": Compares("metric.auc", ">", 0.9),
    "either": AnyOf((Has("param.depth", "5"), Compares("param.depth", "=", 5.0))),
    "words": AllOf((Has("word", "a", begins=True), Has("word", "b", begins=True))),
    "registered": InState("registered"),
    "serving": InState("serving"),
    "retired": InState("retired"),
    "alias": Named("champion"),
}
ORDERS = [
    Order("registered"),
    Order("registered", descending=False),
    Order("model"),
    Order("model", descending=False),
    Order("metric.auc"),
    Order("metric.auc", descending=False),
]


def plan(store: Store, query: sa.Select[tuple[object, ...]]) -> list[str]:
    """What SQLite says that it does."""
    with store.read() as connection:
        compiled = query.compile(connection.engine, compile_kwargs={"literal_binds": True})
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]


def scanned(lines: list[str]) -> list[str]:
    """The steps that go through a whole table without an index, or sort what they found."""
    scans = [line for line in lines if line.startswith("SCAN") and "INDEX" not in line and "CONSTANT ROW" not in line]
    return [*scans, *(line for line in lines if "TEMP B-TREE" in line)]


@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize("wanted", WANTED)
def test_conditions_are_looked_up(store: Store, wanted: str, negated: bool) -> None:
    """The versions are gone through in order, and each one's own facts are looked up by their key."""
    query = search.statement([Condition(WANTED[wanted], negated)], Order(), None, 51, SERVING)
    lines = plan(store, query)
    assert "SCAN versions USING INDEX versions_at" in lines
    assert scanned(lines) == []
    facts = [line for line in lines if "version_facts" in line]
    assert all("PRIMARY KEY (model=? AND version=? AND name=?" in line for line in facts)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_has_an_index(store: Store, order: Order, after: bool) -> None:
    """No page is sorted, the first or a later one."""
    value: float | str = "m" if order.by == "model" else 3.0
    lines = plan(store, search.statement([], order, After(value, VersionId("m", 3)) if after else None, 51, SERVING))
    assert scanned(lines) == []


@pytest.mark.parametrize("name", ["text", "beginning", "number"])
def test_what_few_have_comes_first(store: Store, name: str) -> None:
    """The versions are found by that fact, by an index that holds all that it takes, and then looked up by their keys."""
    lines = plan(store, search.statement([Condition(WANTED[name]), Condition(IsOf("a"))], Order(), None, 51, SERVING, 0))
    assert any("USING COVERING INDEX version_facts_" in line and "name=?" in line for line in lines)
    assert [line for line in lines if line.startswith("SCAN")] == []


def test_times_and_models_have_indexes(store: Store) -> None:
    """A time is a place in the order; a model is a part of the key."""
    assert "SEARCH versions USING INDEX versions_at (at>?)" in plan(
        store, search.statement([Condition(Registered(">", 5.0))], Order(), None, 51, SERVING)
    )
    lines = plan(store, search.statement([Condition(IsOf("a"))], Order("model"), None, 51, SERVING))
    assert any(line.startswith("SEARCH versions USING INDEX") and "(model=?)" in line for line in lines)


def test_the_narrowest_condition(store: Store) -> None:
    """The one that the fewest versions meet, if these are few; what is negated, and what all meet, is none."""
    with store.write() as connection:
        for number in range(FEW + 20):
            version = registry.add_version(connection, "m", b"{}", "me", 0.0)
            facts = [Fact("tag", "all"), Fact("metric.auc", "", float(number)), *([Fact("tag", "rare")] if number < 3 else [])]
            version_facts.replace(connection, version, facts)
        rare, common = Condition(Has("tag", "rare")), Condition(Has("tag", "all"))
        some, few = Condition(Compares("metric.auc", ">", 100.0)), Condition(Compares("metric.auc", "<", 2.0))
        for conditions, narrow in (
            ([], None),
            ([common], None),
            ([common, rare], 1),
            ([few, some, rare], 0),
            ([rare._replace(negated=True), some], 1),
            ([Condition(IsOf("m")), common, Condition(InState("retired"))], None),
        ):
            assert search.narrowest(connection, conditions) == narrow
