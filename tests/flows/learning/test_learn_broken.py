"""A learner whose model breaks goes on with the registered one, and a replay comes to the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import ModelFailed
from flows.learning.course import Course
from flows.learning.origin import Origin
from store import positions
from tests.flows.learning.learn_world import LearnWorld, Steep, makers

BREAKS = 13.0


class Death(BaseException):
    """The process dies here."""


@pytest.fixture
def world_of(tmp_path: Path) -> Iterator[Callable[..., LearnWorld]]:
    """Makes the world around a model."""
    yield from makers(tmp_path / "home")


def test_a_broken_model_begins_anew_and_the_replay_agrees(world_of: Callable[..., LearnWorld]) -> None:
    """The row that shows it is quarantined, those after it are learnt, and the position goes on."""
    world = world_of(Steep())
    for number, label in enumerate([1.0, 2.0, BREAKS, 4.0, 5.0, 6.0]):
        world.pair(1.0, label, at=1.0 + number)
        if number != 2:  # the broken one cannot be published
            world.learn()
    told = world.status()
    assert (told["labels"], told["quarantined"], told["state"]) == (5, 1, "learning")
    assert told["broken"] == {"times": 1, "last": {"at": 4.0, "label": 3}, "reason": "the model answered a number that is not finite"}
    assert world.model().last == 6.0
    assert world.position() == world.place.journal_end()
    found = world.replay()
    assert (found["equal"], found["broken"]) == (True, told["broken"])


def test_a_learner_that_cannot_publish_puts_no_innocent_label_aside(
    world_of: Callable[..., LearnWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is started again carefully at the first label that is not published, which it survives, and dies at a later one."""
    world, take = world_of(), Course._take

    def deadly(self: Course, entry: Any, lesson: Any) -> None:
        if lesson.label == BREAKS:
            raise Death
        take(self, entry, lesson)

    def unserved(*_: object) -> None:
        raise ModelFailed("it does not answer")

    first = world.predict(1.0)
    world.learn()
    world.label(first, 2.0)
    for label in (3.0, BREAKS):
        world.pair(1.0, label)
    with monkeypatch.context() as patch:
        patch.setattr(Course, "_take", deadly)
        patch.setattr(Origin, "probe", unserved)
        for _ in range(4):
            learning = world.learning(careful=True)
            with pytest.raises(Death):
                world.drain(learning)
            world.kill(learning)
    with world.store.read() as connection:
        assert positions.aside(connection) == {}
    assert world.learn()["labels"] == 3


def test_an_outlier_is_quarantined_and_the_replay_agrees(world_of: Callable[..., LearnWorld]) -> None:
    """The learner keeps all that it had learnt."""
    world = world_of()
    for number in range(12):
        world.pair(1e200 if number == 5 else number % 4 - 1.0, float(number), at=1.0 + number)
        if number % 3 == 0:
            world.learn()
    told = world.learn()
    assert (told["labels"], told["quarantined"], told["broken"]["times"]) == (11, 1, 0)
    assert world.replay()["equal"]
