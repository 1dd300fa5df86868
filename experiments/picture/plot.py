"""The picture of an experiment: how each estimate and its always-valid bounds came about, look by look."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from core.errors import Conflict, Invalid, Refused
from experiments.picture import panel
from experiments.picture.panel import Panel, Point
from experiments.text import Data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Form: TypeAlias = Literal["svg", "png"]

_WIDTH, _DPI = 10.0, 100
"""Inches and pixels per inch: 1000 pixels wide."""

_LEFT, _RIGHT, _HEIGHT, _LINE, _LEGEND = 0.95, 0.25, 2.1, 0.2, 0.75
"""Inches: margins of a panel, its height, a line of text, the legend below all panels."""

_MOST_ALONE = 4
"""Panels one below the other; more are set in two columns."""

_CHARACTERS = 118
_LARGEST = 1e150
_ROLES = ("success", "guardrail", "info")

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9.0,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "tiltyard",
    "timezone": "UTC",
}

_one_at_a_time = threading.Lock()
"""Matplotlib's settings and caches belong to the process."""


def draw(report: Data, points: Sequence[Mapping[str, Any]], metrics: Sequence[str] = (), form: Form = "svg") -> bytes:
    """An SVG, or a PNG 1000 pixels wide, with one panel for each metric (success metrics first; only `metrics` where given) and treatment.

    `report` is that of `report.report`; `points` have look, treatment, metric, at (seconds), estimate, lower and upper (or None), in the
    order of looks. The same input gives the same bytes. Raises Conflict where there is nothing to draw yet, Invalid on a metric that
    the experiment does not have, and Refused on figures that no axis can hold.
    """
    chosen = _chosen(report, metrics)
    if not points:
        made = report["looks"]["made"]
        looks = "no look has been made yet" if made == 0 else f"no look of {made} has found 2 matured units in both arms"
        raise Conflict(f"experiment {report['experiment']!r} has nothing to draw: {looks}", code="no-looks")
    for row in (row for row in points if row["metric"] in chosen):
        if any(abs(value) > _LARGEST for value in (row["estimate"], row["lower"], row["upper"]) if value is not None):
            raise Refused(f"the estimates of {row['metric']} are too large to be drawn: name the other metrics with --metric")
    panels = [_panel(report, name, arm, points) for name in chosen for arm in report["treatments"]]
    import matplotlib as mpl

    # What a user's own file of settings says must not matter; to ask for the backend would import pyplot.
    settings: Any = {name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault if name != "backend"} | _STYLE
    with _one_at_a_time, mpl.rc_context(settings):
        return _rendered(_figure(report, panels, len(report["treatments"])), form)


def _chosen(report: Data, metrics: Sequence[str]) -> list[str]:
    known = report["metrics"]
    for name in metrics:
        if name not in known:
            raise Invalid(f"metric: expected one of {', '.join(known)}, got {name[:100]!r}", field="metric")
    wanted = [name for name in known if not metrics or name in metrics]
    return sorted(wanted, key=lambda name: _ROLES.index(known[name]["role"]))


def _panel(report: Data, name: str, arm: str, points: Sequence[Mapping[str, Any]]) -> Panel:
    mine = [row for row in points if row["metric"] == name and row["treatment"] == arm]
    found = [Point(row["look"], row["at"], row["estimate"], row["lower"], row["upper"]) for row in mine]
    return panel.of(report, name, arm, found)


def _figure(report: Data, panels: Sequence[Panel], treatments: int) -> Figure:
    """Panels from the top down, each at its place in inches: nothing depends on how wide a renderer finds a text."""
    from matplotlib.figure import Figure

    columns = 2 if treatments > 1 or len(panels) > _MOST_ALONE else 1
    wide = (_WIDTH - columns * (_LEFT + _RIGHT)) / columns
    phases, levels = panel.phase_labels(report, wide)
    reason = textwrap.wrap(report["reason"], _CHARACTERS) or [""]
    head, above, below = 0.55 + _LINE * (len(reason) + 1), 0.6 + _LINE * levels, 0.42
    rows = -(-len(panels) // columns)
    height = head + rows * (above + _HEIGHT + below) + _LEGEND
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    _header(figure, report, reason, height)
    for index, each in enumerate(panels):
        row, column = divmod(index, columns)
        left = _LEFT + column * (wide + _LEFT + _RIGHT)
        top = head + row * (above + _HEIGHT + below) + above
        axes = figure.add_axes((left / _WIDTH, 1.0 - (top + _HEIGHT) / height, wide / _WIDTH, _HEIGHT / height))
        panel.draw(axes, report, each, phases, levels * _LINE + 0.08, wide)
    panel.legend(figure, report, panels)
    return figure


def _header(figure: Figure, report: Data, reason: Sequence[str], height: float) -> None:
    made = report["looks"]["made"]
    looks = f"{made} look{'' if made == 1 else 's'}, the last at {report['looks']['last'] or '-'}"
    title = f"{report['verdict'].upper()}   experiment {report['experiment']} on endpoint {report['endpoint']}"
    lines = [*reason, f"started {report['started']}, now {report['at']}, {looks}; all times in UTC"]
    figure.text(0.02, 1.0 - 0.32 / height, title, fontsize=13, fontweight="bold")
    for number, line in enumerate(lines):
        colour = "black" if number < len(reason) else panel.GREY
        figure.text(0.02, 1.0 - (0.55 + _LINE * number) / height, line, color=colour)


def _rendered(figure: Figure, form: Form) -> bytes:
    """Without the date, which would make each picture another."""
    out = BytesIO()
    figure.savefig(out, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return out.getvalue()
