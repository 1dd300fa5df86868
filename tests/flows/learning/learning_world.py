"""A home without processes in which a River model is registered, and what a learner of it would publish."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from river import linear_model

from core.ids import VersionId
from core.values import Position
from flows import register
from models.learner import snapshot
from models.learner.settings import LearnerSettings, LearnsFrom
from routing.changes import Who
from store import learners
from store.blobs import Blobs
from store.learners import SnapshotRow
from tests.flows.flow_world import World

RIVER, STILL = VersionId("river", 1), VersionId("still", 1)
RIVER_VERSION = "0.0"
ROW = {"a": 1.0, "b": 2.0}
STATUS: dict[str, Any] = {
    "labels": 0,
    "quarantined": 0,
    "scores": {"Accuracy": None},
    "rolling": {"Accuracy": None},
    "served": {},
    "drift": {"detector": "ADWIN", "detections": 0, "last": None},
    "late": 0,
    "duplicates": 0,
    "unknown": 0,
    "expired": 0,
    "unfit": 0,
    "forced": 0,
    "state": "learning",
}


class LearningWorld:
    """`river@1` is a classifier of two numbers that learns, `still@1` is the same and does not; `publish` does what its learner does."""

    def __init__(self, world: World, home: Path) -> None:
        self.world = world
        self.store = world.store
        self.blobs = Blobs(home / "blobs")
        self.journal = home / "journal"
        self.key = home / "snapshots.key"
        path, sample = home / "river.pkl", home / "river.csv"
        self._sample = sample
        path.write_bytes(pickle.dumps(linear_model.LogisticRegression()))
        sample.write_text("a,b,y\n1.0,2.0,true\n2.0,1.5,false\n")
        who = Who("me", 5.0, "")
        self._register = partial(
            register.register, self.store, self.blobs, path=path, who=who, sample=sample, target="y", trust_pickle=True
        )
        self._register(model="river")
        self._register(model="still", learning="off")

    def register_again(self, learns_from: LearnsFrom, sample: str | None = None) -> VersionId:
        """The next version of `river`, which learns from these rows; of a sample of its own where one is given."""
        if sample is not None:
            self._sample.write_text(sample)
        return self._register(model="river", learning=LearnerSettings(learns_from=learns_from))

    def publish(self, number: int, model: Any, *, artefact: bytes | None = None, at: float = 10.0, **status: Any) -> None:
        """Store a signed snapshot of `model`; of other bytes where `artefact` is given, signed as if they were right."""
        data = pickle.dumps(model) if artefact is None else artefact
        place = Position(1, 0)
        signature = snapshot.sign(snapshot.key(self.key), str(RIVER), number, place, RIVER_VERSION, data)
        shown = {**STATUS, "snapshot": number, "position": place._asdict(), "at": at, **status}
        row = SnapshotRow(RIVER, number, place, at, at, RIVER_VERSION, signature, data, b"", msgspec.json.encode(shown))
        with self.store.write() as connection:
            learners.publish(connection, row)

    def tamper(self) -> None:
        """Change the stored snapshot, and not its signature."""
        with self.store.write() as connection:
            row = learners.newest(connection, RIVER)
            assert row is not None
            learners.publish(connection, row._replace(number=row.number + 1, artefact=row.artefact + b"."))


def taught(times: int) -> Any:
    """A model that has learnt the row so often."""
    model = linear_model.LogisticRegression()
    for _ in range(times):
        model.learn_one(ROW, True)
    return model
