"""The time axis of a picture, and the phases of the experiment over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from core.clock import from_rfc3339
from experiments.picture import words
from experiments.text import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DAY = 86400.0

_LEVELS = 3
_APART = 0.07
"""Inches between two labels on one line."""


class PhaseLabel(NamedTuple):
    """Where a phase begins, what is written above that, on which line above the panel (None where no place is left), and how many
    inches from the panel's left edge.
    """

    at: float
    text: str
    level: int | None
    left: float


def extent(report: Data) -> tuple[float, float]:
    """From the start to a little behind the last look, at least a second."""
    start = from_rfc3339(report["started"])
    last = report["looks"]["last"]
    passed = from_rfc3339(last or report["at"]) - start
    return start, start + max(1.0, 1.015 * passed)


def place(report: Data, at: float, wide: float) -> float:
    """Inches from the left edge of a panel that is `wide` inches."""
    start, end = extent(report)
    return wide * (at - start) / (end - start)


def labels(report: Data, wide: float) -> tuple[list[PhaseLabel], int]:
    """The labels of the phases over a panel `wide` inches, on as many levels as keep them apart; and how many levels that takes."""
    free = [-math.inf] * _LEVELS
    found = []
    for phase in report["phases"]:
        at = from_rfc3339(phase["from"])
        name = f"phase {phase['phase']}"
        full = f"{name} ({':'.join(f'{100.0 * share:.3g}' for share in phase['weights'].values())})"
        text = full if words.inches(full, words.SMALL) <= wide else name
        width = words.inches(text, words.SMALL)
        left = words.held(place(report, at, wide), width, wide)
        level = next((k for k in range(_LEVELS) if free[k] <= left), None)
        if level is not None:
            free[level] = left + width + _APART
        found.append(PhaseLabel(at, text, level, left))
    return found, max((label.level for label in found if label.level is not None), default=-1) + 1


def draw(axes: Axes, found: Sequence[PhaseLabel]) -> None:
    """A line where each begins, with its label."""
    for label in found:
        axes.axvline(label.at / DAY, color=words.GREY, linewidth=1.0, linestyle=":", gid=label.text.partition(" (")[0].replace(" ", "-"))
        if label.level is not None:
            words.above(axes, label.text, label.left, 4.0 + 13.0 * label.level, fontsize=words.SMALL, color=words.GREY)
