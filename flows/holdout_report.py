"""The report on a holdout: the units that are held out beside those that were treated, from the journal alone.

A model that acts upon what it predicts changes what comes back: labels, outcomes, and so what it is trained on. The units held out show
what would have come back without it. The range is read once; in memory are the totals of each unit.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from core.clock import Clock, to_rfc3339
from core.errors import Invalid, NotFound
from core.events import FALLBACK, FORCED, HELD_OUT, PINNED, Observed, Predicted
from core.ids import parse_prediction_id
from core.values import Label, Output, finite
from experiments import holdout, losses
from experiments.holdout import POPULATIONS, Pairs, Population
from experiments.losses import Loss
from experiments.metric import LABEL
from flows import deploy, known
from flows.facts.homes import Identity, identity_of, posted_identity
from flows.facts.traffic import entries, size_since
from flows.follow import decode
from flows.known import Known
from journal.lookup import Lookup
from routing.plan import Holdout, Plan
from store import plans
from store.engine import Store

MOST_OUTCOMES = 50
"""Names of outcomes that are compared, the first that come."""

_LOSSES: tuple[Loss, ...] = ("error", "log_loss", "squared", "absolute")


class Wanted(NamedTuple):
    """Of an endpoint what came from `start` until before `end` (seconds since the epoch), as far as the holdout stood like now.

    `most_bytes`: of the journal, where not all of it may be read.
    """

    endpoint: str
    start: float = float("-inf")
    end: float = float("inf")
    most_bytes: int | None = None


class Source(NamedTuple):
    """Where it is read from."""

    store: Store
    journal: Path
    clock: Clock


class _Totals:
    """What a unit brought. By measure a sum, and for those per row the number of rows that have it."""

    __slots__ = ("count", "population", "sums")

    def __init__(self, population: Population) -> None:
        self.population: Population = population
        self.sums: dict[str, float] = {}
        self.count: dict[str, int] = {}

    def per_unit(self, name: str, value: float) -> None:
        self.sums[name] = finite(self.sums.get(name, 0.0) + value)

    def per_row(self, name: str, value: float) -> None:
        self.per_unit(name, value)
        self.count[name] = self.count.get(name, 0) + 1


class _Side:
    """What is counted of a population."""

    def __init__(self) -> None:
        self.predictions = self.rows = self.fallbacks = 0
        self.versions: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.scores = array("d")


def report(source: Source, wanted: Wanted) -> dict[str, Any]:
    """The newest holdout of the endpoint, since it has stood as it stands: units, answers, and how the populations differ.

    Raises NotFound where there has been none, Invalid on a range that holds nothing of it, or more than may be read.
    """
    with source.store.read() as connection:
        held, numbers, since = _newest(connection, wanted.endpoint)
    start, end = max(wanted.start, since), min(wanted.end, source.clock())
    if start >= end:
        raise Invalid(
            f"to: expected a time after {to_rfc3339(start)}: the holdout has stood as it stands since {to_rfc3339(since)}", field="to"
        )
    size = size_since(source.journal, start)
    if wanted.most_bytes is not None and size > wanted.most_bytes:
        raise Invalid(
            f"from: expected a later time: {size} bytes of the journal would be read, and {wanted.most_bytes} are the most here;"
            f" `tiltyard endpoint holdout-report {wanted.endpoint}` reads all of it",
            field="from",
        )
    seen = _Scan(wanted.endpoint, numbers, start, end, Known(Lookup(source.journal).get))
    for entry in entries(source.journal, start):
        event = decode(entry)
        if isinstance(event, Predicted):
            seen.predicted(entry.address, event)
        elif isinstance(event, Observed):
            seen.observed(event)
    return {
        "endpoint": wanted.endpoint,
        "holdout": msgspec.to_builtins(held),
        "since": to_rfc3339(since),
        "from": to_rfc3339(start),
        "to": to_rfc3339(end),
        "method": holdout.HORIZON,
        **seen.described(held.share),
    }


def _newest(connection: sa.Connection, endpoint: str) -> tuple[Holdout, set[int], float]:
    """The newest holdout, the plans in a row that had it, and when the first of them was made."""
    found: list[Plan] = []
    for row in plans.history(connection, endpoint, deploy.load(connection, endpoint).plan):
        plan = known.decode_plan(row.body)
        if found and plan.holdout != found[0].holdout:
            break
        if plan.holdout is not None:
            found.append(plan)
    if not found or found[0].holdout is None:
        raise NotFound(f"endpoint {endpoint} has had no holdout", field="endpoint", code="no-holdout")
    return found[0].holdout, {plan.plan for plan in found}, found[-1].at


class _Scan:
    def __init__(self, endpoint: str, numbers: set[int], start: float, end: float, known: Known) -> None:
        self._endpoint, self._numbers, self._start, self._end, self._known = endpoint, numbers, start, end, known
        self._units: dict[str, _Totals] = {}
        self._sides: Mapping[Population, _Side] = {name: _Side() for name in POPULATIONS}
        self._outcomes: dict[str, None] = {}
        self._ids: set[Identity] = set()
        self._left_out = 0

    def predicted(self, address: Any, event: Predicted) -> None:
        """A request of a unit that could have been held out."""
        if not self._counts(event):
            return
        self._known.remember(address, event)
        population: Population = "holdout" if event.flags & HELD_OUT else "treated"
        unit = self._units.get(event.unit or "")
        if unit is None:
            unit = self._units[event.unit or ""] = _Totals(population)
        side = self._sides[population]
        side.predictions += 1
        side.rows += len(event.rows)
        side.fallbacks += bool(event.flags & FALLBACK)
        side.versions[event.version] += 1
        unit.per_unit("predictions", 1.0)
        for output in event.outputs:
            if output.label is not msgspec.UNSET:
                side.labels[str(output.label)] += 1
            score = losses.score(output) if output.value is msgspec.UNSET else output.value
            if score is not None:
                side.scores.append(score)
                unit.per_row("score", score)

    def observed(self, event: Observed) -> None:
        """An outcome of a unit that was seen before; one that repeats another's identity is that other."""
        if not self._start <= event.at < self._end:
            return
        name, identity, answer = self._home(event)
        unit = self._units.get(name or "")
        if unit is None or identity in self._ids:
            return
        if identity is not None:
            self._ids.add(identity)
        if event.metric == LABEL:
            if answer is not None:
                _label(unit, answer, event.value)
        elif not isinstance(event.value, str) and self._is_compared(event.metric):
            unit.per_unit(f"outcome {event.metric}", float(event.value))

    def described(self, share: float) -> dict[str, Any]:
        """The populations and the measures."""
        by: dict[Population, list[_Totals]] = {name: [] for name in POPULATIONS}
        for unit in self._units.values():
            by[unit.population].append(unit)
        units = {name: len(each) for name, each in by.items()}
        left_out = [f"{self._left_out} outcomes of further names are left out"] if self._left_out else []
        return {
            "populations": {name: self._side(side, units[name]) for name, side in self._sides.items()},
            "balance": holdout.balance(units, share),
            "measures": {name: holdout.compare(*(_pairs(by[each], name) for each in POPULATIONS)) for name in self._measures()},
            "notes": [*left_out, *holdout.few(units)],
        }

    def _counts(self, event: Predicted) -> bool:
        """Whether its unit could have been held out, and nobody chose what answered."""
        return (
            event.endpoint == self._endpoint
            and event.plan in self._numbers
            and event.unit is not None
            and not event.flags & (FORCED | PINNED)
            and self._start <= event.at < self._end
        )

    def _home(self, event: Observed) -> tuple[str | None, Identity | None, Output | None]:
        """The unit, the identity, and the answer that it is about."""
        if event.prediction is None:
            return (event.unit if event.endpoint == self._endpoint else None), posted_identity(event), None
        try:
            address, row = parse_prediction_id(event.prediction)
        except Invalid:
            return None, None, None
        found = self._known.prediction(address)
        if found is None or not self._counts(found) or (row or 0) >= len(found.outputs):
            return None, None, None
        return found.unit, identity_of(event, found, address, row), found.outputs[row or 0]

    def _is_compared(self, name: str) -> bool:
        if name not in self._outcomes and len(self._outcomes) >= MOST_OUTCOMES:
            self._left_out += 1
            return False
        self._outcomes[name] = None
        return True

    def _measures(self) -> list[str]:
        """Those that any unit has, in a stable order."""
        per_row = {name for unit in self._units.values() for name in unit.count}
        outcomes = [f"outcome {name}" for name in self._outcomes]
        return ["predictions", *outcomes, *(name for name in ("score", "label", *_LOSSES) if name in per_row)]

    def _side(self, side: _Side, units: int) -> dict[str, Any]:
        return {
            "units": units,
            "predictions": side.predictions,
            "rows": side.rows,
            "fallbacks": side.fallbacks,
            "versions": dict(side.versions),
            "answers": holdout.distribution(side.labels, side.scores),
        }


def _label(unit: _Totals, answer: Output, label: Label) -> None:
    """The label itself, as a number, and the losses of the answer. Of a classifier 1 for the second of two classes, or what is 0 or 1."""
    positive = losses.is_positive(answer, label)
    if positive is not None:
        unit.per_row("label", float(positive))
    elif not isinstance(label, str) and (answer.label is msgspec.UNSET or (label in (0, 1) and answer.probabilities is msgspec.UNSET)):
        unit.per_row("label", float(label))
    for kind in _LOSSES:
        loss = losses.loss(kind, answer, label)
        if loss is not None:
            unit.per_row(kind, loss)


def _pairs(units: list[_Totals], name: str) -> Pairs:
    """Of all units where it is per unit, of those that have it where it is per row."""
    if name == "predictions" or name.startswith("outcome "):
        return Pairs([unit.sums.get(name, 0.0) for unit in units])
    having = [unit for unit in units if name in unit.count]
    return Pairs([unit.sums[name] for unit in having], [float(unit.count[name]) for unit in having])
