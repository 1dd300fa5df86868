"""Rewards under another policy, and under one that moved while it was watched."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from experiments.calculator.inputs import Alpha, picked
from experiments.methods import adaptive as bandits
from experiments.methods import off_policy as policies
from experiments.methods.adaptive import Play
from experiments.methods.means import Alternative
from experiments.methods.off_policy import Logged


class OffPolicyInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logged rows, and the effective sample size below which they do not tell."""

    rows: list[Logged]
    minimum_ess: Annotated[float, msgspec.Meta(ge=0.0)] = 100.0


def off_policy(given: OffPolicyInput) -> dict[str, Any]:
    """The target policy's mean reward by IPS, SNIPS and DR. Raises Invalid, and Refused where it is not identifiable."""
    found = policies.off_policy(given.rows, minimum_ess=given.minimum_ess)
    values = {name: picked(value, "estimate", "se") for name, value in (("ips", found.ips), ("snips", found.snips), ("dr", found.dr))}
    return {**values, "ess": found.ess, "mean_weight": found.mean_weight}


class AdaptiveInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units in order of time, and the two arms that are compared."""

    rows: list[Play]
    control: str
    treatment: str
    alternative: Alternative = "greater"
    alpha: Alpha = 0.05


def adaptive(given: AdaptiveInput) -> dict[str, Any]:
    """Treatment − control of an adaptive experiment at a time fixed beforehand, and each arm's mean. Raises Invalid and Refused."""
    found = bandits.adaptive(given.rows, given.control, given.treatment, alternative=given.alternative, alpha=given.alpha)
    arms = {arm: None if value is None else picked(value, "estimate", "se") for arm, value in found.arms.items()}
    return {**picked(found.contrast, "estimate", "se", "statistic", "p_value"), "arms": arms}
