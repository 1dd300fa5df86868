"""Labels: are they what the sample's were, and has the model become worse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from core.values import Label, Output
from flows.watching.losses import with_losses
from flows.watching.reference import class_name, number_of
from models.package import Package, Tried
from models.profile import profile
from models.signature import Signature, infer
from tests.flows import flow_world
from tests.flows.watching.watch_world import Model, Watching, cancer, card_of

X, Y, NAMES = cancer()
NAMED: list[Callable[[int], Label]] = [int, float, bool, str]


def serve(watching: Watching, model: Model, rows: int, told: Callable[[int, int], Label], seed: int = 1, at: float = 10.0) -> list[str]:
    """Log requests of one row and their labels: `told` of the true class and the place."""
    drawn = np.random.default_rng(seed).integers(0, len(X), rows)
    outputs = model.answer(X[drawn])
    ids = [watching.predict(at, [X[row].tolist()], [output]) for row, output in zip(drawn, outputs, strict=True)]
    for place, (name, row) in enumerate(zip(ids, drawn, strict=True)):
        watching.label(at, name, told(int(Y[row]), place))
    return ids


def test_labels_and_losses_are_compared(watching: Watching, model: Model) -> None:
    """With the sample's; where nothing has changed nothing is said. A client may name a class as it likes."""
    serve(watching, model, 400, lambda truth, place: NAMED[place % 4](truth) if place % 4 != 2 else bool(truth))
    watching.follow()
    found = watching.version()
    assert (found["label_window"]["rows"], found["alarm"]) == (400, False)
    assert found["labels"]["unseen"]["window"] == 0.0
    assert found["performance"]["reference"] == pytest.approx(
        np.mean([output.label != y for output, y in zip(model.answer(X), Y, strict=True)])
    )
    assert found["performance"]["loss"] == "error"


def test_decay_is_found(watching: Watching, model: Model) -> None:
    """A tenth of the answers more are wrong, while the labels are as many of each as before."""
    serve(watching, model, 400, lambda truth, place: 1 - truth if place % 10 == 0 else truth)
    watching.follow()
    found = watching.version()
    assert found["performance"]["alarm"]
    assert not found["labels"]["alarm"]
    assert found["reason"].startswith("performance.loss error rate 0.1")
    assert (found["windows"], found["alarms"]) == ({"rows": 1, "labels": 1}, {"rows": 0, "labels": 1})


def test_label_shift_is_found(watching: Watching, model: Model) -> None:
    """More of one class, and a class that the sample did not have."""
    serve(watching, model, 400, lambda truth, place: 1 if place % 2 else truth)
    serve(watching, model, 400, lambda truth, place: "unheard of" if place % 5 == 0 else truth, seed=2)
    watching.follow()
    later, first = watching.report()["versions"]["c@1"]["history"]["labels"]
    assert "other shares: PSI" in first["alarms"]["labels.label"]
    assert "'unheard of' in 0.2 of the rows, and never in the sample" in later["alarms"]["labels.label"]


def test_a_label_that_comes_twice_counts_once(watching: Watching, model: Model) -> None:
    """The first one, within a window; other metrics are no labels."""
    ids = serve(watching, model, 10, lambda truth, place: truth)
    for name in ids:
        watching.label(11.0, name, 0)
        watching.label(11.0, f"{name}.0", 0)
        watching.label(11.0, name, 5.0, metric="revenue")
    watching.follow()
    watching.label(12.0, ids[0], 0)
    watching.follow()
    assert watching.version()["filling"]["labels"] == 10


def test_rows_of_a_request_are_labelled_apart(watching: Watching, model: Model) -> None:
    """By the number behind the id; a row that the request does not have is passed over."""
    name = watching.predict(1.0, X[:3].tolist(), model.answer(X[:3]))
    for row in (0, 1, 2, 3):
        watching.label(2.0, f"{name}.{row}", 1)
    watching.follow()
    assert watching.version()["filling"]["labels"] == 3


def test_without_a_target_labels_are_not_compared(watch: Callable[..., Watching], model: Model) -> None:
    """And the report says why."""
    watching = watch(card_of(X, Y, model, NAMES, target=None))
    serve(watching, model, 400, lambda truth, place: truth)
    watching.follow()
    found = watching.version()
    assert (found["label_window"], found["labels"], found["performance"]) == (None, None, None)
    assert found["notes"] == ["its labels are not compared: its profile has no target column"]


def test_a_regression_is_compared_by_absolute_errors(watch: Callable[..., Watching]) -> None:
    """A text that is no number is a label that is missing."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=1000)
    columns, truths = {"x": x.tolist()}, (2 * x + rng.normal(size=1000)).tolist()
    outputs = [Output(value=2 * value) for value in columns["x"]]
    signature = Signature(infer(columns), "regression", None, "y")
    made = replace(flow_world.card(), signature=signature, profile=profile(signature, columns, outputs, truths))
    watching = watch(with_losses(Package(made, {}, Tried(outputs, truths))).card)
    for place in range(400):
        value = float(x[place])
        name = watching.predict(1.0, [[value]], [Output(value=2 * value)])
        watching.label(2.0, name, "unknown" if place < 40 else 2 * value + 2 * float(rng.normal()))
    watching.follow()
    found = watching.version()
    assert found["performance"]["alarm"]
    assert found["performance"]["loss"] == "absolute"
    assert found["labels"]["missing"]["window"] == 0.1
    assert "mean absolute error 1." in found["performance"]["reason"]


@pytest.mark.parametrize(
    ("label", "expected"), [(1, "1"), (1.0, "1"), (True, "1"), ("1", "1"), ("true", "1"), (0, "0"), ("01", "1"), ("x", "x"), (7, "7")]
)
def test_classes_have_one_name(label: Any, expected: str) -> None:
    """That of the sample, where it has the class."""
    assert class_name(label, (0, 1)) == expected


def test_labels_as_numbers() -> None:
    """A text may hold one."""
    assert [number_of(label) for label in ("1.5", 2, True, "x")] == [1.5, 2.0, 1.0, None]


def test_losses_of_the_sample(model: Model) -> None:
    """Are part of the profile where the true values are known; of a version that learns they would mean nothing."""
    card = card_of(X, Y, model, NAMES)
    assert card.profile is not None
    assert card.profile.losses["error"].count == len(X)
    assert card_of(X, Y, model, NAMES, target=None).profile.losses == {}  # type: ignore[union-attr]
    unlike = Package(replace(card, profile=replace(card.profile, losses={})), {}, Tried([Output(label=1)], [1, 0]))
    assert with_losses(unlike).card.profile.losses == {}  # type: ignore[union-attr]
