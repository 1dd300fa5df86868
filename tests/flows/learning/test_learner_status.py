"""Learners as they are seen from outside, and an operator's orders to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core import events
from core.errors import Conflict, Invalid, JournalError, NotFound, Unavailable
from core.events import Example, Observed, Predicted, Restored
from core.ids import Address, format_prediction_id
from core.values import START, Output, Position
from flows import learner
from flows.deploy import ArmSpec, create
from flows.learning.learners import learner_reader
from flows.learning.staleness import Watched, staleness
from journal.reader import Reader
from journal.writer import Writer
from models.learner.settings import LearnsFrom
from routing.changes import Who
from store import audit, learners, positions, workers
from store.learners import Refused
from tests.flows.flow_world import World, order
from tests.flows.learning.learning_world import RIVER, STILL, LearningWorld, taught

WHO = Who("me", 20.0, "")


@pytest.fixture
def learning(bare: World, tmp_path: Path) -> LearningWorld:
    """A registered model that has published nothing."""
    return LearningWorld(bare, tmp_path)


def show(learning: LearningWorld, reference: str = "river", now: float = 30.0) -> dict[str, Any]:
    return learner.show(learning.store, learning.journal, reference, lambda: now)


def log(journal: Path, *found: events.Event) -> list[Address]:
    """Append to the journal."""
    writer = Writer(journal)
    try:
        return [writer.append(events.encode(event)) for event in found]
    finally:
        writer.close()


def written(learning: LearningWorld) -> list[events.Event]:
    """What stands in the journal."""
    reader = Reader(learning.journal, START)
    try:
        return [events.decode(entry.payload) for entry in reader.read(10)]
    finally:
        reader.close()


def predicted(at: float, endpoint: str = "e") -> Predicted:
    return Predicted(at, endpoint, 1, None, "control", 1.0, "m@1", 0, [[1.0]], [Output(value=1.0)], 0.001)


def label(at: float, address: Address) -> Observed:
    return Observed(at, format_prediction_id(address), None, None, "label", 1.0, at, None)


def test_before_it_has_begun(learning: LearningWorld) -> None:
    """It is there, has learnt nothing, and says so."""
    found = show(learning)
    assert (found["version"], found["running"], found["state"], found["labels"], found["snapshot"]) == ("river@1", True, "beginning", 0, 0)
    assert (found["published"], found["applied"], found["staleness_seconds"]) == (None, False, 0.0)
    assert found["settings"]["learns_from"] == "own"
    assert show(learning, "river@1") == found


def test_what_it_has_published_is_told(learning: LearningWorld) -> None:
    """Its own account, the rows that it could not learn, and which workers serve the newest snapshot."""
    learning.publish(3, taught(1), labels=7, scores={"Accuracy": 0.5})
    with learning.store.write() as connection:
        learners.refuse(connection, RIVER, [Refused(Position(1, 5), 9.0, "no number")])
        workers.report(connection, "w1", 29.0, {"plans": {}, "failed": [], "snapshots": {"river@1": 3}})
        workers.report(connection, "w2", 29.0, {"plans": {}, "failed": [], "snapshots": {"river@1": 2}})
        workers.report(connection, "w3", 29.0, {"plans": {}, "failed": []})
    found = show(learning)
    assert (found["labels"], found["scores"], found["position"]) == (7, {"Accuracy": 0.5}, {"segment": 1, "offset": 0})
    assert found["quarantine"] == [{"segment": 1, "offset": 5, "at": "1970-01-01T00:00:09.000Z", "reason": "no number"}]
    assert (found["workers"], found["applied"]) == ({"w1": 3, "w2": 2}, False)
    with learning.store.write() as connection:
        workers.report(connection, "w2", 29.0, {"plans": {}, "failed": [], "snapshots": {"river@1": 3}})
    assert show(learning)["applied"]


@pytest.mark.parametrize(("before", "applied"), [(1.9, True), (2.1, False)])
def test_who_keeps_up(learning: LearningWorld, before: float, applied: bool) -> None:
    """A worker reports once a second, and a snapshot may come three times: one that is a little older will do."""
    learning.publish(9, taught(1), at=20.0)
    told = {"plans": {}, "failed": [], "snapshots": {"river@1": 4}, "snapshots_published": {"river@1": 20.0 - before}}
    with learning.store.write() as connection:
        workers.report(connection, "w1", 29.0, told)
    assert (show(learning)["workers"], show(learning)["applied"]) == ({"w1": 4}, applied)


@pytest.mark.parametrize(("learns_from", "stale"), [("own", 0.0), ("arms", 20.0)])
def test_whose_labels_are_waited_for(learning: LearningWorld, learns_from: LearnsFrom, stale: float) -> None:
    """A row of another arm is learnt only where that is declared."""
    learning.register_again(learns_from)
    create(learning.world.place, "e", {"control": ArmSpec("river@2", 1), "other": ArmSpec(str(STILL), 1)}, {}, 1.0, "s", order())
    (theirs,) = log(learning.journal, predicted(9.0))
    log(learning.journal, label(10.0, theirs))
    assert show(learning, "river@2")["staleness_seconds"] == stale


def test_an_order_that_may_not_be_durable(learning: LearningWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the journal and in the audit log, and whoever gave it is told what may become of it."""

    def fail(*_: object) -> None:
        raise JournalError("journal: the fsync of segment 1 failed")

    monkeypatch.setattr(Writer, "flush", fail)
    with pytest.raises(JournalError, match="river@1 goes on from river@1, but a power cut could undo it"):
        learner.rollback(learning.store, learning.journal, "river", 1, WHO)
    monkeypatch.undo()
    assert written(learning) == [Restored(20.0, "river@1", "river@1")]
    with learning.store.read() as connection:
        assert audit.newest(connection, 1)[0]["action"] == "model.learner.rollback"


def test_an_order_that_the_store_does_not_keep(learning: LearningWorld) -> None:
    """It stands in the journal, which cannot take it back, and whoever gave it is told."""

    def full(_: object) -> None:
        raise sa.exc.OperationalError("COMMIT", {}, Exception("database or disk is full"))

    sa.event.listen(learning.store._engine, "commit", full)
    try:
        with pytest.raises(Unavailable, match=r"river@1 goes on from river@1, but the audit log does not say so.*disk is full"):
            learner.rollback(learning.store, learning.journal, "river", 1, WHO)
    finally:
        sa.event.remove(learning.store._engine, "commit", full)
    assert written(learning) == [Restored(20.0, "river@1", "river@1")]


def test_an_order_that_the_store_does_not_even_begin(learning: LearningWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was ordered then, and the store's own error says why."""

    def locked(*_: object, **__: object) -> None:
        raise sa.exc.OperationalError("", {}, Exception("database is locked"))

    monkeypatch.setattr(audit, "write", locked)
    with pytest.raises(sa.exc.OperationalError):
        learner.rollback(learning.store, learning.journal, "river", 1, WHO)
    assert not written(learning)


@pytest.mark.parametrize("to", [0, 10**9, 10**30, "9" * 30, "0", "river", "river@0", -1])
def test_no_version_has_such_a_number(learning: LearningWorld, to: str | int) -> None:
    """What is no number of a version is refused by its field, and nothing is ordered."""
    with pytest.raises(Invalid, match="to: expected MODEL@NUMBER") as caught:
        learner.rollback(learning.store, learning.journal, "river", to, WHO)
    assert (caught.value.field, written(learning)) == ("to", [])


def test_staleness_is_the_age_of_the_oldest_label(tmp_path: Path) -> None:
    """A label of an endpoint that it serves, an example, an order; not a prediction, and not what is another's."""
    watched = Watched(RIVER, frozenset({"e"}))
    mine, other = log(tmp_path, predicted(1.0), predicted(2.0, "elsewhere"))

    def stale() -> float:
        return staleness(tmp_path, START, watched, 100.0)

    assert stale() == 0.0
    log(tmp_path, label(3.0, other), label(4.0, other._replace(nonce=1)), Example(5.0, "m", {}, 1, None), Restored(6.0, "m@1", "m@1"))
    assert stale() == 0.0
    log(tmp_path, label(7.0, mine), Example(8.0, "river", {}, 1, None))
    assert stale() == 93.0


@pytest.mark.parametrize("event", [Example(8.0, "river", {}, 1, None), Restored(8.0, "river@1", "river@1")])
def test_examples_and_orders_are_waited_for_as_well(tmp_path: Path, event: events.Event) -> None:
    """Until the snapshot knows them."""
    log(tmp_path, event)
    assert staleness(tmp_path, START, Watched(RIVER, frozenset()), 10.0) == 2.0


def test_what_has_no_learner_says_so(learning: LearningWorld) -> None:
    """A model that does not exist, one that does not learn, and a version that does not."""
    for reference, code in (("nobody", "model-not-found"), ("m", "learner-not-found"), ("m@1", "learner-not-found")):
        with pytest.raises(NotFound) as missing:
            show(learning, reference)
        assert missing.value.code == code


def test_an_order_to_go_back_stands_in_the_journal(learning: LearningWorld) -> None:
    """And in the audit log; only to what the learner has been."""
    assert learner.rollback(learning.store, learning.journal, "river", 1, WHO) == {"version": "river@1", "to": "river@1"}
    assert written(learning) == [Restored(20.0, "river@1", "river@1")]
    with learning.store.read() as connection:
        assert audit.newest(connection, 1)[0]["action"] == "model.learner.rollback"
    with pytest.raises(Conflict) as strange:
        learner.rollback(learning.store, learning.journal, "river", "m@1", WHO)
    assert strange.value.code == "not-kept"
    with pytest.raises(NotFound):
        learner.rollback(learning.store, learning.journal, "river", 9, WHO)


def test_it_rests_and_goes_on_from_its_snapshot(learning: LearningWorld) -> None:
    """A stopped learner has no reader; started again it is where its snapshot stands. Each order once."""
    learning.publish(1, taught(1))
    learner.stop(learning.store, "river", WHO)
    found = show(learning)
    assert (found["running"], found["state"]) == (False, "stopped")
    with pytest.raises(Conflict):
        learner.stop(learning.store, "river", WHO)
    assert learner.start(learning.store, learning.journal, "river@1", WHO)["running"]
    with learning.store.read() as connection:
        row = positions.get(connection, learner_reader(RIVER))
    assert row is not None
    assert (row.position, row.at) == (Position(1, 0), 10.0)
    with pytest.raises(Conflict):
        learner.start(learning.store, learning.journal, "river@1", WHO)


def test_one_that_never_published_goes_on_from_its_registration(learning: LearningWorld) -> None:
    """What came before it was registered, at 5, it never learns."""
    addresses = log(learning.journal, predicted(1.0), predicted(4.0), predicted(6.0), predicted(7.0))
    learner.stop(learning.store, "river", WHO)
    learner.start(learning.store, learning.journal, "river", WHO)
    with learning.store.read() as connection:
        row = positions.get(connection, learner_reader(RIVER))
    assert row is not None
    reader = Reader(learning.journal, row.position)
    try:
        assert [entry.address for entry in reader.read(10)] == addresses[2:]
    finally:
        reader.close()
