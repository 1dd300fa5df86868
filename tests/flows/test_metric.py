"""Metrics declared on an endpoint, what experiments take from there and keep, and A/A tests."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Conflict, Invalid, NotFound
from core.events import Tick
from core.values import Position
from experiments.design import Design
from experiments.metric import Metric
from flows import deploy, experiment, metric
from flows.deploy import ArmSpec
from store import audit, experiments, metrics, positions
from store.tables import unit_history
from tests.flows.flow_world import ALIKE, ARMS, World, order
from tests.flows.metric_world import REVENUE, ask, begin, declare

EARLIER = Metric(name="revenue", covariate="earlier", cap=50.0)
A_A = Design(metrics=[REVENUE], mde=1.0, aa=True)


@pytest.fixture
def credit(bare: World) -> World:
    """An endpoint on which nothing is declared."""
    bare.endpoint(arms=ALIKE)
    return bare


def history(world: World) -> dict[str, float]:
    """Unit → what is kept of it."""
    return {row["unit"]: row["total"] for row in world.rows(unit_history)}


def complete(world: World, **design: Any) -> Any:
    return metric.complete(world.store, "credit", design)


def test_declaring(credit: World) -> None:
    """It is listed by name, with who declared it and since when; the audit log has it."""
    declare(credit, Metric(name="views", kind="count", role="info"), at=5.0)
    shown = declare(credit, EARLIER, at=6.0)
    assert shown["since"] == "1970-01-01T00:00:06.000Z"
    assert [each["name"] for each in metric.list_all(credit.store, "credit")] == ["revenue", "views"]
    assert metric.list_all(credit.store, "credit")[0] == shown
    with credit.store.read() as connection:
        assert [row["action"] for row in audit.newest(connection, 2)] == ["metric.declare", "metric.declare"]


def test_on_an_endpoint_that_is_none(credit: World) -> None:
    """Nothing can be declared, listed, taken back or completed there."""
    for call in (
        lambda: metric.declare(credit.place, "nobody", REVENUE, order()),
        lambda: metric.list_all(credit.store, "nobody"),
        lambda: metric.remove(credit.place, "nobody", "revenue", order()),
        lambda: metric.complete(credit.store, "nobody", {}),
    ):
        with pytest.raises(NotFound, match="nobody"):
            call()


def test_a_dry_run_declares_nothing(credit: World) -> None:
    """It shows the same, and keeps nothing; nor does one that takes back."""
    shown = metric.declare(credit.place, "credit", REVENUE, order(1.0, dry_run=True))
    assert metric.list_all(credit.store, "credit") == []
    assert metric.declare(credit.place, "credit", REVENUE, order(1.0)) == shown
    metric.remove(credit.place, "credit", "revenue", order(2.0, dry_run=True))
    assert metric.list_all(credit.store, "credit") == [shown]


def test_an_order_for_another_plan_declares_nothing(credit: World) -> None:
    """Nor does it take anything back."""
    with pytest.raises(Conflict, match="If-Match: the plan of credit is 1, not 2"):
        metric.declare(credit.place, "credit", REVENUE, order(1.0, if_match=2))
    assert metric.list_all(credit.store, "credit") == []
    shown = metric.declare(credit.place, "credit", REVENUE, order(1.0, if_match=1))
    with pytest.raises(Conflict, match="is 1, not 2"):
        metric.remove(credit.place, "credit", "revenue", order(1.0, if_match=2))
    assert metric.list_all(credit.store, "credit") == [shown]


@pytest.mark.parametrize(
    ("anew", "kept"),
    [
        (Metric(name="revenue", covariate="earlier", window_seconds=9.0, role="guardrail"), True),
        (Metric(name="revenue", covariate="earlier", estimator="lin", direction="decrease"), True),
        (Metric(name="revenue", covariate="earlier", outcome="spend"), False),
        (Metric(name="revenue", covariate="earlier", kind="binary"), False),
        (Metric(name="revenue"), False),
    ],
)
def test_declaring_anew(credit: World, anew: Metric, kept: bool) -> None:
    """The history of its units goes on where it means the same, else it begins anew."""
    declare(credit, EARLIER, at=1.0)
    credit.observe(2.0, "u", 3.0)
    credit.fold()
    assert history(credit) == {"u": 3.0}
    shown = declare(credit, anew, at=5.0)
    assert history(credit) == ({"u": 3.0} if kept else {})
    assert shown["since"] == f"1970-01-01T00:00:0{1 if kept else 5}.000Z"
    assert len(metric.list_all(credit.store, "credit")) == 1


def test_taking_it_back(credit: World) -> None:
    """Its history is forgotten; what is not declared cannot be taken back."""
    declare(credit, EARLIER)
    credit.observe(2.0, "u", 3.0)
    credit.fold()
    metric.remove(credit.place, "credit", "revenue", order(3.0))
    assert (metric.list_all(credit.store, "credit"), history(credit)) == ([], {})
    with pytest.raises(NotFound, match="'revenue'"):
        metric.remove(credit.place, "credit", "revenue", order(4.0))


def test_a_history_begins_behind_the_reader(credit: World) -> None:
    """What `record` has folded before the declaration was stored is no part of it, though it arrived after it was ordered."""
    with credit.store.write() as connection:
        positions.begin(connection, "record", Position(1, 0), 7.5)
    assert declare(credit, EARLIER, at=7.0)["since"] == "1970-01-01T00:00:07.500Z"


def test_completing(credit: World) -> None:
    """A name alone is what was declared; what is said besides comes on top; without metrics it is all of them."""
    declare(credit, EARLIER)
    declare(credit, Metric(name="views", kind="count", role="info"))
    revenue, views = {"name": "revenue", "covariate": "earlier", "cap": 50.0}, {"name": "views", "kind": "count", "role": "info"}
    assert complete(credit, metrics=["revenue"]) == {"metrics": [revenue]}
    assert complete(credit, metrics=[{"name": "views", "role": "guardrail"}, "new"]) == {
        "metrics": [{**views, "role": "guardrail"}, {"name": "new"}]
    }
    assert complete(credit, mde=1.0) == {"mde": 1.0, "metrics": [revenue, views]}


@pytest.mark.parametrize("odd", ["revenue", 7, {"name": "revenue"}, [7, None, {"name": 3}, {}]])
def test_what_is_no_list_of_metrics_is_left_to_the_check(credit: World, odd: object) -> None:
    """Completing changes only what it understands."""
    declare(credit, EARLIER)
    assert complete(credit, metrics=odd) == {"metrics": odd}


def test_nothing_to_complete_from(credit: World) -> None:
    """No metric is named and none declared: that is said."""
    designs: tuple[dict[str, Any], ...] = ({}, {"metrics": []})
    for design in designs:
        with pytest.raises(Invalid, match="none is declared on endpoint credit") as caught:
            complete(credit, **design)
        assert caught.value.field == "metrics"


@pytest.mark.parametrize("declared", [None, REVENUE, Metric(name="revenue", covariate="earlier", outcome="spend")])
def test_earlier_needs_a_declaration(credit: World, declared: Metric | None) -> None:
    """The covariate is refused where nobody has kept it, also for a draft; the command that helps is named."""
    if declared is not None:
        declare(credit, declared)
    with pytest.raises(Invalid, match="tiltyard metric declare revenue --endpoint credit --covariate earlier") as caught:
        begin(credit, EARLIER)
    assert caught.value.field == "metrics.revenue.covariate"


def test_a_draft_whose_history_was_forgotten(credit: World) -> None:
    """It cannot be started: all covariates would be 0."""
    declare(credit, EARLIER)
    experiment.create(credit.place, "e1", "credit", Design(metrics=[EARLIER], mde=1.0), order(1.0), draft=True)
    metric.remove(credit.place, "credit", "revenue", order(2.0))
    with pytest.raises(Invalid, match=r"metrics\.revenue\.covariate"):
        experiment.start(credit.place, "e1", order(3.0))


def test_an_experiment_keeps_what_it_began_with(credit: World) -> None:
    """Another declaration, or none, changes nothing of it."""
    declare(credit, Metric(name="revenue", cap=2.0))
    begin(credit, Metric(name="revenue", cap=2.0), at=1.0)
    declare(credit, Metric(name="revenue", cap=7.0, kind="count"), at=2.0)
    metric.remove(credit.place, "credit", "revenue", order(3.0))
    ask(credit, 4.0, "u")
    credit.observe(5.0, "u", 9.0)
    credit.log(Tick(30.0))
    credit.fold()
    assert credit.summaries()[1, "control"].y.mean == 2.0
    assert experiment.show(credit.store, "e1")["design"].metrics == [Metric(name="revenue", cap=2.0)]


def test_a_history_that_is_needed(credit: World) -> None:
    """While an experiment runs that needs it, it can be neither forgotten nor given another meaning; what keeps it is allowed."""
    declare(credit, EARLIER)
    begin(credit, EARLIER, at=1.0)
    for change in (
        lambda: metric.remove(credit.place, "credit", "revenue", order(2.0)),
        lambda: declare(credit, REVENUE, at=2.0),
    ):
        with pytest.raises(Conflict, match="experiment e1 is running and needs the history of revenue") as caught:
            change()
        assert caught.value.code == "metric-in-use"
    declare(credit, Metric(name="revenue", covariate="earlier", cap=9.0), at=3.0)
    experiment.stop(credit.place, "e1", order(4.0))
    metric.remove(credit.place, "credit", "revenue", order(5.0))


def alone(world: World) -> None:
    """An endpoint on which control is alone."""
    deploy.create(world.place, "credit", {"control": ArmSpec("m@1", 3)}, {}, 0.5, "salt", order(0.0))


def test_an_a_a_test_adds_an_arm(bare: World) -> None:
    """Where control is alone, another arm of its version at equal weight, in a plan of its own; enrolment stays."""
    alone(bare)
    begin(bare, REVENUE, at=1.0, aa=True)
    with bare.store.read() as connection:
        plan = deploy.load(connection, "credit")
    assert {name: (arm.version, plan.share(name)) for name, arm in plan.arms.items()} == {
        "control": ("m@1", 0.5),
        "treatment": ("m@1", 0.5),
    }
    assert (plan.plan, plan.experiment, plan.enrolment) == (3, "e1", 0.5)


def test_an_a_a_test_takes_arms_of_one_version(bare: World) -> None:
    """As they are; of different versions it is refused, and nothing is left of the attempt."""
    deploy.create(bare.place, "credit", {name: ArmSpec("m@1", 1) for name in ("control", "b", "c")}, {}, 1.0, "salt", order(0.0))
    begin(bare, REVENUE, at=1.0, aa=True)
    with bare.store.read() as connection:
        assert set(deploy.load(connection, "credit").arms) == {"control", "b", "c"}
    deploy.create(bare.place, "other", ARMS, {}, 1.0, "salt", order(0.0))
    with pytest.raises(Conflict, match=r"those of other serve m@1, m@2") as caught:
        experiment.create(bare.place, "e2", "other", A_A, order(1.0))
    assert caught.value.code == "not-a-a"
    with bare.store.read() as connection, pytest.raises(NotFound):
        experiments.get(connection, "e2")


def test_if_match_of_an_a_a_test(bare: World) -> None:
    """It is held against the plan that the client knows, not the one with the arm that was just added."""
    alone(bare)
    with pytest.raises(Conflict) as caught:
        experiment.create(bare.place, "e1", "credit", A_A, order(1.0, if_match=2))
    assert caught.value.code == "plan-changed"
    made = experiment.create(bare.place, "e1", "credit", A_A, order(1.0, if_match=1, dry_run=True))
    assert (made.plan.plan if made.plan else None, made.shown["state"]) == (3, "running")
    with bare.store.read() as connection:
        assert (deploy.load(connection, "credit").plan, experiments.list_all(connection)) == (1, [])
    assert experiment.create(bare.place, "e1", "credit", A_A, order(1.0, if_match=1)).plan == made.plan


def test_a_draft_a_a_test_changes_nothing_yet(bare: World) -> None:
    """The arm is added when it starts."""
    alone(bare)
    experiment.create(bare.place, "e1", "credit", A_A, order(1.0), draft=True)
    with bare.store.read() as connection:
        assert list(deploy.load(connection, "credit").arms) == ["control"]
        assert metrics.every(connection) == []
    made = experiment.start(bare.place, "e1", order(2.0)).plan
    assert made is not None
    assert list(made.arms) == ["control", "treatment"]
