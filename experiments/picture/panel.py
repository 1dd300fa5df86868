"""One panel of an experiment's picture: one metric of one treatment over time.

Colours are those of Okabe and Ito (2008), which people with any colour vision can tell apart; no meaning rests on colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.clock import from_rfc3339
from experiments.picture import phases, words
from experiments.picture.phases import DAY, PhaseLabel
from experiments.text import Data, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ESTIMATE, BOUNDS, MATTERS = "black", "#0072B2", "#CC79A7"
BETTER, WORSE = ("#009E73", "^"), ("#D55E00", "v")
DASHES = (0, (6, 3))

_MOST_POINTS = 600
_FEW = 40
"""Points up to this many get a dot each."""

_BESIDE = 9.0
"""Points from a mark to its text, both ways."""

_ROOM = 0.17
"""Of the panel's height, for a text above or below its mark."""


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

    title: str
    about: str
    points: list[Point]
    crossings: list[Crossing]
    matters: float | None
    margin: bool
    missing: str


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
        f"{metric}: {arm} − control",
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


def draw(axes: Axes, report: Data, panel: Panel, labels: Sequence[PhaseLabel], wide: float) -> None:
    """Draw it, `wide` inches, with the phases above."""
    axes.axhline(0.0, color="black", linewidth=0.8, gid="zero")
    if panel.matters is not None:
        axes.axhline(panel.matters, color=MATTERS, linewidth=1.4, linestyle=DASHES, gid="margin" if panel.margin else "mde")
    phases.draw(axes, labels)
    if panel.points:
        _lines(axes, panel)
        axes.set_ylim(*_limits(panel))
        for crossing in panel.crossings:
            _cross(axes, panel, crossing, phases.place(report, crossing.at, wide), wide)
    else:
        words.inside(axes, panel.missing, wide)
    _times(axes, report)


def _about(about: Data, points: Sequence[Point]) -> str:
    text = f"{about['role']}, to {about['direction']}"
    if not points:
        return text
    last = points[-1]
    bounds = "" if last.lower is None or last.upper is None else f" [{number(last.lower, sign=True)}, {number(last.upper, sign=True)}]"
    now = f"now {number(last.estimate, sign=True)}{bounds}"
    return f"{text}; {now.replace(' ', words.TOGETHER)}"


def _lines(axes: Axes, panel: Panel) -> None:
    """Before the looks that had enough units for bounds there is the estimate alone. The band of a single look is a bar."""
    days = np.array([point.at for point in panel.points]) / DAY
    bounds = np.array([(point.lower, point.upper) for point in panel.points], dtype=np.float64)
    dot = "." if len(panel.points) <= _FEW else None
    if np.isfinite(bounds[:, 0]).sum() == 1:
        axes.vlines(days, bounds[:, 0], bounds[:, 1], color=BOUNDS, alpha=0.25, linewidth=6.0, gid="between")
    else:
        axes.fill_between(days, bounds[:, 0], bounds[:, 1], color=BOUNDS, alpha=0.15, linewidth=0.0, gid="between")
    axes.plot(days, bounds[:, 0], color=BOUNDS, linewidth=1.1, marker=dot, markersize=3, gid="lower")
    axes.plot(days, bounds[:, 1], color=BOUNDS, linewidth=1.1, marker=dot, markersize=3, gid="upper")
    size = 8.0 if len(panel.points) == 1 else 4.0
    axes.plot(days, [point.estimate for point in panel.points], color=ESTIMATE, linewidth=1.6, marker=dot, markersize=size, gid="estimate")


def _limits(panel: Panel) -> tuple[float, float]:
    """The first looks have few units and wide bounds: what lies beyond nine tenths of all bounds and estimates is cut off.

    Never cut off are 0, the level that matters, the last look, and the looks that are marked, with their texts.
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
    low, high = low - reach, high + reach
    for crossing in panel.crossings:
        marked_at = _nearest(panel, crossing).estimate
        if crossing.better:
            high = max(high, (marked_at - _ROOM * low) / (1.0 - _ROOM))
        else:
            low = min(low, (marked_at - _ROOM * high) / (1.0 - _ROOM))
    return low, high


def _nearest(panel: Panel, crossing: Crossing) -> Point:
    """The look that was marked, or the one next to it where that has no estimate."""
    return min(panel.points, key=lambda point: abs(point.look - crossing.look))


def _cross(axes: Axes, panel: Panel, crossing: Crossing, place: float, wide: float) -> None:
    """The mark `place` inches from the panel's left edge, and its text, which ends inside the panel."""
    colour, marker = BETTER if crossing.better else WORSE
    at = (crossing.at / DAY, _nearest(panel, crossing).estimate)
    gid = "shown-better" if crossing.better else "shown-worse"
    axes.plot(*at, color=colour, marker=marker, markersize=10, markeredgecolor="white", zorder=5, gid=gid, clip_on=False)
    beside = _BESIDE / words.POINTS
    left = words.held(place + beside, words.inches(crossing.text, bold=True), wide - beside)
    axes.annotate(
        crossing.text,
        at,
        xytext=(words.POINTS * (left - place), _BESIDE if crossing.better else -14.0),
        textcoords="offset points",
        color=colour,
        fontweight="bold",
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.6},
        zorder=6,
    )


def _times(axes: Axes, report: Data) -> None:
    from matplotlib import dates

    start, end = phases.extent(report)
    axes.set_xlim(start / DAY, end / DAY)
    locator = dates.AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
