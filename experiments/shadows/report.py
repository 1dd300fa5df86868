"""What is known of a shadow: agreement, errors and latency from its totals, and once labels have come which of the two is better.

Differences are shadow − primary, where the primary answer is the one that users saw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import asdict

from core.clock import to_rfc3339
from core.errors import Refused
from experiments.methods import always_valid, delong, mcnemar, paired
from experiments.methods.proportion import proportion
from experiments.methods.summary import FloatArray, Summary
from experiments.shadows import verdict as shadow_verdict
from experiments.shadows.agreement import Totals, quantile_bounds
from experiments.shadows.evidence import EVERY_SECONDS, Track
from experiments.shadows.looks import ALPHA, PLANNED_UNITS

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

NOTES = (
    f"Each test by itself shows a difference that is none in at most {ALPHA:.0%} of cases. Those called always-valid hold however often"
    " they are looked at; Wilcoxon's, the t test and the test of the AUC only at one moment that was chosen beforehand.",
    "The differences of loss mean something only where the label does not depend on the answer that was given.",
    "Agreement, errors and latency take requests as independent. A shadow answers several requests at once where it can, which shortens"
    " its latency.",
)


class Pairs(NamedTuple):
    """Labelled rows in the order of their predictions, one entry in each list. `newest`: there are older ones that are not here."""

    units: Sequence[str]
    primary_loss: Sequence[float]
    shadow_loss: Sequence[float]
    primary_right: Sequence[bool | None]
    shadow_right: Sequence[bool | None]
    primary_score: Sequence[float | None]
    shadow_score: Sequence[float | None]
    positive: Sequence[bool | None]
    newest: bool = False


def report(totals: Totals, pairs: Pairs) -> dict[str, Any]:
    """Every figure with its test, a verdict with its reason for each comparison, and that on the loss as the verdict on the shadow."""
    looked, units = totals.labels, len(set(pairs.units))
    loss = _loss(totals, pairs, units)
    older = [f"Tests at one moment are of the newest {len(pairs.units)} labelled rows only."] if pairs.newest else []
    return {
        "verdict": loss["verdict"],
        "reason": loss["reason"],
        "requests": totals.done,
        "errors": {"last": totals.last_error, **proportion(totals.errors, totals.done)},
        "agreement": proportion(totals.agreed, totals.labelled) if totals.labelled else None,
        "mean_difference": totals.difference.mean if totals.difference.n else None,
        "latency": _latency(totals),
        "labels": {"rows": len(pairs.units), "units": units, "failed": looked.failed, "unlike": looked.unlike},
        "loss": loss,
        "right": _right(totals, pairs, units),
        "auc": _auc(pairs),
        "looks": {"made": looked.looks, "last": None if looked.at is None else to_rfc3339(looked.at), "every_seconds": EVERY_SECONDS},
        "notes": [*NOTES, *older],
    }


def _latency(totals: Totals) -> dict[str, Any]:
    difference = _asked(lambda: _paired_latency(totals.latency_difference))
    return {
        **shadow_verdict.latency(difference, totals.latency_difference.n),
        "mean": totals.latency.mean if totals.latency.n else None,
        "primary_mean": totals.primary_latency.mean if totals.primary_latency.n else None,
        "quantiles": {name: quantile_bounds(totals.latency_histogram, share) for name, share in QUANTILES.items()},
        "difference": difference,
    }


def _paired_latency(found: Summary) -> dict[str, Any]:
    """The clock is the number of requests alone, so that the evidence at any one reading is valid by itself."""
    planned_se, se = math.sqrt(found.variance / PLANNED_UNITS), math.sqrt(found.variance / max(found.n, 1))
    test = paired.sequential(found, planned_se, alpha=ALPHA)
    return {"n": found.n, "estimate": found.mean, "se": se, "p_value": test.p_value, "lower": test.lower, "upper": test.upper}


def _loss(totals: Totals, pairs: Pairs, units: int) -> dict[str, Any]:
    primary, shadow = np.array(pairs.primary_loss, dtype=np.float64), np.array(pairs.shadow_loss, dtype=np.float64)
    fixed = _asked(lambda: _fixed(shadow - primary, pairs.units))
    looked = totals.labels
    return {
        **shadow_verdict.loss(looked, fixed, max(units, looked.units)),
        "name": looked.loss,
        "primary": _mean(primary, pairs.units),
        "shadow": _mean(shadow, pairs.units),
        "sequential": {"units": looked.units, **_sequential(looked.paired)},
        "fixed": fixed,
    }


def _fixed(differences: FloatArray, units: Sequence[str]) -> dict[str, Any]:
    found = paired.paired(differences, units, alternative="two-sided", alpha=ALPHA)
    return {**asdict(found.test), "wilcoxon_p": found.wilcoxon_p}


def _mean(losses: FloatArray, units: Sequence[str]) -> float | None:
    """The mean over units of the means of their rows."""
    return float(paired.unit_means(losses, units).mean()) if losses.size else None


def _sequential(track: Track) -> dict[str, Any]:
    shown = track.shown
    return {
        **{name: getattr(track, name) for name in ("estimate", "se", "lower", "upper", "log_evidence")},
        "p_value": None if track.log_evidence is None else always_valid.p_value(track.log_evidence),
        "shown": None if shown is None else {**asdict(shown), "at": to_rfc3339(shown.at)},
    }


def _right(totals: Totals, pairs: Pairs, units: int) -> dict[str, Any] | None:
    """None for regressors, whose answers are neither right nor wrong."""
    if not pairs.units or None in pairs.primary_right or None in pairs.shadow_right:
        return None
    primary, shadow = np.array(pairs.primary_right, dtype=bool), np.array(pairs.shadow_right, dtype=bool)
    only_primary, only_shadow = int((primary & ~shadow).sum()), int((shadow & ~primary).sum())
    fixed = _asked(lambda: _mcnemar(len(pairs.units), units, only_primary, only_shadow))
    track = totals.labels.right
    return {
        **shadow_verdict.right(track, fixed),
        "table": [[int((primary & shadow).sum()), only_primary], [only_shadow, int((~primary & ~shadow).sum())]],
        "sequential": _sequential(track),
        "fixed": fixed,
    }


def _mcnemar(rows: int, units: int, only_primary: int, only_shadow: int) -> dict[str, Any]:
    if rows > units:
        raise Refused(
            f"the {rows} labelled rows are of {units} units: rows of one unit are no separate witnesses, the test needs one of each"
        )
    return asdict(mcnemar.mcnemar(only_primary, only_shadow))


def _auc(pairs: Pairs) -> dict[str, Any] | None:
    """The areas under both ROC curves, from the first labelled row of each unit, since rows must be independent. None without scores."""
    first: dict[str, int] = {}
    for index, (unit, positive) in enumerate(zip(pairs.units, pairs.positive, strict=True)):
        if positive is not None:
            first.setdefault(unit, index)
    if not first:
        return None
    chosen = list(first.values())
    labels, shadow, primary = (
        np.array([column[index] for index in chosen], dtype=np.float64)
        for column in (pairs.positive, pairs.shadow_score, pairs.primary_score)
    )
    return {"rows": len(chosen), **_asked(lambda: _areas(labels, primary, shadow))}


def _areas(labels: FloatArray, primary: FloatArray, shadow: FloatArray) -> dict[str, Any]:
    found = delong.delong(labels, shadow, primary, alpha=ALPHA)
    return {"primary": found.right, "shadow": found.left, "difference": asdict(found.difference)}


def _asked(figures: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return figures()
    except Refused as error:
        return {"refused": error.message}
