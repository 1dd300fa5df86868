"""The same metrics of parts of the data, and whether a part does worse than the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from core.errors import Refused
from core.values import Value
from experiments.batch import ranking
from experiments.batch.answers import Answers, BoolArray, IntArray, Labelled, losses, part
from experiments.batch.figures import Asking, Figure, figures
from experiments.methods import means, multiple, summary

FEWEST = 30
"""Rows of a slice, and of the rest, below which it is shown and not judged."""

MOST = 20
"""Slices of a column; the rarest texts beyond share one."""

_PARTS = 4
_FEW_NUMBERS = 10
"""A numeric column with at most so many values is cut at each of them, another at its quartiles."""

REST = "(all others)"
MISSING = "(missing)"


class Cut(NamedTuple):
    """A column cut into slices: the place of each row's slice in `names`."""

    column: str
    names: tuple[str, ...]
    places: IntArray


def cut(column: str, values: Sequence[Value]) -> Cut:
    """The slices of a column (rows,): numbers at their quartiles, all else by value; missing values are a slice of their own."""
    numbers = all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)
    known = {value for value in values if value is not None}
    if numbers and len(known) > _FEW_NUMBERS:
        return _at_quartiles(column, np.array([math.nan if value is None else value for value in values], dtype=np.float64))
    counts: dict[str, int] = {}
    texts = [MISSING if value is None else _named(value) for value in values]
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    kept = sorted(counts, key=lambda text: -counts[text])
    if len(kept) > MOST:
        kept = [*kept[: MOST - 1], REST]
    elif numbers:
        kept = [*map(_named, sorted(known)), *([MISSING] if MISSING in counts else [])]
    places = {text: place for place, text in enumerate(kept)}
    return Cut(column, tuple(kept), np.array([places.get(text, len(kept) - 1) for text in texts], dtype=np.intp))


def _named(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _at_quartiles(column: str, values: np.ndarray[Any, np.dtype[np.float64]]) -> Cut:
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.arange(1, _PARTS) / _PARTS, method="lower"))
    places = np.searchsorted(edges, values, side="left")
    names = [f"≤ {edges[0]:.5g}", *(f"{a:.5g} to {b:.5g}" for a, b in pairwise(edges)), f"> {edges[-1]:.5g}"]
    if np.isnan(values).any():
        places[np.isnan(values)] = len(names)
        names.append(MISSING)
    return Cut(column, tuple(names), places)


def slices(answers: Answers, cuts: Sequence[Cut], asking: Asking) -> dict[str, Any]:
    """Of each slice of each column: its metrics, and its difference from the rest with a p value, adjusted (Holm) for all tests here."""
    found, tests = [], []
    for column in cuts:
        rows = []
        for place, name in enumerate(column.names):
            chosen = column.places == place
            n = int(chosen.sum())
            if n == 0:
                continue
            small = min(n, chosen.size - n) < FEWEST
            differences = {} if small else dict(_differences(answers, chosen, asking.alpha))
            tests += [one for one in differences.values() if "p_value" in one]
            metrics = figures(part(answers, chosen), asking)
            rows.append({"slice": name, "rows": n, "small": small, "metrics": metrics, "differences": differences})
        found.append({"column": column.column, "slices": rows})
    for one, adjusted in zip(tests, multiple.holm([one["p_value"] for one in tests]).tolist(), strict=True):
        one["adjusted"] = adjusted
    return {"tested": len(tests), "fewest": FEWEST, "columns": found}


def _differences(answers: Answers, chosen: BoolArray, alpha: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Slice less rest: of the share of right answers by Fisher's exact test, of mean losses by Welch's, of areas by DeLong's variances."""
    if isinstance(answers, Labelled):
        yield "accuracy", _fisher(answers.right[chosen], answers.right[~chosen])
        if answers.positive is not None and answers.probabilities is not None:
            yield "auc", _asked_area(part(answers, chosen), part(answers, ~chosen), alpha)
    for name, loss in losses(answers).items():
        yield name, _welch(loss[chosen], loss[~chosen], alpha)


def _fisher(inside: BoolArray, outside: BoolArray) -> dict[str, Any]:
    from scipy import stats  # half a second, which only those who cut slices pay

    hits, others = int(inside.sum()), int(outside.sum())
    p = float(stats.fisher_exact(np.array([[hits, inside.size - hits], [others, outside.size - others]])).pvalue)
    return {"difference": float(inside.mean() - outside.mean()), "p_value": min(p, 1.0), "method": "Fisher exact"}


def _welch(inside: summary.FloatArray, outside: summary.FloatArray, alpha: float) -> dict[str, Any]:
    difference = float(inside.mean() - outside.mean())
    try:
        found = means.welch(summary.of(outside), summary.of(inside), alternative="two-sided", alpha=alpha)
    except Refused as error:
        return {"difference": difference, "refused": error.message}
    return {"difference": difference, "lower": found.lower, "upper": found.upper, "p_value": found.p_value, "method": "Welch"}


def _asked_area(inside: Answers, outside: Answers, alpha: float) -> dict[str, Any]:
    try:
        here, there = (ranking.auc(each) for each in (inside, outside) if isinstance(each, Labelled))
        se = math.hypot(here.se, there.se)
        found = means.t_test(here.area - there.area, se, math.inf, 0.0, "two-sided", alpha)
    except Refused as error:
        return {"difference": None, "refused": error.message}
    return {"difference": found.estimate, "lower": found.lower, "upper": found.upper, "p_value": found.p_value, "method": "DeLong"}


def find(found: Mapping[str, Any], wanted: str) -> dict[str, Figure] | None:
    """The metrics of the slice that `COLUMN=SLICE` names; None where there is none."""
    for column in found["columns"]:
        for one in column["slices"]:
            if wanted == f"{column['column']}={one['slice']}":
                metrics: dict[str, Figure] = one["metrics"]
                return metrics
    return None
