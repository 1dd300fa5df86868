"""A tally beside the profile it was counted on, as `experiments.drift` reads it."""

from __future__ import annotations

import numpy as np

from experiments.drift.column import NO_CUTS, Counted
from models.drift.columns import Buckets, Category, Column, Number
from models.drift.tally import FURTHER, Layout, Tally
from models.profile import CELLS

MOST_REPEATS = 10.0
"""Rows count as no fewer independent ones than a tenth, however often the same row comes: a row that comes all the time is drift."""


def compared(layout: Layout, tally: Tally) -> list[Counted]:
    """Each column of the layout."""
    return [_counted(column, tally, place, layout.starts[place], layout.starts[place + 1]) for place, column in enumerate(layout.columns)]


def independent(layout: Layout, tally: Tally, repeats: float) -> float:
    """Independent rows per row, where the same rows come more often than in the sample (there with probability `repeats` for two rows).

    Rows that are sent again and again tell nothing new. With clusters of equal rows the variance of a share is 1 + (m − 1) λ times
    that of m independent rows (Kish 1965), λ being the probability that two rows are the same beyond what it is by chance. A λ below
    the sample's own is chance: rows of few discrete columns are often the same.
    """
    found = tally.repeats()
    if not layout.features or not tally.rows or found <= 2 * repeats:
        return 1.0
    return 1.0 / min(MOST_REPEATS, 1.0 + (tally.rows - 1) * (found - repeats))


def _counted(column: Column, tally: Tally, place: int, start: int, stop: int) -> Counted:
    reference, window = np.array(column.cells, dtype=np.int64), tally.cells[start:stop]
    missing = column.missing, int(tally.missing[place])
    if isinstance(column, Buckets):
        return Counted(column.name, "buckets", reference, window, missing)
    if isinstance(column, Category):
        unseen = dict(tally.unseen_of(place))
        further = unseen.pop(FURTHER, 0)
        return Counted(column.name, "categories", reference, window, missing, unseen=unseen, further=further)
    means = _means(column, int(window.sum()), float(tally.totals[place]))
    cuts = column.cuts if len(column.cuts) else NO_CUTS
    return Counted(column.name, "numbers", reference, window, missing, cuts, means, column.scale, len(cuts) <= CELLS)


def _means(column: Number, present: int, total: float) -> tuple[float | None, float | None]:
    return (column.mean if sum(column.cells) else None), (column.mean + column.scale * total / present if present else None)
