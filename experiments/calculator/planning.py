"""Sample sizes, and p values of many tests."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from core.errors import Invalid
from experiments.calculator.inputs import Alpha, Positive
from experiments.methods.means import Alternative
from experiments.methods.multiple import benjamini_hochberg, holm
from experiments.methods.power import Design, Plan, days, for_means, for_proportions


class PowerInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be shown, `mde` as a size in the metric's units; `baseline` is control's mean or proportion."""

    kind: Literal["mean", "proportion"]
    mde: Positive
    baseline: float | None = None
    sd: float | None = None
    power: float = 0.8
    alpha: Alpha = 0.05
    alternative: Alternative = "greater"
    allocation: float = 1.0
    correlation: float = 0.0
    design: Design = "fixed"
    daily_units: float | None = None
    window_days: float = 0.0


def power(given: PowerInput) -> dict[str, Any]:
    """Units per arm, not rounded, and days (null without daily units). Raises Invalid naming the field, and Refused."""
    plan = Plan(given.alpha, given.power, given.allocation, given.correlation, given.design, given.alternative == "two-sided")
    if given.kind == "mean":
        size = for_means(_needed(given.sd, "sd"), given.mde, plan)
    elif given.sd is not None:
        raise Invalid("sd: expected none, a proportion's follows from the baseline", field="sd")
    else:
        size = for_proportions(_needed(given.baseline, "baseline"), -given.mde if given.alternative == "less" else given.mde, plan)
    return {
        "n_control": size.control,
        "n_treatment": size.treatment,
        "days": None if given.daily_units is None else days(size, given.daily_units, given.window_days),
    }


class AdjustInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """P values of many tests."""

    p_values: list[Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]]
    method: Literal["holm", "bh"] = "holm"


def adjust(given: AdjustInput) -> dict[str, Any]:
    """The adjusted p values, in the order given."""
    return {"adjusted": (holm if given.method == "holm" else benjamini_hochberg)(given.p_values).tolist()}


def _needed(given: float | None, field: str) -> float:
    if given is None:
        raise Invalid(f"{field}: this field is required", field=field)
    return given
