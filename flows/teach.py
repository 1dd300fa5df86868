"""Teach: labelled rows that no prediction was made of → examples in the journal, for every learner of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from core.clock import Clock
from core.errors import Conflict, NotFound
from core.events import Example
from core.ids import Address, VersionId, check_key
from core.values import Label, Value
from flows import intake, known, outcome
from flows.intake import Accepted
from flows.learning.learners import parse_learner
from models.inputs import Inputs
from models.learner import labels
from models.signature import Kind
from store import positions, registry
from store.engine import Store


class ExamplePost(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One labelled row as a client posts it."""

    features: dict[str, Any]
    label: Label
    id: str | None = None


class Taker(NamedTuple):
    """What a model's learners take, those of `versions`, the newest first. `truth` raises Invalid on a label of another kind than the
    newest one's.

    `inputs`: a row is refused that suits none of them. `label`: the kind of the labels, None where no sample told.
    """

    versions: tuple[VersionId, ...]
    inputs: Inputs
    truth: labels.Reader
    label: Kind | None


class Takers:
    """The models that can be taught now, as fresh as the last `refresh`. Takers read `by_model` once; it is replaced as a whole."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._models: frozenset[str] = frozenset()
        self.by_model: Mapping[str, Taker] = {}

    def refresh(self) -> None:
        """Look which learners run: due now and then, and before a model is said to be unknown. What is unchanged costs two queries."""
        with self._store.read() as connection:
            self._models = frozenset(registry.list_models(connection))
            running = [version for reader in positions.every(connection) if (version := parse_learner(reader)) is not None]
            versions: dict[str, tuple[VersionId, ...]] = {}
            for version in sorted(running, reverse=True):
                versions[version.model] = (*versions.get(version.model, ()), version)
            if versions != {model: taker.versions for model, taker in self.by_model.items()}:
                self.by_model = {model: _taker(connection, of_model) for model, of_model in versions.items()}

    def of(self, model: str) -> Taker:
        """The model's taker; raises NotFound where there is no such model, Conflict where nothing of it learns now."""
        found = self.by_model.get(model)
        if found is not None:
            return found
        if model not in self._models:
            raise NotFound(f"no model {model[:100]!r}", field="model", code="model-not-found")
        raise Conflict(f"no learner of model {model!r} runs", field="model", code="not-learning")


def _taker(connection: sa.Connection, versions: tuple[VersionId, ...]) -> Taker:
    cards = [known.decode_card(registry.version_row(connection, version).card) for version in versions]
    river = cards[0].river
    assert river is not None  # noqa: S101 - what learns is River's
    try:
        inputs = Inputs.of_any([card.signature for card in cards])
    except Conflict:  # one takes a text where another takes a number: no row suits both
        inputs = Inputs.of_any([cards[0].signature])
    return Taker(versions, inputs, labels.reader(river), river.label)


def check(post: ExamplePost, model: str, taker: Taker, now: float) -> Example:
    """The example as an event that arrived at `now`; raises Invalid naming the field."""
    (row,) = taker.inputs.read(post.features, None)
    outcome.check_label(post.label, "label")
    taker.truth(post.label)
    if post.id is not None:
        check_key(post.id, "id")
    features: dict[str, Value] = {name: value for name, value in zip(taker.inputs.names, row, strict=True) if value is not None}
    return Example(now, model, features, post.label, post.id)


def checked(posts: Sequence[ExamplePost], model: str, taker: Taker, clock: Clock, most: int) -> list[Example]:
    """All of a post, or Invalid naming the first wrong one and its field (`[3].features.age`), or TooLarge."""
    now = clock()
    return intake.checked(posts, lambda post: check(post, model, taker, now), most, "examples")


def append(examples: Iterable[Example], write: Callable[[bytes], Address]) -> Accepted:
    """Append checked examples, of those with one id only the first. Durable only once the journal has been committed."""
    return intake.append(examples, write, lambda one: one.id)
