"""Where an outcome belongs: its experiment, its unit, the answer it is about, its identity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from core.errors import Invalid
from core.events import ENROLLED, FORCED, Observed, Predicted
from core.ids import Address, format_prediction_id, parse_prediction_id
from core.values import Output
from experiments.metric import LABEL
from flows.facts.trials import Trial, at_time
from flows.known import Known
from routing.plan import Plan

Identity = tuple[str, str, str]
"""(endpoint, metric, id) of an outcome: it is recorded once."""


class Home(NamedTuple):
    """The experiment that accounts for an outcome, all that it may count in, and its unit where that may be analysed.

    `endpoint` and `client` are whose history it is part of: `client` is the unit that the client named. `answer` is the row it is about.
    """

    experiment: str | None
    trials: Sequence[Trial] = ()
    unit: str | None = None
    identity: Identity | None = None
    endpoint: str | None = None
    client: str | None = None
    answer: Output | None = None
    lost: bool = False


LOST = Home(None, lost=True)
"""Of a prediction that nobody knows."""


def home_of(known: Known, trials: dict[str, Trial], plan_of: Callable[[Predicted], Plan | None], event: Observed, now: float) -> Home:
    """Where the outcome belongs that arrived at journal time `now`."""
    if event.prediction is None:
        endpoint = event.endpoint or ""
        mine = at_time(trials, endpoint, now)
        identity = posted_identity(event)
        return Home(mine[0].name if mine else None, mine, event.unit, identity, endpoint, event.unit)
    try:
        address, row = parse_prediction_id(event.prediction)
    except Invalid:
        return LOST
    found = known.prediction(address)
    if found is None or (row or 0) >= len(found.rows):
        return LOST
    plan = plan_of(found)
    experiment = None if plan is None else plan.experiment
    mine = [trials[experiment]] if experiment in trials else []
    analysed = found.flags & ENROLLED and not found.flags & FORCED
    unit = unit_of(address, found) if analysed else None
    return Home(experiment, mine, unit, identity_of(event, found, address, row), found.endpoint, found.unit, found.outputs[row or 0])


def unit_of(address: Address, event: Predicted) -> str:
    """The unit of a prediction: without a name of its own the request is its own unit."""
    return event.unit if event.unit is not None else own_unit(address)


def own_unit(address: Address) -> str:
    """The unit of a request that is its own."""
    # The NUL keeps it apart from a client's unit: those are printable.
    return f"\0{format_prediction_id(address)}"


def happened(event: Observed, now: float) -> float:
    """When by journal time the outcome was, that arrived at journal time `now`: as long before its arrival as it says.

    Journal time does not follow a clock that is set back.
    """
    return now - (event.at - event.timestamp)


def posted_identity(event: Observed) -> Identity | None:
    """The identity of an outcome that was posted to an endpoint and a unit; None where it has none."""
    return None if event.id is None else (event.endpoint or "", event.metric, event.id)


def identity_of(event: Observed, prediction: Predicted, address: Address, row: int | None) -> Identity | None:
    """The identity of an outcome of a row of that prediction; None where it has none: a label has one without an id."""
    if event.id is not None:
        return prediction.endpoint, event.metric, event.id
    if event.metric == LABEL:
        # The NUL keeps it apart from a client's `id`: those are printable.
        return prediction.endpoint, LABEL, f"\0{format_prediction_id(address)}.{row or 0}"
    return None
