"""What a learner goes on from where its snapshot cannot be read, or not all of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from core.errors import Rejected
from flows import learner
from flows.learning.learn import tell_failure
from flows.learning.origin import Origin
from models import factory
from models.learner.fingerprint import fingerprint
from models.learner.learner import Learner
from store import learners
from tests.flows.learning import learn_world
from tests.flows.learning.learn_world import SETTINGS, LearnWorld, Make, taught

OTHER_KEY = bytes(32)


@pytest.fixture
def world(make: Make) -> LearnWorld:
    """A linear regression that has learnt two labels; each snapshot is kept, the newest as `m@4`."""
    made = make(settings=replace(SETTINGS, keep_every=1))
    for x, y in ((1.0, 2.0), (2.0, 3.0)):
        made.pair(x, y)
        made.learn()
    return made


def change(world: LearnWorld, **how: Any) -> None:
    """Store the newest snapshot otherwise."""
    with world.store.write() as connection:
        learners.publish(connection, world.snapshot()._replace(**how))


def never(*_: object, **__: object) -> None:
    raise AssertionError("what is not signed is unpickled")


def test_a_model_that_was_changed(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not unpickled: the learner says that it cannot go on and why, learns nothing, and stays where it is."""
    change(world, artefact=world.snapshot().artefact + b"x")
    before = world.snapshot()
    world.pair(3.0, 4.0)
    monkeypatch.setattr(Origin, "revive", never)
    status = world.learn()
    assert (status["state"], status["labels"]) == ("failing", 2)
    assert "signature" in status["reason"]
    assert (world.snapshot()._replace(status=b""), world.position()) == (before._replace(status=b""), before.position)


def test_a_model_of_another_release(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """That cannot be revived any more: with the first release again, the learner goes on as if nothing had happened."""
    revive = factory.revive

    def refuse(data: bytes, *given: Any, river: str | None = None) -> Any:
        if river is not None:
            raise Rejected("no module river.old")
        return revive(data, *given)

    world.pair(3.0, 4.0)
    with monkeypatch.context() as patch:
        patch.setattr(factory, "revive", refuse)
        assert (world.learn()["state"], world.status()["reason"]) == ("failing", "no module river.old")
    assert (world.learn()["state"], world.status()["labels"], world.status()["gap"]) == ("learning", 3, None)
    assert world.replay()["equal"] is True


def test_another_key(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back is an order to go on from a version that was kept: signed by the new key, no row learnt twice, the gap told."""
    id_ = world.predict(5.0)
    world.label(id_, 6.0)
    world.learn()
    monkeypatch.setattr(learn_world, "KEY", OTHER_KEY)
    world.pair(3.0, 4.0)
    learning = world.learning()
    world.drain(learning)
    assert world.status()["state"] == "failing"
    world.restored("m@4")
    world.label(id_, 7.0)
    world.pair(4.0, 5.0)
    world.drain(learning)
    status = world.status()
    assert (status["state"], status["labels"], status["duplicates"], world.position()) == ("learning", 1, 1, world.place.journal_end())
    assert "were not learnt before the order" in status["gap"]
    assert fingerprint(world.model()) == fingerprint(taught((1.0, 2.0), (2.0, 3.0), (4.0, 5.0)))
    world.kill(learning)
    world.pair(6.0, 7.0)
    assert (world.learn()["labels"], world.status()["state"]) == (2, "learning")
    assert (world.replay()["equal"], world.replay()["reason"]) == (None, world.status()["gap"])


def test_the_key_is_back(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost: what came meanwhile is learnt, and the state is the one of a replay."""
    with monkeypatch.context() as patch:
        patch.setattr(learn_world, "KEY", OTHER_KEY)
        world.pair(3.0, 4.0)
        assert world.learn()["state"] == "failing"
    assert (world.learn()["state"], world.status()["labels"], world.status()["gap"]) == ("learning", 3, None)
    assert world.replay()["equal"] is True


def test_it_says_at_once_that_it_goes_on(world: LearnWorld) -> None:
    """Also where nothing is to be learnt."""
    tell_failure(world.store, world.version, "the key cannot be read")
    assert (world.status()["state"], world.status()["reason"]) == ("failing", "the key cannot be read")
    shown = learner.show(world.store, world.journal, "m@1", lambda: world.now)
    assert (shown["state"], shown["reason"]) == ("failing", "the key cannot be read")
    world.kill(world.learning())
    assert (world.status()["state"], world.status()["reason"]) == ("learning", None)


@pytest.mark.parametrize("how", ["changed", "of another layout"])
def test_scores_that_cannot_be_read(world: LearnWorld, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The model goes on; scores and detector begin anew, which is said, and no row is learnt twice."""
    id_ = world.predict(5.0)
    world.label(id_, 6.0)
    world.learn()
    if how == "changed":
        change(world, state=world.snapshot().state[:-1] + b"x")
    else:
        monkeypatch.setattr("models.learner.learner._LAYOUT", 99)
    number = world.snapshot().number
    world.label(id_, 7.0)
    status = world.learn()
    assert (status["state"], status["snapshot"], status["labels"], status["scores"]["MAE"]) == ("learning", number + 1, 0, None)
    assert "scores and detector began anew at 1:" in status["gap"]
    assert status["duplicates"] == 1
    assert fingerprint(world.model()) == fingerprint(taught((1.0, 2.0), (2.0, 3.0), (5.0, 6.0)))
    assert (world.learn()["gap"], world.status()["snapshot"]) == (status["gap"], number + 1)


def test_an_order_that_cannot_be_followed(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told among the rows that could not be learnt, and the learner goes on as it is."""
    monkeypatch.setattr(Learner, "restore", lambda self, model: (_ for _ in ()).throw(Rejected("it is no model")))
    world.restored("m@3")
    world.pair(3.0, 4.0)
    assert (world.learn()["labels"], world.status()["state"]) == (3, "learning")
    (told,) = learner.show(world.store, world.journal, "m@1", lambda: world.now)["quarantine"]
    assert told["reason"] == "m@3 is no state to go on from: it is no model"


def test_what_is_written_otherwise_is_no_memory(world: LearnWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed as it should be, and of other parts than now."""
    monkeypatch.setattr("models.learner.snapshot.unseal", lambda *_: msgspec.msgpack.encode({"other": 1}))
    assert "written by another release" in world.learn()["gap"]
