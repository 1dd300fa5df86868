"""Views of an endpoint's own predictions and outcomes: what they see of them, and what counts once."""

from __future__ import annotations

from models.features.declaration import Aggregate
from tests.flows.views.view_world import ViewWorld

NUMBER = {"n": Aggregate("count", window_seconds=60.0)}


def test_its_own_predictions(world: ViewWorld) -> None:
    """A view of the endpoint's predictions sees units, features, context and answers, row by row; other endpoints' it does not."""
    features = {
        "n": Aggregate("count", window_seconds=60.0),
        "x": Aggregate("sum", "x", 60.0),
        "sure": Aggregate("mean", "probability", 60.0),
        "yes": Aggregate("max", "probability.yes", 60.0),
        "labels": Aggregate("distinct", "label", 60.0),
        "cities": Aggregate("distinct", "city", 60.0),
        "value": Aggregate("sum", "value", 60.0),
    }
    world.declare(features, predictions=True)
    world.predict("ann", 1.0, 2.0, label="no", city="Bern")
    world.predict("ann", 4.0)
    world.predict("ann", 8.0, endpoint="other")
    world.predict(None, 16.0)
    with world.reader() as reader:
        world.compute(reader)
    rows, meta = world.served()
    assert rows == {"ann": {"n": 3, "x": 7.0, "sure": 0.25, "yes": 0.75, "labels": 1, "cities": 1, "value": 2.0}}
    assert meta["figures"] == {"used": 3, "late": 0, "duplicates": 0, "keyless": 1, "overfull": 0, "unusable": 0}
    world.check()


def test_its_own_outcomes(world: ViewWorld) -> None:
    """A view of a metric's outcomes sees unit, value, and what was known at the prediction; other metrics' and endpoints' it does not."""
    features = {"brought": Aggregate("sum", "value", 60.0), "x": Aggregate("max", "x", 60.0)}
    world.declare(features, outcomes="revenue")
    first, other = world.predict("ann", 3.0), world.predict("ann", 9.0, endpoint="other")
    world.observe(first, 10.0)
    world.observe(first, 10.0, identity="once")
    world.observe(first, 10.0, identity="once")
    world.observe(None, 5.0, "ann")
    world.observe(None, 7.0, "bob", endpoint="other")
    world.observe(first, 100.0, metric="clicks")
    world.observe(other, 100.0)
    world.observe(first[:-1] + ("0" if first[-1] != "0" else "1"), 100.0)
    with world.reader() as reader:
        world.compute(reader)
    rows, meta = world.served()
    assert rows == {"ann": {"brought": 25.0, "x": 3.0}}
    assert meta["figures"] == {"used": 3, "late": 0, "duplicates": 1, "keyless": 1, "overfull": 0, "unusable": 0}
    world.check()


def test_labels_of_one_row_are_one(world: ViewWorld) -> None:
    """A label that comes twice for a row counts once."""
    world.declare({"right": Aggregate("mean", "value", 60.0), "n": Aggregate("count", window_seconds=60.0)}, outcomes="label")
    prediction = world.predict("ann", 3.0, label="no")
    world.observe(prediction, 1, metric="label")
    world.observe(prediction, 0, metric="label")
    with world.reader() as reader:
        world.compute(reader)
    assert world.served()[0] == {"ann": {"right": 1.0, "n": 1}}


def test_outcomes_are_the_same_as_recorded_ones(world: ViewWorld) -> None:
    """A prediction's id and that of its first row are one; an id counts once at an endpoint, whatever prediction it came with."""
    features = {**NUMBER, "sum": Aggregate("sum", "value", 60.0)}
    world.declare(features, outcomes="label")
    first, second = world.predict("ann", 3.0, label="no"), world.predict("ann", 3.0, label="no")
    world.observe(first, 1, metric="label")
    world.observe(f"{first}.0", 1, metric="label")
    world.observe(second, 1, metric="label", identity="once")
    world.observe(first, 1, metric="label", identity="once")
    world.catch_up()
    assert (world.served()[0], world.served()[1]["figures"]["duplicates"]) == ({"ann": {"n": 2, "sum": 2.0}}, 2)


def test_a_row_is_before_its_context(world: ViewWorld) -> None:
    """A field that both say is the row's, as where features are filled in; numbers of a context can be added up."""
    features = {"x": Aggregate("max", "x", 60.0), "size": Aggregate("sum", "size", 60.0), "sizes": Aggregate("distinct", "size", 60.0)}
    world.declare(features, predictions=True)
    world.predict("ann", 1.0, x="99", size="2.5")
    world.predict("ann", 1.0, size="4")
    world.catch_up()
    assert world.served()[0] == {"ann": {"x": 1.0, "size": 6.5, "sizes": 2}}
