"""Texts in a picture: how wide they are, where they are broken, and where they stand so that nothing is cut off."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "#555555"

SIZE, SMALL = 9.0, 8.0
"""Points: of most texts, and of the labels of phases."""

POINTS = 72.0
"""To the inch."""

_SPARE = 1.03
"""What renderers make of the same font differs by about 2 %."""

TOGETHER = "\u00a0"
"""A space at which no line is broken."""

_PIECES = re.compile(r"[^ _]*[ _]+|[^ _]+")
"""What a line may be broken behind: spaces, and the underscores of names."""


def inches(text: str, size: float = SIZE, bold: bool = False) -> float:
    """How wide a line of text is, in the font that comes with matplotlib: the same on every machine."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return _SPARE * float(width) / POINTS


def wrapped(text: str, wide: float, size: float = SIZE, bold: bool = False) -> list[str]:
    """The text in lines of at most `wide` inches: nothing is left out, and a word that is wider than a line is cut in two."""
    lines = [""]
    for piece in _PIECES.findall(text):
        for part in [piece] if inches(piece.rstrip(), size, bold) <= wide else piece:
            if inches((lines[-1] + part).rstrip(), size, bold) <= wide:
                lines[-1] += part
            else:
                lines.append(part)
    return [line.rstrip().replace(TOGETHER, " ") for line in lines]


def held(place: float, width: float, wide: float) -> float:
    """Where a text begins that is to begin at `place`, moved to the left where it would end beyond `wide`; all in inches."""
    return max(0.0, min(place, wide - width))


def inside(axes: Axes, text: str, wide: float) -> None:
    """Write what there is to say in a panel in which nothing can be drawn."""
    how = {"ha": "center", "va": "center", "color": GREY, "backgroundcolor": "white"}
    axes.text(0.5, 0.5, "\n".join(wrapped(text, wide)), transform=axes.transAxes, **how)  # type: ignore[arg-type]


def above(axes: Axes, text: str, left: float, points: float, **how: object) -> None:
    """Write a line over the panel, `left` inches from its left edge and `points` above its upper one."""
    offset = (POINTS * left, points)
    axes.annotate(text, (0.0, 1.0), xycoords="axes fraction", xytext=offset, textcoords="offset points", **how)  # type: ignore[arg-type]
