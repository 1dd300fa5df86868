"""A home in which a River version learns: an endpoint, a real journal, and a clock that moves when it is told to."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace
from river import base, linear_model, preprocessing

from core import events
from core.events import Event, Example, Observed, Predicted, Restored, Tick
from core.ids import VersionId, format_prediction_id
from core.settings import Settings
from core.values import Label, Output, Position, Value
from flows import deploy, known
from flows.deploy import ArmSpec, Place, ShadowSpec
from flows.learning.learn import Learning, School
from flows.learning.learners import learner_reader
from flows.learning.replay import Question, Source, replay
from journal import segments
from journal.rotation import rotate
from journal.writer import Writer
from models.card import Card
from models.golden import Golden
from models.learner.settings import LearnerSettings, RiverCard, RiverKind
from models.signature import Feature, Kind, Signature
from routing.changes import Who
from store import engine, learners, positions, registry
from store.blobs import Blobs
from store.learners import SnapshotRow
from tests.flows import flow_world
from tests.flows.flow_world import order

KEY = bytes(range(32))
LATE = 100.0
SETTINGS = LearnerSettings(late_seconds=LATE, metrics=("MAE",), keep_every=0, detector="")
"""Of a learner that does no more than learn."""
ME = Who("me", 7.0, "because")


def line() -> Any:
    """An untrained regressor of all numbers in a row."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression()


class Steep(base.Regressor):
    """Answers the last label, times the infinite where that is 13."""

    def __init__(self) -> None:
        self.last = 0.0

    def predict_one(self, x: dict[str, Any]) -> float:
        return self.last

    def learn_one(self, x: dict[str, Any], y: float) -> None:
        if y == 666:
            raise ValueError("no such label")
        self.last = float("inf") if y == 13 else y


class LearnWorld:
    """`m@1` learns and is the control of the endpoint `credit`, whose other arm is `m@2`, which does not. Time is in seconds."""

    def __init__(self, home: Path, model: Any = None, settings: LearnerSettings = SETTINGS, begin: bool = True) -> None:
        home.mkdir(exist_ok=True)
        (home / "store.db").write_bytes(flow_world._empty_store())
        self.store = engine.open_existing(Settings(home=str(home)))
        self.blobs = Blobs(home / "blobs")
        self.journal = home / "journal"
        self.writer = Writer(self.journal)
        self._running: list[Learning] = []
        self.now = 0.0
        self.ticks = 0.0
        self.place = Place(self.store, lambda: segments.end(self.journal))
        self.version = self.register(model or line(), settings)
        self.register(line(), None)
        if begin:
            deploy.create(self.place, "credit", {"control": ArmSpec("m@1", 1), "old": ArmSpec("m@2", 1)}, {}, 1.0, "salt", order(0.0))
            self.begin()

    def register(
        self,
        model: Any,
        settings: LearnerSettings | None,
        names: tuple[str, ...] = ("x",),
        kind: RiverKind = "regressor",
        name: str = "m",
        nullable: bool = True,
        each: Kind = "float",
    ) -> VersionId:
        """The next version of `m`, whose features are numbers of the kind `each`."""
        task = "classification" if kind == "classifier" else "regression"
        golden = Golden([[1.0] * len(names), [2.0] * len(names)], [])
        stored = {"artefact": self.blobs.put(pickle.dumps(model)), "golden": self.blobs.put(msgspec.json.encode(golden))}
        signature = Signature(tuple(Feature(one, each, nullable=nullable) for one in names), task)
        card = replace(
            flow_world.card(),
            signature=signature,
            format="river",
            blobs=stored,
            river=RiverCard(kind=kind, label="float", settings=settings),
        )
        with self.store.write() as connection:
            return registry.add_version(connection, name, known.encode(card), "me", 0.0)

    def begin(self, version: str = "m@1") -> None:
        """Let the learner begin where the journal ends."""
        with self.store.write() as connection:
            positions.begin(connection, f"learn:{version}", segments.end(self.journal), 0.0)

    def endpoint(self, name: str, arms: Mapping[str, str], shadows: Mapping[str, ShadowSpec] = {}) -> None:
        """One more endpoint: plan 1."""
        given = {arm: ArmSpec(version, 1) for arm, version in arms.items()}
        deploy.create(self.place, name, given, dict(shadows), 1.0, "salt", order(0.0))

    def log(self, event: Event) -> str:
        """Append an event; its id."""
        return format_prediction_id(self.writer.append(events.encode(event)))

    def predict(
        self,
        *x: Value | list[Value],
        at: float | None = None,
        version: str = "m@1",
        arm: str = "control",
        flags: int = 0,
        endpoint: str = "credit",
        plan: int = 1,
    ) -> str:
        """Log a prediction of these rows, every answer of which is 0; its id."""
        self.now = self.now + 0.01 if at is None else at
        rows = [one if isinstance(one, list) else [one] for one in x]
        return self.log(
            Predicted(self.now, endpoint, plan, None, arm, 1.0, version, flags, rows, [Output(value=0.0)] * len(rows), 0.001, None, 0)
        )

    def label(self, prediction: str, value: Label, at: float | None = None, metric: str = "label", key: str | None = None) -> None:
        """Log an outcome of a prediction."""
        self.now = self.now + 0.01 if at is None else at
        self.log(Observed(self.now, prediction, None, None, metric, value, self.now, key))

    def pair(self, x: float, y: Label, at: float | None = None) -> None:
        """A prediction and its label."""
        self.label(self.predict(x, at=at), y, at=at)

    def example(self, x: float, y: Label, key: str | None = None, at: float | None = None, model: str = "m") -> None:
        """Log a row that is learnt without a prediction."""
        self.now = self.now + 0.01 if at is None else at
        self.log(Example(self.now, model, {"x": x, "other": 5.0}, y, key))

    def restored(self, to: str, version: str = "m@1") -> None:
        """An operator lets the learner go on from another state."""
        self.log(Restored(self.now, version, to))

    def tick(self, at: float) -> None:
        """Let journal time be `at`."""
        self.now = at
        self.log(Tick(at))

    def rotate(self) -> None:
        """Go on in another segment."""
        rotate(self.journal, segments.end(self.journal).segment)

    def learning(self, *, careful: bool = False, version: str = "m@1") -> Learning:
        """A new process that learns."""
        school = School(self.store, self.blobs, self.journal, KEY, lambda: self.now, lambda: self.ticks, lambda: 0.0)
        found = VersionId("m", int(version.partition("@")[2]))
        made = Learning(school, found, careful=careful)
        self._running.append(made)
        return made

    def kill(self, learning: Learning) -> None:
        """The process is gone with all that it had in mind."""
        self._running.remove(learning)
        learning.close()

    def close(self) -> None:
        """Close all files."""
        for learning in self._running:
            learning.close()
        self.writer.close()

    def drain(self, learning: Learning) -> None:
        """Let it read all there is, and publish it."""
        while learning.step():
            pass
        self.ticks += 10.0
        learning.step()

    def learn(self, version: str = "m@1") -> dict[str, Any]:
        """A process learns all there is and ends; the status that it published."""
        learning = self.learning(version=version)
        self.drain(learning)
        self.kill(learning)
        return self.status(version)

    def snapshot(self, version: str = "m@1") -> SnapshotRow:
        """The newest one."""
        with self.store.read() as connection:
            found = learners.newest(connection, VersionId("m", int(version.partition("@")[2])))
        assert found is not None
        return found

    def status(self, version: str = "m@1") -> dict[str, Any]:
        """What the newest snapshot says."""
        found: dict[str, Any] = msgspec.json.decode(self.snapshot(version).status)
        return found

    def position(self, version: str = "m@1") -> Position:
        """Where the reader stands."""
        with self.store.read() as connection:
            row = positions.get(connection, learner_reader(VersionId("m", int(version.partition("@")[2]))))
        assert row is not None
        return row.position

    def model(self, version: str = "m@1") -> Any:
        """The newest snapshot's model."""
        return pickle.loads(self.snapshot(version).artefact)

    def card(self, version: str) -> Card:
        """A version's card."""
        with self.store.read() as connection:
            return known.decode_card(registry.version_row(connection, registry.resolve(connection, version, "version")).card)

    def replay(self, model: str = "m@1", **how: Any) -> dict[str, Any]:
        """What a replay finds."""
        return replay(Source(self.store, self.blobs, self.journal, KEY), Question(model, **how), ME)


Make: TypeAlias = Callable[..., LearnWorld]


def makers(home: Path) -> Iterator[Make]:
    """A function that makes worlds, all of which are closed at the end."""
    made: list[LearnWorld] = []

    def make(*arguments: Any, **options: Any) -> LearnWorld:
        made.append(LearnWorld(home, *arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def taught(*rows: tuple[float, float]) -> Any:
    """A line that was taught these rows one after the other, each after it had been asked."""
    model = line()
    for x, y in rows:
        model.predict_one({"x": x})
        model.learn_one({"x": x}, y)
    return model
