"""Estimates of one metric in two arms: means, ratios, covariate adjustment, quantiles, and several phases."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from core.errors import Invalid, Refused
from experiments.calculator.inputs import Alpha, Count, Sums, picked
from experiments.methods import covariate, joint, strata
from experiments.methods import quantile as quantiles
from experiments.methods import ratio as ratios
from experiments.methods.joint import Joint
from experiments.methods.means import Alternative, relative_lift, welch
from experiments.methods.quantile import Clusters
from experiments.methods.summary import stack

Numbers: TypeAlias = list[float]


class MeanInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two arms by their sums. With `relative` the margin and the figures are shares of the size of control's mean."""

    control: Sums
    treatment: Sums
    alternative: Alternative = "greater"
    margin: float = 0.0
    relative: bool = False
    method: Literal["fieller", "delta"] = "fieller"
    alpha: Alpha = 0.05


def mean(given: MeanInput) -> dict[str, Any]:
    """Welch's t test of the difference of means, or of the relative lift. Raises Invalid and Refused."""
    control, treatment = given.control.summary("control"), given.treatment.summary("treatment")
    if given.relative:
        found = relative_lift(
            control, treatment, margin=given.margin, alternative=given.alternative, alpha=given.alpha, method=given.method
        )
    else:
        found = welch(control, treatment, margin=given.margin, alternative=given.alternative, alpha=given.alpha)
    return picked(found, "estimate", "se", "statistic", "df", "p_value", "lower", "upper")


class Fractions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A numerator and a denominator per unit."""

    numerator: Numbers
    denominator: Numbers

    def joint(self, name: str) -> Joint:
        """Their joint summary; `name` is the field that holds these, for messages. Raises Invalid where the lengths differ."""
        return _joint(self.numerator, self.denominator, f"{name}.denominator")


class RatioInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two arms, or one sample alone."""

    control: Fractions | None = None
    treatment: Fractions | None = None
    sample: Fractions | None = None
    alternative: Alternative = "greater"
    alpha: Alpha = 0.05


def ratio(given: RatioInput) -> dict[str, Any]:
    """The z test of the difference of two ratios of sums, or one ratio and its standard error. Raises Invalid and Refused."""
    arms = (given.control, given.treatment)
    if given.sample is not None:
        if arms != (None, None):
            raise Invalid("sample: expected alone, without control and treatment", field="sample")
        return _one_ratio(given.sample.joint("sample"))
    if given.control is None or given.treatment is None:
        missing = "control" if given.control is None else "treatment"
        raise Invalid(f"{missing}: expected control and treatment, or one sample", field=missing)
    control, treatment = given.control.joint("control"), given.treatment.joint("treatment")
    found = ratios.difference(control, treatment, alternative=given.alternative, alpha=given.alpha)
    return picked(found, "estimate", "se", "p_value", "lower", "upper")


class Pairs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metric y and the covariate x per unit."""

    y: Numbers
    x: Numbers

    def joint(self, name: str) -> Joint:
        """Their joint summary; `name` is the field that holds these, for messages. Raises Invalid where the lengths differ."""
        return _joint(self.y, self.x, f"{name}.x")


class CupedInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two arms with a covariate, and how to adjust for it: one slope, or a regression per arm."""

    control: Pairs
    treatment: Pairs
    estimator: Literal["cuped", "lin"] = "cuped"
    alternative: Alternative = "greater"
    alpha: Alpha = 0.05


def cuped(given: CupedInput) -> dict[str, Any]:
    """The z test of the adjusted difference of means; `theta` is None for Lin's two slopes. Raises Invalid and Refused."""
    control, treatment = given.control.joint("control"), given.treatment.joint("treatment")
    one_slope = given.estimator == "cuped"
    test = covariate.cuped if one_slope else covariate.lin_test
    found = test(control, treatment, alternative=given.alternative, alpha=given.alpha)
    theta = covariate.theta((control, treatment)) if one_slope else None
    return {**picked(found, "estimate", "se"), "theta": theta, **picked(found, "p_value", "lower", "upper")}


class QuantileInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order statistics around a quantile of n requests, and sums over the units that made them.

    `q_lower` and `q_upper` are at the ranks n(nu ∓ 1.96 √(nu(1 − nu)/n)); of a unit's n requests I are at or below the quantile.
    """

    n: Count
    nu: float
    q_lower: float
    q_upper: float
    clusters: Count
    sum_i: Count = msgspec.field(name="sum_I")
    sumsq_i: Count = msgspec.field(name="sumsq_I")
    sum_n: Count
    sumsq_n: Count
    sum_in: Count = msgspec.field(name="sum_In")


def quantile(given: QuantileInput) -> dict[str, Any]:
    """The standard error of a quantile with several requests per unit. Raises Invalid and Refused."""
    clusters = Clusters(
        units=given.clusters,
        sum_i=given.sum_i,
        sumsq_i=given.sumsq_i,
        sum_n=given.sum_n,
        sumsq_n=given.sumsq_n,
        sum_in=given.sum_in,
    )
    return {"se": quantiles.quantile_se(given.n, given.nu, given.q_lower, given.q_upper, clusters)}


class Stratum(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One phase: two arms by their sums."""

    control: Sums
    treatment: Sums


class StratifiedInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Phases, and what weighs them: how much their arms overlap, or how many units they hold."""

    strata: Annotated[list[Stratum], msgspec.Meta(min_length=1)]
    weights: Literal["overlap", "population"] = "overlap"
    alternative: Alternative = "greater"
    alpha: Alpha = 0.05


def stratified(given: StratifiedInput) -> dict[str, Any]:
    """The z test over phases, with the share each weighs: 0 with fewer than 2 units in an arm. Raises Invalid and Refused."""
    control = [stratum.control.summary(f"strata[{k}].control") for k, stratum in enumerate(given.strata)]
    treatment = [stratum.treatment.summary(f"strata[{k}].treatment") for k, stratum in enumerate(given.strata)]
    population = given.weights == "population"
    found = strata.stratified(control, treatment, population=population, alternative=given.alternative, alpha=given.alpha)
    phases = strata.compare(stack(control), stack(treatment))
    weights = phases.units if population else phases.weight
    return {**picked(found, "estimate", "se", "statistic", "p_value"), "weights": (weights / weights.sum()).tolist()}


def _one_ratio(sample: Joint) -> dict[str, Any]:
    found = ratios.linearised(sample)
    se = math.sqrt(found.variance / found.n)
    if se == 0.0:
        raise Refused("the ratio is the same for every unit: there is no variance between units")
    return {"estimate": found.mean, "se": se}


def _joint(first: Numbers, second: Numbers, field: str) -> Joint:
    if len(first) != len(second):
        raise Invalid(f"{field}: expected as many numbers as beside it, {len(first)}, got {len(second)}", field=field)
    return joint.of(first, second)
