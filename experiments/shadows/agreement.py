"""How a shadow's answers compare with those that users saw: totals that merge, and what they say.

A shadow yields no business outcome; what can be told without labels is agreement, difference, latency and errors.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import msgspec
from msgspec.structs import replace

from core.values import Output
from experiments.methods import summary
from experiments.methods.summary import Summary
from experiments.shadows.evidence import Looked

BOUNDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the latency histogram, in seconds; the last bucket has none."""


class Totals(msgspec.Struct, frozen=True):
    """What a shadow has done. Counted in requests: `done` (answered or failed), `errors` (failed), `dropped` (never tried).

    Counted in rows: `compared`, of these `labelled` (a regressor answers no label), of these `agreed`. `difference` is
    |shadow − primary| of the value, or of the probability of the label that users saw. Latencies are per request, in seconds;
    `latency_difference` is shadow − primary of the same request. `labels` is what looks at labelled rows have shown.
    """

    done: int = 0
    errors: int = 0
    dropped: int = 0
    compared: int = 0
    labelled: int = 0
    agreed: int = 0
    difference: Summary = summary.EMPTY
    latency: Summary = summary.EMPTY
    primary_latency: Summary = summary.EMPTY
    latency_histogram: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    last_error: str | None = None
    latency_difference: Summary = summary.EMPTY
    labels: Looked = Looked()


class Pair(msgspec.Struct, frozen=True, gc=False):
    """One mirrored request: what users saw, what the shadow says (None: it failed), and the seconds that each took."""

    primary: Sequence[Output]
    shadow: Sequence[Output] | None
    primary_seconds: float
    shadow_seconds: float
    error: str | None = None


def add(totals: Totals, pairs: Sequence[Pair]) -> Totals:
    """The totals with these requests added."""
    answered = [(pair, pair.shadow) for pair in pairs if pair.shadow is not None]
    rows = [(left, right) for pair, shadow in answered for left, right in zip(pair.primary, shadow, strict=True)]
    histogram = list(totals.latency_histogram)
    for pair, _ in answered:
        histogram[bisect_left(BOUNDS, pair.shadow_seconds)] += 1
    errors = [pair.error for pair in pairs if pair.shadow is None]
    return replace(
        totals,
        done=totals.done + len(pairs),
        errors=totals.errors + len(errors),
        compared=totals.compared + len(rows),
        labelled=totals.labelled + sum(left.label is not msgspec.UNSET for left, _ in rows),
        agreed=totals.agreed + sum(left.label == right.label for left, right in rows if left.label is not msgspec.UNSET),
        difference=_merged(totals.difference, [size for left, right in rows if (size := _difference(left, right)) is not None]),
        latency=_merged(totals.latency, [pair.shadow_seconds for pair, _ in answered]),
        primary_latency=_merged(totals.primary_latency, [pair.primary_seconds for pair, _ in answered]),
        latency_histogram=tuple(histogram),
        last_error=errors[-1] if errors else totals.last_error,
        latency_difference=_merged(totals.latency_difference, [pair.shadow_seconds - pair.primary_seconds for pair, _ in answered]),
    )


def describe(totals: Totals) -> dict[str, Any]:
    """Agreement, difference, latency and errors, as figures; None where there is nothing to tell from."""
    return {
        "requests": totals.done,
        "errors": totals.errors,
        "last_error": totals.last_error,
        "rows": totals.compared,
        "agreement": totals.agreed / totals.labelled if totals.labelled else None,
        "mean_difference": totals.difference.mean if totals.difference.n else None,
        "latency_seconds": {
            "mean": totals.latency.mean if totals.latency.n else None,
            "p50_at_most": _quantile(totals.latency_histogram, 0.5),
            "p99_at_most": _quantile(totals.latency_histogram, 0.99),
        },
        "primary_latency_seconds": {"mean": totals.primary_latency.mean if totals.primary_latency.n else None},
    }


def _merged(known: Summary, values: Sequence[float]) -> Summary:
    return summary.merge(known, summary.of(values)) if values else known


def _difference(left: Output, right: Output) -> float | None:
    if isinstance(left.value, float) and isinstance(right.value, float):
        return abs(left.value - right.value)
    if left.probabilities is not msgspec.UNSET and right.probabilities is not msgspec.UNSET and left.label is not None:
        seen = str(left.label)
        return abs(left.probabilities.get(seen, 0.0) - right.probabilities.get(seen, 0.0))
    return None


def quantile_bounds(histogram: Sequence[int], share: float) -> tuple[float, float | None] | None:
    """Between which seconds the quantile lies; the upper bound is None beyond the last. None where nothing was counted."""
    total = sum(histogram)
    if total == 0:
        return None
    bucket = next(index for index, reached in enumerate(accumulate(histogram)) if reached >= share * total)
    return (BOUNDS[bucket - 1] if bucket else 0.0), (BOUNDS[bucket] if bucket < len(BOUNDS) else None)


def _quantile(histogram: Sequence[int], share: float) -> float | None:
    """The bound of the bucket in which the quantile lies; None where there is none, or it lies beyond the last bound."""
    bounds = quantile_bounds(histogram, share)
    return None if bounds is None else bounds[1]
