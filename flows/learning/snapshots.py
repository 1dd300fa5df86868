"""A learner's snapshot: what is stored of it, what is shown of it, and how a learner goes on from it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version as package_version
from typing import Any, NamedTuple

import msgspec

from core.errors import ModelFailed, Rejected
from core.ids import VersionId
from core.values import Position
from flows.learning.course import Course
from flows.learning.lessons import Progress
from flows.learning.origin import Origin
from models.learner import snapshot
from models.learner.learner import Learner
from store.learners import SnapshotRow

MOST_BYTES = 512 * 2**20
"""Of a model, and of what is kept beside it: more than this no row of a store takes for certain."""


class Memory(msgspec.Struct, frozen=True):
    """What a learner needs to go on beside its model. `gap`: what it missed of the journal, None where nothing."""

    learner: bytes
    progress: Progress
    gap: str | None


class Made(msgspec.Struct, frozen=True):
    """A learner taken apart: its model and the rest, as `Learner.dump` gives them."""

    artefact: bytes
    learner: bytes

    def check(self) -> None:
        """Raises ModelFailed where it is too large to be stored."""
        for part, what in ((self.artefact, "model"), (self.learner, "rest of the learner")):
            if len(part) > MOST_BYTES:
                raise ModelFailed(f"the {what} takes {len(part)} bytes; at most {MOST_BYTES} can be stored")


class Resumed(NamedTuple):
    """A learner that goes on from its snapshot as far as that can be read.

    `memory` is None where it cannot. `gap`: what is missing then, None where nothing. `lost`: why the model is; it is as registered then.
    """

    learner: Learner
    memory: Memory | None
    gap: str | None
    lost: str | None


def row(
    key: bytes, version: VersionId, number: int, position: Position, made: Made, memory: Memory, status: dict[str, Any], published: float
) -> SnapshotRow:
    """The snapshot as it is stored, signed with `key`."""
    river = _river()
    signature = snapshot.sign(key, str(version), number, position, river, made.artefact)
    state = msgspec.msgpack.encode(memory)
    return SnapshotRow(
        version,
        number,
        position,
        memory.progress.at,
        published,
        river,
        signature,
        made.artefact,
        snapshot.seal(key, signature, state),
        msgspec.json.encode(status),
    )


def read(key: bytes, origin: Origin, found: SnapshotRow) -> tuple[Learner, Memory]:
    """The learner as the snapshot holds it; raises Rejected where it is not what a learner of this home has stored."""
    memory = memory_of(key, found)
    model = origin.revive(found.artefact, found.river)
    return Learner.load(origin.river, origin.settings, origin.fresh, model, memory.learner, origin.probes), memory


def resume(key: bytes, origin: Origin, found: SnapshotRow) -> Resumed:
    """The learner as the snapshot holds it, or what can be had of it; raises Rejected where the registered model cannot be loaded."""
    lost = gap = memory = None
    try:
        _verify(key, found)
        model = origin.revive(found.artefact, found.river)
    except Rejected as error:
        lost, model = error.message, origin.fresh()
        gap = f"labels after {_place(found)} were not learnt before the order to go on from another state: {lost}"
    try:
        memory = _memory(key, found)
        learner = Learner.load(origin.river, origin.settings, origin.fresh, model, memory.learner, origin.probes)
    except Rejected as error:
        gap = gap or f"scores and detector began anew at {_place(found)}: {error.message}"
        learner = Learner(origin.river, origin.settings, origin.fresh, origin.probes)
        learner.restore(model)
    return Resumed(learner, memory, gap, lost)


def memory_of(key: bytes, found: SnapshotRow) -> Memory:
    """What is kept with a snapshot beside the model, both verified; raises Rejected."""
    _verify(key, found)
    return _memory(key, found)


def status(course: Course, number: int, position: Position, gap: str | None) -> dict[str, Any]:
    """What is shown of the learner: its own account, and how far it is."""
    lessons = course.lessons
    return {
        **course.learner.describe(),
        "snapshot": number,
        "position": position._asdict(),
        "begun": lessons.begun._asdict(),
        "at": lessons.at,
        **msgspec.structs.asdict(lessons.counts),
        "gap": gap,
        "state": "learning",
        "reason": None,
    }


def failing(shown: dict[str, Any], reason: str) -> dict[str, Any]:
    """The status of a learner whose state cannot be published."""
    return {**shown, "state": "failing", "reason": reason}


def _place(found: SnapshotRow) -> str:
    return f"{found.position.segment}:{found.position.offset}"


def _verify(key: bytes, found: SnapshotRow) -> None:
    snapshot.verify(key, str(found.version), found.number, found.position, found.river, found.artefact, found.signature)


def _memory(key: bytes, found: SnapshotRow) -> Memory:
    try:
        return msgspec.msgpack.decode(snapshot.unseal(key, found.signature, found.state), type=Memory)
    except msgspec.MsgspecError as error:
        raise Rejected(f"what is kept beside the model was written by another release: {error}") from error


@cache
def _river() -> str:
    return package_version("river")
