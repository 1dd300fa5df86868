"""The report once more from the journal alone: the same whatever happened to processes, another where somebody changed a fact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.errors import Conflict, NotFound
from core.events import Tick
from core.values import Position
from experiments.metric import Metric
from flows import deploy, experiment, metric
from flows.facts.report import report_in
from flows.recompute import Source, differences, recompute
from journal import segments
from journal.reader import Reader
from journal.rotation import rotate
from store import positions
from store.tables import arm_counts, summaries, tallies, unit_totals
from tests.flows.flow_world import DESIGN, World, order
from tests.flows.metric_world import REVENUE, Logged, ask, begin, declare, load, logged

METRICS = (
    Metric(name="revenue", covariate="earlier"),
    Metric(name="scored", outcome="revenue", covariate="champion_score", cap_percentile=90.0),
    Metric(name="quick", kind="count", outcome="revenue", window_seconds=4.0, lateness_seconds=0.0),
    Metric(name="wait", kind="quantile", quantile=0.5, source="latency"),
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Logged]:
    """A world whose journal is on disk."""
    with logged(tmp_path / "home") as world:
        yield world


def live(world: Logged, units: int = 60, plan: int = 2, at: float = 1.0, name: str = "u") -> None:
    """Units come, buy, and mature."""
    for number in range(units):
        ask(
            world, at + number / 100.0, f"{name}{number}", "treatment" if number % 2 else "control", plan=plan, latency=0.001 * (number % 7)
        )
    for number in range(units):
        world.observe(at + 2.0 + number / 100.0, f"{name}{number}", float(number % 11))
    world.log(Tick(at + 40.0))


def whole(world: Logged) -> None:
    """A history, an experiment with a shift, and what comes after."""
    declare(world, METRICS[0])
    for number in range(60):
        world.observe(0.5, f"u{number}", float(number))
    begin(world, *METRICS, at=0.6, slices=["x"])
    deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 2}, None, order(50.0))
    live(world)
    live(world, plan=3, at=51.0, name="v")


def change(world: World, statement: sa.Update | sa.Delete) -> None:
    with world.store.write() as connection:
        connection.execute(statement)


@pytest.mark.parametrize("limit", [1, 7, 10_000])
def test_the_same_report(home: Logged, limit: int) -> None:
    """However large the steps of `record` were, with a new process for some of them."""
    whole(home)
    for _ in range(5):
        home.follow(limit, steps=3)
    home.follow(limit)
    found = home.recompute()
    assert found.differences == []
    assert found.events == 60 + 2 * 121
    with home.store.read() as connection:
        assert found.report["outcomes"] == report_in(connection, "e1")["outcomes"]
    assert found.report["outcomes"]["counted"] == 120


def test_recomputing_changes_nothing(home: Logged) -> None:
    """It works in a store of its own, which is gone afterwards."""
    whole(home)
    home.follow()
    before = home.facts()
    home.recompute()
    assert home.facts() == before


def test_halfway(home: Logged) -> None:
    """As of where `record` stands, not of what it has still to read."""
    whole(home)
    home.follow(50, steps=2)
    found = home.recompute()
    assert (found.differences, found.events) == ([], 100)


def test_what_was_put_aside_is_left_out(home: Logged) -> None:
    """Events at which `record` crashed are no part of the facts, so of no recomputation."""
    whole(home)
    home.follow(64, steps=1)
    with home.store.write() as connection:
        row = positions.get(connection, "record")
        assert row is not None
        positions.put_aside(connection, "record", row.position, "crashed", 1.0)
    with home.store.write() as connection:
        size = _next(home, row.position)
        positions.advance(connection, "record", row.position, size, row.at)
    home.follow()
    found = home.recompute()
    assert found.differences == []
    assert sum(row["units"] for row in home.rows(arm_counts)) == 119


def _next(world: Logged, position: Position) -> Position:
    reader = Reader(world.journal, position)
    try:
        return reader.read(1)[0].next
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (sa.update(tallies).where(tallies.c.name == "counted").values(number=121), "outcomes.counted: 121, recomputed 120"),
        (sa.update(arm_counts).where(arm_counts.c.arm == "treatment").values(units=7), "arms.treatment.units: 14, recomputed 60"),
        (sa.delete(summaries).where(summaries.c.metric == "quick"), "metrics.quick.arms.control.units: 0, recomputed 60"),
    ],
)
def test_a_fact_that_was_changed(home: Logged, statement: sa.Update | sa.Delete, said: str) -> None:
    """The figure is named, with what it is and what it should be."""
    whole(home)
    home.follow()
    change(home, statement)
    assert said in home.recompute().differences


def test_a_total_that_was_changed_in_time(home: Logged) -> None:
    """Before its unit matured, so that the summary came out wrong."""
    begin(home, REVENUE)
    ask(home, 1.0, "u")
    home.observe(2.0, "u", 5.0)
    home.follow()
    change(home, sa.update(unit_totals).values(total=6.0))
    home.log(Tick(30.0))
    home.follow()
    assert "metrics.revenue.arms.control.mean: 6.0, recomputed 5.0" in home.recompute().differences


def test_two_experiments(home: Logged) -> None:
    """One after the other on an endpoint: each can be recomputed, with the other's units apart."""
    begin(home, REVENUE)
    live(home)
    home.follow()
    experiment.stop(home.place, "e1", order(45.0))
    begin(home, REVENUE, name="e2", at=46.0)
    live(home, units=20, plan=4, at=47.0)
    home.follow()
    for name, units in (("e1", 60), ("e2", 20)):
        found = home.recompute(name)
        assert found.differences == []
        assert sum(arm["units"] for arm in found.report["arms"].values()) == units


@pytest.mark.parametrize("limit", [1, 7, 10_000])
def test_after_the_end(home: Logged, limit: int) -> None:
    """What matured after the stop, no look has seen: the values of its quantiles are read all the same, here and there."""
    whole(home)
    experiment.stop(home.place, "e1", order(53.0))
    home.follow(limit)
    found = home.recompute()
    assert found.differences == []
    assert found.report["metrics"]["wait"]["values_scanned"] == 120


def test_a_draft(home: Logged) -> None:
    """It has no report, so none to recompute; nor has what does not exist."""
    experiment.create(home.place, "e1", "credit", DESIGN, order(1.0), draft=True)
    with pytest.raises(Conflict, match="draft"):
        home.recompute()
    experiment.stop(home.place, "e1", order(2.0))
    with pytest.raises(Conflict, match="was given up before it had begun"):
        home.recompute()
    with pytest.raises(NotFound, match="e9"):
        home.recompute("e9")


def test_nothing_recorded(bare: World, tmp_path: Path) -> None:
    """Where `record` has never begun."""
    bare.endpoint()
    begin(bare, REVENUE)
    with pytest.raises(NotFound, match="nothing has been recorded yet"):
        recompute(Source(bare.store, tmp_path / "journal", load, 60.0), "e1")


def expire(world: Logged) -> None:
    """Everything so far has been read, and is deleted."""
    rotate(world.journal, 1)
    world.log(Tick(100.0))
    world.follow()
    assert segments.expire(world.journal, segments.end(world.journal), 1e12) > 0
    assert segments.segments(world.journal) == [2]


def test_an_expired_journal(home: Logged) -> None:
    """Without its beginning a report cannot be recomputed: a clear refusal, no difference that means nothing."""
    whole(home)
    expire(home)
    with pytest.raises(Conflict, match="has expired: it cannot be recomputed") as caught:
        home.recompute()
    assert caught.value.code == "journal-expired"


def test_an_experiment_after_what_expired(home: Logged) -> None:
    """What is older than the experiment is not needed."""
    live(home, plan=1)
    expire(home)
    begin(home, REVENUE, at=101.0)
    live(home, at=102.0)
    home.follow()
    assert home.recompute().differences == []


def test_an_expired_history(home: Logged) -> None:
    """What its units brought before it began is needed where a metric has that as its covariate."""
    declare(home, METRICS[0])
    live(home, plan=1)
    expire(home)
    begin(home, METRICS[0], at=101.0)
    live(home, at=102.0)
    home.follow()
    with pytest.raises(Conflict, match="has expired"):
        home.recompute()


def test_a_journal_that_expired_altogether(home: Logged) -> None:
    """Nothing is left before where `record` stands: that is a refusal, too."""
    begin(home, REVENUE)
    live(home)
    expire(home)
    with home.store.write() as connection:
        row = positions.get(connection, "record")
        assert row is not None
        positions.advance(connection, "record", row.position, Position(2, 0), row.at)
    with pytest.raises(Conflict, match="has expired"):
        home.recompute()


def test_a_forgotten_history(home: Logged) -> None:
    """Covariates of a metric that was taken back since cannot be made anew: that is said."""
    declare(home, METRICS[0])
    begin(home, METRICS[0], at=0.5)
    live(home)
    home.follow()
    experiment.stop(home.place, "e1", order(60.0))
    assert home.recompute().differences == []
    metric.remove(home.place, "credit", "revenue", order(61.0))
    with pytest.raises(Conflict, match="metric revenue was declared anew or removed since e1 began") as caught:
        home.recompute()
    assert caught.value.code == "history-forgotten"
    declare(home, METRICS[0], at=62.0)
    with pytest.raises(Conflict, match="was declared anew"):
        home.recompute()


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ({"a": 1.0}, {"a": 1.0 + 1e-12}, []),
        ({"a": 1.0}, {"a": 1.1}, ["a: 1.0, recomputed 1.1"]),
        ({"a": 1}, {"a": 2}, ["a: 1, recomputed 2"]),
        ({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "y"}]}, ["a[1].b: x, recomputed y"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1], recomputed [1, 2]"]),
        ({"a": 1}, {}, ["a: 1, recomputed None"]),
        ({}, {"a": {"b": 0.0}}, ["a: None, recomputed {'b': 0.0}"]),
        ({"a": None}, {"a": 0.0}, ["a: None, recomputed 0.0"]),
    ],
)
def test_differences(left: object, right: object, found: list[str]) -> None:
    """Where two reports differ by more than rounding, with the path."""
    assert list(differences(left, right)) == found
