"""What a home does for its learners: the journal waits for them, and they can rest and go on."""

from __future__ import annotations

import pytest

from core.settings import Settings
from flows import housekeep, learner
from flows.follow import RECORD
from journal import segments
from models.learner.fingerprint import fingerprint
from store import positions
from tests.flows.learning.learn_world import ME, SETTINGS, LearnWorld, Make, line


@pytest.fixture
def world(make: Make) -> LearnWorld:
    """A learner that has learnt one label; `record` has not."""
    made = make(settings=SETTINGS)
    made.pair(1.0, 2.0)
    made.learn()
    return made


def keep(world: LearnWorld) -> None:
    """Keep the journal, with a cap that nothing is within and segments that expire at once."""
    settings = Settings(segment_bytes=4096, journal_cap_bytes=4096, retention_seconds=0.0)
    housekeep.keep_journal(world.store, world.journal, settings, lambda: 2e9)


def fill(world: LearnWorld) -> None:
    """Three segments of pairs, and the begin of a fourth."""
    for _ in range(3):
        for number in range(20):
            world.pair(number, 2.0)
        world.rotate()
    world.predict(1.0)


def test_the_journal_waits_for_a_learner(world: LearnWorld) -> None:
    """Also above its cap: what it has not read stays, and is deleted once it has."""
    fill(world)
    before = segments.segments(world.journal)
    keep(world)
    assert segments.segments(world.journal) == before
    world.learn()
    keep(world)
    assert segments.segments(world.journal) == before[-1:]


def test_record_alone_holds_it_back_too(world: LearnWorld) -> None:
    """The least of all positions counts."""
    with world.store.write() as connection:
        positions.begin(connection, RECORD, world.position(), 0.0)
    fill(world)
    before = segments.segments(world.journal)
    world.learn()
    keep(world)
    assert segments.segments(world.journal) == before


def test_rest_and_go_on(world: LearnWorld) -> None:
    """A learner that was stopped goes on from its snapshot with what came meanwhile; nothing is learnt twice, nothing missed."""
    running = world.learning()
    learner.stop(world.store, "m@1", ME)
    assert f"learn:{world.version}" not in housekeep.wanted_readers(world.store)
    world.kill(running)
    world.pair(2.0, 3.0)
    learner.start(world.store, world.journal, "m@1", ME)
    assert f"learn:{world.version}" in housekeep.wanted_readers(world.store)
    assert (world.learn()["labels"], world.status()["gap"]) == (2, None)
    model = line()
    for x, y in ((1.0, 2.0), (2.0, 3.0)):
        model.predict_one({"x": x})
        model.learn_one({"x": x}, y)
    assert fingerprint(world.model()) == fingerprint(model)
    assert world.replay()["equal"] is True


def test_rest_while_the_journal_is_deleted(world: LearnWorld) -> None:
    """It holds nothing back then; what it missed is said, and a replay does not claim to be equal."""
    learner.stop(world.store, "m@1", ME)
    with world.store.write() as connection:
        positions.begin(connection, RECORD, world.place.journal_end(), 0.0)
    fill(world)
    with world.store.write() as connection:
        row = positions.get(connection, RECORD)
        assert row is not None
        positions.advance(connection, RECORD, row.position, world.place.journal_end(), 0.0)
    keep(world)
    learner.start(world.store, world.journal, "m@1", ME)
    world.pair(2.0, 3.0)
    status = world.learn()
    assert (status["labels"], status["gap"]) == (2, "segments 1 to 3 were deleted before they were read")
    found = world.replay(start=0.0)
    assert (found["equal"], found["labels"]) == (None, 1)
