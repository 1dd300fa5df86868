"""The picture of an experiment: how each estimate and its always-valid bounds came about, look by look."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from core.errors import Conflict, Invalid, Refused
from experiments.picture import header, interims, legend, panel, phases, words
from experiments.picture.header import Header
from experiments.picture.interims import Interims
from experiments.picture.panel import Panel, Point
from experiments.picture.phases import PhaseLabel
from experiments.text import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Form: TypeAlias = Literal["svg", "png"]

_WIDTH, _DPI = 10.0, 100
"""Inches and pixels per inch: 1000 pixels wide."""

_LEFT, _RIGHT, _HEIGHT, _BELOW, _LINE = 0.95, 0.25, 2.1, 0.42, 0.2
"""Inches: margins of a panel, its height, its axis below, a line of text."""

_TITLE = 10.0
"""Points."""

_MOST_ALONE = 4
"""Panels one below the other; more are set in two columns."""

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

_AnyPanel: TypeAlias = Panel | Interims

_one_at_a_time = threading.Lock()
"""Matplotlib's settings and caches belong to the process."""


def draw(report: Data, points: Sequence[Mapping[str, Any]], metrics: Sequence[str] = (), form: Form = "svg") -> bytes:
    """An SVG, or a PNG 1000 pixels wide, with one panel for each metric (success metrics first; only `metrics` where given) and treatment,
    and one more for each whose success is decided by a group-sequential test.

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
    panels = [each for name in chosen for each in _panels(report, name, points)]
    success = any(report["metrics"][name]["role"] == "success" for name in chosen)
    import matplotlib as mpl

    # What a user's own file of settings says must not matter; to ask for the backend would import pyplot.
    settings: Any = {name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault if name != "backend"} | _STYLE
    with _one_at_a_time, mpl.rc_context(settings):
        return _rendered(_figure(report, panels, header.of(report, success, _WIDTH)), form)


def _chosen(report: Data, metrics: Sequence[str]) -> list[str]:
    known = report["metrics"]
    for name in metrics:
        if name not in known:
            raise Invalid(f"metric: expected one of {', '.join(known)}, got {name[:100]!r}", field="metric")
    wanted = [name for name in known if not metrics or name in metrics]
    return sorted(wanted, key=lambda name: _ROLES.index(known[name]["role"]))


def _panels(report: Data, name: str, points: Sequence[Mapping[str, Any]]) -> list[_AnyPanel]:
    """A metric's panels over time, one for each treatment; then those of what decides, where that is another test."""
    found: list[_AnyPanel] = [panel.of(report, name, arm, _points(name, arm, points)) for arm in report["treatments"]]
    if report["metrics"][name]["role"] == "success" and report["design"]["test"] == "group-sequential":
        found += [interims.of(report, name, arm) for arm in report["treatments"]]
    return found


def _points(name: str, arm: str, points: Sequence[Mapping[str, Any]]) -> list[Point]:
    mine = [row for row in points if row["metric"] == name and row["treatment"] == arm]
    return [Point(row["look"], row["at"], row["estimate"], row["lower"], row["upper"]) for row in mine]


class _Layout(NamedTuple):
    """Panels from the top down, each at its place in inches: `top` is the header's height, `above` and `wide` a panel's."""

    columns: int
    top: float
    above: float
    wide: float
    height: float

    def add(self, figure: Figure, index: int) -> Axes:
        """The panel of that number."""
        row, column = divmod(index, self.columns)
        left = _LEFT + column * (self.wide + _LEFT + _RIGHT)
        bottom = self.height - self.top - row * (self.above + _HEIGHT + _BELOW) - self.above - _HEIGHT
        return figure.add_axes((left / _WIDTH, bottom / self.height, self.wide / _WIDTH, _HEIGHT / self.height))


def _figure(report: Data, panels: Sequence[_AnyPanel], top: Header) -> Figure:
    """All places are known before anything is drawn: nothing depends on how wide a renderer finds a text."""
    from matplotlib.figure import Figure

    columns = 2 if len(report["treatments"]) > 1 or len(panels) > _MOST_ALONE else 1
    wide = (_WIDTH - columns * (_LEFT + _RIGHT)) / columns
    labels, levels = phases.labels(report, wide)
    heads = [_head(each, wide) for each in panels]
    above = _LINE * (1 + levels + max(map(len, heads)))
    marks = legend.marks(report, panels)
    height = top.height + -(-len(panels) // columns) * (above + _HEIGHT + _BELOW) + legend.height(marks)
    layout = _Layout(columns, top.height, above, wide, height)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    header.draw(figure, top)
    for index, (each, head) in enumerate(zip(panels, heads, strict=True)):
        axes = layout.add(figure, index)
        _draw(axes, report, each, labels, wide)
        _write(axes, head, words.POINTS * (_LINE * levels + 0.08))
    legend.draw(figure, marks)
    return figure


def _head(each: _AnyPanel, wide: float) -> list[tuple[str, bool]]:
    """Lines over a panel, with whether they are its title."""
    title = [(line, True) for line in words.wrapped(each.title, wide, _TITLE, bold=True)]
    return title + [(line, False) for line in words.wrapped(each.about, wide)]


def _write(axes: Axes, head: Sequence[tuple[str, bool]], above: float) -> None:
    for number, (line, bold) in zip(reversed(range(len(head))), head, strict=True):
        how: dict[str, Any] = {"fontsize": _TITLE, "fontweight": "bold"} if bold else {}
        words.above(axes, line, 0.0, above + 14.0 * number, **how)


def _draw(axes: Axes, report: Data, each: _AnyPanel, labels: Sequence[PhaseLabel], wide: float) -> None:
    from matplotlib import ticker

    if isinstance(each, Panel):
        panel.draw(axes, report, each, labels, wide)
    else:
        interims.draw(axes, each, wide)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(6))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:+.4g}" if value else "0"))
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _rendered(figure: Figure, form: Form) -> bytes:
    """Without the date, which would make each picture another."""
    out = BytesIO()
    figure.savefig(out, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return out.getvalue()
