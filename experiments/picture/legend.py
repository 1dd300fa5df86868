"""What lines and marks of a picture mean; of those that occur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.picture import interims, panel, words
from experiments.picture.interims import Interims
from experiments.picture.panel import Panel
from experiments.text import Data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3
_WIDEST = 2.6
"""Inches of a text in the last column."""


def shares(report: Data) -> str:
    """The arms in the order in which the shares of a phase are written."""
    return ":".join(report["phases"][-1]["weights"]) if report["phases"] else ""


def short(report: Data) -> bool:
    """Whether the legend has the place to say that order."""
    return words.inches(_phase(report)) <= _WIDEST


def marks(report: Data, drawn: Sequence[Panel | Interims]) -> list[Any]:
    """The legend's entries."""
    panels = [each for each in drawn if isinstance(each, Panel)]
    tests = [each for each in drawn if isinstance(each, Interims)]
    level = f"{100.0 * (1.0 - report['design']['alpha']):.4g} %"
    return [*_over_time(panels, level), *_crossings(panels), *_of_tests(tests, report), _of_phases(report)]


def height(found: Sequence[Any]) -> float:
    """Inches, with some above."""
    return 0.35 + 0.2 * -(-len(found) // _COLUMNS)


def draw(figure: Figure, found: Sequence[Any]) -> None:
    """Below all panels."""
    figure.legend(handles=found, loc="lower center", ncols=_COLUMNS, frameon=False, fontsize=words.SIZE)


def _over_time(panels: Sequence[Panel], level: str) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found: list[Any] = [Line2D([], [], color=panel.ESTIMATE, label="estimate, treatment − control")]
    if any(point.lower is not None for each in panels for point in each.points):
        text = f"between the always-valid bounds, each at {level}"
        found.append(Patch(facecolor=panel.BOUNDS, alpha=0.25, edgecolor=panel.BOUNDS, label=text))
    kinds = {each.margin for each in panels if each.matters is not None}
    if kinds:
        text = " or ".join(name for margin, name in ((False, "MDE"), (True, "margin")) if margin in kinds)
        found.append(Line2D([], [], color=panel.MATTERS, linestyle=panel.DASHES, label=text))
    return found


def _crossings(panels: Sequence[Panel]) -> list[Any]:
    from matplotlib.lines import Line2D

    occurring = {crossing.better for each in panels for crossing in each.crossings}
    return [
        Line2D([], [], color=colour, marker=marker, markersize=9, linestyle="", label=text)
        for better, (colour, marker), text in (
            (True, panel.BETTER, "shown: better, or not worse"),
            (False, panel.WORSE, "shown: worse"),
        )
        if better in occurring
    ]


def _of_tests(tests: Sequence[Interims], report: Data) -> list[Any]:
    from matplotlib.lines import Line2D

    if not any(test.z for test in tests):
        return []
    bound = f"group-sequential bound on z, α = {report['design']['alpha']:.4g}"
    return [
        Line2D([], [], color=interims.STATISTIC, marker=interims.STATISTIC_MARK, markersize=4, label="z at an interim look"),
        Line2D([], [], color=interims.BOUND, marker=interims.BOUND_MARK, markersize=5, label=bound),
    ]


def _of_phases(report: Data) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=words.GREY, linestyle=":", label=_phase(report) if short(report) else "phase (shares)")


def _phase(report: Data) -> str:
    return f"phase (shares {shares(report)})"
