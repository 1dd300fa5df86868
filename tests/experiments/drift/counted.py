"""Columns that are counted here as `models.drift` counts them, on cuts that the test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.drift.column import Counted


def numbers(
    sample: Sequence[float], served: Sequence[float], *, name: str = "x", cells: int = 20, missing: tuple[int, int] = (0, 0)
) -> Counted:
    """Cuts at the sample's quantiles, where it has more than 20 values, else at each of them."""
    x, y = np.asarray(sample, dtype=float), np.asarray(served, dtype=float)
    distinct = np.unique(x)
    discrete = len(distinct) <= cells
    if not discrete:
        distinct = np.unique(np.quantile(x, np.arange(cells) / cells, method="inverted_cdf"))
    cuts = np.append(distinct, np.nextafter(x.max(), np.inf))
    left, right = (np.bincount(np.searchsorted(cuts, z, side="right"), minlength=len(cuts) + 1) for z in (x, y))
    return Counted(
        name, "numbers", left, right, missing, cuts, (float(x.mean()), float(y.mean()) if len(y) else None), float(x.std()) or 1.0, discrete
    )


def categories(sample: Sequence[int], served: Sequence[int], unseen: Mapping[str, int] = {}, **more: Any) -> Counted:
    """Counts of categories, in one order."""
    return Counted("c", "categories", np.array(sample), np.array(served), (0, 0), unseen=unseen, **more)
