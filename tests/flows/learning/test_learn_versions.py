"""What a learner publishes, what it keeps, and what it goes on from."""

from __future__ import annotations

import shutil

import pytest
from msgspec.structs import replace

from core.errors import Conflict, ModelFailed, NotFound, Rejected
from core.values import Position
from flows import deploy
from flows.deploy import ArmSpec
from flows.learning import snapshots
from flows.learning.origin import Origin
from journal import segment
from models.learner.fingerprint import fingerprint
from models.learner.learner import Learner
from store import positions, registry
from tests.flows.flow_world import order
from tests.flows.learning.learn_world import SETTINGS, LearnWorld, Make, Steep, line, taught


def test_a_state_that_cannot_be_served(make: Make) -> None:
    """It is not published: the last good one goes on being served, and the status says why, until the next row has it begin anew."""
    world = make(Steep())
    learning = world.learning()
    world.pair(1.0, 5.0)
    world.drain(learning)
    good = world.snapshot()
    world.pair(1.0, 13.0)
    world.drain(learning)
    bad = world.snapshot()
    assert bad._replace(status=b"") == good._replace(status=b"")
    assert (world.status()["state"], world.position()) == ("failing", good.position)
    assert "not finite" in world.status()["reason"]
    world.pair(1.0, 6.0)
    world.drain(learning)
    assert (world.status()["state"], world.status()["quarantined"], world.snapshot().number) == ("learning", 1, 2)
    assert (world.status()["broken"]["times"], world.model().last) == (1, 0.0)


def test_a_state_that_cannot_be_served_is_tried_now_and_then(make: Make) -> None:
    """Also one that an operator wants the learner to go on from; not at every step."""
    world = make(Steep())
    learning, dumped = world.learning(), list[object]()
    world.pair(1.0, 5.0)
    world.drain(learning)
    dump = learning.learner.dump
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "dump", lambda self: (dumped.append(self), dump())[1])
        patch.setattr(Origin, "probe", unserved)
        world.restored("m@1")
        for _ in range(50):
            learning.step()
        assert (len(dumped), world.status()["state"]) == (1, "failing")
        world.ticks += 0.29
        learning.step()
        assert len(dumped) == 1
        world.ticks += 0.02
        learning.step()
        assert len(dumped) == 2
    world.drain(learning)
    assert world.status()["state"] == "learning"


def test_a_challenger_that_cannot_be_pickled(make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Is dropped, and the log says why; learning goes on."""

    def refuse(_: object) -> bytes:
        raise Rejected("it holds a lock")

    world = make()
    grown = iter([line()])
    monkeypatch.setattr(Learner, "grown", lambda self: next(grown, None))
    monkeypatch.setattr("flows.learning.course.factory.dump", refuse)
    world.pair(1.0, 5.0)
    world.pair(2.0, 6.0)
    assert (world.learn()["labels"], "it holds a lock" in caplog.text) == (2, True)
    with pytest.raises(NotFound):
        world.card("m@3")


def unserved(*_: object) -> None:
    raise ModelFailed("it does not answer")


def test_a_model_that_is_too_large(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a row of the store: it is told, and the process goes on."""
    world = make()
    learning = world.learning()
    monkeypatch.setattr(snapshots, "MOST_BYTES", 10)
    world.pair(1.0, 5.0)
    world.drain(learning)
    assert (world.status()["state"], world.snapshot().number) == ("failing", 0)
    assert "at most 10 can be stored" in world.status()["reason"]


def test_every_so_many_snapshots_one_is_kept(make: Make) -> None:
    """As a version that does not learn, with where it came from; its golden rows answer as it does."""
    world = make(settings=replace(SETTINGS, keep_every=2))
    learning = world.learning()
    for number in range(5):
        world.pair(float(number), 2.0 * number)
        world.drain(learning)
    assert world.snapshot().number == 5
    with world.store.read() as connection:
        assert len(registry.list_versions(connection, "m")) == 4
    from models.package import load

    for version, labels in (("m@3", 2), ("m@4", 4)):
        card = world.card(version)
        assert card.river is not None
        assert card.river.learnt is not None
        assert (card.river.settings, card.river.learnt.base, card.river.learnt.labels) == (None, "m@1", labels)
        expected = taught(*[(float(number), 2.0 * number) for number in range(labels)]).predict_one({"x": 1.0})
        assert load(card, world.blobs.get).predict([[1.0]])[0].value == expected
    world.begin("m@3")
    with pytest.raises(Conflict, match="does not learn"):
        world.learning(version="m@3")


def test_a_full_disk_costs_the_kept_version_alone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshot is published and learning goes on."""
    world = make(settings=replace(SETTINGS, keep_every=1))
    learning = world.learning()

    def full(_: bytes) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.blobs, "put", full)
    world.pair(1.0, 2.0)
    world.drain(learning)
    assert world.snapshot().number == 1
    with pytest.raises(NotFound):
        world.card("m@3")


def test_going_on_from_an_earlier_state(make: Make) -> None:
    """At its place in the journal, published at once; states of other learners are no states to go on from."""
    world = make(settings=replace(SETTINGS, keep_every=1))
    learning = world.learning()
    world.pair(1.0, 2.0)
    world.drain(learning)
    world.pair(5.0, -9.0)
    world.drain(learning)
    world.restored("m@3")
    learning.step()
    assert fingerprint(world.model()) == fingerprint(taught((1.0, 2.0)))
    world.restored("m@2")
    world.restored("m@99")
    world.restored("m@1", "m@2")
    world.pair(2.0, 3.0)
    world.drain(learning)
    assert fingerprint(world.model()) == fingerprint(taught((1.0, 2.0), (2.0, 3.0)))
    world.restored("m@1")
    world.drain(learning)
    assert fingerprint(world.model()) == fingerprint(line())
    assert world.replay()["equal"] is True


def test_an_endpoint_that_is_rolled_back_takes_no_learner_along(world: LearnWorld) -> None:
    """What was learnt since the earlier plan stays, and the learner goes on from there."""
    world.pair(1.0, 2.0)
    world.learn()
    plan = deploy.set_arms(world.place, "credit", {"control": ArmSpec("m@2", 1), "new": ArmSpec("m@1", 1)}, None, None, order(1.0)).plan
    world.label(world.predict(3.0, plan=plan, arm="new"), 1.0)
    before = world.learn()
    deploy.rollback(world.place, "credit", 1, order(2.0))
    assert world.learn() == before
    world.pair(2.0, 3.0)
    assert world.learn()["labels"] == 3
    assert fingerprint(world.model()) == fingerprint(taught((1.0, 2.0), (3.0, 1.0), (2.0, 3.0)))


def test_a_challenger_that_has_grown_is_registered(make: Make) -> None:
    """After a drift a fresh copy learns beside; it becomes a version, and the alias names it; a kill changes nothing of it."""
    drifting = {"detector": "ADWIN", "detector_parameters": {"grace_period": 5, "clock": 1}}
    settings = replace(SETTINGS, on_drift="challenger", fresh_labels=20, **drifting)
    world = make(settings=settings)
    for number in range(600):
        x = (number * 7 % 11) / 5 - 1
        world.pair(x, x if number < 300 else 100 * (number % 2))
    killed = world.learning()
    killed.limit = 500
    killed.step()
    world.kill(killed)
    status = world.learn()
    assert status["drift"]["detections"] >= 1
    card = world.card("m@challenger")
    assert card.river is not None
    assert card.river.learnt is not None
    assert (card.river.settings, card.river.learnt.labels) == (None, 20)
    assert world.replay()["equal"] is True


def test_what_was_missed_of_the_journal_is_said(world: LearnWorld) -> None:
    """A learner that was stopped holds no journal back; it goes on with what is left, and cannot be replayed exactly any more."""
    world.pair(1.0, 2.0)
    world.learn()
    world.rotate()
    world.pair(2.0, 3.0)
    world.rotate()
    world.pair(4.0, 5.0)
    for number in (1, 2):
        segment.path(world.journal, number).unlink()
    status = world.learn()
    assert status["gap"] == "segments 1 to 2 were deleted before they were read"
    assert fingerprint(world.model()) == fingerprint(taught((1.0, 2.0), (4.0, 5.0)))
    assert world.learn()["gap"] == status["gap"]


def test_another_journal(world: LearnWorld) -> None:
    """Where the journal was replaced, the learner keeps its state and begins with the new one."""
    world.pair(1.0, 2.0)
    world.learn()
    world.writer.close()
    shutil.rmtree(world.journal)
    from journal.writer import Writer

    world.writer = Writer(world.journal)
    with world.store.write() as connection:
        positions.advance(connection, "learn:m@1", world.position(), Position(1, 0), 0.0)
    world.pair(2.0, 3.0)
    status = world.learn()
    assert "replaced" in status["gap"]
    assert fingerprint(world.model()) == fingerprint(taught((1.0, 2.0), (2.0, 3.0)))


def test_a_learner_that_never_began(make: Make) -> None:
    """It has no place to read from."""
    world = make(begin=False)
    with pytest.raises(Conflict, match="never began"):
        world.learning()
