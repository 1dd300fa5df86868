"""Pictures of a batch test, each as SVG text to stand in a page: drawn from the stored figures alone.

Colours are those of Okabe and Ito (2008), which people with any colour vision can tell apart; no meaning rests on colour alone.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.batch.table import headline
from experiments.text import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"

_WIDTH, _LINE = 5.2, 0.24
"""Inches: wide enough for a phone without scrolling, and what a row of a forest of intervals takes."""

_MOST_CLASSES = 25
_MOST_SLICES = 40
_LONGEST = 28

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 8.5,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "tiltyard",
    "axes.spines.top": False,
    "axes.spines.right": False,
}

_one_at_a_time = threading.Lock()
"""Matplotlib's settings and caches belong to the process."""


class Picture(NamedTuple):
    """A picture, what it shows, and how to read it."""

    title: str
    about: str
    svg: str


def pictures(test: Data) -> list[Picture]:
    """All that the test has figures for. The same test gives the same pictures."""
    import matplotlib as mpl
    import numpy as np

    # What a user's own file of settings says must not matter; to ask for the backend would import pyplot.
    settings: Any = {name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault if name != "backend"} | _STYLE
    # Axes of the largest values overflow while their ticks are chosen.
    with _one_at_a_time, mpl.rc_context(settings), warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("ignore", UserWarning)  # a name in letters that the font lacks: the reader's own font has them
        return [made for draw in (_reliability, _roc, _confusion, _errors, _slices) if (made := draw(test)) is not None]


def _reliability(test: Data) -> Picture | None:
    found = test["calibration"]
    if found is None:
        return None
    said = [one["said"] for one in found["bins"]]
    seen = [one["observed"] for one in found["bins"]]
    # An interval does not always hold the middle that it is drawn around.
    below = [max(0.0, one["observed"] - (one["lower"] if one["lower"] is not None else one["observed"])) for one in found["bins"]]
    above = [max(0.0, (one["upper"] if one["upper"] is not None else one["observed"]) - one["observed"]) for one in found["bins"]]

    def draw(axes: Axes) -> None:
        low, high = min(said + seen), max(said + seen)
        axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, linestyle="--")
        axes.errorbar(said, seen, yerr=[below, above], color=BLUE, marker="o", markersize=4, linewidth=1.2, capsize=2)
        axes.set_xlabel("said" if "ece" not in found else f"probability of {_short(found['of'])}")
        axes.set_ylabel("true" if "ece" not in found else "share that happened")

    about = "At most ten groups of about as many rows each, with intervals; on the dashed line what was said is what happened."
    return Picture("Calibration", about, _svg(draw, 3.6))


def _roc(test: Data) -> Picture | None:
    points = test.get("roc")
    if not points:
        return None

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
        axes.plot([x for x, _ in points], [y for _, y in points], color=BLUE, linewidth=1.4, drawstyle="default")
        axes.set_xlabel("share of the others taken for it")
        axes.set_ylabel(f"share of {_short(test['positive'])} found")

    return Picture("ROC curve", "Over all thresholds; the area below it is the AUC.", _svg(draw, 3.6))


def _confusion(test: Data) -> Picture | None:
    table = test.get("confusion")
    if table is None or len(table) > _MOST_CLASSES:
        return None
    names = [_short(one["class"]) for one in test["classes"]]
    shares = [[cell / max(1, sum(row)) for cell in row] for row in table]

    def draw(axes: Axes) -> None:
        axes.pcolormesh(shares, cmap="Blues", vmin=0.0, vmax=1.0, edgecolors="white", linewidth=1.0)
        for i, row in enumerate(table):
            for j, cell in enumerate(row):
                color = "white" if shares[i][j] > 0.6 else "black"
                axes.text(j + 0.5, i + 0.5, str(cell), ha="center", va="center", fontsize=7, color=color)
        middles = [k + 0.5 for k in range(len(names))]
        axes.set_xticks(middles, names, rotation=45 if len(names) > 3 else 0)
        axes.set_yticks(middles, names)
        axes.invert_yaxis()
        axes.set_xlabel("answered")
        axes.set_ylabel("true")

    return Picture(
        "Confusion", "Rows by true and answered class; the darker, the larger the share of the true class.", _svg(draw, _tall(len(names)))
    )


def _errors(test: Data) -> Picture | None:
    found = test.get("errors")
    if found is None:
        return None
    edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]

    def draw(axes: Axes) -> None:
        axes.stairs(counts, edges, fill=True, color=BLUE, alpha=0.6)
        axes.axvline(0.0, color=GREY, linewidth=0.8, linestyle="--")
        axes.set_xlabel("value less truth")
        axes.set_ylabel("rows")

    return Picture("Errors", "All but the most extreme 1 % of the rows.", _svg(draw, 3.0))


def _slices(test: Data) -> Picture | None:
    """The first metric of the headline, with its interval, for each slice."""
    name = next(iter(headline(test)), None)
    rows = [
        (f"{_short(column['column'])}: {_short(one['slice'])}", one["metrics"][name], one["small"])
        for column in test["slices"]["columns"]
        for one in column["slices"]
        if name in one["metrics"] and one["metrics"][name]["value"] is not None
    ]
    if name is None or not rows:
        return None
    shown = rows[:_MOST_SLICES]

    def draw(axes: Axes) -> None:
        axes.axvline(test["metrics"][name]["value"], color=GREY, linewidth=0.8, linestyle="--")
        for place, (_, one, small) in enumerate(shown):
            if one.get("lower") is not None:
                axes.plot([one["lower"], one["upper"]], [place, place], color=BLUE, linewidth=1.2)
            axes.plot([one["value"]], [place], marker="o", color=BLUE, markersize=4, markerfacecolor="white" if small else BLUE)
        axes.set_yticks(range(len(shown)), [text for text, _, _ in shown])
        axes.invert_yaxis()
        axes.set_xlabel(name)

    more = "" if len(rows) <= _MOST_SLICES else f" The first {_MOST_SLICES} of {len(rows)} slices."
    about = f"{name} with its interval; the dashed line is that of all rows. An open dot: too few rows to be tested.{more}"
    return Picture("Slices", about, _svg(draw, 1.0 + _LINE * len(shown)))


def _tall(rows: int) -> float:
    return max(2.6, 1.2 + _LINE * rows)


def _short(text: str) -> str:
    """Names come from data, and may be of any length."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def _svg(draw: Callable[[Axes], None], height: float) -> str:
    """As an element, without the XML declaration, and without the date, which would make each picture another."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    draw(figure.add_subplot())
    out = BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue().decode()
    return text[text.index("<svg") :]
