"""Has a column changed against its own past: ADWIN on the means of panes, one stream for each numeric column.

River's detectors cannot be stored, the means can: a new process goes through them again and stands where the old one stood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.drift.columns import Floats, Number
from models.drift.tally import Layout, Tally

MOST_PANES = 256
"""With more the older half is forgotten, and the detectors begin anew with the rest."""


def standard_means(layout: Layout, tally: Tally) -> Floats:
    """Each numeric column's mean in units of its standard error, were it the sample's; NaN without values. Shape (numeric columns,)."""
    found = []
    for place, column in enumerate(layout.columns):
        if isinstance(column, Number):
            present = int(tally.rows - tally.missing[place])
            found.append(tally.totals[place] / math.sqrt(present) if present else math.nan)
    return np.array(found, dtype=np.float64)


class Streams:
    """The detectors, and the means of the panes that they were told. `rate`: of all of them together, as ADWIN's delta."""

    def __init__(self, rate: float, means: Sequence[Floats] = ()) -> None:
        self._rate = rate
        self.means = list(means)
        self._detectors: list[Any] = []

    def update(self, means: Floats) -> list[int]:
        """The streams in which a change shows with this pane, by their place among the numeric columns."""
        if len(self.means) >= MOST_PANES:
            self.means, self._detectors = self.means[-MOST_PANES // 2 :], []
        if not self._detectors:
            self._detectors = _made(self._rate, len(means))
            for each in self.means:
                _told(self._detectors, each)
        self.means.append(means)
        return _told(self._detectors, means)


def _made(rate: float, streams: int) -> list[Any]:
    from river.drift import ADWIN  # here, because other processes that read what was found need no River

    # Bifet and Gavaldà (2007) share delta out over the cuts of one stream; it is shared out over the streams first.
    return [ADWIN(delta=rate / streams, clock=1, min_window_length=1) for _ in range(streams)]  # type: ignore[no-untyped-call]


def _told(detectors: Sequence[Any], means: Floats) -> list[int]:
    return [place for place, (detector, mean) in enumerate(zip(detectors, means, strict=True)) if _finds(detector, mean)]


def _finds(detector: Any, mean: float) -> bool:
    if math.isnan(mean):
        return False
    detector.update(float(mean))
    return bool(detector.drift_detected)
