"""What a learner begins from: the registered version, and the states that it may go on from."""

from __future__ import annotations

from typing import Any

import msgspec

from core.errors import Conflict, Invalid, NotFound
from core.ids import VersionId, parse_version
from core.values import Output, Value
from flows import known
from flows.learning.lessons import Subject
from models import factory, package
from models.card import Card
from models.golden import Golden
from models.learner import labels
from models.learner.river_model import row_reader
from models.learner.settings import LearnerSettings, RiverCard
from models.river_runtime import RiverRuntime
from store import registry
from store.blobs import Blobs
from store.engine import Store

MOST_PROBES = 4
"""Golden rows that a snapshot answers before it is published."""


class Origin:
    """A registered River version. `card` is its card, `river` the part of it that other models' cards lack."""

    def __init__(self, store: Store, blobs: Blobs, version: VersionId) -> None:
        """Raises NotFound, and Conflict where the version is no River model."""
        self._store = store
        self._blobs = blobs
        self.version = version
        self.card = self._card(version)
        if self.card.river is None:
            raise Conflict(f"{version} is no River model: it cannot learn", code="not-a-learner")
        self.river: RiverCard = self.card.river
        self._code = package.code_of(self.card, blobs.get)
        self.golden = self._golden()

    @property
    def settings(self) -> LearnerSettings:
        """How the version learns; raises Conflict where it does not."""
        if self.river.settings is None:
            raise Conflict(f"{self.version} does not learn: it was registered without, or a learner published it", code="not-a-learner")
        return self.river.settings

    @property
    def probes(self) -> list[dict[str, Value]]:
        """The same golden rows that a snapshot answers before it is published, as River takes them."""
        return [*map(row_reader(self.card.signature), self.golden.rows[:MOST_PROBES])]

    def subject(self, rows_of: Origin) -> Subject:
        """The lessons of the rows that `rows_of` learns from, cut to this version's signature."""
        return Subject(rows_of.version, rows_of.settings, labels.tester(rows_of.river), self.card.signature)

    def fresh(self) -> Any:
        """The River object as it was registered, a copy of its own at each call; raises Rejected."""
        return package.river_of(self.card, self._blobs.get)

    def revive(self, artefact: bytes, river: str | None = None) -> Any:
        """The River object in a snapshot of this version, which the release `river` wrote; raises Rejected."""
        return factory.revive(artefact, self.river.code, self._code, river=river)

    def state_of(self, to: str) -> Any:
        """The model of `to` where it is this version or one that its learner published; None where it is neither."""
        try:
            other = parse_version(to)
            card = self._card(other)
        except (Invalid, NotFound):
            return None
        learnt = None if card.river is None else card.river.learnt
        if other != self.version and (learnt is None or not learnt.is_of(str(self.version))):
            return None
        return package.river_of(card, self._blobs.get)

    def probe(self, model: Any) -> None:
        """Raises ModelFailed where `model` does not answer what it is to be served for."""
        self._runtime(model).predict(self.golden.rows[:MOST_PROBES])

    def answers(self, model: Any) -> list[Output]:
        """What `model` answers to the golden rows; raises ModelFailed."""
        return self._runtime(model).predict(self.golden.rows)

    def _runtime(self, model: Any) -> RiverRuntime:
        return RiverRuntime(model, self.card.signature)

    def _golden(self) -> Golden:
        digest = self.card.blobs.get("golden")
        if digest is None:
            return Golden([list(self.card.signature.blank())], [])
        return msgspec.json.decode(self._blobs.get(digest), type=Golden)

    def _card(self, version: VersionId) -> Card:
        with self._store.read() as connection:
            return known.decode_card(registry.version_row(connection, version).card)
