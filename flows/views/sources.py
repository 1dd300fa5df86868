"""From events of the journal to the occurrences that a streaming view is computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from core.errors import Invalid, TiltyardError
from core.events import Observed, Predicted, Streamed
from core.ids import Address, parse_prediction_id
from core.values import Output, Value
from flows.facts.homes import Identity, identity_of, posted_identity
from flows.known import Known
from flows.serving import inputs_of
from journal.reader import Entry
from models.features.declaration import UNIT, Stream, View
from models.features.occurrences import Occurrence
from store.engine import Store

_STREAMED = msgspec.msgpack.Decoder(Streamed)
_PREDICTED = msgspec.msgpack.Decoder(Predicted)
_OBSERVED = msgspec.msgpack.Decoder(Observed)


class Occurrences:
    """Reads what one view needs; all other events are passed over by their first bytes, without decoding them."""

    def __init__(self, store: Store, view: View, source: Stream, pread: Callable[[Address], bytes]) -> None:
        self._store = store
        self._source = source
        self._endpoints = frozenset(view.endpoints)
        self._known = Known(pread)
        self._names: dict[tuple[str, int], tuple[str, ...]] = {}
        kinds: list[tuple[str, Callable[[bytes], Iterator[Occurrence]]]] = [
            ("s", self._streamed),
            ("p", self._predicted),
            ("o", self._observed),
        ]
        tag, self._read = kinds[0 if source.stream is not None else 1 if source.predictions else 2]
        self._tag = ord(tag)

    def of(self, entry: Entry) -> Sequence[Occurrence]:
        """The occurrences of one entry: several where a prediction has several rows."""
        # An event is an array of less than 16 members that begins with its tag, a text of one letter.
        if entry.payload[2] != self._tag:
            return ()
        try:
            return tuple(self._read(entry.payload))
        except msgspec.MsgspecError:
            return ()

    def _streamed(self, payload: bytes) -> Iterator[Occurrence]:
        event = _STREAMED.decode(payload)
        if event.stream == self._source.stream:
            yield Occurrence(event.at, event.timestamp, event.id, event.values)

    def _predicted(self, payload: bytes) -> Iterator[Occurrence]:
        event = _PREDICTED.decode(payload)
        if event.endpoint in self._endpoints:
            for row, output in zip(event.rows, event.outputs, strict=False):
                yield Occurrence(event.at, event.at, None, {**self._said(event, row), **_answer(output)})

    def _observed(self, payload: bytes) -> Iterator[Occurrence]:
        event = _OBSERVED.decode(payload)
        if event.metric != self._source.outcomes:
            return
        if event.prediction is None:
            if event.endpoint in self._endpoints:
                yield _outcome(event, posted_identity(event), {UNIT: event.unit})
            return
        found = self._subject(event.prediction)
        if found is None:
            # Nobody knows whose it was: it is counted as one that does not name its entity.
            yield Occurrence(event.at, event.timestamp, None, {})
        elif found[0].endpoint in self._endpoints:
            subject, address, number = found
            said = self._said(subject, subject.rows[number or 0])
            yield _outcome(event, identity_of(event, subject, address, number), said)

    def _subject(self, prediction: str) -> tuple[Predicted, Address, int | None] | None:
        try:
            address, number = parse_prediction_id(prediction)
        except Invalid:
            return None
        event = self._known.prediction(address)
        return None if event is None or (number or 0) >= len(event.rows) else (event, address, number)

    def _said(self, event: Predicted, row: list[Value]) -> dict[str, Value]:
        # As where features are filled in, what the row says is before what the context says. Null stands also where it said nothing.
        own = {name: value for name, value in zip(self._inputs(event), row, strict=False) if value is not None}
        return {**(event.context or {}), **own, UNIT: event.unit}

    def _inputs(self, event: Predicted) -> tuple[str, ...]:
        key = event.endpoint, event.plan
        if key not in self._names:
            self._names[key] = self._look_up(*key)
        return self._names[key]

    def _look_up(self, endpoint: str, number: int) -> tuple[str, ...]:
        try:
            with self._store.read() as connection:
                plan = self._known.plan(connection, endpoint, number)
                return inputs_of(plan, lambda version: self._known.card(connection, version).signature).names
        except TiltyardError:
            return ()


def _answer(output: Output) -> dict[str, Value]:
    """`value`, or `label` and what the model gave each class: `probability` of that label, `probability.yes` of a class by its name."""
    found: dict[str, Value] = {}
    if not isinstance(output.value, msgspec.UnsetType):
        found["value"] = output.value
    if not isinstance(output.label, msgspec.UnsetType):
        found["label"] = output.label
        if not isinstance(output.probabilities, msgspec.UnsetType):
            found["probability"] = output.probabilities.get(str(output.label))
            found.update({f"probability.{label}": share for label, share in output.probabilities.items()})
    return found


def _outcome(event: Observed, identity: Identity | None, said: dict[str, Value]) -> Occurrence:
    # Neither endpoints nor metrics hold a NUL, so no two identities are one text.
    known_by = None if identity is None else "\0".join(identity)
    return Occurrence(event.at, event.timestamp, known_by, {**said, "value": event.value})
