"""Swap: how a process that serves a learning version keeps up with its learner, which works elsewhere.

Runs in native threads. What is found unchanged costs one query. A swap is one assignment, so no request waits for that; while a large
snapshot is unpickled, requests wait for Python's lock now and then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from core.errors import TiltyardError
from core.ids import VersionId
from core.values import Row
from models import factory, package
from models.card import Card
from models.failure import reason
from models.golden import Golden
from models.learner import snapshot
from models.package import Loaded, Served
from models.runtime import Runtime, seconds_per_row
from store import learners
from store.engine import Store
from store.learners import ServedRow

PAUSE = 20.0
"""For so many times the processor's time that the last load took none is begun: a worker's core is for answering."""

AGAIN_SECONDS = 5.0
"""How long after a snapshot could not be served it is tried again: the key, a blob or the store may be there by then."""

_log = logging.getLogger("tiltyard.swap")


class Failed(NamedTuple):
    """A snapshot that is not served, and why: the one before it goes on. `again`: when it is tried again, by the swapper's timer."""

    snapshot: int
    reason: str
    again: float


class Swapper:
    """Swaps the newest snapshots in, for one thread after the other. `key` is the file of the key that signs them.

    Asked to follow again within `every` seconds it does nothing. `timer` never steps back, `effort` is the thread's time of the
    processor: seconds.
    """

    def __init__(
        self,
        store: Store,
        read_blob: Callable[[str], bytes],
        key: Path,
        *,
        every: float = 0.0,
        timer: Callable[[], float] = time.monotonic,
        effort: Callable[[], float] = time.thread_time,
    ) -> None:
        self._store = store
        self._read_blob = read_blob
        self._key = key
        self._every = every
        self._timer = timer
        self._effort = effort
        self._next = timer()
        self._due: dict[VersionId, float] = {}
        self._rows: dict[VersionId, Row] = {}
        self._turn = Lock()
        self.failed: Mapping[VersionId, Failed] = {}
        """By version the newest snapshot that could not be served; replaced as a whole."""
        self.published: Mapping[VersionId, float] = {}
        """By version when the snapshot that is served was published, by the clock of its learner; replaced as a whole."""

    def follow(self, loaded: Mapping[VersionId, Loaded]) -> None:
        """Let each of the versions that learns answer by its newest snapshot. Where the store cannot be read now, the next call does."""
        learning = _learning(loaded)
        if not learning:
            return
        with self._turn:
            now = self._timer()
            if now < self._next:
                return
            self._next = now + self._every
            try:
                numbers = self._numbers()
                for version, one in learning.items():
                    if self._is_news(version, one, numbers.get(version, 0)):
                        self._swap(version, one)
            except sa.exc.OperationalError as error:
                _log.warning("snapshots cannot be read now: %s", error)

    def catch_up(self, loaded: Mapping[VersionId, Loaded]) -> dict[VersionId, str]:
        """The same at once, for versions that nobody is answered by yet; returns those that would answer as if they had learnt nothing.

        With the reason why they cannot do better. One that answers by an older snapshot will do. Raises OperationalError where the
        store cannot be read now.
        """
        learning = _learning(loaded)
        if not learning:
            return {}
        with self._turn:
            numbers = self._numbers()
            for version, one in learning.items():
                if numbers.get(version, 0) not in (0, one.served.snapshot):
                    self._swap(version, one)
            failed = self.failed
        return {version: failed[version].reason for version, one in learning.items() if not one.served.snapshot and version in failed}

    def _numbers(self) -> dict[VersionId, int]:
        with self._store.read() as connection:
            return learners.numbers(connection)

    def _is_news(self, version: VersionId, one: Loaded, number: int) -> bool:
        now, failed = self._timer(), self.failed.get(version)
        waits = now < self._due.get(version, 0.0) or (failed is not None and failed.snapshot == number and now < failed.again)
        return number not in (0, one.served.snapshot) and not waits

    def _swap(self, version: VersionId, one: Loaded) -> None:
        before = self._effort()
        with self._store.read() as connection:
            row = learners.served(connection, version)
        if row is None:
            return
        try:
            runtime = revive(one.card, row, self._key, self._read_blob)
            one.seconds_per_row = seconds_per_row(runtime, self._row(version, one.card), budget=0.0, timer=time.thread_time)
        except BaseException as error:  # of the model, of the key or of a blob: it must not keep this process from its other versions
            why = error.message if isinstance(error, TiltyardError) else reason(error)
            self._fail(version, Failed(row.number, why, self._timer() + AGAIN_SECONDS))
        else:
            one.served = Served(runtime, row.number)
            self.published = {**self.published, version: row.published}
            self.failed = {other: failed for other, failed in self.failed.items() if other != version}
        self._due[version] = self._timer() + PAUSE * (self._effort() - before)

    def _row(self, version: VersionId, card: Card) -> Row:
        """What a snapshot is tried on before anybody is answered by it."""
        if version not in self._rows:
            golden = card.blobs.get("golden")
            known = None if golden is None else msgspec.json.decode(self._read_blob(golden), type=Golden).rows
            self._rows[version] = known[0] if known else card.signature.blank()
        return self._rows[version]

    def _fail(self, version: VersionId, failed: Failed) -> None:
        before = self.failed.get(version)
        if before is None or before.reason != failed.reason:
            _log.error("snapshot %s of %s cannot be served, the one before it goes on: %s", failed.snapshot, version, failed.reason)
        self.failed = {**self.failed, version: failed}


def revive(card: Card, row: ServedRow, key: Path, read_blob: Callable[[str], bytes]) -> Runtime:
    """What answers by the snapshot; raises Rejected where it is none that a learner of this home has stored."""
    from models.river_runtime import RiverRuntime  # here, because most workers never need River

    snapshot.verify(snapshot.read_key(key), str(row.version), row.number, row.position, row.river, row.artefact, row.signature)
    code = None if card.river is None else card.river.code
    model = factory.revive(row.artefact, code, package.code_of(card, read_blob), river=row.river)
    return RiverRuntime(model, card.signature)


def _learning(loaded: Mapping[VersionId, Loaded]) -> dict[VersionId, Loaded]:
    return {version: one for version, one in loaded.items() if one.card.learns}
