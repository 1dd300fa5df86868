"""One panel of an experiment's picture: one metric of one treatment over time.

Colours are those of Okabe and Ito (2008), which people with any colour vision can tell apart; no meaning rests on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.clock import from_rfc3339
from experiments.text import Data, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#555555"
_ESTIMATE, _BOUNDS, _BETTER, _WORSE, _MATTERS = "black", "#0072B2", "#009E73", "#D55E00", "#CC79A7"

_DASHES = (0, (6, 3))
_DAY = 86400.0
_MOST_POINTS = 600
_FEW = 40
"""Points up to this many get a dot each."""

_LEVELS = 3
_INCHES_PER_CHARACTER, _INCHES_PER_BOLD = 0.066, 0.09
"""Of the font that is drawn with, on average and with some to spare."""


class Point(NamedTuple):
    """What one look saw: `at` in seconds since the epoch, the rest in the metric's units."""

    look: int
    at: float
    estimate: float
    lower: float | None
    upper: float | None


class Crossing(NamedTuple):
    """The look at which a test reached its threshold for good."""

    at: float
    look: int
    text: str
    better: bool


class Panel(NamedTuple):
    """`matters` is the level of the MDE or of the margin, in the direction in which it lies; None until it is known."""

    metric: str
    arm: str
    about: str
    points: list[Point]
    crossings: list[Crossing]
    matters: float | None
    margin: bool
    missing: str


class PhaseLabel(NamedTuple):
    """Where a phase begins, what is written above that, and on which line above the panel (None where no place is left).

    `ends` says that the text ends there, since it would not fit behind it.
    """

    at: float
    text: str
    level: int | None
    ends: bool


def of(report: Data, metric: str, arm: str, points: Sequence[Point]) -> Panel:
    """The panel of a metric and a treatment, thinned to some hundred points."""
    about = report["metrics"][metric]
    difference = about["differences"][arm]
    better = "not worse" if about["role"] == "guardrail" else "better"
    crossings = [
        Crossing(from_rfc3339(shown["at"]), shown["look"], f"{text} since look {shown['look']}", text != "worse")
        for text, shown in ((better, difference["shown"]), ("worse", difference["harm"]["shown"]))
        if shown is not None
    ]
    sign = 1.0 if about["direction"] == "increase" else -1.0
    guardrail = about["role"] == "guardrail"
    size = about["margin"] if guardrail else about["mde"]
    return Panel(
        metric,
        arm,
        _about(about, points),
        thinned(points, {crossing.look for crossing in crossings}),
        crossings,
        None if size is None else (-sign if guardrail else sign) * size,
        guardrail,
        difference.get("refused") or "no estimate yet",
    )


def thinned(points: Sequence[Point], keep: set[int]) -> list[Point]:
    """At most about 600 points at even distances, the first and the last among them, and those of the looks in `keep`."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    even = {round(k * (len(points) - 1) / (_MOST_POINTS - 1)) for k in range(_MOST_POINTS)}
    return [point for index, point in enumerate(points) if index in even or point.look in keep]


def phase_labels(report: Data, wide: float) -> tuple[list[PhaseLabel], int]:
    """The labels of the phases over a panel `wide` inches, on as many levels as keep them apart; and how many levels that takes."""
    start, end = _extent(report)
    free = [-math.inf] * _LEVELS
    found = []
    for phase in report["phases"]:
        at = from_rfc3339(phase["from"])
        text = f"phase {phase['phase']} ({':'.join(f'{100.0 * share:.3g}' for share in phase['weights'].values())})"
        place = wide * (at - start) / (end - start)
        ends = place > wide - _INCHES_PER_CHARACTER * len(text)
        left = place - _INCHES_PER_CHARACTER * len(text) if ends else place
        level = next((k for k in range(_LEVELS) if free[k] <= left), None)
        if level is not None:
            free[level] = left + _INCHES_PER_CHARACTER * (len(text) + 1)
        found.append(PhaseLabel(at, text, level, ends))
    return found, max((label.level for label in found if label.level is not None), default=-1) + 1


def draw(axes: Axes, report: Data, panel: Panel, phases: Sequence[PhaseLabel], above: float, wide: float) -> None:
    """Draw it, `wide` inches; its title stands in two lines from `above` inches above the panel on."""
    title = _fitting(f"{panel.metric}: {panel.arm} − control", wide / _INCHES_PER_BOLD)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=72.0 * above + 14.0)
    figures = _fitting(panel.about, wide / _INCHES_PER_CHARACTER)
    axes.annotate(figures, (0.0, 1.0), xycoords="axes fraction", xytext=(0.0, 72.0 * above), textcoords="offset points")
    axes.axhline(0.0, color="black", linewidth=0.8, gid="zero")
    if panel.matters is not None:
        axes.axhline(panel.matters, color=_MATTERS, linewidth=1.4, linestyle=_DASHES, gid="margin" if panel.margin else "mde")
    _phases(axes, phases)
    if panel.points:
        _lines(axes, panel)
        axes.set_ylim(*_limits(panel))
        for crossing in panel.crossings:
            _cross(axes, panel, crossing)
    else:
        axes.text(0.5, 0.55, panel.missing, transform=axes.transAxes, ha="center", color=GREY)
    _scales(axes, report)


def legend(figure: Figure, report: Data, panels: Sequence[Panel]) -> None:
    """What lines and marks mean; of those that occur."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    level = f"{100.0 * (1.0 - report['design']['alpha']):.4g} %"
    marks: list[Any] = [Line2D([], [], color=_ESTIMATE, label="estimate, treatment − control")]
    if any(point.lower is not None for each in panels for point in each.points):
        marks.append(Patch(facecolor=_BOUNDS, alpha=0.25, edgecolor=_BOUNDS, label=f"between the always-valid bounds, each at {level}"))
    names = [
        name for margin, name in ((False, "MDE"), (True, "margin")) if any(p.matters is not None and p.margin is margin for p in panels)
    ]
    if names:
        marks.append(Line2D([], [], color=_MATTERS, linestyle=_DASHES, label=" or ".join(names)))
    for better, marker, colour, text in ((True, "^", _BETTER, "shown: better, or not worse"), (False, "v", _WORSE, "shown: worse")):
        if any(crossing.better is better for each in panels for crossing in each.crossings):
            marks.append(Line2D([], [], color=colour, marker=marker, markersize=9, linestyle="", label=text))
    shares = ":".join(report["phases"][-1]["weights"]) if report["phases"] else ""
    marks.append(Line2D([], [], color=GREY, linestyle=":", label=f"phase (shares {shares})" if len(shares) < 60 else "phase (shares)"))
    figure.legend(handles=marks, loc="lower center", ncols=3, frameon=False, fontsize=9)


def _about(about: Data, points: Sequence[Point]) -> str:
    text = f"{about['role']}, to {about['direction']}"
    if not points:
        return text
    last = points[-1]
    bounds = "" if last.lower is None or last.upper is None else f" [{number(last.lower, sign=True)}, {number(last.upper, sign=True)}]"
    return f"{text}; now {number(last.estimate, sign=True)}{bounds}"


def _fitting(text: str, characters: float) -> str:
    return text if len(text) <= characters else text[: int(characters) - 1] + "…"


def _extent(report: Data) -> tuple[float, float]:
    """From the start to a little behind the last look, at least a second."""
    start = from_rfc3339(report["started"])
    last = report["looks"]["last"]
    passed = from_rfc3339(last or report["at"]) - start
    return start, start + max(1.0, 1.015 * passed)


def _phases(axes: Axes, phases: Sequence[PhaseLabel]) -> None:
    for label in phases:
        axes.axvline(label.at / _DAY, color=GREY, linewidth=1.0, linestyle=":", gid=label.text.partition(" (")[0].replace(" ", "-"))
        if label.level is not None:
            # Lines of text at the size of 8 points, whatever the height of the panel.
            axes.annotate(
                label.text,
                (label.at / _DAY, 1.0),
                xycoords=axes.get_xaxis_transform(),
                xytext=(0.0, 4.0 + 13.0 * label.level),
                textcoords="offset points",
                ha="right" if label.ends else "left",
                fontsize=8,
                color=GREY,
            )


def _lines(axes: Axes, panel: Panel) -> None:
    """Before the looks that had enough units for bounds there is the estimate alone."""
    days = np.array([point.at for point in panel.points]) / _DAY
    bounds = np.array([(point.lower, point.upper) for point in panel.points], dtype=np.float64)
    dot = "." if len(panel.points) <= _FEW else None
    axes.fill_between(days, bounds[:, 0], bounds[:, 1], color=_BOUNDS, alpha=0.15, linewidth=0.0, gid="between")
    axes.plot(days, bounds[:, 0], color=_BOUNDS, linewidth=1.1, marker=dot, markersize=3, gid="lower")
    axes.plot(days, bounds[:, 1], color=_BOUNDS, linewidth=1.1, marker=dot, markersize=3, gid="upper")
    axes.plot(days, [point.estimate for point in panel.points], color=_ESTIMATE, linewidth=1.6, marker=dot, markersize=4, gid="estimate")


def _limits(panel: Panel) -> tuple[float, float]:
    """The first looks have few units and wide bounds: what lies beyond nine tenths of all bounds and estimates is cut off.

    Never cut off are 0, the level that matters, the last look, and the looks that are marked.
    """
    estimates = np.array([point.estimate for point in panel.points])
    sides = [
        estimates,
        *(np.array([b for point in panel.points if (b := getattr(point, side)) is not None]) for side in ("lower", "upper")),
    ]
    marked = {crossing.look for crossing in panel.crossings}
    needed = [0.0] if panel.matters is None else [0.0, panel.matters]
    needed += [point.estimate for point in panel.points if point.look in marked]
    for values in sides:
        if values.size:
            needed += [*np.quantile(values, (0.05, 0.95)).tolist(), float(values[-1])]
    low, high = min(needed), max(needed)
    if high - low < 1e-290:
        low, high = low - 1.0, high + 1.0
    reach = 0.12 * (high - low)
    return low - reach, high + reach


def _cross(axes: Axes, panel: Panel, crossing: Crossing) -> None:
    """At the look's estimate; at the nearest one's, where that look has none."""
    nearest = min(panel.points, key=lambda point: abs(point.look - crossing.look))
    colour, marker = (_BETTER, "^") if crossing.better else (_WORSE, "v")
    place = (crossing.at / _DAY, nearest.estimate)
    gid = "shown-better" if crossing.better else "shown-worse"
    axes.plot(*place, color=colour, marker=marker, markersize=10, markeredgecolor="white", zorder=5, gid=gid, clip_on=False)
    start, end = panel.points[0].at, panel.points[-1].at
    late = crossing.at > start + 0.7 * (end - start)
    axes.annotate(
        crossing.text,
        place,
        xytext=(-9.0 if late else 9.0, 9.0 if crossing.better else -14.0),
        textcoords="offset points",
        ha="right" if late else "left",
        color=colour,
        fontweight="bold",
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.6},
        zorder=6,
    )


def _scales(axes: Axes, report: Data) -> None:
    from matplotlib import dates, ticker

    start, end = _extent(report)
    axes.set_xlim(start / _DAY, end / _DAY)
    locator = dates.AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.yaxis.set_major_locator(ticker.MaxNLocator(6))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:+.4g}" if value else "0"))
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
