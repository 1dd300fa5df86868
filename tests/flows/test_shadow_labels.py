"""Labels of mirrored predictions: each makes one pair, whatever crashes, and looks at the pairs say which model is better."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from core import events
from core.errors import Invalid, NotFound
from core.events import PINNED, Observed, Predicted, Tick
from core.ids import Address, format_prediction_id
from core.values import Label, Output, Position, Value
from experiments.shadows.agreement import Totals
from experiments.shadows.evidence import EVERY_SECONDS, Looked
from experiments.shadows.looks import FEWEST
from experiments.shadows.table import table
from flows import deploy, housekeep, known, shadow_report
from flows.deploy import ArmSpec, ShadowSpec
from flows.follow import Follower
from flows.shadow import ShadowName, ShadowRunner, save_totals, totals_of
from journal.lookup import Lookup
from journal.writer import Writer
from models.linear import Linear, LinearRuntime
from models.package import Loaded
from models.signature import Feature, Signature
from store import registry, shadows
from store.tables import shadow_pairs, shadow_totals
from tests.flows import flow_world
from tests.flows.flow_world import World, order

NEXT = ShadowName("credit", "next", "c@2")
OLD, NEW = 0.5, 2.0
"""Coefficients of the model that users see and of the shadow: the new one is surer of the sign of x."""


def classifier(coefficient: float) -> Loaded:
    """A logistic model of x, with the classes 0 and 1."""
    signature = Signature((Feature("x", "float"),), "classification", (0, 1))
    return _loaded(signature, Linear([], [], [[coefficient]], [0.0], "logistic"))


def regressor(coefficient: float) -> Loaded:
    """A linear model of x."""
    return _loaded(Signature((Feature("x", "float"),), "regression"), Linear([], [], [[coefficient]], [0.0], "identity"))


def _loaded(signature: Signature, model: Linear) -> Loaded:
    card = replace(flow_world.card(), signature=signature, format="linear")
    return Loaded(card, LinearRuntime(msgspec.json.encode(model), signature), 0.0)


class Scene:
    """An endpoint that c@1 answers and c@2 shadows, a real journal, and the shadow's reader."""

    def __init__(self, world: World, directory: Path, primary: Loaded, shadow: Loaded) -> None:
        self.world, self.journal, self.primary, self.shadow = world, directory, primary, shadow
        self.writer = Writer(directory)
        with world.store.write() as connection:
            for loaded in (primary, shadow):
                registry.add_version(connection, "c", known.encode(loaded.card), "me", 0.0)
        place = world.place._replace(journal_end=lambda: Position(1, 0))
        deploy.create(place, "credit", {"control": ArmSpec("c@1", 1)}, {"next": ShadowSpec("c@2")}, 1.0, "salt", order(0.0))

    def predict(self, at: float, *x: Value, unit: str | None = None, flags: int = 0, endpoint: str = "credit") -> str:
        """Log what c@1 answers; the prediction's id."""
        rows = [[one] for one in x]
        outputs = self.primary.predict([[1.0 if one is None else one] for one in x])
        event = Predicted(at, endpoint, 1, unit, "control", 1.0, "c@1", flags, rows, outputs, 0.001)
        return format_prediction_id(self.writer.append(events.encode(event)))

    def label(self, at: float, prediction: str, value: Label, metric: str = "label") -> None:
        """Log an outcome of a prediction."""
        self.writer.append(events.encode(Observed(at, prediction, None, None, metric, value, at, None)))

    def tick(self, at: float) -> None:
        """Let journal time be `at`."""
        self.writer.append(events.encode(Tick(at)))

    def runner(self) -> ShadowRunner:
        """The shadow as a new process has it."""
        return ShadowRunner(self.world.store, NEXT, self.shadow, 64, Lookup(self.journal).get)

    def follow(self) -> None:
        """Read to the end."""
        runner = self.runner()
        follower = Follower(self.world.store, self.journal, NEXT.reader)
        while follower.step(runner.work, runner.limit):
            pass
        follower.close()

    def pairs(self) -> list[dict[str, Any]]:
        """The pairs that are stored."""
        return self.world.rows(shadow_pairs)

    def totals(self) -> Totals:
        """The shadow's totals."""
        with self.world.store.read() as connection:
            return totals_of(connection, NEXT)

    def report(self, shadow: str | None = "next") -> dict[str, Any]:
        """The report on the shadow."""
        return shadow_report.report(self.world.store, self.journal, "credit", shadow, lambda: 1e9)


def scenes(world: World, directory: Path, make: Any) -> Iterator[Scene]:
    scene = Scene(world, directory, make(OLD), make(NEW))
    yield scene
    scene.writer.close()


@pytest.fixture
def scene(bare: World, tmp_path: Path) -> Iterator[Scene]:
    """Two classifiers."""
    yield from scenes(bare, tmp_path / "journal", classifier)


@pytest.fixture
def values(bare: World, tmp_path: Path) -> Iterator[Scene]:
    """Two regressors."""
    yield from scenes(bare, tmp_path / "journal", regressor)


def surprise(x: float) -> float:
    """The log loss of a logistic model that gives the true class the score x."""
    return math.log1p(math.exp(-x))


def test_a_label_makes_a_pair(scene: Scene) -> None:
    """Both answers measured against the truth, under the prediction's unit, or where it has none under the prediction itself."""
    first, second = scene.predict(1.0, 1.0, -3.0, unit="u1"), scene.predict(2.0, 1.0)
    scene.label(3.0, f"{first}.1", "0")
    scene.label(3.0, first, True)
    scene.label(4.0, second, 0)
    scene.follow()
    top, bottom, alone = scene.pairs()
    assert [(pair["unit"], pair["row"]) for pair in (top, bottom, alone)] == [("u1", 0), ("u1", 1), (f"\0{second}", 0)]
    for pair, x in ((top, 1.0), (bottom, 3.0), (alone, -1.0)):
        assert pair["primary_loss"] == pytest.approx(surprise(OLD * x))
        assert pair["shadow_loss"] == pytest.approx(surprise(NEW * x))
        assert (pair["primary_right"], pair["shadow_right"]) == (x > 0, x > 0)
    assert (top["positive"], bottom["positive"], alone["positive"]) == (True, False, False)
    assert top["shadow_score"] == pytest.approx(math.exp(-surprise(NEW)))
    assert scene.totals().labels == Looked(loss="log_loss")


def test_a_regressor(values: Scene) -> None:
    """Squared loss, neither right nor wrong; a text is no true value of it and is counted."""
    prediction = values.predict(1.0, 2.0, 3.0)
    values.label(2.0, prediction, 3.0)
    values.label(2.0, f"{prediction}.1", "three")
    values.follow()
    [pair] = values.pairs()
    assert (pair["primary_loss"], pair["shadow_loss"]) == ((OLD * 2.0 - 3.0) ** 2, (NEW * 2.0 - 3.0) ** 2)
    assert (pair["primary_right"], pair["shadow_score"], pair["positive"]) == (None, None, None)
    assert values.totals().labels == Looked(loss="squared", unlike=1)


def test_an_odd_first_label_decides_nothing(values: Scene) -> None:
    """The loss is decided by the first label that makes a pair."""
    prediction = values.predict(1.0, 2.0)
    values.label(2.0, prediction, "two")
    values.follow()
    assert values.totals().labels == Looked(unlike=1)


def test_what_is_no_label_of_a_mirrored_prediction(scene: Scene) -> None:
    """Other metrics, pinned and unknown predictions, rows that it did not have, other endpoints: no pair, and no harm."""
    scene.label(2.0, scene.predict(1.0, 1.0), 1, metric="revenue")
    scene.label(2.0, scene.predict(1.0, 1.0, flags=PINNED), 1)
    scene.label(2.0, scene.predict(1.0, 1.0, endpoint="other"), 1)
    scene.label(2.0, f"{scene.predict(1.0, 1.0)}.1", 1)
    scene.label(2.0, format_prediction_id(Address(1, 12345, 6)), 1)
    scene.label(2.0, "nonsense", 1)
    scene.follow()
    assert (scene.pairs(), scene.totals().labels, scene.totals().done) == ([], Looked(), 2)


def test_the_first_label_of_a_row_wins(scene: Scene) -> None:
    """Whether the second comes in the same step or later."""
    prediction = scene.predict(1.0, 1.0)
    for at, value in ((2.0, 1), (2.0, 0)):
        scene.label(at, prediction, value)
    scene.follow()
    scene.label(3.0, prediction, 0)
    scene.follow()
    assert [pair["positive"] for pair in scene.pairs()] == [True]


class Crash(BaseException):
    """The process dies here."""


def test_labels_read_twice(scene: Scene) -> None:
    """A process that dies before its position is stored leaves nothing; the next one stores what a process that lived would have."""
    for number in range(20):
        scene.label(2.0, scene.predict(1.0, number - 9.5, unit=f"u{number % 7}"), 1)

    def dies(*given: Any) -> Any:
        effect = scene.runner().work(*given)

        def halfway(connection: Any) -> float:
            effect(connection)
            raise Crash

        return halfway

    follower = Follower(scene.world.store, scene.journal, NEXT.reader)
    with pytest.raises(Crash):
        follower.step(dies, 30)
    follower.close()
    assert scene.pairs() == []
    scene.follow()
    once, totals = scene.pairs(), scene.totals()
    with scene.world.store.write() as connection:
        scene.runner().work(_entries(scene), 2.0)(connection)
    assert (len(once), scene.pairs()) == (20, once)
    assert scene.totals().labels == totals.labels


def _entries(scene: Scene) -> Any:
    from journal.reader import Reader

    reader = Reader(scene.journal, Position(1, 0))
    found = reader.read(1000)
    reader.close()
    return found


def test_a_row_that_the_shadow_cannot_answer(scene: Scene) -> None:
    """It costs its own label, which is counted, and not those that are answered with it."""
    predictions = [scene.predict(1.0, x) for x in (1.0, None, -1.0)]
    for prediction in predictions:
        scene.label(2.0, prediction, 1)
    runner, follower = scene.runner(), Follower(scene.world.store, scene.journal, NEXT.reader)
    follower.step(runner.work, 100)
    follower.close()
    assert len(scene.pairs()) == 2
    assert scene.totals().labels == Looked(loss="log_loss", failed=1)


def test_a_label_put_aside_is_no_request_dropped(scene: Scene) -> None:
    """Each mirrored request is still done, dropped or waiting."""
    scene.label(2.0, scene.predict(1.0, 1.0), 1)
    with scene.world.store.write() as connection:
        for entry in _entries(scene)[1:]:
            scene.runner().drop(connection, entry)
    assert scene.totals().dropped == 0


def test_looks_come_on_a_grid(scene: Scene) -> None:
    """One at each grid point that journal time passes, of what was stored before; none where nothing has come."""
    scene.tick(EVERY_SECONDS)
    scene.tick(EVERY_SECONDS + 1.0)
    for number in range(30):
        scene.label(EVERY_SECONDS + 3.0, scene.predict(EVERY_SECONDS + 2.0, 1.0 + number), 1)
    for at in (2.0, 2.5, 2.9, 5.1, 5.2):
        scene.tick(at * EVERY_SECONDS)
        scene.follow()
    looked = scene.totals().labels
    assert (looked.looks, looked.slot, looked.at, looked.rows, looked.units) == (2, 5, 5.1 * EVERY_SECONDS, 30, 30)
    assert looked.planned_sd is not None
    expected = sum(surprise(NEW * (1.0 + number)) - surprise(OLD * (1.0 + number)) for number in range(30)) / 30
    assert (looked.paired.estimate, looked.paired.log_evidence) == (pytest.approx(expected), None)


def test_a_shadow_that_is_better(scene: Scene) -> None:
    """Once enough units are labelled a look shows it, and it stays shown; the report says so in one sentence and in a table."""
    assert scene.report()["reason"] == "not enough data: no label of a mirrored prediction has come, 500 units are needed"
    for number in range(FEWEST):
        x = 0.5 + number % 5
        scene.label(2.0, scene.predict(1.0, x, unit=f"u{number}"), 1)
    scene.follow()
    assert scene.report()["reason"].startswith("not enough data: labels of 500 units, the first look that can tell")
    for at in (EVERY_SECONDS, EVERY_SECONDS + 1.0, 2.0 * EVERY_SECONDS, 2.0 * EVERY_SECONDS + 1.0):
        scene.tick(at)
    scene.follow()
    found = scene.report(None)
    assert found["verdict"] == "better", found
    assert found["reason"].startswith("better: log loss lower by 0.")
    assert found["reason"].endswith("since look 1")
    assert found["loss"]["sequential"]["shown"]["look"] == 1
    assert found["loss"]["fixed"]["estimate"] == pytest.approx(found["loss"]["sequential"]["estimate"])
    assert found["loss"]["fixed"]["wilcoxon_p"] < 1e-6
    assert (found["right"]["verdict"], found["agreement"]["share"], found["looks"]["made"]) == ("refused", 1.0, 2)
    assert table(found).startswith("BETTER  shadow next (c@2) on endpoint credit\n  better: log loss lower by")
    msgspec.json.decode(msgspec.json.encode(found))


def test_few_units(scene: Scene) -> None:
    """How many there are, and how many are needed."""
    for number in range(37):
        scene.label(2.0, scene.predict(1.0, 1.0, unit=f"u{number}"), 1)
    scene.follow()
    found = scene.report()
    assert (found["verdict"], found["reason"]) == ("not_enough_data", "not enough data: labels of 37 units, 500 are needed")


def test_totals_of_an_earlier_version(scene: Scene) -> None:
    """What it stored is read, and what it did not know is taken to be nothing."""
    stored = msgspec.to_builtins(Totals(done=5, errors=1))
    for name in ("labels", "latency_difference"):
        del stored[name]
    with scene.world.store.write() as connection:
        connection.execute(shadow_totals.insert().values(endpoint="credit", shadow="next", version="c@2", totals=stored))
    assert scene.totals() == Totals(done=5, errors=1)
    assert scene.report()["errors"]["share"] == 0.2


def test_what_looks_found_survives_dropping(scene: Scene) -> None:
    """A request that is put aside is counted, and what labels have shown stays."""
    scene.predict(1.0, 1.0)
    before = Totals(done=1, labels=Looked(loss="log_loss", looks=3))
    with scene.world.store.write() as connection:
        save_totals(connection, NEXT, before)
        scene.runner().drop(connection, _entries(scene)[0])
    assert scene.totals() == replace(before, dropped=1)


def test_which_shadow(scene: Scene) -> None:
    """A name that no shadow has, and none where there are several, is told; a shadow that was removed still has its report."""
    with pytest.raises(NotFound, match="no shadow 'other'"):
        scene.report("other")
    place = scene.world.place._replace(journal_end=lambda: Position(1, 0))
    deploy.set_shadows(place, "credit", {"next": ShadowSpec("c@2"), "more": ShadowSpec("c@1")}, order(1.0))
    with pytest.raises(Invalid, match="expected one of next, more"):
        scene.report(None)
    deploy.set_shadows(place, "credit", {}, order(2.0))
    with pytest.raises(NotFound, match="has no shadow"):
        scene.report(None)


def test_a_shadow_that_retired(scene: Scene) -> None:
    """Its reader goes, its pairs stay, and so does its report once `record` has counted what was mirrored to it."""
    scene.label(2.0, scene.predict(1.0, 1.0), 1)
    scene.follow()
    with scene.world.store.write() as connection:
        shadows.add_mirrored(connection, {tuple(NEXT): 1})
    deploy.set_shadows(scene.world.place, "credit", {}, order(2.0))
    housekeep.retire_shadows(scene.world.store, scene.journal, lambda: 1e6)
    assert NEXT.reader not in housekeep.wanted_readers(scene.world.store)
    assert (scene.report()["labels"]["rows"], scene.report()["waiting"]) == (1, 0)


def test_a_label_of_another_shape(scene: Scene) -> None:
    """A classifier whose users were answered without probabilities is compared by right and wrong."""
    event = Predicted(1.0, "credit", 1, None, "control", 1.0, "c@1", 0, [[1.0]], [Output(label=0)], 0.001)
    scene.label(2.0, format_prediction_id(scene.writer.append(events.encode(event))), 1)
    scene.follow()
    [pair] = scene.pairs()
    assert (pair["primary_loss"], pair["shadow_loss"], pair["positive"]) == (1.0, 0.0, None)
    assert scene.totals().labels.loss == "error"
