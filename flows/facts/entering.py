"""What is kept of a unit at its entry, before any treatment: its covariates, and the parts of the slices that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from core.errors import ModelFailed, TiltyardError
from core.events import Predicted
from core.ids import VersionId, parse_version
from core.values import Label, Output, Value
from experiments import losses
from experiments.metric import Metric
from experiments.slices import NONE, OTHERS
from flows.facts.trials import Trial
from flows.known import Known
from flows.serving import inputs_of
from models.inputs import Inputs
from models.package import Loaded
from routing.plan import CONTROL, Plan

_LONGEST_PART = 100

Load = Callable[[VersionId], Loaded]


class About(msgspec.Struct, omit_defaults=True):
    """By metric the covariate, by key the part of its slice."""

    x: dict[str, float] = {}
    parts: dict[str, str] = {}


NOTHING_KNOWN = About()

_ABOUT = msgspec.json.Decoder(About)


def decode(body: bytes | None) -> About:
    """What `encode` wrote."""
    return NOTHING_KNOWN if body is None else _ABOUT.decode(body)


def encode(about: About) -> bytes | None:
    """None where nothing is known."""
    return msgspec.json.encode(about) if about.x or about.parts else None


def earlier(metric: Metric, total: float, events: int) -> float:
    """The covariate that a unit's outcomes from before its entry make: its value on the metric, 0 where there were none."""
    if metric.kind == "binary":
        return float(total > 0.0)
    return total if metric.counts_all else total / events if events else 0.0


class Entering:
    """Works out what is kept of units as they enter. `load` loads a version; without it no champion is asked."""

    def __init__(self, known: Known, load: Load | None) -> None:
        self._known = known
        self._load = load
        self._inputs: dict[tuple[str, int], Inputs] = {}
        self._champions: dict[str, Loaded | None] = {}

    def parts(self, connection: sa.Connection, trial: Trial, event: Predicted, plan: Plan) -> dict[str, str]:
        """The part of each slice: the request's context, else the feature of that name in its first row."""
        if not trial.design.slices:
            return {}
        names = list(self._inputs_of(connection, plan).names)
        row = dict(zip(names, event.rows[0], strict=False)) if event.rows else {}
        return {key: _part((event.context or {}).get(key, row.get(key))) for key in trial.design.slices}

    def scores(self, connection: sa.Connection, asked: Sequence[tuple[Predicted, Plan]]) -> list[float]:
        """The champion's score of each request's first row: what control answered, or would have. 0 where it cannot be had.

        A champion that cannot be loaded gives 0 to all arms, also to those whose answers are its own: a covariate must not tell arms apart.
        """
        found = [0.0] * len(asked)
        by_plan: dict[tuple[str, int], list[int]] = {}
        for index, (event, plan) in enumerate(asked):
            # What a champion says that has learnt meanwhile no other arm's units are told: all are scored by it as it was registered.
            if event.version == plan.arms[CONTROL].version and not event.snapshot:
                found[index] = 0.0 if self._champion(event.version) is None else score(event.outputs[0])
            else:
                by_plan.setdefault((plan.endpoint, plan.plan), []).append(index)
        for indexes in by_plan.values():
            plan = asked[indexes[0]][1]
            outputs = self._answers(connection, plan, [asked[index][0].rows[0] for index in indexes])
            for index, output in zip(indexes, outputs, strict=True):
                found[index] = 0.0 if output is None else score(output)
        return found

    def _answers(self, connection: sa.Connection, plan: Plan, rows: list[list[Value]]) -> Sequence[Output | None]:
        champion = self._champion(plan.arms[CONTROL].version)
        if champion is None:
            return [None] * len(rows)
        columns = self._inputs_of(connection, plan).columns(champion.card.signature)
        given = rows if columns is None else [[row[column] for column in columns] for row in rows]
        try:
            return champion.predict(given)
        except ModelFailed:
            return [self._answer(champion, row) for row in given]

    def _answer(self, champion: Loaded, row: list[Value]) -> Output | None:
        try:
            return champion.predict([row])[0]
        except ModelFailed:
            return None

    def _champion(self, version: str) -> Loaded | None:
        if version not in self._champions:
            try:
                self._champions[version] = None if self._load is None else self._load(parse_version(version))
            except TiltyardError:
                self._champions[version] = None
        return self._champions[version]

    def _inputs_of(self, connection: sa.Connection, plan: Plan) -> Inputs:
        key = (plan.endpoint, plan.plan)
        if key not in self._inputs:
            self._inputs[key] = inputs_of(plan, lambda version: self._known.card(connection, version).signature)
        return self._inputs[key]


def covariates(metrics: Sequence[Metric], history: Mapping[str, tuple[float, int]], champion: float) -> dict[str, float]:
    """By metric the covariate, of the unit's history (metric → sum and number) or the champion's score."""
    found = {}
    for metric in metrics:
        if metric.covariate == "earlier":
            found[metric.name] = earlier(metric, *history.get(metric.name, (0.0, 0)))
        elif metric.covariate == "champion_score":
            found[metric.name] = champion
    return found


def score(output: Output) -> float:
    """An answer as one number: the value, the probability of the last of two classes, of the label among more, or a label that is one."""
    if isinstance(output.value, float):
        return output.value
    of_two = losses.score(output)
    if of_two is not None:
        return of_two
    if output.probabilities is not msgspec.UNSET:
        return max(output.probabilities.values(), default=0.0)
    return float(output.label) if isinstance(output.label, float | int) else 0.0


def _part(value: Label | Value) -> str:
    """As text; a client's own word for none or others is kept apart from ours."""
    if value is None:
        return NONE
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'"{text}"' if text in (NONE, OTHERS) else text[:_LONGEST_PART]
