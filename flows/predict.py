"""Predict, one descent: validate → assign → predict → append → answer. No lock, no store, no network.

Follow `predict` from top to bottom: that is all that happens to a request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import msgspec

from core import events
from core.clock import Clock
from core.errors import Invalid, JournalError, ModelFailed, Unavailable
from core.events import Predicted, Unlogged
from core.ids import MAX_KEY, Address, check_key, format_prediction_id
from core.values import Label, Output, Value
from flows.asking import BREAKER_OPEN, Offload, Said, ask_arm
from flows.serving import ArmRoute, Route
from models.features.serving import Beside, Filler
from models.features.table import key_text
from models.inputs import Inputs
from routing.plan import CONTROL, HOLDOUT, Plan
from routing.splitter import Assignment

MOST_CONTEXT = 20
"""Keys in the context of one request."""

Told: TypeAlias = dict[str, dict[str, Any]]
"""By feature view its age in seconds and its generation."""

_log = logging.getLogger("tiltyard.predict")


class Ask(NamedTuple):
    """What a client asks: one row as `features`, or several as `instances` (by name, or lists in the order of the inputs).

    `context` is what it says beside them, for reports to be broken down by: no model sees it.
    """

    unit: str | None
    features: dict[str, Any] | None
    instances: list[dict[str, Any] | list[Any]] | None
    forced: str | None = None
    context: dict[str, Label] | None = None


class Answer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the client gets. `arm` is the assigned one, `model` what answered, `features` how old the feature views are that filled in."""

    prediction_id: str | None
    endpoint: str
    arm: str
    model: str
    plan: int
    predictions: list[Output]
    fallback: bool = False
    logged: bool = True
    features: Told | None = None


class Missed:
    """Counts predictions that were answered while the journal could not be written; the worker tells it in the background."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int, str], int] = {}

    def add(self, endpoint: str, plan: int, arm: str) -> None:
        """One more."""
        key = (endpoint, plan, arm)
        self._counts[key] = self._counts.get(key, 0) + 1

    def tell(self, append: Callable[[bytes], Address], at: float) -> None:
        """Append what was missed; what cannot be appended now is kept for the next time."""
        while self._counts:
            (endpoint, plan, arm), count = self._counts.popitem()
            try:
                append(events.encode(Unlogged(at, endpoint, plan, arm, count)))
            except JournalError:
                self._counts[endpoint, plan, arm] = count
                return

    def __bool__(self) -> bool:
        return bool(self._counts)


class Means(NamedTuple):
    """What `predict` works with. `timeout`: seconds that a model may take beyond what its rows should."""

    append: Callable[[bytes], Address]
    clock: Clock
    offload: Offload
    missed: Missed
    timeout: float = 2.0


def predict(route: Route, ask: Ask, means: Means) -> Answer:
    """Answer one request by `route` and log it.

    Raises Invalid on bad input (before assignment, so that errors do not depend on the arm) and Unavailable where control fails.
    """
    rows, features = _rows(route.filler, route.inputs, ask, means)
    assignment, flags = _assign(route, ask)
    context = None if ask.context is None else _context(ask.context)
    start = perf_counter()
    arm, said = _answer(route, assignment.arm, rows, means)
    latency = perf_counter() - start
    if arm.arm != assignment.arm:
        flags |= events.FALLBACK
    return _tell(route.plan, ask.unit, context, assignment, arm, flags, rows, said, latency, features, means)


def predict_pinned(route: Route, name: str, ask: Ask, means: Means) -> Answer:
    """Answer by the version that the client named, which serves the arm `name`: outside any experiment, without a fallback."""
    arm = route.arms[name]
    filler = None if route.filler is None else Filler(route.filler.views, arm.inputs.names)
    given, features = _rows(filler, arm.inputs, ask, means)
    start = perf_counter()
    try:
        said = ask_arm(arm, given, means.offload, means.timeout)
    except ModelFailed as error:
        raise _failed(arm, error) from error
    latency = perf_counter() - start
    rows = [_spread(row, arm, len(route.inputs.names)) for row in given]
    return _tell(route.plan, ask.unit, None, Assignment(name, 1.0, False), arm, events.PINNED, rows, said, latency, features, means)


def _rows(filler: Filler | None, inputs: Inputs, ask: Ask, means: Means) -> tuple[list[list[Value]], Told | None]:
    """The rows in the order of the inputs, filled in from the endpoint's feature views, and what the answer says of those."""
    if filler is None:
        return inputs.read(ask.features, ask.instances), None
    now, beside = means.clock(), Beside(ask.unit, ask.context or {})
    features, instances = filler.fill(ask.features, ask.instances, beside, now)
    try:
        return inputs.read(features, instances), filler.told(now)
    except Invalid as error:
        raise filler.explained(error, ask.features, ask.instances, beside) from None


def _assign(route: Route, ask: Ask) -> tuple[Assignment, int]:
    if ask.unit is not None:
        check_key(ask.unit, "unit")
    if ask.forced is not None:
        if ask.forced not in route.arms:
            raise Invalid(
                f"X-Tiltyard-Force-Arm: expected one of {', '.join(route.arms)}, got {ask.forced[:60]!r}", field="X-Tiltyard-Force-Arm"
            )
        return Assignment(ask.forced, 1.0, False), events.FORCED
    assignment = route.splitter.assign(ask.unit)
    if assignment.enrolled:
        return assignment, events.ENROLLED
    return assignment, events.HELD_OUT if assignment.arm == HOLDOUT else 0


def _context(given: dict[str, Label]) -> dict[str, str]:
    if len(given) > MOST_CONTEXT:
        raise Invalid(f"context: expected at most {MOST_CONTEXT} keys, got {len(given)}", field="context")
    return {check_key(key, "context"): check_key(_text(value), f"context.{key}") for key, value in given.items()}


def _text(value: Label) -> str:
    """A text as it is, another value in the one form that the keys of feature views have: 17.0 as 17."""
    return value if isinstance(value, str) else (key_text(value) or "")[: MAX_KEY + 1]


def _answer(route: Route, name: str, rows: list[list[Value]], means: Means) -> tuple[ArmRoute, Said]:
    arm, control = route.arms[name], route.arms[CONTROL]
    if arm is not control:
        try:
            return arm, _cut_and_ask(arm, rows, means)
        except ModelFailed as error:
            # An open breaker said so when it opened: not once more for every request that it keeps away.
            if error.code != BREAKER_OPEN:
                state = arm.breaker.state
                _log.warning("arm %s of %s failed (breaker %s), control answers: %s", name, route.plan.endpoint, state, error.message)
    try:
        return control, _cut_and_ask(control, rows, means)
    except ModelFailed as error:
        raise _failed(control, error) from error


def _cut_and_ask(arm: ArmRoute, rows: list[list[Value]], means: Means) -> Said:
    cut = rows if arm.columns is None else [[row[column] for column in arm.columns] for row in rows]
    return ask_arm(arm, cut, means.offload, means.timeout)


def _failed(arm: ArmRoute, error: ModelFailed) -> Unavailable:
    return Unavailable(f"{arm.version} of arm {arm.arm} failed: {error.message}", code=error.code)


def _spread(row: list[Value], arm: ArmRoute, width: int) -> list[Value]:
    if arm.columns is None:
        return row
    spread: list[Value] = [None] * width
    for value, column in zip(row, arm.columns, strict=True):
        spread[column] = value
    return spread


def _tell(
    plan: Plan,
    unit: str | None,
    context: dict[str, str] | None,
    assignment: Assignment,
    arm: ArmRoute,
    flags: int,
    rows: list[list[Value]],
    said: Said,
    latency: float,
    features: Told | None,
    means: Means,
) -> Answer:
    at = means.clock()
    outputs, snapshot = said
    record = Predicted(
        at,
        plan.endpoint,
        plan.plan,
        unit,
        assignment.arm,
        assignment.propensity,
        arm.version,
        flags,
        rows,
        outputs,
        latency,
        context,
        snapshot,
    )
    prediction_id = _append(record, means)
    return Answer(
        prediction_id,
        plan.endpoint,
        assignment.arm,
        arm.version,
        plan.plan,
        outputs,
        fallback=bool(flags & events.FALLBACK),
        logged=prediction_id is not None,
        features=features,
    )


def _append(record: Predicted, means: Means) -> str | None:
    try:
        address = means.append(events.encode(record))
    except JournalError:
        means.missed.add(record.endpoint, record.plan, record.arm)
        return None
    return format_prediction_id(address)
