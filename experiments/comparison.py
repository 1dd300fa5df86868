"""One treatment against control on one metric: the figures that the verdict and the report share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from core.errors import Refused
from experiments import estimators
from experiments.design import Design, Test
from experiments.effect import FEWEST_HARM, effect, floor
from experiments.evidence import Evidence, Frozen, Track
from experiments.methods import always_valid
from experiments.methods.means import Alternative, Difference, lift, t_test, welch
from experiments.methods.power import INFLATION
from experiments.methods.strata import Strata, overlap, weighted
from experiments.methods.summary import Summary
from experiments.metric import Metric
from experiments.snapshot import CONTROL, PRESENT, Snapshot
from experiments.tracking import FEWEST_CONVERSIONS, FEWEST_SUCCESS, Exact, exact, strata_of, units_of

DAY = 86400.0


class Comparison(NamedTuple):
    """Figures in the metric's units, treatment − control. What may not be computed is None, and `refused` says why.

    `estimate` and `se` are the overlap estimate over phases and the standard error of the sequential test; `bound` is
    that test's bound on the side of the improvement, `other` the always-valid one on the side of harm, and `waiting` says why there is
    none yet; `units` are matured, control's first, and `compared` those of phases that have both arms; `effect` is the difference that
    matters and `variance` the frozen one, `planned` both as the planned sample is set by them; `exact` is the exact test of a
    binary metric; `method` is the test that decides whether it is better.
    """

    treatment: str
    metric: Metric
    units: tuple[int, int]
    compared: tuple[int, int]
    strata: Strata
    track: Track
    effect: float | None
    variance: float | None
    planned: tuple[float, float] | None
    refused: str | None = None
    estimate: float | None = None
    se: float | None = None
    bound: float | None = None
    other: float | None = None
    waiting: str | None = None
    population: tuple[float, float] | None = None
    exact: Exact | None = None
    method: Test = "always-valid"

    @property
    def p_value(self) -> float | None:
        """That the treatment is better; valid at any time, and None before a look that counts."""
        best = self.track.better.log_evidence
        return None if best is None else always_valid.p_value(best)

    @property
    def compared_with(self) -> float | None:
        """The difference that the tests are against; None until a guardrail's margin is known."""
        if self.metric.role != "guardrail":
            return 0.0
        return None if self.effect is None else self.metric.sign * floor(self.metric, self.effect)

    @property
    def harm_p_value(self) -> float | None:
        """Always-valid, that the treatment is worse (a guardrail: by more than its margin)."""
        worst = self.track.worse.log_evidence
        return None if worst is None else always_valid.p_value(worst)


def compare(design: Design, snapshot: Snapshot, evidence: Evidence, treatment: str, metric: Metric) -> Comparison:
    """The comparison at this snapshot. Evidence is read, not taken; the bound holds at any time, on the grid or off it."""
    strata = strata_of(snapshot, treatment, metric)
    units = snapshot.matured(CONTROL, metric.name), snapshot.matured(treatment, metric.name)
    track, frozen = evidence.track(treatment, metric.name), evidence.frozen.get(metric.name)
    matters, variance = effect(design, metric, evidence.frozen), None if frozen is None else frozen.variance
    planned = _planned(design, metric, evidence.maxima if metric.name in evidence.maxima else evidence.frozen)
    compared = units_of(snapshot, strata, CONTROL, metric.name), units_of(snapshot, strata, treatment, metric.name)
    counted, population = exact(snapshot, treatment, metric), _population(snapshot, strata, metric)
    method: Test = design.sequence if metric.role == "success" else "always-valid"
    blank = Comparison(
        treatment, metric, units, compared, strata, track, matters, variance, planned, population=population, exact=counted, method=method
    )
    sums = overlap(strata)
    h, u, v = float(sums.h), float(sums.u), max(track.v, float(sums.v))
    refused = _refusal(design, snapshot, evidence, blank, h, u, v)
    if refused is not None:
        return blank._replace(refused=refused, waiting=refused, estimate=u / h if h > 0.0 and math.isfinite(u) else None)
    found = _bounded(design, blank._replace(estimate=u / h, se=math.sqrt(v) / h), v)
    return found._replace(waiting=_waiting(design, found))


def _bounded(design: Design, c: Comparison, v: float) -> Comparison:
    """With the bounds that hold now: none where the exact test decides, which is of who converted and not of a difference."""
    if c.exact is not None and c.exact.decides:
        return c
    if c.effect is None or c.variance is None or c.estimate is None or c.se is None or min(c.compared) < FEWEST_SUCCESS:
        return c
    x = always_valid.clock(v, c.variance, c.effect, design.alpha, design.planned_power)
    reach = c.metric.sign * float(always_valid.boundary(x, design.alpha)) * c.se
    if not (math.isfinite(reach) and math.isfinite(c.estimate - reach) and math.isfinite(c.estimate + reach)):
        return c
    return c._replace(bound=c.estimate - reach if c.method == "always-valid" else c.track.limit, other=c.estimate + reach)


def fixed(design: Design, snapshot: Snapshot, comparison: Comparison) -> Difference:
    """The test at a horizon chosen beforehand: one-sided p, two-sided interval. Welch's t for means in one phase, else z.

    The p value is against the same difference as the sequential test's: 0, for a guardrail minus its margin. Raises
    Refused where it may not be computed.
    """
    metric, strata = comparison.metric, comparison.strata
    usable = [i for i, weight in enumerate(strata.weight) if weight > 0.0]
    if not usable:
        raise Refused("no phase has 2 matured units in both arms")
    one_sided: Alternative = "greater" if metric.direction == "increase" else "less"
    margin = comparison.compared_with or 0.0
    if len(usable) == 1 and metric.covariate is None and metric.kind not in ("ratio", "quantile"):
        pair = (snapshot.joints(CONTROL, metric.name)[usable[0]].y, snapshot.joints(comparison.treatment, metric.name)[usable[0]].y)
        both, one = welch(*pair, alternative="two-sided", alpha=design.alpha), welch(*pair, margin=margin, alternative=one_sided)
    else:
        estimate, se = weighted(strata, strata.weight)
        both = t_test(estimate, se, math.inf, alternative="two-sided", alpha=design.alpha)
        one = t_test(estimate, se, math.inf, margin, one_sided)
    return msgspec.structs.replace(both, p_value=one.p_value)


def relative(design: Design, snapshot: Snapshot, comparison: Comparison, df: float | None) -> Difference:
    """The lift with Fieller's two-sided interval, of the means weighted like the overlap estimate; Refused near a mean of 0."""
    weights = (comparison.strata.weight / comparison.strata.weight.sum()).tolist()
    name = comparison.metric.name
    joints = zip(snapshot.joints(CONTROL, name), snapshot.joints(comparison.treatment, name), strict=True)
    pairs = [(w, *estimators.levels(comparison.metric, *pair)) for w, pair in zip(weights, joints, strict=True) if w > 0.0]

    def mean(used: list[tuple[float, Summary]]) -> tuple[float, float]:
        return sum(w * s.mean for w, s in used), sum(w * w * s.variance / s.n for w, s in used)

    level, of_control = mean([(w, control) for w, control, _ in pairs])
    _, of_treatment = mean([(w, treatment) for w, _, treatment in pairs])
    treated = level + (comparison.estimate or 0.0)
    degrees = math.inf if df is None else df
    return lift(level, of_control, treated, of_treatment, degrees, alternative="two-sided", alpha=design.alpha)


def days_left(design: Design, snapshot: Snapshot, comparison: Comparison) -> float | None:
    """Days until V reaches the planned sample of the test, at the rate of the last phase that has brought any.

    0.0 where it is reached; None where there is no rate yet. Of a fixed-horizon test the days until its horizon.
    """
    decides = comparison.metric.role == "success"
    if decides and design.sequence == "fixed-horizon" and design.horizon_seconds is not None:
        return max(0.0, snapshot.started + design.horizon_seconds - snapshot.at) / DAY
    goal = design.planned_samples if decides and design.sequence == "group-sequential" else INFLATION
    if comparison.planned is None or comparison.refused is not None:
        return None
    matters, variance = comparison.planned
    gained = comparison.strata.weight * comparison.strata.weight * comparison.strata.guarded
    last = int(np.flatnonzero(gained)[-1]) if gained.any() else -1
    if last < 0:
        return None
    phase = snapshot.phases[last]
    until = snapshot.at if phase.end is None else min(snapshot.at, phase.end + design.maturity_seconds)
    elapsed = until - phase.start - design.maturity_seconds
    done = float(always_valid.clock(float(gained.sum()), variance, matters, design.alpha, design.planned_power))
    share = done * float(gained[last] / gained.sum())  # of the planned sample, what that phase has brought
    days = max(0.0, goal - done) * elapsed / share / DAY if elapsed > 0.0 and share > 0.0 else math.inf
    return days if math.isfinite(days) else None


def _planned(design: Design, metric: Metric, frozen: Mapping[str, Frozen]) -> tuple[float, float] | None:
    matters = effect(design, metric, frozen)
    return None if matters is None else (matters, frozen[metric.name].variance)


def _refusal(design: Design, snapshot: Snapshot, evidence: Evidence, blank: Comparison, h: float, u: float, v: float) -> str | None:
    metric = blank.metric
    if metric.cap_percentile is not None and metric.name not in evidence.caps:
        return f"the cap at percentile {metric.cap_percentile:g} is frozen at a look with enough units"
    for arm, matured in zip((CONTROL, blank.treatment), blank.units, strict=True):
        if matured < 2:
            return _too_few(design, snapshot, evidence, metric, arm, matured)
    if h <= 0.0:
        return estimators.refusal(metric, snapshot.joints(CONTROL, metric.name), snapshot.joints(blank.treatment, metric.name))
    if not (math.isfinite(v) and math.isfinite(u)):
        return "the values are too large for their squares to be represented"
    if v > 0.0:
        return None
    pooled = snapshot.pooled(metric.name)
    if metric.counts_all and pooled.y.mean == 0.0 and pooled.y.m2 == 0.0:
        return f"no outcome {metric.numerator} has counted for any unit"
    return "the values do not vary within the arms"


def _too_few(design: Design, snapshot: Snapshot, evidence: Evidence, metric: Metric, arm: str, matured: int) -> str:
    """A quantile has no units before a look has taken it, nor where it could not be taken; others leave units without a value out."""
    if metric.kind == "quantile" and evidence.looks == 0:
        return "quantiles are taken at looks, and none has been made yet"
    if metric.kind == "quantile" and any(joint.y.mean > 0.0 for joint in snapshot.joints(arm, metric.name + PRESENT)):
        return f"no quantile could be taken of the values of {arm}: there are too few, or those around it are all equal"
    seen = sum(joint.n for joint in snapshot.joints(arm, metric.name + PRESENT))
    if seen > matured:
        return f"{matured} of {seen} matured units of {arm} {_have(metric)}: a difference needs 2 in each arm"
    waits = design.window(metric).matures(0.0)
    after = f" (a unit matures {waits:g} s after its entry)" if matured == 0 else ""
    return f"{arm} has {matured} matured unit{'' if matured == 1 else 's'}{after}: a difference needs 2 in each arm"


def _have(metric: Metric) -> str:
    return f"have a label with a {metric.loss} loss" if metric.loss is not None else f"have a value for {metric.name}"


def _waiting(design: Design, c: Comparison) -> str | None:
    """Why there is no p value, or no bound, though there is an estimate."""
    few = [f"{arm} {n}" for arm, n in zip((CONTROL, c.treatment), c.compared, strict=True) if n < FEWEST_SUCCESS]
    if few:
        return f"a decision needs {FEWEST_SUCCESS} matured units per arm: {', '.join(few)} so far"
    if c.exact is not None and c.exact.decides:
        if c.track.better.log_evidence is None:
            return _before_the_first(design, c)
        return "few units have converted: the exact test decides, which has no bound"
    if c.variance is None and design.relative:
        return (
            f"a look with {FEWEST_HARM} units per arm and a mean more than 3 standard errors from 0 is needed to convert the relative MDE"
        )
    if c.variance is not None and c.effect is None:
        return "the difference that matters is not known yet on this metric, or beyond the range of floating point"
    if c.variance is not None and c.other is None:
        return "the MDE is too far from the spread of the values for a test to be timed by it"
    if c.track.better.log_evidence is None:
        return _before_the_first(design, c)
    return "the last look spent too little of alpha to have a bound" if c.bound is None else None


def _before_the_first(design: Design, c: Comparison) -> str:
    """What the first look that counts waits for."""
    later = c.metric.role == "success" and design.sequence != "always-valid"
    converted = None if c.exact is None else c.exact.treatment + c.exact.control
    if later and converted is not None and converted < FEWEST_CONVERSIONS:
        return f"the {design.sequence} test needs {FEWEST_CONVERSIONS} converting units, there are {converted}"
    if later and design.sequence == "fixed-horizon":
        return "the fixed-horizon test is made once, at the first look after the horizon"
    if later:
        return f"the first of {design.interim_looks} equal steps to {design.planned_samples:g} planned samples is not reached at a look yet"
    return "no look has been made with enough units yet"


def _population(snapshot: Snapshot, strata: Strata, metric: Metric) -> tuple[float, float] | None:
    """Weights are all units of a phase, of every arm: what the change would have been for all who were there."""
    sizes = np.array([[joint.n for joint in snapshot.joints(arm, metric.name)] for arm in snapshot.arms], dtype=np.float64).sum(0)
    try:
        estimate, se = weighted(strata, sizes)
    except Refused:
        return None
    return (estimate, se) if math.isfinite(estimate) and math.isfinite(se) else None
