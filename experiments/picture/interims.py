"""The panel of a group-sequential test: its statistic at each interim look, against the bound that it must reach there.

The band over time is that of the always-valid test, which decides on harm; this is what decides on success.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments.methods import group_sequential
from experiments.picture import words
from experiments.text import Data, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATISTIC, BOUND = "black", "#E69F00"
STATISTIC_MARK, BOUND_MARK = "o", "s"

_USUAL = (-1.0, 4.0)
"""What z is mostly between."""


class Interims(NamedTuple):
    """The interim looks so far: the share of the maximum gathered at each, z in the direction of the improvement, and its bound (None
    where there is none).
    """

    title: str
    about: str
    information: list[float]
    z: list[float]
    bounds: list[float | None]


def of(report: Data, metric: str, arm: str) -> Interims:
    """The panel of a success metric and a treatment, with the bounds of one test at alpha."""
    looks = report["metrics"][metric]["differences"][arm].get("interims", [])
    fractions, z, information = ([look[name] for look in looks] for name in ("fraction", "z", "information"))
    design = report["design"]
    bounds = group_sequential.bounds(design["alpha"], fractions, design["spending"], design["phi"], information) if looks else []
    return Interims(f"{metric}: {arm} − control, interim looks", _about(information, z, bounds), information, z, bounds)


def _about(information: list[float], z: list[float], bounds: list[float | None]) -> str:
    if not z:
        return "group-sequential"
    made = f"{len(z)} interim look{'' if len(z) == 1 else 's'}"
    figures = f"z {number(z[-1], sign=True)}, bound {number(bounds[-1], sign=True)}"
    return f"{made}, the last at {information[-1]:.1%} of the maximum: {figures.replace(' ', words.TOGETHER)}"


def draw(axes: Axes, panel: Interims, wide: float) -> None:
    """Draw it, `wide` inches; over the information, not over time: the looks are steps of it."""
    from matplotlib import ticker

    axes.axhline(0.0, color="black", linewidth=0.8)
    if panel.z:
        bounds = np.array(panel.bounds, dtype=np.float64)
        axes.plot(panel.information, bounds, color=BOUND, linewidth=1.4, marker=BOUND_MARK, markersize=5, gid="interim-bound")
        axes.plot(panel.information, panel.z, color=STATISTIC, linewidth=1.6, marker=STATISTIC_MARK, markersize=4, gid="interim-z")
        axes.margins(y=0.12)
    else:
        words.inside(axes, "no interim look yet", wide)
        axes.set_ylim(*_USUAL)
    axes.set_xlim(0.0, 1.03 * max([1.0, *panel.information]))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
    axes.xaxis.set_major_formatter(ticker.PercentFormatter(1.0))
    axes.set_xlabel("information, of the maximum", loc="right", fontsize=8.5, labelpad=1.0)
    axes.set_ylabel("z", rotation=0)
