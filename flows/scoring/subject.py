"""What answers: a version, and of one that learns the snapshot by which it does."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from core.errors import Invalid, ModelFailed
from core.ids import VersionId
from core.values import Output, Value
from flows import known
from flows.learning import swap
from flows.scoring.rows import Given
from models import package
from models.card import Card
from models.inputs import Inputs
from models.package import Loaded, Served
from models.remote.servers import NONE, Remotes
from store import learners, registry
from store.blobs import Blobs
from store.engine import Store
from store.learners import ServedRow

Asked: TypeAlias = Literal["newest", "registered"]
"""By which state a version that learns answers: by its newest snapshot, as online, or as it was registered."""


class Place(NamedTuple):
    """Where versions are found; `key` is the file of the key that signs snapshots, `remotes` are the servers that models may be on."""

    store: Store
    blobs: Blobs
    key: Path
    remotes: Remotes = NONE


class Answer(NamedTuple):
    """What is said of one row: an output, or why there is none."""

    output: Output | None
    error: str | None


def find(place: Place, reference: str) -> tuple[VersionId, Card]:
    """The version that `credit@3` or `credit@champion` names; raises Invalid or NotFound."""
    with place.store.read() as connection:
        version = registry.resolve(connection, reference, "version")
        return version, known.decode_card(registry.version_row(connection, version).card)


def newest_snapshot(place: Place, version: VersionId, card: Card) -> ServedRow | None:
    """The snapshot by which it answers online now; None where it does as it was registered."""
    if not card.learns:
        return None
    with place.store.read() as connection:
        return learners.served(connection, version)


def load(place: Place, card: Card, snapshot: ServedRow | None) -> Loaded:
    """The version ready to answer; raises Rejected or ModelFailed where it or its snapshot cannot be loaded."""
    loaded = package.load(card, place.blobs.get, place.remotes)
    if snapshot is not None:
        loaded.served = Served(swap.revive(card, snapshot, place.key, place.blobs.get), snapshot.number)
    return loaded


class Subject:
    """Answers rows as an endpoint that serves this version alone answers requests of one row."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._inputs = Inputs.union([loaded.card.signature])

    def alone(self, rows: list[Given]) -> list[Answer]:
        """Each row by a call of its own, so that figures are those of a request of one row to the last bit."""
        return [self._one(row) for row in rows]

    def together(self, rows: list[Given]) -> list[Answer]:
        """All rows by one call: quicker, and figures may differ in their last digits, as those of a request of many rows may."""
        read = [self._read(row) for row in rows]
        fine = [values for values, _ in read if values is not None]
        try:
            outputs = iter(self._loaded.predict(fine) if fine else [])
        except ModelFailed as error:
            _end_if_interrupted(error)
            return self.alone(rows)
        return [Answer(None, error) if values is None else Answer(next(outputs), None) for values, error in read]

    def _one(self, row: Given) -> Answer:
        values, error = self._read(row)
        if values is None:
            return Answer(None, error)
        try:
            return Answer(self._loaded.predict([values])[0], None)
        except ModelFailed as failure:
            _end_if_interrupted(failure)
            return Answer(None, f"{failure.code}: {failure.message}")

    def _read(self, row: Given) -> tuple[list[Value] | None, str | None]:
        try:
            if isinstance(row, Invalid):
                raise row
            return self._inputs.read(row, None)[0], None
        except Invalid as error:
            return None, f"{error.code}: {error.message}"


def _end_if_interrupted(error: ModelFailed) -> None:
    """Ctrl-C while scikit-learn computes reaches us as a failure of the model; here somebody wants to stop."""
    if isinstance(error.__cause__, KeyboardInterrupt):
        raise KeyboardInterrupt from error
