"""Slices: the same comparison among the units of one country, one device. Exploratory: they suggest, and decide nothing.

Many parts times many metrics find something by chance; so p values are adjusted for the share of false discoveries among those that one
would name (Benjamini and Hochberg 1995), over all parts, metrics and arms together. They are of fixed-horizon tests.
"""

from __future__ import annotations

import math
from typing import Any

from core.errors import Refused
from experiments import estimators
from experiments.design import Design
from experiments.methods.means import t_test
from experiments.methods.multiple import benjamini_hochberg
from experiments.methods.strata import weighted
from experiments.metric import Metric
from experiments.snapshot import CONTROL, Snapshot
from experiments.tracking import strata_of

MOST_PARTS = 20
"""Parts of a slice that are kept apart, in the order in which their first units matured; the others are one."""

OTHERS, NONE = "(others)", "(none)"
"""The part of all further values, and of units that came without one."""

Cell = dict[str, Any]


def slices(design: Design, snapshot: Snapshot) -> dict[str, Any]:
    """By key, part and metric the units and differences of each treatment; `adjusted` is the p value after Benjamini-Hochberg."""
    tested: list[Cell] = []
    found = {
        key: {part: _part(design, snapshot.part(key, part), tested) for part in sorted(snapshot.slices.get(key, {}))}
        for key in design.slices
    }
    if tested:
        for cell, adjusted in zip(tested, benjamini_hochberg([cell["p_value"] for cell in tested]).tolist(), strict=True):
            cell["adjusted"] = adjusted
    return found


def _part(design: Design, snapshot: Snapshot, tested: list[Cell]) -> dict[str, dict[str, Cell]]:
    return {
        metric.name: {arm: _cell(design, snapshot, arm, metric, tested) for arm in snapshot.treatments}
        for metric in design.metrics
        if metric.kind != "quantile"
    }


def _cell(design: Design, snapshot: Snapshot, treatment: str, metric: Metric, tested: list[Cell]) -> Cell:
    units = {arm: snapshot.matured(arm, metric.name) for arm in (CONTROL, treatment)}
    blank: Cell = {"units": units, "estimate": None, "se": None, "lower": None, "upper": None, "p_value": None, "adjusted": None}
    strata = strata_of(snapshot, treatment, metric)
    if not strata.weight.any():
        return {**blank, "refused": estimators.refusal(metric, *(snapshot.joints(arm, metric.name) for arm in (CONTROL, treatment)))}
    try:
        estimate, se = weighted(strata, strata.weight)
        test = t_test(estimate, se, math.inf, alternative="two-sided", alpha=design.alpha)
    except Refused as refused:
        return {**blank, "refused": refused.message}
    cell = {**blank, "estimate": estimate, "se": se, "p_value": test.p_value, "lower": test.lower, "upper": test.upper}
    tested.append(cell)
    return cell
