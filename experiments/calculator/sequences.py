"""Tests that may be looked at more than once, and the shares of units in the arms."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np
from scipy import special

from core.errors import Invalid, Refused
from experiments.calculator.inputs import Alpha, Count, Positive, picked
from experiments.methods import always_valid
from experiments.methods.group_sequential import Spending, bounds, spent
from experiments.methods.means import Alternative
from experiments.methods.srm import CONCENTRATION, chi_square, log_evidence
from experiments.methods.summary import FloatArray

MOST_LOOKS = 1000
"""Looks of a group sequential test; more could take minutes."""

MOST_UNITS = 1e11
"""Units, with those of the prior: beyond, the rounding of their log likelihood is no longer small beside the evidence."""

Shares: TypeAlias = Annotated[list[Positive], msgspec.Meta(min_length=2)]
"""One per arm, as shares or weights."""


class SequentialInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One estimate so far; `planned_se` is the standard error that the planned sample would have."""

    estimate: float
    se: Positive
    planned_se: Positive
    margin: float = 0.0
    alternative: Alternative = "greater"
    alpha: Alpha = 0.05


def sequential(given: SequentialInput) -> dict[str, Any]:
    """The always-valid test at this look. Raises Refused out of range."""
    found = always_valid.sequential(
        given.estimate, given.se, given.planned_se, margin=given.margin, alternative=given.alternative, alpha=given.alpha
    )
    return picked(found, "c", "log_evidence", "p_value", "lower", "upper")


class GroupSequentialInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Looks at shares of the maximum information; `phi` is the power of power spending."""

    information_fractions: Annotated[list[float], msgspec.Meta(min_length=1, max_length=MOST_LOOKS)]
    alpha: Alpha = 0.05
    spending: Spending = "obrien-fleming"
    phi: float | None = None


def group_sequential(given: GroupSequentialInput) -> dict[str, Any]:
    """One-sided bounds on z, the cumulative alpha spent, and the p value of a z at each bound. Raises Invalid."""
    fractions = given.information_fractions
    found = bounds(given.alpha, fractions, given.spending, given.phi)
    return {
        "bounds": found,
        "spent": [spent(t, given.alpha, given.spending, given.phi) for t in fractions],
        "nominal_p": [None if bound is None else float(special.ndtr(-bound)) for bound in found],
    }


class SrmInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units per arm, and the shares or weights that they should have."""

    counts: list[Count]
    expected: Shares


def srm(given: SrmInput) -> dict[str, Any]:
    """Pearson's χ² of the counts. Raises Invalid where there is not one per share, and Refused as `chi_square` does."""
    shares = _shares(given.expected)
    _matching(given.counts, shares, "counts")
    return picked(chi_square(given.counts, shares.tolist()), "statistic", "p_value")


class SrmSequentialInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units per arm that each batch brought, and the shares that they should have.

    The prior is `concentration` units at those shares, or `prior`, units per arm; without `expected` the shares are those of `prior`.
    """

    counts: Annotated[list[list[Count]], msgspec.Meta(min_length=1)]
    expected: Shares | None = None
    concentration: Positive | None = None
    prior: Shares | None = None


def srm_sequential(given: SrmSequentialInput) -> dict[str, Any]:
    """The log evidence and p value after each batch. Raises Invalid naming the field, and Refused without units or beyond 1e11 of them."""
    if given.prior is not None and given.concentration is not None:
        raise Invalid("prior: expected a concentration or a prior, got both", field="prior")
    told = given.expected or given.prior
    if told is None:
        raise Invalid("expected: expected shares, or a prior", field="expected")
    theta, prior = _shares(told), _prior(given, told)
    _matching(given.prior or told, theta, "prior")
    for index, batch in enumerate(given.counts):
        _matching(batch, theta, f"counts[{index}]")
    totals = np.cumsum(np.asarray(given.counts, dtype=np.float64), axis=0)
    if not totals[-1].sum() > 0.0:
        raise Refused("no units: there is nothing to compare with the shares")
    if not totals[-1].sum() + prior.sum() <= MOST_UNITS:
        raise Refused(f"more than {MOST_UNITS:g} units: the evidence would be lost in rounding")
    evidence = log_evidence(totals, prior, float(prior.sum())) + totals @ np.log(prior / prior.sum() / theta)
    best = np.maximum.accumulate(evidence)
    return {"log_evidence": evidence.tolist(), "p_values": [always_valid.p_value(each) for each in best.tolist()]}


def _prior(given: SrmSequentialInput, told: list[float]) -> FloatArray:
    """Units per arm."""
    if given.prior is not None:
        return np.asarray(given.prior, dtype=np.float64)
    return (CONCENTRATION if given.concentration is None else given.concentration) * _shares(told)


def _shares(weights: list[float]) -> FloatArray:
    """The weights so that they sum to 1. Raises Refused where one is lost beside another."""
    relative = np.asarray(weights, dtype=np.float64) / max(weights)
    shares: FloatArray = relative / relative.sum()
    if shares.min() < np.finfo(np.float64).tiny:
        raise Refused("the shares are too far apart to be represented")
    return shares


def _matching(counts: list[int] | list[float], shares: FloatArray, field: str) -> None:
    if len(counts) != shares.size:
        raise Invalid(f"{field}: expected one number per arm, {shares.size}, got {len(counts)}", field=field)
