"""`tiltyard experiment simulate`: what it prints, that a seed decides, what it refuses; and the simulation behind it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats

from experiments.methods.power import Plan, for_means, for_proportions
from experiments.simulation.generators import normal
from experiments.simulation.plan import Planned, planned_units, units_per_look
from experiments.simulation.planned import Ended, _ended, _figures, simulate
from experiments.simulation.traffic import mature, split
from server.cli.simulate import command

BINARY = ["--baseline", "0.1", "--mde", "0.2", "--relative", "--experiments", "200", "--looks", "40"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def printed(*arguments: str) -> dict[str, Any]:
    ended = run(*arguments, "--json")
    assert ended.exit_code == 0, ended.output
    found: dict[str, Any] = json.loads(ended.output)
    return found


def planned(**fields: Any) -> Planned:
    return Planned(**{"kind": "binary", "baseline": 0.1, "mde": 0.2, "relative": True, "experiments": 200, "looks": 40, **fields})


def test_it_says_how_often_and_how_long() -> None:
    """Without an effect hardly any is promoted, with the MDE most are; durations are in looks, units and days."""
    found = printed(*BINARY, "--daily-units", "1000")
    none, some = found["effects"]
    assert (none["effect"], some["effect"]) == (0.0, 0.2)
    assert none["promoted"]["lower"] <= 0.05
    assert none["rolled_back"]["lower"] <= 0.05
    assert some["promoted"]["rate"] > 0.6
    assert none["naive"]["promoted"]["rate"] > 0.15
    for world in (none, some):
        assert sum(world[each]["rate"] for each in ("promoted", "rolled_back", "kept")) == pytest.approx(1.0)
        looks, units, days = (world["duration"][unit] for unit in ("looks", "units", "days"))
        per_look = found["design"]["units_per_look"]
        assert units == {name: each * per_look for name, each in looks.items()}
        assert days == pytest.approx({name: each * per_look / 1000.0 for name, each in looks.items()})
    assert some["duration"]["looks"]["median"] < none["duration"]["looks"]["median"] == 40


def test_intervals_are_clopper_and_pearsons() -> None:
    """At 99.9 %, of as many experiments as were simulated."""
    promoted = printed(*BINARY)["effects"][1]["promoted"]
    expected = stats.binomtest(round(promoted["rate"] * 200), 200).proportion_ci(0.999, method="exact")
    assert (promoted["lower"], promoted["upper"]) == pytest.approx((expected.low, expected.high))


def test_a_seed_decides() -> None:
    """The same seed prints the same to the last digit, another one does not."""
    assert run(*BINARY).output == run(*BINARY).output
    assert printed(*BINARY) == printed(*BINARY)
    assert printed(*BINARY)["effects"] != printed(*BINARY, "--seed", "2")["effects"]


@pytest.mark.parametrize("test", ["always-valid", "group-sequential", "fixed-horizon"])
@pytest.mark.parametrize("kind", [[], ["--metric-kind", "normal", "--sd", "0.5"], ["--metric-kind", "revenue", "--cv", "3"]])
def test_every_test_and_kind(test: str, kind: list[str]) -> None:
    """Each keeps its error rate, and a fixed-horizon test promotes at its horizon alone."""
    none, some = printed(*BINARY, "--test", test, *kind)["effects"]
    assert none["promoted"]["lower"] <= 0.05
    assert some["promoted"]["rate"] > 0.4
    if test == "fixed-horizon":
        assert some["duration"]["looks"]["p10"] == 40


def test_text_names_what_is_false() -> None:
    """For readers: both worlds, with false decisions called so, next to the t test that stops when it is significant."""
    text = run(*BINARY).output
    assert "True effect 0.00 %" in text
    assert "True effect 20.00 %" in text
    assert text.count("promoted (false)") == 1
    assert text.count("rolled back (false)") == 2
    assert "NAIVE T" in text
    assert "days" not in text
    assert "40 looks of" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "1.5"], "baseline: expected a rate between 0 and 1"),
        (["--baseline", "0.9"], "effect: treatment's rate would be 1.08"),
        (["--effect", "-2"], "effect: treatment's rate would be -0.1"),
        (["--effect", "nan"], "effect: expected a finite number"),
        (["--mde", "0"], "mde: expected a finite number above 0"),
        (["--sd", "1"], "sd: expected either sd or cv"),
        (["--cv", "1"], "cv: expected none"),
        (["--metric-kind", "normal"], "sd: a normal metric needs sd or cv"),
        (["--metric-kind", "normal", "--sd", "1", "--cv", "1"], "sd: expected either sd or cv"),
        (["--metric-kind", "revenue", "--baseline", "-1"], "baseline: expected a mean above 0"),
        (["--metric-kind", "revenue", "--cv", "0"], "cv: expected a number above 0"),
        (["--maximum", "0"], "maximum: expected 0.1 to 100"),
        (["--maximum", "1", "--test", "always-valid"], "maximum: only a group-sequential test"),
        (["--spending", "power", "--maximum", "1"], "phi: expected with the spending power"),
        (["--alpha", "0.7"], "alpha: expected"),
        (["--power", "0.01"], "power: expected"),
        (["--days", "5"], "days: expected with daily_units"),
        (["--days", "5", "--daily-units", "9", "--units-per-look", "9"], "days: expected with daily_units"),
        (["--units-per-look", "0"], "units_per_look: expected a number above 0"),
        (["--looks", "0"], "looks: expected 1 to"),
        (["--experiments", "0"], "experiments: expected 1 to"),
        (["--seed", "-1"], "seed: expected a whole number"),
        (["--experiments", "1000000", "--looks", "1000"], "experiments: expected at most 100,000 of this size"),
        (["--split", "1:0"], "split: expected two weights above 0"),
    ],
)
def test_wrong_input_is_named(arguments: list[str], message: str) -> None:
    """The field and what was expected of it."""
    ended = run(*BINARY, *arguments)
    assert ended.exit_code == 2
    assert message in ended.output


@pytest.mark.parametrize("split", ["50", "a:b", "1:2:3", ""])
def test_a_split_is_two_weights(split: str) -> None:
    """Anything else is wrong usage."""
    ended = run(*BINARY, "--split", split)
    assert ended.exit_code == 2
    assert "expected CONTROL:TREATMENT" in ended.output


def test_the_planned_sample() -> None:
    """What a fixed-horizon test needs, of both arms; and by default as many units as the test at hand needs."""
    assert planned_units(planned()) == pytest.approx(sum(for_proportions(0.1, 0.02, Plan())))
    uneven = planned(kind="revenue", baseline=10.0, cv=2.0, split=(90.0, 10.0))
    assert planned_units(uneven) == pytest.approx(sum(for_means(20.0, 2.0, Plan(allocation=1 / 9))))
    needed = planned_units(planned())
    for fields, times in (({}, 1.8), ({"maximum": 1.2}, 1.2), ({"test": "fixed-horizon"}, 1.0)):
        assert units_per_look(planned(**fields)) == pytest.approx(times * needed / 40, abs=1.0)


def test_declared_traffic() -> None:
    """Units per look as given, or those of the days."""
    assert units_per_look(planned(units_per_look=77)) == 77
    assert units_per_look(planned(daily_units=1000.0, days=8.0)) == 200
    assert simulate(planned(daily_units=1000.0, days=8.0, experiments=10))["design"]["days"] == pytest.approx(8.0)


def test_one_effect() -> None:
    """Where the effect is given it is the only world; harm is then rolled back, not kept."""
    worlds = simulate(planned(effect=-0.4))["effects"]
    assert [world["effect"] for world in worlds] == [-0.4]
    assert worlds[0]["rolled_back"]["rate"] > 0.8
    assert worlds[0]["promoted"]["rate"] == 0.0


def test_the_first_decision_ends_it() -> None:
    """Each experiment is promoted, rolled back or kept, never two of these, and ends at the look of that."""
    declared = planned(kind="normal", baseline=0.0, sd=1.0, mde=0.1, relative=False, maximum=0.5).design()
    rng = np.random.default_rng(5)
    ended = _ended(declared, list(mature(rng, 300, split(150, 40), normal(0.0, 1.0), normal(0.02, 1.0))), 40)
    assert not (ended.promoted & ended.rolled_back).any()
    assert ended.promoted.any()
    assert (ended.at[~ended.promoted & ~ended.rolled_back] < 40).any()
    assert ended.at.max() <= 40


def test_durations_are_of_all_experiments() -> None:
    """Quantiles are looks at which some experiment ended; the naive test runs to the end where it finds nothing."""
    ended = Ended(np.array([True, False]), np.array([False, False]), np.array([3.0, 10.0]), np.array([0, 2]))
    found = _figures(ended, 10, 100, 0.5)
    assert found["duration"]["looks"] == {"p10": 3.0, "p25": 3.0, "median": 3.0, "p75": 10.0, "p90": 10.0}
    assert found["duration"]["days"]["p90"] == 5.0
    assert found["naive"]["duration"]["looks"]["p90"] == 10.0
    assert found["naive"]["promoted"]["rate"] == 0.5
