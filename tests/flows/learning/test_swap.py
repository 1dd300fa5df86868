"""How a serving process keeps up with its learner."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest
import sqlalchemy as sa

from core import events
from core.events import Predicted
from core.ids import Address
from flows.adopt import Adopter, loader
from flows.deploy import ArmSpec, create
from flows.learning.swap import Swapper
from flows.predict import Ask, Means, Missed, predict, predict_pinned
from flows.serving import Routes
from models.package import Loaded, Served
from models.pool import Pool
from store import workers
from tests.flows.flow_world import World, order
from tests.flows.learning.learning_world import RIVER, ROW, LearningWorld, taught


class Timer:
    """Seconds that the test sets; between two looks at the processor's time pass `cost` of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cost = 0.0
        self._worked = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self) -> float:
        """The processor's time."""
        self._worked += self.cost
        return self._worked


@pytest.fixture
def learning(bare: World, tmp_path: Path) -> LearningWorld:
    """A registered model that has published nothing."""
    return LearningWorld(bare, tmp_path)


@pytest.fixture
def timer() -> Timer:
    """It stands still."""
    return Timer()


@pytest.fixture
def swapper(learning: LearningWorld, timer: Timer) -> Swapper:
    """Looks at each call."""
    return Swapper(learning.store, learning.blobs.get, learning.key, timer=timer, effort=timer.work)


@pytest.fixture
def loaded(learning: LearningWorld) -> Loaded:
    """The version as it was registered."""
    return loader(learning.store, learning.blobs)(RIVER)


def share(loaded: Loaded) -> float:
    """The probability of true, of the row that is taught."""
    (output,) = loaded.predict([list(ROW.values())])
    assert isinstance(output.probabilities, dict)
    return output.probabilities["True"]


def test_the_newest_snapshot_answers(learning: LearningWorld, swapper: Swapper, loaded: Loaded) -> None:
    """As the model itself would; before the first the version answers as it was registered."""
    swapper.follow({RIVER: loaded})
    assert (share(loaded), loaded.served.snapshot) == (0.5, 0)
    for number in (1, 4):
        learning.publish(number, taught(number))
        swapper.follow({RIVER: loaded})
        assert loaded.served.snapshot == number
        assert share(loaded) == taught(number).predict_proba_one(ROW)[True]


def test_what_the_learner_alone_needs_is_not_read(learning: LearningWorld, swapper: Swapper, loaded: Loaded) -> None:
    """It may be far larger than the model."""
    asked = list[str]()
    sa.event.listen(learning.store._engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    learning.publish(1, taught(1))
    asked.clear()
    swapper.follow({RIVER: loaded})
    assert loaded.served.snapshot == 1
    assert any("artefact" in statement for statement in asked)
    assert not any("state" in statement or "status" in statement for statement in asked)


def test_what_is_not_signed_is_never_loaded(
    learning: LearningWorld, swapper: Swapper, loaded: Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    """The older one goes on; it is told, and logged once; the next good one is served, and the failure forgotten."""
    learning.publish(1, taught(1))
    swapper.follow({RIVER: loaded})
    learning.tamper()
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            swapper.follow({RIVER: loaded})
    assert (loaded.served.snapshot, swapper.failed[RIVER].snapshot) == (1, 2)
    assert "signature" in swapper.failed[RIVER].reason
    assert len(caplog.records) == 1
    learning.publish(3, taught(3))
    swapper.follow({RIVER: loaded})
    assert (loaded.served.snapshot, swapper.failed) == (3, {})


def broken() -> bytes:
    """A model that can be loaded, and fails on every row."""
    model = taught(1)
    model._weights = None
    return pickle.dumps(model)


@pytest.mark.parametrize("artefact", [b"no pickle", broken()])
def test_what_cannot_answer_is_not_served(learning: LearningWorld, swapper: Swapper, loaded: Loaded, artefact: bytes) -> None:
    """Bytes that are no model, and a model that fails on a row of its own sample."""
    learning.publish(1, None, artefact=artefact)
    swapper.follow({RIVER: loaded})
    assert (loaded.served.snapshot, share(loaded)) == (0, 0.5)
    assert swapper.failed[RIVER].snapshot == 1


def test_loading_takes_at_most_a_twentieth_of_the_time(learning: LearningWorld, swapper: Swapper, loaded: Loaded, timer: Timer) -> None:
    """After a load that took a while the next one waits so much longer."""
    timer.cost = 1.0
    learning.publish(1, taught(1))
    swapper.follow({RIVER: loaded})
    timer.cost = 0.0
    learning.publish(2, taught(2))
    timer.now += 19.5
    swapper.follow({RIVER: loaded})
    assert loaded.served.snapshot == 1
    timer.now += 1.0
    swapper.follow({RIVER: loaded})
    assert loaded.served.snapshot == 2


def test_a_shadow_looks_now_and_then(learning: LearningWorld, loaded: Loaded, timer: Timer) -> None:
    """Not before `every` seconds are over."""
    swapper = Swapper(learning.store, learning.blobs.get, learning.key, every=0.3, timer=timer)
    swapper.follow({RIVER: loaded})
    learning.publish(1, taught(1))
    timer.now = 0.2
    swapper.follow({RIVER: loaded})
    assert loaded.served.snapshot == 0
    timer.now = 0.3
    swapper.follow({RIVER: loaded})
    assert loaded.served.snapshot == 1


def test_a_worker_serves_no_version_before_its_snapshot(learning: LearningWorld, swapper: Swapper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The route of a new plan begins with what was learnt; the worker reports it, and each record names what answered."""
    learning.publish(7, taught(7))
    create(learning.world.place, "e", {"control": ArmSpec(str(RIVER), 1)}, {}, 1.0, "s", order())
    routes, seen, adopt = Routes(), [], Routes.adopt
    monkeypatch.setattr(
        Routes, "adopt", lambda self, route: (seen.append(route.arms["control"].loaded.served.snapshot), adopt(self, route))
    )
    adopter = Adopter(learning.store, Pool(loader(learning.store, learning.blobs), lambda: 0.0), routes, "w", lambda: 1.0, swapper)
    adopter.poll()
    assert seen == [7]
    learning.publish(8, taught(8))
    adopter.follow_learners()
    adopter.report()
    with learning.store.read() as connection:
        told = workers.alive(connection, 0.0)["w"][1]
    assert (told["snapshots"], told["snapshots_published"]) == ({"river@1": 8}, {"river@1": 10.0})
    logged: list[events.Event] = []
    means = Means(
        lambda payload: logged.append(events.decode(payload)) or Address(1, 0, 7),
        lambda: 2.0,
        lambda _version, work, _seconds: work(),
        Missed(),
    )
    predict(routes.of("e"), Ask("u", ROW, None), means)
    predict_pinned(routes.of("e"), "control", Ask(None, ROW, None), means)
    assert [event.snapshot for event in logged if isinstance(event, Predicted)] == [8, 8]


def test_what_could_not_be_served_is_tried_again(learning: LearningWorld, swapper: Swapper, loaded: Loaded, timer: Timer) -> None:
    """After a while, also where no newer snapshot comes; a blob or the key may be there again."""
    learning.publish(1, taught(1))
    hidden = learning.key.rename(learning.key.with_name("hidden"))
    swapper.follow({RIVER: loaded})
    hidden.rename(learning.key)
    timer.now = 4.9
    swapper.follow({RIVER: loaded})
    assert loaded.served.snapshot == 0
    timer.now = 5.0
    swapper.follow({RIVER: loaded})
    assert (loaded.served.snapshot, swapper.failed) == (1, {})


class Panic(BaseException):
    """What an extension written in Rust raises."""


def test_whatever_loading_raises_the_others_are_served(
    learning: LearningWorld, swapper: Swapper, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panic is no exception of the ordinary kind."""

    def fail(*_: object, **__: object) -> None:
        raise Panic("at once")

    learning.publish(1, taught(1))
    monkeypatch.setattr("models.factory.revive", fail)
    swapper.follow({RIVER: loaded})
    assert (loaded.served.snapshot, swapper.failed[RIVER].reason) == (0, "Panic: at once")


def test_an_answer_and_its_snapshot_belong_together(learning: LearningWorld, loaded: Loaded) -> None:
    """Also where a newer one is swapped in while the older one answers."""
    before = loaded.served

    class Swaps:
        """Answers, and is replaced meanwhile."""

        def predict(self, rows: list[list[float]]) -> list[object]:
            loaded.served = Served(before.runtime, 2)
            return [*before.runtime.predict(rows)]

    loaded.served = Served(Swaps(), 1)  # type: ignore[arg-type]
    assert loaded.answer([[1.0, 2.0]])[1] == 1
    assert loaded.answer([[1.0, 2.0]])[1] == 2
