"""Two models on the same rows: right or wrong, how they rank, and differences of any figure."""

from __future__ import annotations

from typing import Any

import msgspec

from experiments.calculator.inputs import Alpha, Count, picked
from experiments.methods import delong as areas
from experiments.methods import mcnemar as discordant
from experiments.methods import paired as differences
from experiments.methods.means import Alternative


class McnemarInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts of rows: [[both right, only left right], [only right right, both wrong]]."""

    table: tuple[tuple[Count, Count], tuple[Count, Count]]


def mcnemar(given: McnemarInput) -> dict[str, Any]:
    """McNemar's test, two-sided, and its log evidence. Raises Refused without discordant rows."""
    (_, only_left), (only_right, _) = given.table
    return picked(discordant.mcnemar(only_left, only_right), "p_exact", "p_mid", "log_evidence")


class DelongInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of each row its label, 0 or 1 (or false or true), and the scores of both models."""

    labels: list[bool | int | float]
    left: list[float]
    right: list[float]
    alpha: Alpha = 0.05


def delong(given: DelongInput) -> dict[str, Any]:
    """DeLong's test of the difference left − right of the areas under the ROC curves, two-sided. Raises Invalid and Refused."""
    found = areas.delong(given.labels, given.left, given.right, alpha=given.alpha)
    return {
        "auc": [found.left, found.right],
        "difference": found.difference.estimate,
        **picked(found.difference, "se", "statistic", "p_value", "lower", "upper"),
    }


class PairedInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A difference per row and, where a unit may have several, whose it is."""

    differences: list[float]
    clusters: list[str | int | float] | None = None
    alternative: Alternative = "greater"
    alpha: Alpha = 0.05


def paired(given: PairedInput) -> dict[str, Any]:
    """The t test of the unit means against 0, and the Wilcoxon signed-rank p value of the same alternative. Raises Invalid and Refused."""
    found = differences.paired(given.differences, given.clusters, alternative=given.alternative, alpha=given.alpha)
    return {**picked(found.test, "estimate", "se", "statistic", "df", "p_value"), "wilcoxon_p": found.wilcoxon_p}
