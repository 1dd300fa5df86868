"""Two versions side by side: what is known of both together, and which two are meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.errors import Invalid, NotFound, TiltyardError
from core.ids import VersionId
from flows import deploy, experiment, known
from flows.comparing import compare
from flows.deploy import ArmSpec, ShadowSpec
from models.about import About
from store import batch_tests, registry
from tests.flows.flow_world import ARMS, World, card, order
from tests.flows.learning.learning_world import LearningWorld, taught
from tests.flows.shadow_scene import Scene


def compared(world: World, left: str = "m@1", right: str = "m@2", at: float = 1000.0) -> dict[str, Any]:
    """The comparison, as it goes out."""
    found = compare.compare(world.store, Path("/nowhere"), left, right, lambda: at)
    return msgspec.json.decode(msgspec.json.encode(found), type=dict[str, Any])


def batch_test(
    world: World, version: str, digest: Any, *, metrics: Any = None, passed: bool | None = True, at: float = 0.0, **more: Any
) -> int:
    """Store a batch test."""
    figures = metrics or {"auc": {"value": 0.5, "lower": 0.4, "upper": 0.6}}
    body = msgspec.json.encode({"data": {"file": "f.csv", "sha256": digest, "rows": 9}, "metrics": figures, **more})
    model, number = version.split("@")
    with world.store.write() as connection:
        return batch_tests.add(connection, VersionId(model, int(number)), at, "me", passed, body)


def test_versions_of_which_nothing_is_known_together(bare: World) -> None:
    """Their cards, how these differ, and that there is nothing else."""
    with bare.store.write() as connection:
        registry.add_version(connection, "other", known.encode(card("x", "y")), "you", 5.0, known.encode(About(owner="ann")))
    found = compared(bare, "m@1", "other@1")
    assert (found["left"]["version"], found["right"]["version"], found["right"]["by"]) == ("m@1", "other@1", "you")
    assert [(one["feature"], one["change"]) for one in found["differences"]["signature"]] == [("y", "added")]
    assert found["differences"]["about"] == {"owner": {"left": None, "right": "ann"}}
    nothing = {"batch": None, "paired": None, "live": None, "shadow": [], "learners": {"left": None, "right": None}}
    assert {key: found[key] for key in nothing} == nothing


class TestBatch:
    """Batch tests."""

    def test_on_the_same_data_stand_side_by_side(self, bare: World) -> None:
        """With their intervals; a metric that one alone has stays."""
        left = batch_test(bare, "m@1", "d1", metrics={"auc": {"value": 0.7, "lower": 0.6, "upper": 0.8, "n": 9}, "f1": {"value": 0.1}})
        right = batch_test(bare, "m@2", "d1", passed=None, at=60.0)
        found = compared(bare)["batch"]
        assert found["metrics"] == {
            "auc": {"left": {"value": 0.7, "lower": 0.6, "upper": 0.8}, "right": {"value": 0.5, "lower": 0.4, "upper": 0.6}},
            "f1": {"left": {"value": 0.1}, "right": None},
        }
        assert found["left"] == {"test": left, "at": "1970-01-01T00:00:00.000Z", "by": "me", "passed": True}
        assert (found["right"]["test"], found["right"]["passed"], found["data"]) == (right, None, {"file": "f.csv", "sha256": "d1"})

    def test_on_other_data_do_not(self, bare: World) -> None:
        """Figures of other rows say nothing of which version is better."""
        batch_test(bare, "m@1", "d1")
        batch_test(bare, "m@2", "d2")
        assert compared(bare)["batch"] is None

    def test_the_newest_data_that_both_saw_counts(self, bare: World) -> None:
        """And of each version the newest test on it."""
        for version in ("m@1", "m@2"):
            batch_test(bare, version, "old")
        newest = [batch_test(bare, version, "new") for version in ("m@1", "m@2", "m@1", "m@2")][2:]
        batch_test(bare, "m@1", "alone")
        found = compared(bare)["batch"]
        assert (found["data"]["sha256"], found["left"]["test"], found["right"]["test"]) == ("new", *newest)

    @pytest.mark.parametrize("body", [b'{"data": 3}', b'{"data": {"sha256": null}}', b'{"metrics": {}}'])
    def test_that_cannot_be_read_are_passed_over(self, bare: World, body: bytes) -> None:
        """As those of another release may be."""
        with bare.store.write() as connection:
            for number in (1, 2):
                batch_tests.add(connection, VersionId("m", number), 0.0, "me", None, body)
        assert compared(bare)["batch"] is None

    def test_without_metrics_have_none(self, bare: World) -> None:
        """Whatever stands in their place."""
        for version, metrics in (("m@1", {"auc": 0.5}), ("m@2", [1])):
            batch_test(bare, version, "d", metrics=metrics)
        assert compared(bare)["batch"]["metrics"] == {}

    def test_of_one_against_the_other_tells_the_difference(self, bare: World) -> None:
        """Whichever of the two was under test; the newest."""
        one = {"metric": "auc", "left": 0.7, "right": 0.6, "difference": 0.1, "lower": 0.0, "upper": 0.2, "adjusted": 0.04}
        batch_test(bare, "m@1", "d1", against="m@2", comparison={"metrics": [one]})
        batch_test(bare, "m@2", "d1", against="m@3", comparison={"metrics": []})
        found = compared(bare)["paired"]
        assert (found["of"], found["metrics"], found["data"]["sha256"]) == ("left", [one], "d1")
        assert compared(bare, "m@2", "m@1")["paired"]["of"] == "right"
        newer = batch_test(bare, "m@2", "d2", against="m@1", comparison=None)
        found = compared(bare)["paired"]
        assert (found["of"], found["test"], found["metrics"]) == ("right", newer, [])


class TestLive:
    """Experiments that compared the two."""

    @staticmethod
    def run(world: World) -> None:
        """Units in both arms, all mature."""
        for number in range(40):
            unit, arm = f"u{number}", ("control", "treatment")[number % 2]
            world.predict(1.0, unit, arm)
            world.observe(2.0, unit, 1.0 + number % 2)
        world.predict(100.0, "last")
        world.fold()

    def test_their_metrics_by_side(self, world: World) -> None:
        """Each side's arm with its mean, and the difference of the treatment, whichever side that is."""
        self.run(world)
        for left, right, of in (("m@1", "m@2", "right"), ("m@2", "m@1", "left")):
            found = compared(world, left, right)["live"]
            control, treatment = ("left", "right") if of == "right" else ("right", "left")
            assert found["arms"] == {control: "control", treatment: "treatment"}
            metric = found["metrics"]["revenue"]
            assert (metric[control]["mean"], metric[treatment]["mean"], metric[control]["units"]) == (1.0, 2.0, 20)
            assert (metric["difference"]["of"], metric["difference"]["estimate"]) == (of, pytest.approx(1.0))
            assert (found["experiment"], found["state"], found["endpoint"]) == ("e1", "running", "credit")

    def test_of_other_versions_are_none(self, world: World) -> None:
        """Also where one of the two was in it."""
        assert compared(world, "m@1", "m@3")["live"] is None

    def test_the_running_one_is_before_the_last(self, world: World) -> None:
        """Of those that have stopped the last; by the versions that arms had then, whatever they have now."""
        experiment.stop(world.place, "e1", order(200.0))
        world.begin("e2", 300.0)
        assert compared(world)["live"]["experiment"] == "e2"
        arms = {"control": ArmSpec("m@1", 1), "treatment": ArmSpec("m@3", 1)}
        deploy.set_arms(world.place, "credit", arms, None, None, order(400.0))
        found = compared(world)["live"]
        assert (found["experiment"], found["state"]) == ("e2", "stopped")
        world.begin("e3", 500.0)
        assert compared(world)["live"]["experiment"] == "e2"
        assert compared(world, "m@1", "m@3")["live"]["experiment"] == "e3"

    def test_two_treatments_have_no_difference(self, bare: World) -> None:
        """Each was compared with control, not with the other."""
        bare.endpoint(arms={**ARMS, "third": ArmSpec("m@3", 1)})
        bare.begin()
        found = compared(bare, "m@2", "m@3")["live"]
        assert found["arms"] == {"left": "treatment", "right": "third"}
        assert found["metrics"]["revenue"]["difference"] is None


def test_a_shadow_of_the_other_s_endpoint(scene: Scene) -> None:
    """How far it agrees, from either side; nothing where it shadows somebody else."""
    for number in range(10):
        scene.predict(1.0, number - 4.5)
    scene.follow()
    for left, right in (("c@1", "c@2"), ("c@2", "c@1")):
        [found] = compare.compare(scene.world.store, scene.journal, left, right, lambda: 10.0)["shadow"]
        assert (found["endpoint"], found["shadow"], found["version"], found["control"]) == ("credit", "next", "c@2", "c@1")
        assert (found["rows"], found["agreement"], found["done"]) == (10, 1.0, 10)
    assert compare.compare(scene.world.store, scene.journal, "c@2", "m@1", lambda: 10.0)["shadow"] == []


def test_learners_say_how_well_they_do(bare: World, tmp_path: Path) -> None:
    """A version that does not learn has none."""
    learning = LearningWorld(bare, tmp_path)
    learning.publish(3, taught(1), labels=7, scores={"Accuracy": 0.75})
    found = compare.compare(bare.store, learning.journal, "river@1", "still@1", lambda: 20.0)["learners"]
    assert found["right"] is None
    assert (found["left"]["labels"], found["left"]["scores"], found["left"]["snapshot"]) == (7, {"Accuracy": 0.75}, 3)


@pytest.mark.parametrize(
    ("left", "right", "error", "field"),
    [
        ("m@1", "m@9", NotFound, "right"),
        ("n@1", "m@1", NotFound, "left"),
        ("m@old", "m@1", NotFound, "left"),
        ("m", "m@1", Invalid, "left"),
        ("m@1", "m@1", Invalid, "right"),
    ],
)
def test_a_side_that_is_none_is_named(bare: World, left: str, right: str, error: type[TiltyardError], field: str) -> None:
    """As wherever a version is named."""
    with pytest.raises(error) as caught:
        compared(bare, left, right)
    assert caught.value.field == field


def test_a_name_alone_means_champion_and_challenger(bare: World) -> None:
    """Of the model; where it lacks one of them, the two arms of the endpoint of that name; else it is said what was expected."""
    with pytest.raises(NotFound, match="credit: expected a model whose aliases champion and challenger name two versions, or an endpoint"):
        compare.sides(bare.store, "credit")
    bare.endpoint(shadows={"next": ShadowSpec("m@4")})
    assert compare.sides(bare.store, "credit") == ("m@1", "m@2")
    with bare.store.write() as connection:
        registry.set_alias(connection, VersionId("m", 3), "champion", "me", 0.0)
    with pytest.raises(NotFound):
        compare.sides(bare.store, "m")
    with bare.store.write() as connection:
        registry.set_alias(connection, VersionId("m", 4), "challenger", "me", 0.0)
    assert compare.sides(bare.store, "m") == ("m@3", "m@4")
    deploy.set_arms(bare.place, "credit", {**ARMS, "third": ArmSpec("m@3", 1)}, None, None, order(1.0))
    with pytest.raises(NotFound):
        compare.sides(bare.store, "credit")
    with pytest.raises(Invalid, match="name: expected a name"):
        compare.sides(bare.store, "a b")


def test_a_side_of_a_model(bare: World) -> None:
    """Is a number or an alias of it, or a version of another model."""
    assert [compare.reference("m", given) for given in ("2", "champion", "churn@3")] == ["m@2", "m@champion", "churn@3"]
