"""What becomes of an event: units, windows, tallies."""

from __future__ import annotations

import pytest

from core.events import ENROLLED, FORCED, PINNED, Observed, Tick, Unlogged
from experiments.methods.joint import Joint
from experiments.methods.summary import Summary
from flows import deploy, experiment
from flows.deploy import ShadowSpec
from store.tables import arm_counts, mirrored, summaries, tallies, unit_totals, units, waiting
from tests.flows.flow_world import World, order


def test_entry(world: World) -> None:
    """A unit's first prediction fixes its arm, phase and time; later ones are counted as predictions alone."""
    world.predict(1.0, "u")
    world.predict(3.0, "u")
    world.fold()
    [unit] = world.rows(units)
    assert (unit["arm"], unit["phase"], unit["entry"], unit["state"]) == ("control", 1, 1.0, "open")
    [counts] = world.rows(arm_counts)
    assert (counts["units"], counts["predictions"]) == (1, 2)


def test_a_request_without_a_unit_is_its_own(world: World) -> None:
    """Two of them are two units, and their outcomes find them by the prediction."""
    for _ in range(2):
        world.answer(1.0, world.predict(1.0, None), 4.0)
    world.fold()
    assert list(world.totals().values()) == [4.0, 4.0]
    assert world.tallies() == {"counted": 2}


@pytest.mark.parametrize(
    ("timestamp", "arrived", "tally"),
    [
        (5.0, 5.0, "counted"),
        (14.9, 19.9, "counted"),
        (15.0, 15.0, "outside_window"),
        (4.9, 6.0, "outside_window"),
        (14.9, 20.0, "outside_window"),
    ],
)
def test_window_edges(world: World, timestamp: float, arrived: float, tally: str) -> None:
    """[entry, entry + 10) counts where it arrives before entry + 15; all else is outside the window, and said so."""
    world.predict(5.0, "u")
    world.observe(arrived, "u", 2.0, timestamp)
    world.fold()
    assert world.tallies() == {tally: 1}
    assert world.totals() == ({"u": 2.0} if tally == "counted" else {})


def test_waiting_then_joined(world: World) -> None:
    """An outcome that comes before its unit waits, and counts when the unit has come."""
    world.observe(1.0, "u", 2.0, timestamp=8.0)
    world.fold()
    assert len(world.rows(waiting)) == 1
    assert world.tallies() == {}
    world.predict(5.0, "u")
    world.fold(entries=world.entries[1:])
    assert (world.rows(waiting), world.tallies(), world.totals()) == ([], {"counted": 1}, {"u": 2.0})


def test_waiting_in_vain(world: World) -> None:
    """After 60 s of journal time without its unit an outcome counts as quarantined."""
    world.observe(1.0, "u")
    world.log(Tick(60.9))
    world.fold()
    assert world.tallies() == {}
    world.log(Tick(61.0))
    world.fold(entries=world.entries[2:])
    assert (world.rows(waiting), world.tallies()) == ([], {"quarantined": 1})


@pytest.mark.parametrize("batch", [1, 3])
def test_a_unit_that_comes_too_late(bare: World, batch: int) -> None:
    """Then its outcome was quarantined already, in whatever batches the events were read."""
    bare.endpoint()
    bare.begin(look=1000.0)
    bare.observe(1.0, "u", timestamp=290.0)
    bare.log(Tick(30.0))
    bare.predict(281.0, "u")
    for start in range(0, 3, batch):
        bare.fold(entries=bare.entries[start : start + batch])
    assert bare.tallies() == {"quarantined": 1}


def test_unknown_predictions(world: World) -> None:
    """An outcome of a prediction that no record knows, or of a row that it did not have, is quarantined."""
    known = world.predict(1.0, "u")
    for prediction in ("p1-ffff-0000000000000007", f"{known}.1", "no id"):
        world.answer(2.0, prediction)
    world.fold()
    assert {(row["experiment"], row["name"], row["number"]) for row in world.facts()["tallies"]} == {("", "quarantined", 3)}


def test_duplicates_by_id(world: World) -> None:
    """The same id of a metric counts once, in one batch or across two."""
    world.predict(1.0, "u")
    for _ in range(2):
        world.observe(2.0, "u", 2.0, key="o1")
    world.fold()
    world.observe(3.0, "u", 2.0, key="o1")
    world.fold(entries=world.entries[3:])
    assert (world.tallies(), world.totals()) == ({"counted": 1, "duplicates": 2}, {"u": 2.0})


def test_without_id_each_outcome_is_a_new_one(world: World) -> None:
    """Two purchases of one amount are two."""
    world.predict(1.0, "u")
    for _ in range(2):
        world.observe(2.0, "u", 2.0)
    world.fold()
    assert world.totals() == {"u": 4.0}


def test_one_label_a_row(world: World) -> None:
    """Without an id the first label of a row wins; other rows have their own. A label is no metric of this experiment."""
    known = world.predict(1.0, "u", rows=2)
    for prediction in (known, f"{known}.0", f"{known}.1"):
        world.answer(2.0, prediction, "good", "label")
    world.fold()
    assert world.tallies() == {"unanalysed": 2, "duplicates": 1}


def test_what_is_not_analysed(world: World) -> None:
    """Forced, pinned and not enrolled rows make no unit of an arm; their outcomes are unanalysed, forced rows are counted."""
    forced, pinned = world.predict(1.0, "f", flags=FORCED), world.predict(1.0, "p", flags=PINNED)
    both, outside = world.predict(1.0, "b", flags=FORCED | ENROLLED), world.predict(1.0, "o", flags=0)
    for prediction in (forced, pinned, both, outside):
        world.answer(2.0, prediction)
    world.observe(2.0, "o")
    world.fold()
    assert world.tallies() == {"unanalysed": 5, "forced": 2}
    assert world.rows(arm_counts) == []
    assert world.states() == {"o": "outside"}


def test_another_metric(world: World) -> None:
    """An outcome of a metric that the experiment does not name is unanalysed."""
    world.predict(1.0, "u")
    world.observe(2.0, "u", metric="clicks")
    world.fold()
    assert world.tallies() == {"unanalysed": 1}


def test_before_and_without_an_experiment(bare: World) -> None:
    """What belongs to none is counted under none, and makes no units."""
    bare.endpoint()
    bare.answer(2.0, bare.predict(1.0, "u", plan=1))
    bare.fold()
    assert bare.rows(units) == []
    assert [(row["experiment"], row["name"], row["number"]) for row in bare.facts()["tallies"]] == [("", "unanalysed", 1)]


def test_two_arms(world: World) -> None:
    """A unit seen in two arms of one phase is left out, with what it brings from then on."""
    world.predict(1.0, "u")
    world.predict(2.0, "u", "treatment")
    world.observe(3.0, "u")
    world.log(Tick(40.0))
    world.fold()
    assert (world.states(), world.tallies(), world.rows(summaries)) == ({"u": "two_arms"}, {"unanalysed": 1}, [])
    assert {row["arm"]: (row["units"], row["predictions"], row["two_arms"]) for row in world.rows(arm_counts)} == {
        "control": (1, 1, 1),
        "treatment": (0, 1, 0),
    }


@pytest.mark.parametrize("batch", [1, 3])
def test_another_arm_after_maturity(world: World, batch: int) -> None:
    """What was analysed stays so, in whatever batches the events were read."""
    world.predict(1.0, "u")
    world.log(Tick(17.0))
    world.predict(18.0, "u", "treatment")
    for start in range(0, 3, batch):
        world.fold(entries=world.entries[start : start + batch])
    assert world.states() == {"u": "matured"}


def test_a_unit_belongs_to_its_entry_phase(world: World) -> None:
    """After a shift it may be served another arm: its outcomes count where it entered, and it is cut where its window crosses."""
    deploy.set_traffic(world.place, "credit", {"control": 1, "treatment": 3}, None, order(20.0))
    for unit, entry in (("whole", 5.0), ("cut", 12.0)):
        world.predict(entry, unit)
        world.observe(entry + 1, unit)
    for unit in ("whole", "cut"):
        world.predict(21.0, unit, "treatment", plan=3)
    world.predict(22.0, "new", "treatment", plan=3)
    world.log(Tick(60.0))
    world.fold()
    assert world.states() == {"whole": "matured", "cut": "cut", "new": "matured"}
    found = {place: (joint.n, joint.y.mean) for place, joint in world.summaries().items()}
    assert found == {(1, "control"): (1, 1.0), (2, "treatment"): (1, 0.0)}


def test_maturity_by_tick(world: World) -> None:
    """A unit matures by journal time when nothing else happens; one without outcomes brought 0."""
    world.predict(1.0, "u")
    world.log(Tick(15.99))
    world.fold()
    assert world.states() == {"u": "open"}
    world.log(Tick(16.0))
    world.fold(entries=world.entries[2:])
    assert world.states() == {"u": "matured"}
    assert world.summaries() == {(1, "control"): Joint(Summary(1), Summary(1))}


def test_unlogged(world: World) -> None:
    """Predictions that could not be logged are counted for the experiment of their plan."""
    world.log(Unlogged(1.0, "credit", 2, "control", 7))
    world.fold()
    assert world.tallies() == {"unlogged": 7}


def test_mirrored(bare: World) -> None:
    """`record` counts what each shadow of the plan sees: not what was pinned."""
    bare.endpoint({"next": ShadowSpec("m@3"), "half": ShadowSpec("m@4", 0.5)})
    for _ in range(400):
        bare.predict(1.0, None, plan=1)
    bare.predict(1.0, None, plan=1, flags=PINNED)
    bare.fold()
    numbers = {row["shadow"]: row["number"] for row in bare.rows(mirrored)}
    assert numbers["next"] == 400
    assert 140 < numbers["half"] < 260


def test_an_outcome_of_an_endpoint_that_has_no_experiment(world: World) -> None:
    """It is nobody's, and still counted."""
    world.log(Observed(1.0, None, "other", "u", "revenue", 1.0, 1.0, None))
    world.fold()
    assert world.facts()["tallies"] == [{"experiment": "", "name": "unanalysed", "number": 1}]


def test_a_clock_that_stepped_back_loses_nothing(world: World) -> None:
    """Journal time was an hour ahead for a moment: units enter by it, and what they bring at once counts."""
    world.log(Tick(3600.0))
    world.predict(10.0, "u")
    world.observe(11.0, "u", 2.0)
    world.fold()
    [unit] = world.rows(units)
    assert (unit["entry"], unit["state"]) == (3600.0, "open")
    assert (world.tallies(), world.totals()) == ({"counted": 1}, {"u": 2.0})


def test_a_stopped_experiment_still_gets_the_outcomes_of_its_units(world: World) -> None:
    """Whether another has begun since or not; what counts there as well counts in both, what counts nowhere the newest tells."""
    world.predict(1.0, "u")
    experiment.stop(world.place, "e1", order(2.0))
    world.begin("e2", 3.0)
    world.predict(4.0, "v", plan=4)
    world.predict(4.0, "u", plan=4)
    world.observe(5.0, "u", 2.0)
    world.observe(6.0, "v", 3.0)
    world.observe(12.0, "u", 4.0)
    world.observe(70.0, "w", 5.0)
    world.fold()
    found = {(row["experiment"], row["unit"]): row["total"] for row in world.rows(unit_totals)}
    assert found == {("e1", "u"): 2.0, ("e2", "u"): 6.0, ("e2", "v"): 3.0}
    assert world.tallies() == {"counted": 1}
    assert {row["name"]: row["number"] for row in world.rows(tallies) if row["experiment"] == "e2"} == {"counted": 3}
    assert [row["unit"] for row in world.rows(waiting)] == ["w"]


def test_an_answer_of_a_plan_that_the_store_has_lost(world: World) -> None:
    """It belongs to nothing, and its outcomes count as unanalysed; all else goes on."""
    lost = world.predict(1.0, "u", plan=77)
    world.answer(2.0, lost)
    world.log(Unlogged(2.0, "credit", 77, "control", 3))
    world.predict(3.0, "v")
    world.answer(4.0, world.predict(3.0, "v"))
    world.fold()
    assert (world.tallies(), world.states()) == ({"counted": 1}, {"v": "open"})
    nowhere = {row["name"]: row["number"] for row in world.rows(tallies) if not row["experiment"]}
    assert nowhere == {"unanalysed": 1, "unlogged": 3}


@pytest.mark.parametrize("values", [(1e308, 1e308, -1e308, -1e308), (-1e308, -1e308, 1e308, 1e308)])
def test_sums_beyond_the_range_of_floating_point_stay_numbers(world: World, values: tuple[float, ...]) -> None:
    """In one batch or in several; that they are too large is said when they are analysed."""
    world.predict(1.0, "u")
    world.fold()
    for value in values:
        world.observe(2.0, "u", value)
    for first in (1, 3):
        world.fold(entries=world.entries[first : first + 2])
    assert world.totals()["u"] == world.totals()["u"]
    world.log(Tick(20.0))
    world.fold(entries=world.entries[5:])
    assert world.states() == {"u": "matured"}


def test_a_clock_that_stepped_back_keeps_the_times_of_outcomes(world: World) -> None:
    """What says when it was observed is taken as long before its arrival as it says: within the window, or before the entry."""
    world.log(Tick(3600.0))
    world.predict(10.0, "u")
    world.observe(15.0, "u", 2.0, timestamp=14.0)
    world.observe(15.0, "u", 100.0, timestamp=4.0)
    world.fold()
    assert (world.tallies(), world.totals()) == ({"outside_window": 2}, {})
    world.log(Tick(3605.0))
    world.observe(16.0, "u", 2.0, timestamp=13.0)
    world.observe(16.0, "u", 100.0, timestamp=3.0)
    world.fold(entries=world.entries[4:])
    assert (world.tallies(), world.totals()) == ({"counted": 1, "outside_window": 3}, {"u": 2.0})
