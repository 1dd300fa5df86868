"""A learner's snapshot: what is stored of it, what is shown of it, and how a learner goes on from it."""

from __future__ import annotations

import hmac
from functools import cache
from importlib.metadata import version as package_version
from typing import Any

import msgspec

from core.errors import Rejected
from core.ids import VersionId
from core.values import Position
from flows.course import Course
from flows.lessons import Progress
from flows.origin import Origin
from models.learner import snapshot
from models.learner.learner import Learner
from store.learners import SnapshotRow

_SEAL_BYTES = 32


class Memory(msgspec.Struct, frozen=True):
    """What a learner needs to go on beside its model. `gap`: what it missed of the journal, None where nothing."""

    learner: bytes
    progress: Progress
    gap: str | None


class Made(msgspec.Struct, frozen=True):
    """A learner taken apart: its model and the rest, as `Learner.dump` gives them."""

    artefact: bytes
    learner: bytes


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
        _seal(key, signature, state) + state,
        msgspec.json.encode(status),
    )


def read(key: bytes, origin: Origin, found: SnapshotRow) -> tuple[Learner, Memory]:
    """The learner as the snapshot holds it; raises Rejected where it is not what a learner of this home has stored."""
    memory = memory_of(key, found)
    model = origin.revive(found.artefact, found.river)
    return Learner.load(origin.river, origin.settings, origin.fresh, model, memory.learner), memory


def memory_of(key: bytes, found: SnapshotRow) -> Memory:
    """What is kept with a snapshot beside the model, both verified; raises Rejected."""
    snapshot.verify(key, str(found.version), found.number, found.position, found.river, found.artefact, found.signature)
    seal, state = found.state[:_SEAL_BYTES], found.state[_SEAL_BYTES:]
    if not hmac.compare_digest(seal, _seal(key, found.signature, state)):
        raise Rejected(f"the state of the learner of {found.version} has been changed since it was stored")
    return msgspec.msgpack.decode(state, type=Memory)


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


@cache
def _river() -> str:
    return package_version("river")


def _seal(key: bytes, signature: str, state: bytes) -> bytes:
    return hmac.digest(key, b"state\0" + signature.encode() + state, "sha256")
