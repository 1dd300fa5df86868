"""Shadow: follow the journal, ask a shadow version what it would have answered, compare. Users never wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from core.errors import ModelFailed
from core.events import PINNED, Event, Predicted
from core.ids import Address, format_prediction_id
from core.values import Output, Value
from experiments.shadows import agreement
from experiments.shadows.agreement import Pair, Totals
from flows import shadow_labels
from flows.follow import Effect, decode
from flows.known import Known
from flows.serving import inputs_of
from flows.shadow_labels import Labelled
from journal.reader import Entry
from models.package import Loaded
from routing.plan import Plan
from routing.splitter import mirrors
from store import shadows
from store.engine import Store

BUDGET_SECONDS = 0.5
"""A micro-batch is made so small that it should take no longer: progress is stored after each."""


class ShadowName(NamedTuple):
    """Which shadow a reader works for. A version changed under a name is another reader."""

    endpoint: str
    shadow: str
    version: str

    @property
    def reader(self) -> str:
        """The reader's name."""
        return f"shadow:{self.endpoint}/{self.shadow}/{self.version}"


def parse_reader(reader: str) -> ShadowName | None:
    """The shadow that a reader of that name works for; None where it is another kind of reader."""
    kind, _, rest = reader.partition(":")
    return ShadowName(*rest.split("/")) if kind == "shadow" else None


class ShadowRunner:
    """Answers mirrored requests by one loaded version, and again the rows whose labels come; keeps the totals and the pairs.

    `pread` reads a record of the journal by its address.
    """

    def __init__(self, store: Store, name: ShadowName, loaded: Loaded, most: int, pread: Callable[[Address], bytes]) -> None:
        self._store = store
        self._name = name
        self._loaded = loaded
        self._most = most
        self._pread = pread
        self._known = Known()
        self.limit = 1

    def work(self, entries: Sequence[Entry], at: float) -> Effect:
        """Answer the entries that are mirrored here, look where a look is due; the effect stores what came of it.

        A look sees what was stored before these entries, as of the journal time before them: so it needs no transaction that writes.
        """
        read = [(entry.address, event) for entry in entries if (event := decode(entry)) is not None]
        with self._store.read() as connection:
            mine = mirrored(connection, self._known, self._name, read)
            told = self._told(connection, [event for _, event in read])
            cuts = {plan: self._columns(connection, plan) for plan in {event.plan for event in (*mine, *(one.prediction for one in told))}}
            looked = shadow_labels.look(connection, self._name, totals_of(connection, self._name).labels, at)
        start = perf_counter()
        pairs = self._answer([(event, [_cut(row, cuts[event.plan]) for row in event.rows]) for event in mine])
        answers = self._again([_cut(one.prediction.rows[one.row], cuts[one.prediction.plan]) for one in told])
        self._pace(len(mine) + len(told), perf_counter() - start)
        compared = shadow_labels.compare(looked, told, answers)

        def effect(connection: sa.Connection) -> float:
            totals = agreement.add(totals_of(connection, self._name), pairs)
            save_totals(connection, self._name, replace(totals, labels=compared.looked))
            shadows.save_pairs(connection, self._name, compared.rows)
            return max([at, *(event.at for _, event in read)])

        return effect

    def drop(self, connection: sa.Connection, entry: Entry) -> None:
        """Count an entry that was put aside as dropped, where it is mirrored here: else it would wait for ever."""
        event = decode(entry)
        if event is not None and mirrored(connection, self._known, self._name, [(entry.address, event)]):
            totals = totals_of(connection, self._name)
            save_totals(connection, self._name, replace(totals, dropped=totals.dropped + 1))

    def _told(self, connection: sa.Connection, read: Sequence[Event]) -> list[Labelled]:
        """The labels of predictions that were mirrored here. Of predictions nothing is kept beyond a step: they may be large."""
        found = shadow_labels.labelled(read, Known(self._pread).prediction)
        return [one for one in found if mirrored(connection, self._known, self._name, [(one.address, one.prediction)])]

    def _columns(self, connection: sa.Connection, number: int) -> tuple[int, ...] | None:
        plan = self._known.plan(connection, self._name.endpoint, number)
        inputs = inputs_of(plan, lambda version: self._known.card(connection, version).signature)
        return inputs.columns(self._loaded.card.signature)

    def _answer(self, asked: Sequence[tuple[Predicted, list[list[Value]]]]) -> list[Pair]:
        """One call for all rows; where it fails, one call a request, so that one bad row costs only its own request."""
        if len(asked) > 1:
            start = perf_counter()
            try:
                outputs = self._loaded.predict([row for _, rows in asked for row in rows])
            except ModelFailed:
                return [pair for one in asked for pair in self._answer([one])]
            share = (perf_counter() - start) / len(asked)
            found = iter(outputs)
            return [_pair(event, [next(found) for _ in rows], share) for event, rows in asked]
        return [self._answer_one(event, rows) for event, rows in asked]

    def _answer_one(self, event: Predicted, rows: list[list[Value]]) -> Pair:
        start = perf_counter()
        try:
            return _pair(event, self._loaded.predict(rows), perf_counter() - start)
        except ModelFailed as error:
            return Pair(event.outputs, None, event.latency, perf_counter() - start, error.message)

    def _again(self, rows: list[list[Value]]) -> list[Output | None]:
        """The answers to rows of any requests: one call for all, where it fails one for each, and None where that fails too."""
        if not rows:
            return []
        try:
            return [*self._loaded.predict(rows)]
        except ModelFailed:
            return [None] if len(rows) == 1 else [answer for row in rows for answer in self._again([row])]

    def _pace(self, requests: int, seconds: float) -> None:
        if requests:
            affordable = int(BUDGET_SECONDS * requests / max(seconds, 1e-9))
            self.limit = max(1, min(self._most, affordable, 2 * self.limit))
        else:
            self.limit = min(self._most, 2 * self.limit)


def mirrored(connection: sa.Connection, known: Known, name: ShadowName, read: Sequence[tuple[Address, Event]]) -> list[Predicted]:
    """The predictions among the events read that this shadow sees."""
    found = []
    for address, event in read:
        if isinstance(event, Predicted) and event.endpoint == name.endpoint and not event.flags & PINNED:
            plan = known.plan(connection, event.endpoint, event.plan)
            if _sees(plan, name, format_prediction_id(address)):
                found.append(event)
    return found


def totals_of(connection: sa.Connection, name: ShadowName) -> Totals:
    """What the shadow has done so far."""
    body = shadows.totals_of(connection, name.endpoint).get((name.shadow, name.version))
    return msgspec.convert(body, Totals) if body is not None else Totals()


def save_totals(connection: sa.Connection, name: ShadowName, totals: Totals) -> None:
    """Replace the shadow's totals."""
    shadows.save_totals(connection, *name, msgspec.to_builtins(totals))


def tell_failure(store: Store, name: ShadowName, reason: str) -> None:
    """Keep why the shadow cannot begin, as its last error: nothing that is mirrored to it would say so."""
    with store.write() as connection:
        save_totals(connection, name, replace(totals_of(connection, name), last_error=reason))


def _sees(plan: Plan, name: ShadowName, prediction_id: str) -> bool:
    shadow = plan.shadows.get(name.shadow)
    return shadow is not None and shadow.version == name.version and mirrors(name.endpoint, name.shadow, shadow, prediction_id)


def _cut(row: list[Value], columns: tuple[int, ...] | None) -> list[Value]:
    return row if columns is None else [row[column] for column in columns]


def _pair(event: Predicted, outputs: Sequence[Output], seconds: float) -> Pair:
    return Pair(event.outputs, outputs, event.latency, seconds)
