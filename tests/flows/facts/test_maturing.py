"""From a unit's outcomes to the summaries of every kind of metric, in whatever transactions they came."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from core.events import Tick
from core.values import Label, Output
from experiments.evidence import Evidence, Scan
from experiments.methods import quantile
from experiments.metric import Metric
from experiments.snapshot import PRESENT
from flows import experiment
from flows.facts import report
from tests.flows.flow_world import World, order
from tests.flows.metric_world import REVENUE, Facts, ask, begin, however_cut, joints

CLASS = Output(label="yes", probabilities={"no": 0.2, "yes": 0.8})


def tallied(facts: Facts) -> dict[str, int]:
    return {row["name"]: row["number"] for row in facts["tallies"]}


KINDS: list[tuple[str, Metric, list[tuple[str, Label]], tuple[float, float] | None]] = [
    ("a sum", REVENUE, [("revenue", 2.0), ("revenue", 3.5), ("revenue", -1.0)], (4.5, 0.0)),
    ("a sum of nothing", REVENUE, [], (0.0, 0.0)),
    ("a sum of truths", REVENUE, [("revenue", True), ("revenue", 2)], (3.0, 0.0)),
    ("another name", Metric(name="spend", outcome="revenue"), [("revenue", 2.0), ("spend", 9.0)], (2.0, 0.0)),
    ("a cap", Metric(name="revenue", cap=3.0), [("revenue", 2.0), ("revenue", 2.0)], (3.0, 0.0)),
    ("a cap that is not reached", Metric(name="revenue", cap=3.0), [("revenue", -2.0)], (-2.0, 0.0)),
    ("binary", Metric(name="bought", kind="binary", outcome="revenue"), [("revenue", 2.0), ("revenue", 0.5)], (1.0, 0.0)),
    ("binary of a refund", Metric(name="bought", kind="binary", outcome="revenue"), [("revenue", 2.0), ("revenue", -2.0)], (0.0, 0.0)),
    ("a count", Metric(name="clicks", kind="count"), [("clicks", 1), ("clicks", 2)], (3.0, 0.0)),
    (
        "a ratio",
        Metric(name="rate", kind="ratio", outcome="clicks", denominator="views"),
        [("clicks", 1), ("views", 1), ("views", 1)],
        (1.0, 2.0),
    ),
    ("a denominator alone", Metric(name="rate", kind="ratio", outcome="clicks", denominator="views"), [("views", 1)], (0.0, 1.0)),
    ("a numerator alone", Metric(name="rate", kind="ratio", outcome="clicks", denominator="views"), [("clicks", 1)], (1.0, 0.0)),
    ("neither", Metric(name="rate", kind="ratio", outcome="clicks", denominator="views"), [], None),
    ("per request", Metric(name="rate", kind="ratio", outcome="revenue", denominator="predictions"), [("revenue", 4.0)], (4.0, 2.0)),
    ("per request of nothing", Metric(name="rate", kind="ratio", outcome="revenue", denominator="predictions"), [], (0.0, 2.0)),
    ("per event", Metric(name="wait", kind="ratio", denominator="events"), [("wait", 2.0), ("wait", 4.0)], (6.0, 2.0)),
    ("per event of none", Metric(name="wait", kind="ratio", denominator="events"), [], None),
    ("squared", Metric(name="e", kind="label_loss", loss="squared"), [("label .0", 3.0), ("label .1", 2.0)], (2.5, 0.0)),
    ("absolute", Metric(name="e", kind="label_loss", loss="absolute"), [("label .0", 3.0)], (2.0, 0.0)),
    ("a capped loss", Metric(name="e", kind="label_loss", loss="squared", cap=2.0), [("label .0", 3.0), ("label .1", 1.0)], (2.0, 0.0)),
    ("a text where a number is needed", Metric(name="e", kind="label_loss", loss="absolute"), [("label .0", "3")], None),
    ("error", Metric(name="e", kind="label_loss", loss="error"), [("label .2", "no"), ("label .3", "yes")], (0.5, 0.0)),
    ("log loss", Metric(name="e", kind="label_loss", loss="log_loss"), [("label .2", "no")], (-math.log(0.2), 0.0)),
    ("no label", Metric(name="e", kind="label_loss", loss="error"), [], None),
    ("a label twice", Metric(name="e", kind="label_loss", loss="absolute"), [("label .0", 3.0), ("label .0", 9.0)], (2.0, 0.0)),
]
"""What a unit brings after two requests, of which the first has four rows: two of a regression, two of a classification."""


def brings(world: World, prediction: str, name: str, value: Label, at: float = 2.0) -> None:
    """One outcome: `label .0` is of a row, all else of the unit."""
    if name.startswith("label"):
        world.answer(at, f"{prediction}{name.removeprefix('label ')}", value, "label")
    else:
        world.observe(at, "u", value, metric=name)


@pytest.mark.parametrize(("metric", "outcomes", "expected"), [case[1:] for case in KINDS], ids=[case[0] for case in KINDS])
def test_what_a_unit_is_worth(metric: Metric, outcomes: list[tuple[str, Label]], expected: tuple[float, float] | None) -> None:
    """Its value with its denominator; None where the metric leaves it out, which is counted beside it."""

    def tell(world: World) -> None:
        begin(world, metric)
        prediction = ask(world, 1.0, "u", outputs=[Output(value=1.0), Output(value=1.0), CLASS, CLASS])
        ask(world, 1.5, "u")
        for name, value in outcomes:
            brings(world, prediction, name, value)
        world.log(Tick(16.0))

    facts = however_cut(tell)
    found = joints(facts, metric.name)
    if expected is None:
        assert found == {}
    else:
        one = found[1, "control"]
        assert (one.n, one.y.mean, one.x.mean) == (1, *expected)
    assert {key: (each.n, each.y.mean) for key, each in joints(facts, metric.name + PRESENT).items()} == (
        {} if metric.counts_all else {(1, "control"): (1, float(expected is not None))}
    )


@pytest.mark.parametrize(
    "metric", [REVENUE, Metric(name="revenue", kind="ratio", denominator="events"), Metric(name="revenue", kind="binary")]
)
def test_what_counts(metric: Metric) -> None:
    """For each kind: what is late, early, outside the window or there already changes nothing, and is told."""

    def tell(world: World) -> None:
        begin(world, metric)
        world.observe(4.0, "u", 100.0, timestamp=4.0)
        ask(world, 5.0, "u")
        world.observe(6.0, "u", 2.0, key="one")
        world.observe(7.0, "u", 100.0, key="one")
        world.observe(8.0, "u", 100.0, timestamp=4.9)
        world.observe(16.0, "u", 100.0, timestamp=15.0)
        world.observe(19.5, "u", 3.0, timestamp=14.9)
        world.observe(20.0, "u", 100.0, timestamp=14.9)
        world.observe(21.0, "u", 100.0)

    facts = however_cut(tell, sizes=(1, 2, 5))
    [one] = joints(facts, "revenue").values()
    assert (one.n, one.y.mean) == (1, 1.0 if metric.kind == "binary" else 5.0)
    assert tallied(facts) == {"counted": 2, "outside_window": 5, "duplicates": 1}


def test_quantile_of_outcomes_and_of_latency() -> None:
    """Of all values of an arm's matured units with the clustered standard error; each value is kept once."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 4, 60)
    waits = [rng.gamma(2.0, 3.0, size).tolist() for size in sizes]
    latencies = [rng.gamma(2.0, 0.01, size).tolist() for size in sizes]

    def tell(world: World) -> None:
        quantiles: list[dict[str, Any]] = [{"name": "wait", "quantile": 0.5}, {"name": "speed", "quantile": 0.75, "source": "latency"}]
        begin(world, REVENUE, *(Metric(kind="quantile", **each) for each in quantiles))
        for number, size in enumerate(sizes):
            for index in range(size):
                at = 1.0 + number / 100.0 + index
                ask(world, at, f"u{number:02}", latency=latencies[number][index])
                world.observe(at, f"u{number:02}", waits[number][index], metric="wait")
        ask(world, 8.0, "later", latency=99.0)
        world.log(Tick(20.5))

    facts = however_cut(tell, sizes=(7,))
    owners = np.repeat(np.arange(60), sizes)
    for name, nu, values in (("wait", 0.5, waits), ("speed", 0.75, latencies)):
        of_all = quantile.of(np.concatenate([np.array(each) for each in values]), owners, nu)
        found = joints(facts, name)[1, "control"].y
        assert (found.n, found.mean, found.m2) == pytest.approx((of_all.n, of_all.mean, of_all.m2), rel=1e-12)


WAIT = Metric(name="wait", kind="quantile", quantile=0.5)


def wait(world: World, at: float, *values: float) -> None:
    """Units enter, each with a value of `wait` a second later."""
    for number, value in enumerate(values):
        ask(world, at, f"{at}-{number}")
        world.observe(at + 1.0, f"{at}-{number}", value, metric="wait")


def test_a_quantile_waits_for_more_units() -> None:
    """It cannot be merged, so it is read anew only when there are some more units, and then of all of them."""

    def tell(world: World) -> None:
        begin(world, REVENUE, WAIT)
        wait(world, 1.0, *map(float, range(100)))
        wait(world, 21.0, 0.0)
        world.log(Tick(41.0))
        wait(world, 41.5, 0.0, 0.0)
        world.log(Tick(62.0))

    facts = however_cut(tell, sizes=(50,))
    assert joints(facts, "wait")[1, "control"].n == 103
    [row] = facts["experiments"]
    assert msgspec.json.decode(row["evidence"], type=Evidence).scanned == {"wait": Scan(103, 103)}


def test_a_stopped_experiment_ends_with_all_values() -> None:
    """No look comes after the stop: what matures later is read when the last unit has, and again if one more should come."""

    def tell(world: World) -> None:
        begin(world, REVENUE, WAIT)
        wait(world, 1.0, *map(float, range(30)))
        world.log(Tick(21.0))
        wait(world, 22.0, 7.0)
        experiment.stop(world.place, "e1", order(25.0))
        wait(world, 26.0, 8.0)  # a straggler
        world.log(Tick(70.0))

    facts = however_cut(tell, sizes=(1, 3, 50))
    assert joints(facts, "wait")[1, "control"].n == 32
    [row] = facts["experiments"]
    assert msgspec.json.decode(row["evidence"], type=Evidence).scanned == {"wait": Scan(32, 32)}


def with_a_cap(percentile: float = 90.0) -> Metric:
    return Metric(name="spend", outcome="revenue", cap_percentile=percentile)


def spend(world: World, values: Sequence[float], first: float) -> None:
    """Units that each spend one value, in the order of the values."""
    for number, value in enumerate(values):
        ask(world, first + number / 1000.0, f"{first}-{number:03}", "treatment" if number % 2 else "control")
        world.observe(first + number / 1000.0, f"{first}-{number:03}", value)


def caps(world: World) -> Any:
    with world.store.read() as connection:
        return report.report_in(connection, "e1")["metrics"]["spend"]["cap"]


def test_a_cap_is_frozen_once() -> None:
    """At the first look with units enough, from all arms; units before and after it are summarised with it, each once."""
    early, enough, later = [1.0] * 30 + [50.0] * 3, [float(value) for value in range(1, 41)], [1000.0] * 20

    def tell(world: World) -> None:
        begin(world, with_a_cap(), REVENUE)
        spend(world, early, 1.0)
        world.log(Tick(20.5))
        spend(world, enough, 21.0)
        world.log(Tick(40.5))
        spend(world, later, 41.0)
        world.log(Tick(80.0))

    facts = however_cut(tell, sizes=(25, 60))
    [row] = facts["experiments"]
    cap = msgspec.json.decode(row["evidence"], type=Evidence).caps["spend"]
    values = sorted(early + enough)
    assert (cap.value, cap.n) == (values[math.ceil(0.9 * 73) - 1], 73)
    assert cap.at == 40.0
    found = joints(facts, "spend").values()
    assert sum(each.n for each in found) == 93
    total = sum(min(value, cap.value) for value in early + enough + later)
    assert sum(each.n * (each.y.mean + each.y.rest) for each in found) == pytest.approx(total)


def test_without_a_cap_nothing_is_summarised() -> None:
    """Until enough units have matured, so that five would be above it, the metric says nothing; the others do."""

    def tell(world: World) -> None:
        begin(world, with_a_cap(), REVENUE)
        spend(world, [float(value) for value in range(49)], 1.0)
        world.log(Tick(20.5))

    facts = however_cut(tell, sizes=(20,))
    assert joints(facts, "spend") == {}
    assert sum(each.n for each in joints(facts, "revenue").values()) == 49


def test_a_restart_keeps_the_cap(bare: World) -> None:
    """A process that comes after the look goes on with the same one."""
    bare.endpoint()
    begin(bare, with_a_cap(), REVENUE)
    spend(bare, [float(value) for value in range(60)], 1.0)
    bare.log(Tick(20.5))
    bare.fold()
    frozen = caps(bare)
    start = len(bare.entries)
    spend(bare, [1e6] * 10, 21.0)
    bare.log(Tick(60.0))
    bare.fold(entries=bare.entries[start:])
    assert (frozen["value"], caps(bare)) == (53.0, frozen)
    assert max(each.y.mean for each in bare.summaries("spend").values()) < 53.0


def test_a_cap_of_losses_needs_labels() -> None:
    """Units without a label say nothing of the tail: what counts for it is how many have one."""

    def tell(world: World) -> None:
        begin(world, REVENUE, Metric(name="e", kind="label_loss", loss="absolute", cap_percentile=90.0))
        for number in range(60):
            prediction = ask(world, 1.0, f"u{number}")
            if number < 30:
                world.answer(2.0, prediction, float(number), "label")
        world.log(Tick(20.5))

    facts = however_cut(tell, sizes=(40,))
    assert joints(facts, "e") == {}
    [row] = facts["experiments"]
    assert msgspec.json.decode(row["evidence"], type=Evidence).caps == {}


def test_no_unit_is_summarised_twice_around_a_freeze() -> None:
    """A unit that is due a moment after the grid point of the look is left for the next time."""

    def tell(world: World) -> None:
        begin(world, with_a_cap(), REVENUE, window_seconds=4.0, lateness_seconds=0.0)
        for number in range(60):
            ask(world, 1.0, f"u{number}")
            world.observe(2.0, f"u{number}", float(number))
        ask(world, 16.0000005, "moment")
        world.log(Tick(20.5))
        world.log(Tick(40.5))

    facts = however_cut(tell, sizes=(20,))
    assert {name: sum(each.n for each in joints(facts, name).values()) for name in ("spend", "revenue")} == {"spend": 61, "revenue": 61}


def looked_at(steps: int, **design: Any) -> tuple[int, dict[str, Any]]:
    """How many looks were made, and the last evidence, while time went on by so many points of the grid with nothing new to see."""

    def tell(world: World) -> None:
        begin(world, REVENUE, WAIT, with_a_cap(), **design)
        for number in range(60):
            ask(world, 1.0, f"u{number}")
            world.observe(2.0, f"u{number}", 7.0, metric="wait")
        for step in range(steps):
            world.log(Tick(41.0 + 20.0 * step))

    [row] = however_cut(tell, sizes=(1,))["experiments"]
    evidence = msgspec.json.decode(row["evidence"], type=Evidence)
    return evidence.looks, {"scanned": evidence.scanned, "uncapped": evidence.uncapped}


def test_no_look_without_anything_to_see() -> None:
    """Where no unit has entered or matured since the last one none is made, until the horizon comes."""
    looks, _ = looked_at(1)
    assert looked_at(8)[0] == looks
    assert looked_at(8, horizon_seconds=120.0)[0] == looks + 1


def test_what_could_not_be_taken_is_not_read_again() -> None:
    """A quantile of equal values and a cap of nothing are tried once for these units: the evidence says of how many."""
    assert looked_at(4)[1] == {"scanned": {"wait": Scan(60, 60)}, "uncapped": {"spend": 60}}
