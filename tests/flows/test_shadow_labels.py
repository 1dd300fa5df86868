"""Labels of mirrored predictions: each makes one pair, whatever crashes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from core import events
from core.events import PINNED, Predicted
from core.ids import Address, format_prediction_id
from core.values import Output
from experiments.shadows.evidence import Looked
from flows.follow import Follower
from tests.flows.shadow_scene import NEW, NEXT, OLD, Scene, entries, surprise


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
        scene.runner().work(entries(scene), 2.0)(connection)
    assert (len(once), scene.pairs()) == (20, once)
    assert scene.totals().labels == totals.labels


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
        for entry in entries(scene)[1:]:
            scene.runner().drop(connection, entry)
    assert scene.totals().dropped == 0


def test_a_label_of_another_shape(scene: Scene) -> None:
    """A classifier whose users were answered without probabilities is compared by right and wrong."""
    event = Predicted(1.0, "credit", 1, None, "control", 1.0, "c@1", 0, [[1.0]], [Output(label=0)], 0.001)
    scene.label(2.0, format_prediction_id(scene.writer.append(events.encode(event))), 1)
    scene.follow()
    [pair] = scene.pairs()
    assert (pair["primary_loss"], pair["shadow_loss"], pair["positive"]) == (1.0, 0.0, None)
    assert scene.totals().labels.loss == "error"
