"""All that the answers to a data set say, as one document: it is stored as JSON, and every table and picture is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from core.errors import Refused
from experiments.batch import confusion, ranking, slices
from experiments.batch.answers import Answers, Labelled, Valued
from experiments.batch.calibration import calibration
from experiments.batch.comparison import compare
from experiments.batch.figures import Asking, Figure, by_class, figures
from experiments.batch.slices import Cut

NOTES = (
    "Rows are taken as independent. Rows of one unit are alike, and intervals of them are too narrow.",
    "Every interval holds by itself.",
)

_HISTOGRAM = 40


class Figures(NamedTuple):
    """What checks are held against, and the document."""

    metrics: dict[str, Figure]
    slices: dict[str, Any]
    comparison: dict[str, Any] | None
    document: dict[str, Any]


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what is beyond the range has no figure
def report(answers: Answers, cuts: Sequence[Cut], other: Answers | None, asking: Asking) -> Figures:
    """Metrics, calibration, slices and, where `other` answered the same rows, the comparison with it."""
    metrics = figures(answers, asking)
    by_slice = slices.slices(answers, cuts, asking)
    compared = None if other is None else compare(answers, other, asking)
    document: dict[str, Any] = {
        "metrics": metrics,
        "calibration": calibration(answers, asking.alpha, asking.rng),
        "slices": by_slice,
        "comparison": compared,
        **(_of_values(answers) if isinstance(answers, Valued) else _of_classes(answers, asking.alpha)),
    }
    return Figures(metrics, by_slice, compared, document)


def _of_classes(answers: Labelled, alpha: float) -> dict[str, Any]:
    try:
        curve = ranking.curve(answers)
    except Refused:
        curve = []
    table = confusion.table(answers).tolist()
    positive = None if answers.positive is None else answers.classes[answers.positive]
    return {"positive": positive, "classes": by_class(answers, alpha), "confusion": table, "roc": curve}


def _of_values(answers: Valued) -> dict[str, Any]:
    """Quantiles of the errors, value less truth, and their histogram between the .5 % and the 99.5 % quantile."""
    errors = answers.errors
    levels = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    quantiles = dict(zip((f"p{level:.0%}".rstrip("%") for level in levels), map(float, np.quantile(errors, levels)), strict=True))
    low, high = np.quantile(errors, (0.005, 0.995))
    chosen, least = errors[(errors >= low) & (errors <= high)], 1e-9 * max(abs(low), abs(high))
    if high - low > least:
        counts, edges = np.histogram(chosen, bins=_HISTOGRAM)
    else:  # all alike: one bin around them, wide enough to have two ends at their size
        counts, edges = np.histogram(chosen, bins=1, range=(low - max(0.5, least), high + max(0.5, least)))
    return {"errors": {"quantiles": quantiles, "histogram": {"counts": counts.tolist(), "edges": edges.tolist()}}}
