"""Labelled rows that no prediction was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import events
from core.errors import Conflict, Invalid, NotFound, TooLarge
from core.events import Example
from core.ids import Address
from flows import learner, teach
from flows.intake import Accepted
from flows.teach import ExamplePost, Takers
from routing.changes import Who
from tests.flows.flow_world import World
from tests.flows.learning.learn_world import SETTINGS, LearnWorld, line
from tests.flows.learning.learning_world import RIVER, ROW, LearningWorld

WHO = Who("me", 1.0, "")


@pytest.fixture
def learning(bare: World, tmp_path: Path) -> LearningWorld:
    """A model that learns."""
    return LearningWorld(bare, tmp_path)


@pytest.fixture
def takers(learning: LearningWorld) -> Takers:
    """What a worker knows that has looked once."""
    made = Takers(learning.store)
    made.refresh()
    return made


def check(takers: Takers, *posts: ExamplePost) -> list[Example]:
    return teach.checked(posts, "river", takers.of("river"), lambda: 9.0, 3)


def test_an_example_is_kept_by_name(takers: Takers) -> None:
    """As the signature reads its features, with the time at which it came."""
    assert check(takers, ExamplePost({"b": 2, "a": 1.5}, True, "k")) == [Example(9.0, "river", {"a": 1.5, "b": 2.0}, True, "k")]


def test_an_example_suits_one_of_the_learners_at_least(learning: LearningWorld, takers: Takers) -> None:
    """A version that is registered later shuts none out that learns already: what only one of them takes may be absent."""
    newer = learning.register_again("arms", "a,c,y\n1.5,2,true\n2.0,3,false\n")
    takers.refresh()
    assert takers.of("river").versions == (newer, RIVER)
    rows: list[dict[str, Any]] = [{"a": 1.0, "b": 2.0}, {"a": 1.0, "c": 2}, {"a": 1.0, "b": 2.0, "c": 2}]
    assert [example.features for row in rows for example in check(takers, ExamplePost(row, True))] == rows
    for row, field in (({"b": 1.0}, "features.a"), ({"a": 1.0, "d": 1.0}, "features.d"), ({"a": 1.0, "c": 0.5}, "features.c")):
        with pytest.raises(Invalid) as refused:
            check(takers, ExamplePost(row, True))
        assert refused.value.field == field


def test_learners_that_no_row_suits_both_of_are_taught_as_the_newest_takes_it(world: LearnWorld) -> None:
    """A text to one, a number to another."""
    version = world.register(line(), SETTINGS, each="str")
    world.begin(str(version))
    takers = Takers(world.store)
    takers.refresh()
    assert [feature.kind for feature in takers.of("m").inputs.features] == ["str"]


@pytest.mark.parametrize(
    ("post", "field"),
    [
        (ExamplePost({"a": 1.0}, True), "features.b"),
        (ExamplePost({"a": 1.0, "b": "x"}, True), "features.b"),
        (ExamplePost({**ROW, "c": 1.0}, True), "features.c"),
        (ExamplePost(ROW, float("inf")), "label"),
        (ExamplePost(ROW, 2**70), "label"),
        (ExamplePost(ROW, "x" * 201), "label"),
        (ExamplePost(ROW, True, ""), "id"),
    ],
)
def test_what_is_wrong_is_named(takers: Takers, post: ExamplePost, field: str) -> None:
    """By its field, and in a list by its place too."""
    with pytest.raises(Invalid) as alone:
        check(takers, post)
    assert alone.value.field == field
    with pytest.raises(Invalid) as second:
        check(takers, ExamplePost(ROW, True), post)
    assert second.value.field == f"[1].{field}"


def test_how_many_there_may_be(takers: Takers) -> None:
    """At least one, and no more than rows of a prediction."""
    with pytest.raises(Invalid):
        check(takers)
    with pytest.raises(TooLarge):
        check(takers, *[ExamplePost(ROW, True)] * 4)


def test_of_one_id_the_first_counts() -> None:
    """Within a post; what has no id is never a repetition."""
    written: list[Any] = []

    def write(payload: bytes) -> Address:
        written.append(events.decode(payload))
        return Address(1, 0, 7)

    examples = [Example(1.0, "river", {}, label, key) for label, key in ((1, "k"), (2, "k"), (3, None), (3, None))]
    assert teach.append(examples, write) == Accepted(3, 1)
    assert [event.label for event in written] == [1, 3, 3]


def test_only_what_learns_is_taught(learning: LearningWorld, takers: Takers) -> None:
    """No model of that name, one that does not learn, one whose learner was stopped; and it goes on."""
    with pytest.raises(NotFound):
        takers.of("nobody")
    with pytest.raises(Conflict) as static:
        takers.of("m")
    assert static.value.code == "not-learning"
    learner.stop(learning.store, str(RIVER), WHO)
    takers.refresh()
    with pytest.raises(Conflict):
        takers.of("river")
    learner.start(learning.store, learning.journal, "river", WHO)
    takers.refresh()
    assert takers.of("river").versions == (RIVER,)
