"""A model as it is kept and served: a card and blobs. `models.building` makes them, `load` makes a model that answers of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from core.errors import ModelFailed, NotFound, Rejected
from core.values import Output, Row, Value
from models import factory, golden
from models.artefact import digest, load_estimator
from models.card import Card
from models.golden import Golden
from models.linear import LinearRuntime
from models.onnx_runtime import OnnxRuntime
from models.remote.runtime import RemoteRuntime
from models.remote.servers import NONE, Remotes
from models.runtime import Runtime, seconds_per_row


class Tried(NamedTuple):
    """What the model answered to each row of the sample, and the true values there."""

    outputs: Sequence[Output]
    truths: Sequence[Value]


class Package(NamedTuple):
    """A model to be stored: its card, and its blobs by role; the card names each blob's digest.

    `tried` is not stored: it is for whoever measures the answers. None where the true values are not known.
    """

    card: Card
    blobs: dict[str, bytes]
    tried: Tried | None = None


class Served(NamedTuple):
    """What answers, and which snapshot of its learner that is; 0: the version as it was registered."""

    runtime: Runtime
    snapshot: int


class Loaded:
    """A version that answers. `seconds_per_row`: the median time of a prediction of one row, measured where what answers was loaded.

    `served` is read once for each prediction and replaced by one assignment, so an answer and its snapshot belong together.
    """

    __slots__ = ("_required", "card", "seconds_per_row", "served")

    def __init__(self, card: Card, runtime: Runtime, seconds_per_row: float) -> None:
        self.card = card
        self.served = Served(runtime, 0)
        self.seconds_per_row = seconds_per_row
        self._required = tuple(place for place, feature in enumerate(card.signature.features) if not feature.nullable)

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """One output per row, in the order of the signature; raises ModelFailed.

        So does a missing value where the sample had none: a forest would answer something, and call it an answer.
        """
        return self.answer(rows)[0]

    def answer(self, rows: Sequence[Row]) -> tuple[list[Output], int]:
        """The same, and the snapshot that answered."""
        for row in rows:
            if None in row:
                self._refuse_missing(row)
        runtime, snapshot = self.served
        return runtime.predict(rows), snapshot

    def _refuse_missing(self, row: Row) -> None:
        for place in self._required:
            if row[place] is None:
                raise ModelFailed(f"feature {self.card.signature.features[place].name!r} is missing, and the model never saw it missing")


def load(card: Card, read_blob: Callable[[str], bytes], remotes: Remotes = NONE) -> Loaded:
    """A model ready to serve: digests verified, warm, golden rows checked, its time measured.

    `read_blob` takes a digest; `remotes` are the servers at which models may be asked that are not here. Raises Rejected where a blob is
    missing or changed or cannot be loaded, ModelFailed where the model does not answer its golden rows as it did when it was registered.
    """
    runtime = _runtime(card, read_blob, remotes)
    try:
        return Loaded(card, runtime, seconds_per_row(runtime, _golden_row(card, runtime, read_blob)))
    finally:
        if isinstance(runtime, RemoteRuntime):
            runtime.settle()


def _golden_row(card: Card, runtime: Runtime, read_blob: Callable[[str], bytes]) -> Row:
    """A row to ask, once all golden rows were answered as they should be."""
    if "golden" not in card.blobs:
        return card.signature.blank()
    expected = msgspec.json.decode(_read(card, "golden", read_blob), type=Golden)
    golden.check(runtime, expected, card.tolerance)
    return expected.rows[0]


def river_of(card: Card, read_blob: Callable[[str], bytes]) -> Any:
    """The River model of a card as it was registered, a new copy at each call; raises Rejected where it cannot be loaded."""
    if card.river is None:
        raise Rejected(f"{card.source} is no River model")
    artefact = _read(card, "artefact", read_blob)
    return factory.revive(artefact, card.river.code, code_of(card, read_blob), river=card.versions.get("river"))


def code_of(card: Card, read_blob: Callable[[str], bytes]) -> bytes | None:
    """The model's own Python file, None where it has none; raises Rejected where it is missing or changed."""
    return _read(card, "code", read_blob) if "code" in card.blobs else None


def unloaded(card: Card, reason: str) -> Loaded:
    """Stands for a version that could not be loaded: whoever asks it gets ModelFailed with the reason."""
    return Loaded(card, _Unloaded(reason), 0.0)


class _Unloaded:
    def __init__(self, reason: str) -> None:
        self._reason = reason

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        raise ModelFailed(f"not loaded: {self._reason}")


def _runtime(card: Card, read_blob: Callable[[str], bytes], remotes: Remotes) -> Runtime:
    if card.format == "river":
        from models.river_runtime import RiverRuntime  # here, because most workers never need River

        return RiverRuntime(river_of(card, read_blob), card.signature)
    artefact = _read(card, "artefact", read_blob)
    if card.format == "linear":
        return LinearRuntime(artefact, card.signature)
    if card.format == "onnx":
        return OnnxRuntime(artefact, card.signature)
    if card.format == "treelite":
        from models.treelite_runtime import TreeliteRuntime  # here, because most workers never need treelite

        return TreeliteRuntime(artefact, card.signature)
    if card.format == "remote":
        return RemoteRuntime(artefact, card.signature, remotes)
    from models.sklearn_runtime import SklearnRuntime  # here, because most workers never need scikit-learn

    if card.layout is None:
        raise Rejected("the card of a native model names no layout")
    own = code_of(card, read_blob)
    if own is not None:
        factory.install(own)
    return SklearnRuntime(load_estimator(artefact, card.format), card.signature, card.layout)


def _read(card: Card, role: str, read_blob: Callable[[str], bytes]) -> bytes:
    expected = card.blobs.get(role)
    if expected is None:
        raise Rejected(f"the card names no blob for its {role}")
    try:
        data = read_blob(expected)
    except (OSError, KeyError, NotFound) as error:
        raise Rejected(f"the {role} {expected[:12]} cannot be read: {error}") from error
    if digest(data) != expected:
        raise Rejected(f"the {role} {expected[:12]} has changed since it was registered (now {digest(data)[:12]})")
    return data
