"""How many units an experiment will need, and how many days: from the endpoint's own traffic, or from figures given by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from core.clock import Clock, to_rfc3339
from core.errors import Invalid, Refused
from core.ids import check_name
from experiments.design import MOST_METRICS, Test
from experiments.methods import power, ratio
from experiments.methods.covariate import theta
from experiments.methods.means import NEAR_ZERO
from experiments.methods.power import Plan
from experiments.metric import Metric
from experiments.tracking import FEWEST_SUCCESS
from experiments.units import Window
from flows.facts import traffic
from flows.facts.traffic import Traffic, Values
from flows.facts.trials import decode_metric
from store import metrics, plans
from store.engine import Store

DAY = 86400.0

_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Of the mean: what the sizes are shown for where no MDE is given."""

_DESIGNS: dict[Test, power.Design] = {"always-valid": "sequential", "group-sequential": "group-sequential", "fixed-horizon": "fixed"}
_SPLIT = re.compile(r"(\d{1,6}(?:\.\d{1,6})?):(\d{1,6}(?:\.\d{1,6})?)\Z")
_RARER = 0.8


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be planned: for a metric of an endpoint, or by hand from `baseline`, `sd` (without it a proportion) and `daily_units`.

    `mde` is in the metric's units, with `relative` a share of its mean; without it the sizes of several are found. `split` is
    control:treatment. The windows (seconds) are the declared ones where they are None. Of the journal the last `days_back` days are read.
    `guardrails` are to hold as well; None: as many as are declared on the endpoint, none by hand.
    """

    endpoint: str | None = None
    metric: str | None = None
    mde: float | None = None
    relative: bool = False
    alpha: float = 0.05
    power: float = 0.8
    split: str = "50:50"
    test: Test = "always-valid"
    window_seconds: float | None = None
    lateness_seconds: float | None = None
    days_back: float = 14.0
    baseline: float | None = None
    sd: float | None = None
    daily_units: float | None = None
    guardrails: int | None = None


class Basis(NamedTuple):
    """What a plan rests on. `sd` is None for a proportion, `daily_units` those that are analysed; `sign` is that of an improvement.

    `error` is the mean's standard error, 0 by hand.
    """

    mean: float | None
    sd: float | None
    daily_units: float | None
    window: Window
    correlation: float = 0.0
    sign: float = 1.0
    error: float = 0.0


class Source(NamedTuple):
    """Where an endpoint's traffic is read from."""

    store: Store
    journal: Path
    clock: Clock


class Spread(NamedTuple):
    """Mean and standard deviation of the units' values."""

    mean: float
    sd: float


def size(question: Question, source: Callable[[], Source]) -> dict[str, Any]:
    """Units per arm and days for each MDE, as JSON-codable data, with what that is based on. By hand no `source` is asked for.

    Raises Invalid naming the field, NotFound on an unknown endpoint, and Refused where the traffic does not tell.
    """
    plan = _plan(question)
    guardrails = question.guardrails or 0
    if question.endpoint is None:
        basis, said, notes = _by_hand(question)
    else:
        here = source()
        basis, said, notes = _observed(question, here)
        if question.guardrails is None:
            guardrails = _guardrails(here.store, question.endpoint, question.metric)
    sizes = _sizes(question, basis, plan._replace(power=power.of_each(question.power, guardrails), correlation=basis.correlation))
    if any(row["n_control"] and min(row["n_control"], row["n_treatment"]) < FEWEST_SUCCESS for row in sizes):
        notes = [*notes, f"No success is decided before {FEWEST_SUCCESS} units per arm."]
    return {
        "endpoint": question.endpoint,
        "metric": question.metric,
        "test": question.test,
        "alpha": question.alpha,
        "power": question.power,
        "guardrails": guardrails,
        "split": question.split,
        "based_on": said,
        "sizes": sizes,
        "notes": notes,
    }


def _plan(question: Question) -> Plan:
    found = _SPLIT.match(question.split)
    control, treatment = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if not (control > 0.0 and treatment > 0.0):
        raise Invalid(f"split: expected CONTROL:TREATMENT such as 50:50, got {question.split[:40]!r}", field="split")
    if question.mde is not None and not 0.0 < question.mde < math.inf:
        raise Invalid(f"mde: expected a finite number above 0, got {question.mde:g}", field="mde")
    if question.relative and question.mde is None:
        raise Invalid("relative: expected together with an mde", field="relative")
    if question.guardrails is not None and not 0 <= question.guardrails <= MOST_METRICS:
        raise Invalid(f"guardrails: expected 0 to {MOST_METRICS}, got {question.guardrails}", field="guardrails")
    plan = Plan(question.alpha, question.power, treatment / control, 0.0, _DESIGNS[question.test])
    power.for_means(1.0, 1.0, plan)  # what is wrong with alpha or power is said before the journal is read
    return plan


def _guardrails(store: Store, endpoint: str, planned: str | None) -> int:
    """How many are declared, other than the metric that is planned."""
    with store.read() as connection:
        rows = metrics.of_endpoint(connection, endpoint)
    return sum(row.metric != planned and decode_metric(row.body).role == "guardrail" for row in rows)


def _by_hand(question: Question) -> tuple[Basis, dict[str, Any], list[str]]:
    if question.metric is not None:
        raise Invalid("endpoint: expected with a metric", field="endpoint")
    if question.baseline is None and question.sd is None:
        raise Invalid("endpoint: expected an endpoint and a metric, or a baseline or sd by hand", field="endpoint")
    if question.baseline is None and (question.relative or question.mde is None):
        raise Invalid("baseline: expected where the MDE is a share of it", field="baseline")
    for field in ("baseline", "sd", "daily_units"):
        given = getattr(question, field)
        if given is not None and not math.isfinite(given):
            raise Invalid(f"{field}: expected a finite number, got {given}", field=field)
    window = Window(question.window_seconds or 0.0, question.lateness_seconds or 0.0)
    _check_window(window)
    said = {"source": "figures given by hand", "mean": question.baseline, "sd": question.sd, "daily_units": question.daily_units}
    return Basis(question.baseline, question.sd, question.daily_units, window), said, []


def _observed(question: Question, source: Source) -> tuple[Basis, dict[str, Any], list[str]]:
    for field in ("baseline", "sd", "daily_units"):
        if getattr(question, field) is not None:
            raise Invalid(f"{field}: expected without an endpoint: the endpoint's own traffic says it", field=field)
    if not 0.0 < question.days_back < math.inf:
        raise Invalid(f"days_back: expected a finite number above 0, got {question.days_back:g}", field="days_back")
    endpoint = question.endpoint or ""
    metric, declared = _metric(source.store, endpoint, question.metric)
    window = _window(question, metric)
    since = source.clock() - question.days_back * DAY
    found = traffic.scan(source.journal, endpoint, metric, window, since)
    if not found.units:
        raise Refused(f"endpoint {endpoint!r} has had no traffic in the last {question.days_back:g} days")
    values = traffic.values(found, metric, window)
    spread = _spread(metric, window, values)
    days = (found.end - found.first) / DAY
    daily = len(found.units) / days * (values.joint.n / values.over)
    correlation, about = _correlation(source, endpoint, metric, window, since, found)
    said = {
        "source": f"{days:.1f} days of journal",
        "from": to_rfc3339(found.first),
        "to": to_rfc3339(found.end),
        "days": days,
        "units": len(found.units),
        "daily_new_units": len(found.units) / days,
        "units_with_window_over": values.over,
        "units_analysed": values.joint.n,
        "mean": spread.mean,
        "sd": spread.sd,
        "kind": metric.kind,
        "declared": declared,
        "window_seconds": window.seconds,
        "lateness_seconds": window.lateness,
        "covariate": about,
    }
    sd = None if metric.kind == "binary" else spread.sd
    error = spread.sd / math.sqrt(values.joint.n)
    return Basis(spread.mean, sd, daily, window, correlation, metric.sign, error), said, _notes(found, days, declared, values)


def _metric(store: Store, endpoint: str, name: str | None) -> tuple[Metric, bool]:
    """The metric as it is declared on the endpoint, else a continuous one; and whether it is declared."""
    if name is None:
        raise Invalid("metric: this field is required with an endpoint", field="metric")
    with store.read() as connection:
        plans.current(connection, endpoint)
        row = metrics.find(connection, endpoint, check_name(name, "metric"))
    metric = Metric(name=name) if row is None else decode_metric(row.body)
    if metric.kind == "quantile":
        raise Refused("the spread of a quantile is not one of units' values: no sample size follows from it")
    return metric, row is not None


def _window(question: Question, metric: Metric) -> Window:
    """As asked for, else as declared, else a day."""
    declared = metric.window(DAY, 0.0)
    window = Window(
        declared.seconds if question.window_seconds is None else question.window_seconds,
        declared.lateness if question.lateness_seconds is None else question.lateness_seconds,
    )
    if window.seconds == 0.0:
        raise Invalid("window_seconds: expected a finite number above 0, got 0", field="window_seconds")
    _check_window(window)
    return window


def _check_window(window: Window) -> None:
    for field, given in (("window_seconds", window.seconds), ("lateness_seconds", window.lateness)):
        if not 0.0 <= given < math.inf:
            raise Invalid(f"{field}: expected a finite number, 0 or more, got {given:g}", field=field)


def _spread(metric: Metric, window: Window, values: Values) -> Spread:
    """Of a ratio by the delta method. Raises Refused with fewer than 2 units, without outcomes, and where the values do not vary."""
    if values.over < 2:
        units = "1 unit has" if values.over else "no unit has"
        raise Refused(f"{units} been seen until its window of {window.matures(0.0):.10g} s was over: a spread needs 2 or more")
    if values.with_outcomes == 0:
        raise Refused(f"no outcome {metric.numerator!r} has come within the window of any of {values.over} units")
    summary = ratio.linearised(values.joint) if metric.kind == "ratio" else values.joint.y
    sd = math.sqrt(summary.variance)
    if sd == 0.0:
        raise Refused(f"all {values.joint.n} units have the same value {summary.mean:.5g}: without spread there is no sample size")
    return Spread(summary.mean, sd)


def _correlation(
    source: Source, endpoint: str, metric: Metric, window: Window, since: float, found: Traffic
) -> tuple[float, dict[str, Any] | None]:
    """R of the value with what the unit had brought before: of the units that came in the second half of the time."""
    if metric.covariate is None:
        return 0.0, None
    if metric.covariate != "earlier":
        return 0.0, {"name": metric.covariate, "correlation": 0.0, "detail": "not taken from the journal: the sample may be smaller"}
    middle = (found.first + found.end) / 2.0
    late = traffic.scan(source.journal, endpoint, metric, window, since, middle)
    values = traffic.values(late, metric, window).joint
    try:
        r = theta([values]) * math.sqrt(values.x.variance) / math.sqrt(values.y.variance) if values.y.variance > 0.0 else 0.0
    except Refused:
        r = 0.0
    detail = f"of {values.n} units that came in the second half, with what they had brought in the first"
    if r == 0.0:
        detail += ": neither varies with the other, so the sample is that without a covariate"
    return max(-1.0 + 1e-9, min(1.0 - 1e-9, r)), {"name": metric.covariate, "correlation": r, "detail": detail}


def _notes(found: Traffic, days: float, declared: bool, values: Values) -> list[str]:
    notes = []
    if days < power.FEWEST_DAYS:
        notes.append("Less than a week was seen, and days of the week differ.")
    if not declared:
        notes.append("The metric is not declared on the endpoint: taken as continuous, to increase.")
    if values.joint.n < values.over:
        notes.append(f"{values.joint.n / values.over:.1%} of the units have the metric: sizes count those, and days wait for them.")
    middle = (found.first + found.end) / 2.0
    first = sum(unit.entry < middle for unit in found.units)
    if len(found.units) - first < _RARER * first:
        notes.append(f"New units become rarer ({first}, then {len(found.units) - first} in the second half): it may take longer.")
    return notes


def _sizes(question: Question, basis: Basis, plan: Plan) -> list[dict[str, Any]]:
    if question.mde is None or question.relative:
        mean = basis.mean or 0.0
        if abs(mean) <= NEAR_ZERO * basis.error:
            near = f"the mean {mean:.4g} is within {NEAR_ZERO:g} standard errors of 0" if basis.error else "the mean is 0"
            raise Refused(f"{near}: a share of it means nothing, give the MDE in the metric's units")
        shares = _SHARES if question.mde is None else (question.mde,)
        return [_size(share * abs(mean), basis, plan, alone=question.mde is not None) for share in shares]
    return [_size(question.mde, basis, plan, alone=True)]


def _size(mde: float, basis: Basis, plan: Plan, *, alone: bool) -> dict[str, Any]:
    """One MDE; among several one that cannot be had is said to be so."""
    share = mde / abs(basis.mean) if basis.mean else None
    found: dict[str, Any] = {"mde": mde, "share_of_mean": share, "n_control": None, "n_treatment": None, "days": None}
    try:
        if basis.sd is not None:
            size = power.for_means(basis.sd, mde, plan)
        else:
            size = power.for_proportions(basis.mean or 0.0, basis.sign * mde, plan)
        found |= {"n_control": math.ceil(size.control), "n_treatment": math.ceil(size.treatment)}
        if basis.daily_units is not None:
            found["days"] = power.days(size, basis.daily_units, basis.window.matures(0.0) / DAY)
    except (Invalid, Refused) as error:
        if alone:
            raise
        found["refused"] = error.message
    return found
