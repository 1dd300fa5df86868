"""Checkpoints: which rows have had their label, put into the store now and then, so that a learner that goes on reads little again.

Whenever the reader has entered another segment, what has changed since is written: by and by, with the publications that follow, since
none of them may take long. What the store holds is complete up to a position that the snapshot tells, and what is written is known by
its digest, which is sealed with the snapshot: a changed body is never gone by.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from core.errors import Rejected
from core.values import Position
from flows.learning.labelled import Labelled, Seen
from store.learners import IDS, ROWS, PartKey

AT_ONCE = 2**20
"""With one publication so many bytes of what is known of rows are written, before they are compressed; one segment at least."""


class Stored(msgspec.Struct, frozen=True):
    """What the store holds of a learner's checkpoint: the digests of all bodies, by kind and segment.

    All that stands in the journal before `position` is in there; `at` is the journal time at that position.
    """

    position: tuple[int, int]
    at: float
    digests: dict[str, dict[int, bytes]]


class Checkpoint(NamedTuple):
    """What is to be written with a publication; what is of segments before `floor` is to be deleted."""

    floor: int
    bodies: dict[PartKey, bytes]


class Checkpoints:
    """Writes and loads what `labelled` and `examples` know. `stored`: what the store holds."""

    def __init__(self, labelled: Labelled, examples: Seen, stored: Stored) -> None:
        self._labelled = labelled
        self._examples = examples
        self.stored = stored
        """What the store holds once all is written that was taken."""
        self._next = stored
        """Complete up to there is what the store holds, once nothing is left."""
        self._left: list[int] = []

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be written of what was known where the reader entered its segment."""
        return self._next is self.stored

    def take(self, position: Position, at: float) -> Checkpoint:
        """What is to be written together with a snapshot at `position`, where journal time is `at`. It has to be, or all is lost."""
        found: dict[PartKey, bytes] = {}
        if self._next is self.stored and position.segment > self.stored.position[0]:
            self._next = Stored(position, at, {})
            self._left = sorted(self._labelled.changed)
            seen = self._examples.since(self.stored.at)
            if seen:
                found[IDS, position.segment] = _packed(seen)
        floor = self._labelled.floor
        self._left = [segment for segment in self._left if segment >= floor]
        room = AT_ONCE
        while self._left and room > 0:
            segment = self._left.pop(0)
            room -= self._labelled.size(segment)
            found[ROWS, segment] = zlib.compress(self._labelled.dump(segment), 1)
        self._put_down(found, floor)
        return Checkpoint(floor, found)

    def load(self, bodies: Mapping[PartKey, bytes]) -> None:
        """Know again what was written; raises Rejected where it is not what a learner of this home has stored."""
        for kind, digests in self.stored.digests.items():
            for segment, digest in sorted(digests.items()):
                body = bodies.get((kind, segment), b"")
                if _digest(body) != digest:
                    raise Rejected(f"what the learner knows of the labels of segment {segment} has been changed since it was stored")
                self._load(kind, segment, zlib.decompress(body))

    def _put_down(self, found: Mapping[PartKey, bytes], floor: int) -> None:
        before = self.stored
        digests = {
            kind: {segment: digest for segment, digest in known.items() if segment >= floor} for kind, known in before.digests.items()
        }
        for (kind, segment), body in found.items():
            digests[kind][segment] = _digest(body)
        to = before if self._left else self._next
        self.stored = Stored(to.position, to.at, digests)
        if not self._left:
            self._next = self.stored

    def _load(self, kind: str, segment: int, body: bytes) -> None:
        if kind == ROWS:
            self._labelled.load(segment, body)
        else:
            self._examples.load(msgspec.msgpack.decode(body, type=dict[bytes, float]))


def nothing(position: Position, at: float) -> Stored:
    """Of a learner that begins at `position`, where journal time is `at`."""
    return Stored(position, at, {ROWS: {}, IDS: {}})


def _packed(seen: dict[bytes, float]) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(seen), 1)


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()
