"""What is kept of a unit at its entry, and metrics whose windows differ: slices, covariates, what is cut and what is in two arms."""

from __future__ import annotations

import pytest

from core.errors import NotFound
from core.events import ENROLLED, FORCED, Predicted, Tick
from core.ids import VersionId
from core.values import Output
from experiments.metric import Metric
from experiments.slices import MOST_PARTS, NONE, OTHERS
from flows import deploy, experiment
from flows.facts.entering import About, covariates, decode, earlier, score
from flows.facts.record import Recorder
from models.package import Loaded
from store.tables import units
from tests.flows.flow_world import ALIKE, ARMS, QUARANTINE, World, order
from tests.flows.metric_world import REVENUE, Facts, ask, begin, declare, however_cut, joints

QUICK = Metric(name="quick", outcome="revenue", window_seconds=4.0, lateness_seconds=0.0)
PATIENT = Metric(name="patient", outcome="revenue", window_seconds=2.0, lateness_seconds=30.0)
EARLIER = Metric(name="revenue", covariate="earlier")
SCORED = Metric(name="revenue", covariate="champion_score")


def abouts(world: World) -> dict[str, About]:
    """Unit → what is kept of it."""
    return {row["unit"]: decode(row["about"]) for row in world.rows(units)}


def parts(facts: Facts, key: str) -> dict[str, int]:
    """Part → how many units of control it has."""
    names = {row["part"] for row in facts["summaries"] if row["slice"] == key}
    return {name: joints(facts, "revenue", key, name)[1, "control"].n for name in names}


def test_a_shorter_window() -> None:
    """Each metric has the outcomes of its own window, and summarises its units as soon as that is over, each once."""

    def tell(world: World) -> None:
        begin(world, REVENUE, QUICK)
        for number in range(6):
            ask(world, 1.0 + number / 10.0, f"u{number}")
        for number in range(6):
            world.observe(4.0 + number / 10.0, f"u{number}", 1.0)
        for number in range(6):
            world.observe(6.0 + number / 10.0, f"u{number}", 10.0)
        world.log(Tick(12.0))

    facts = however_cut(tell, sizes=(1, 2, 5))
    assert {name: [(each.n, each.y.mean) for each in joints(facts, name).values()] for name in ("quick", "revenue")} == {
        "quick": [(6, 1.0)],
        "revenue": [],
    }


def test_cut_for_one_window_alone() -> None:
    """A shift cuts a unit for metrics whose window crosses it: a long window, not a short one with more lateness."""

    def tell(world: World) -> None:
        begin(world, PATIENT, REVENUE, QUICK)
        deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 3}, None, order(20.0))
        for unit, entry in (("all", 5.0), ("quick", 15.0), ("patient", 17.0), ("none", 19.0)):
            ask(world, entry, unit)
            world.observe(entry + 1.0, unit, 1.0)
        ask(world, 22.0, "none", "treatment", plan=3)
        world.log(Tick(60.0))

    facts = however_cut(tell, sizes=(1, 2, 3))
    assert {name: {key: each.n for key, each in joints(facts, name).items()} for name in ("revenue", "quick", "patient")} == {
        "revenue": {(1, "control"): 1},
        "quick": {(1, "control"): 2},
        "patient": {(1, "control"): 3},
    }
    assert {row["unit"]: row["state"] for row in facts["units"]} == {
        "all": "matured",
        "quick": "matured",
        "patient": "matured",
        "none": "cut",
    }


def test_two_arms_after_a_short_window() -> None:
    """What a unit brought to a metric whose window was over stays; it is left out of the others, in whatever transactions it came."""

    def tell(world: World) -> None:
        begin(world, REVENUE, QUICK, slices=["country"])
        for unit in ("soon", "on time", "late", "never"):
            ask(world, 1.0, unit, context={"country": unit})
        for unit in ("soon", "on time", "late", "never"):
            world.observe(2.0, unit, 1.0)
        for unit, again in (("soon", 4.9), ("on time", 5.0), ("late", 9.0)):
            ask(world, again, unit, "treatment")
            world.observe(again, unit, 100.0)
        world.log(Tick(16.0))

    facts = however_cut(tell, sizes=(1, 2, 3))
    assert [(each.n, each.y.mean) for each in joints(facts, "quick").values()] == [(3, 1.0)]
    assert [(each.n, each.y.mean) for each in joints(facts, "revenue").values()] == [(1, 1.0)]
    assert sum(row["two_arms"] for row in facts["arm_counts"]) == 3


def test_a_unit_that_enters_after_the_end() -> None:
    """A worker that has not seen the end yet answers by the old plan: its unit matures like any other."""

    def tell(world: World) -> None:
        begin(world, REVENUE)
        ask(world, 1.0, "u")
        experiment.stop(world.place, "e1", order(5.0))
        ask(world, 5.3, "straggler")
        world.log(Tick(20.1))
        world.log(Tick(20.4))

    facts = however_cut(tell)
    assert {row["unit"]: row["state"] for row in facts["units"]} == {"u": "matured", "straggler": "matured"}


def test_slices() -> None:
    """The context says first where a unit belongs, else the feature of that name, else it belongs to none; as it was at entry."""

    def tell(world: World) -> None:
        begin(world, REVENUE, slices=["x", "country"])
        ask(world, 1.0, "context", context={"x": "seven", "country": "de"})
        ask(world, 2.0, "feature", x=7.5)
        ask(world, 3.0, "context", context={"x": "eight", "country": "at"})
        ask(world, 4.0, "forced", flags=FORCED, context={"country": "fr"})
        world.log(Tick(40.0))

    facts = however_cut(tell)
    assert parts(facts, "x") == {"seven": 1, "7.5": 1}
    assert parts(facts, "country") == {"de": 1, NONE: 1}


def test_many_parts() -> None:
    """The first twenty to mature are kept apart, the others are one, in whatever transactions they came."""

    def tell(world: World) -> None:
        begin(world, REVENUE, QUICK, slices=["city"])
        for number in range(30):
            ask(world, 1.0 + number, f"u{99 - number}", context={"city": f"c{number % 25}"})
        world.log(Tick(100.0))

    facts = however_cut(tell, sizes=(1, 4, 11))
    found = parts(facts, "city")
    assert len(found) == MOST_PARTS + 1
    assert found == {**{f"c{number}": 2 if number < 5 else 1 for number in range(MOST_PARTS)}, OTHERS: 5}


def test_a_long_part() -> None:
    """Of a value only what a table has room for."""

    def tell(world: World) -> None:
        begin(world, REVENUE, slices=["city"])
        ask(world, 1.0, "u", context={"city": "c" * 200})
        world.log(Tick(40.0))

    assert parts(however_cut(tell), "city") == {"c" * 100: 1}


def test_earlier_outcomes() -> None:
    """What arrived after the declaration and before the entry is the covariate: of the metric's own outcomes, each once."""

    def tell(world: World) -> None:
        declare(world, EARLIER, at=2.0)
        world.observe(1.5, "u", 100.0)
        world.observe(2.0, "u", 100.0)
        world.observe(3.0, "u", 4.0, key="one")
        world.observe(3.5, "u", 4.0, key="one")
        world.observe(4.0, "u", 0.5, timestamp=0.0)
        world.observe(4.0, "u", 100.0, metric="clicks")
        begin(world, EARLIER, at=5.0)
        ask(world, 6.0, "u")
        world.observe(7.0, "u", 32.0)
        ask(world, 8.0, "new")
        ask(world, 8.0, None)
        world.log(Tick(30.0))

    facts = however_cut(tell, arms=ALIKE)
    kept = {row["unit"][:3]: decode(row["about"]).x["revenue"] for row in facts["units"]}
    assert sorted(kept.values()) == [0.0, 0.0, 4.5]
    assert {row["unit"]: row["total"] for row in facts["unit_history"]} == {"u": 36.5}
    [one] = joints(facts, "revenue").values()
    assert (one.n, one.y.mean, one.x.mean) == pytest.approx((3, 32.0 / 3.0, 1.5))


def test_what_may_depend_on_the_arm_is_no_covariate() -> None:
    """From the moment that an endpoint is split nothing more is kept, nor after it is one again: units keep their arm."""

    def tell(world: World) -> None:
        declare(world, EARLIER)
        world.observe(1.0, "u", 3.0)
        deploy.set_arms(world.place, "credit", ARMS, None, None, order(2.0))
        world.observe(3.0, "u", 100.0)
        deploy.set_arms(world.place, "credit", ALIKE, None, None, order(4.0))
        world.observe(5.0, "u", 100.0)
        begin(world, EARLIER, at=6.0)
        ask(world, 7.0, "u", plan=4)

    facts = however_cut(tell, arms=ALIKE)
    assert {row["unit"]: row["total"] for row in facts["unit_history"]} == {"u": 3.0}
    assert [decode(row["about"]).x for row in facts["units"]] == [{"revenue": 3.0}]


@pytest.mark.parametrize(
    ("metric", "history", "expected"),
    [
        (EARLIER, (4.5, 2), 4.5),
        (Metric(name="m", kind="count", covariate="earlier"), (4.0, 2), 4.0),
        (Metric(name="m", kind="binary", covariate="earlier"), (4.5, 2), 1.0),
        (Metric(name="m", kind="binary", covariate="earlier"), (-1.0, 1), 0.0),
        (Metric(name="m", kind="label_loss", loss="error", covariate="earlier"), (3.0, 4), 0.75),
        (Metric(name="m", kind="label_loss", loss="error", covariate="earlier"), (0.0, 0), 0.0),
    ],
)
def test_what_a_history_is_worth(metric: Metric, history: tuple[float, int], expected: float) -> None:
    """The unit's value on the metric itself; 0 where it brought nothing."""
    assert earlier(metric, *history) == expected
    assert covariates([metric], {metric.name: history}, 0.0) == {metric.name: expected}


def test_labels_are_history_too() -> None:
    """The loss of answers before the entry, which need no experiment."""

    def tell(world: World) -> None:
        metric = Metric(name="e", kind="label_loss", loss="absolute", covariate="earlier")
        declare(world, metric)
        for label in (2.0, 4.0):
            world.answer(2.0, ask(world, 1.0, "u", plan=1), label, "label")
        begin(world, metric, at=3.0)
        ask(world, 4.0, "u")

    facts = however_cut(tell, arms=ALIKE)
    [unit] = facts["units"]
    assert decode(unit["about"]).x == {"e": 2.0}


def test_the_champions_score() -> None:
    """What control answered, or would have answered to the first row of the unit's first request; 0 where it fails on it."""

    def tell(world: World) -> None:
        begin(world, SCORED)
        ask(world, 1.0, "control", x=2.0, outputs=[Output(value=20.0), Output(value=99.0)])
        ask(world, 1.0, "treatment", "treatment", x=3.0, outputs=[Output(value=7.0)])
        ask(world, 1.0, "fails", "treatment", x=13.0)
        ask(world, 2.0, "treatment", "treatment", x=9.0)
        world.log(Tick(30.0))

    facts = however_cut(tell)
    assert {row["unit"]: decode(row["about"]).x["revenue"] for row in facts["units"]} == {"control": 20.0, "treatment": 30.0, "fails": 0.0}


def test_a_champion_that_has_learnt_meanwhile() -> None:
    """All arms' units are scored by it as it was registered: what only control's are told would tell arms apart."""

    def tell(world: World) -> None:
        begin(world, SCORED)
        answer = Predicted(1.0, "credit", 2, "control", "control", 0.5, "m@1", ENROLLED, [[2.0]], [Output(value=77.0)], 0.001, None, 5)
        world.log(answer)
        ask(world, 1.0, "treatment", "treatment", x=3.0)
        world.log(Tick(30.0))

    facts = however_cut(tell)
    assert {row["unit"]: decode(row["about"]).x["revenue"] for row in facts["units"]} == {"control": 20.0, "treatment": 30.0}


def test_a_champion_that_is_missing(bare: World) -> None:
    """Then nobody has a score, in no arm: a covariate must not tell arms apart."""

    def missing(_: VersionId) -> Loaded:
        raise NotFound("no such blob")

    bare.endpoint()
    begin(bare, SCORED)
    for arm in ("control", "treatment"):
        ask(bare, 1.0, arm, arm, x=2.0)
    bare.fold(Recorder(bare.pread, QUARANTINE, missing))
    assert {name: about.x for name, about in abouts(bare).items()} == {"control": {"revenue": 0.0}, "treatment": {"revenue": 0.0}}


def test_scores() -> None:
    """A value, the probability of the last of two classes, the largest of more, a label that is a number."""
    answers = [
        Output(value=2.5),
        Output(label="no", probabilities={"no": 0.7, "yes": 0.3}),
        Output(label="b", probabilities={"a": 0.2, "b": 0.5, "c": 0.3}),
        Output(label=3),
        Output(label="three"),
    ]
    assert [score(answer) for answer in answers] == [2.5, 0.3, 0.5, 3.0, 0.0]
