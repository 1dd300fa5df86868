"""The report on a holdout: who is compared with whom, what counts, and that it finds a feedback loop."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import events
from core.clock import to_rfc3339
from core.errors import Invalid, NotFound
from core.events import FALLBACK, FORCED, HELD_OUT, PINNED, Observed, Predicted
from core.ids import format_prediction_id
from core.values import Label, Output
from experiments.holdout import table
from flows import deploy, holdout_report
from flows.deploy import HoldoutSpec
from flows.holdout_report import Source, Wanted
from journal.writer import Writer
from tests.flows.flow_world import World, order

START = 10.0
"""When the holdout was set; plan 2 is the first that has it."""


class Kept:
    """`credit` with a holdout of a fifth, and a journal."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.journal = world, folder / "journal"
        self.writer = Writer(self.journal)
        self.now = 100.0
        world.endpoint()
        deploy.set_holdout(world.place, "credit", HoldoutSpec(0.2, "m@3", "h"), order(START))

    def predict(self, unit: str | None, *, held: bool = False, at: float = 20.0, flags: int = 0, plan: int = 2, risk: float = 0.5) -> str:
        """Log an answer of a classifier that gives the class 1 this probability; its id."""
        output = Output(label=int(risk > 0.5), probabilities={"0": 1.0 - risk, "1": risk})
        arm, version = ("holdout", "m@3") if held else ("treatment", "m@2")
        event = Predicted(at, "credit", plan, unit, arm, 0.2, version, flags | (HELD_OUT if held else 0), [[1.0]], [output], 0.001)
        return format_prediction_id(self.writer.append(events.encode(event)))

    def observe(
        self, name: str, value: Label, *, at: float = 30.0, unit: str | None = None, of: str | None = None, key: str | None = None
    ) -> None:
        """Log an outcome of a unit or of a prediction."""
        self.writer.append(events.encode(Observed(at, of, None if of else "credit", unit, name, value, at, key)))

    def report(self, **wanted: Any) -> dict[str, Any]:
        """The report."""
        source = Source(self.world.store, self.journal, lambda: self.now)
        return holdout_report.report(source, Wanted("credit")._replace(**wanted))

    def units(self, **wanted: Any) -> tuple[int, int]:
        """How many units of each population it counts."""
        found = self.report(**wanted)["populations"]
        return found["holdout"]["units"], found["treated"]["units"]


@pytest.fixture
def kept(bare: World, tmp_path: Path) -> Iterator[Kept]:
    """Nothing was answered yet."""
    made = Kept(bare, tmp_path)
    yield made
    made.writer.close()


def test_only_who_could_have_been_held_out_is_compared(kept: Kept) -> None:
    """No request without a unit, none whose arm was chosen, none of a plan without this holdout, none of another endpoint."""
    kept.predict("a", held=True)
    kept.predict("b")
    kept.predict("b", flags=FALLBACK)
    for left_out in ({"unit": None}, {"unit": "c", "flags": FORCED}, {"unit": "d", "flags": PINNED}, {"unit": "e", "plan": 1}):
        kept.predict(**left_out)  # type: ignore[arg-type]
    found = kept.report()
    sides = found["populations"]
    assert (sides["holdout"]["units"], sides["holdout"]["versions"]) == (1, {"m@3": 1})
    assert (sides["treated"]["units"], sides["treated"]["predictions"], sides["treated"]["fallbacks"]) == (1, 2, 1)
    assert (found["holdout"], found["since"]) == ({"share": 0.2, "version": "m@3", "salt": "h"}, to_rfc3339(START))


def test_it_is_on_the_holdout_as_it_stands(kept: Kept) -> None:
    """A change of weights keeps what was; another share begins anew; when it is gone, the report is on the last one."""
    kept.predict("a", held=True)
    deploy.set_traffic(kept.world.place, "credit", {"control": 1, "treatment": 2}, None, order(40.0))
    kept.predict("b", held=True, plan=3, at=41.0)
    assert kept.units() == (2, 0)
    deploy.set_holdout(kept.world.place, "credit", HoldoutSpec(0.3), order(50.0))
    kept.predict("c", held=True, plan=4, at=51.0)
    assert kept.units() == (1, 0)
    deploy.set_holdout(kept.world.place, "credit", None, order(60.0))
    kept.predict("d", plan=5, at=61.0)
    assert kept.units() == (1, 0)


def test_a_range(kept: Kept) -> None:
    """From its begin until before its end, also of outcomes."""
    for number, at in enumerate((20.0, 30.0, 40.0)):
        kept.predict(f"u{number}", held=True, at=at)
        kept.observe("revenue", 1.0, unit=f"u{number}", at=at + 1.0)
    assert [kept.units(**wanted) for wanted in ({}, {"start": 30.0}, {"end": 30.0}, {"start": 30.0, "end": 40.0})] == [
        (3, 0),
        (2, 0),
        (1, 0),
        (1, 0),
    ]
    assert kept.report(end=41.0)["measures"]["outcome revenue"]["holdout"]["mean"] == pytest.approx(2 / 3)
    with pytest.raises(Invalid, match=r"^to: expected a time after 1970-01-01T00:00:10"):
        kept.report(end=START)


def test_outcomes_are_totals_of_units(kept: Kept) -> None:
    """By unit or by prediction, 0 where a unit has none, once each; texts and outcomes of strangers are none."""
    one = kept.predict("a", held=True)
    kept.predict("b", held=True)
    kept.predict("c")
    kept.observe("revenue", 2.0, unit="a")
    kept.observe("revenue", 3.0, of=one)
    kept.observe("revenue", 7.0, unit="c", key="k")
    kept.observe("revenue", 7.0, unit="c", key="k")
    kept.observe("revenue", "much", unit="b")
    kept.observe("revenue", 9.0, unit="nobody")
    kept.observe("revenue", 9.0, of="p1-zzz-0000000000000000")
    found = kept.report()["measures"]["outcome revenue"]
    assert (found["per"], found["holdout"]["mean"], found["treated"]["mean"]) == ("unit", 2.5, 7.0)
    assert found["difference"] == {"refused": "a variance needs 2 values or more, there are 1"}


def test_labels_are_counted_by_rows_and_judged_by_units(kept: Kept) -> None:
    """A label is the second class or not; each answer has its losses; the second label of a row is none."""
    ids = [kept.predict(unit, held=True, risk=0.9) for unit in ("a", "a", "b", "c")]
    for prediction, label in zip(ids, (1, 0, 1, 1), strict=True):
        kept.observe("label", label, of=prediction)
    kept.observe("label", 0, of=ids[0])
    found = kept.report()["measures"]
    assert found["label"]["holdout"]["mean"] == found["score"]["holdout"]["mean"] - 0.15 == pytest.approx(0.75)
    assert found["error"]["holdout"]["mean"] == 0.25
    assert found["label"]["holdout"]["units"] == 3
    assert found["label"]["per"] == "row"


def test_a_feedback_loop_is_found(kept: Kept) -> None:
    """Where acting upon a high risk keeps what was foretold from happening, the treated have fewer labels, and the model looks worse."""
    seeded = random.Random(4)
    for number in range(3000):
        held, risk = number % 5 == 0, seeded.uniform(0.05, 0.95)
        prediction = kept.predict(f"u{number}", held=held, risk=risk)
        prevented = not held and risk > 0.5
        kept.observe("label", int(seeded.random() < (0.05 if prevented else risk)), of=prediction)
        kept.observe("revenue", seeded.gauss(10.0, 2.0), unit=f"u{number}")
    found = kept.report()
    measures = found["measures"]
    assert measures["label"]["holdout"]["lower"] < 0.5 < measures["label"]["holdout"]["upper"]
    assert measures["label"]["difference"]["upper"] < -0.2
    assert measures["error"]["difference"]["lower"] > 0.1
    assert measures["log_loss"]["difference"]["p_value"] < 1e-6
    for alike in ("score", "outcome revenue", "predictions"):
        difference = measures[alike]["difference"]
        assert difference.get("refused") or difference["p_value"] > 0.01, alike
    assert found["balance"]["p_value"] > 0.9
    text = table(found)
    assert "holdout of credit: 0.2 of the units, served by m@3" in text
    assert "fixed horizon" in text
    assert all(len(line) <= 140 for line in text.splitlines())


def test_too_much_to_read(kept: Kept) -> None:
    """Where only so much may be read, it is said what would do; nothing was ever held out is said as well."""
    kept.predict("a", held=True)
    with pytest.raises(Invalid, match=r"^from: expected a later time: \d+ bytes .* `tiltyard endpoint holdout-report credit`"):
        kept.report(most_bytes=10)
    assert kept.report(most_bytes=10**9)["populations"]["holdout"]["units"] == 1
    deploy.create(kept.world.place, "other", {"control": deploy.ArmSpec("m@1", 1)}, {}, 1.0, "s", order())
    with pytest.raises(NotFound, match="endpoint other has had no holdout"):
        kept.report(endpoint="other")


def test_an_empty_journal(kept: Kept) -> None:
    """Nothing was answered: nothing is compared, and nothing fails."""
    found = kept.report()
    assert found["populations"]["treated"]["answers"] == {"labels": {}, "quantiles": {}}
    assert found["measures"]["predictions"]["difference"] == {"refused": "a variance needs 2 values or more, there are 0"}
    assert "refused" in table(found)
