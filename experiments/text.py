"""Text for a terminal: aligned columns, wrapped lines, numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 100

LEAST_P = 1e-300

Data = Mapping[str, Any]


def grid(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Columns as wide as their widest cell; numbers to the right, words to the left."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    right = [all(isinstance(row[i], int) for row in rows) for i in range(len(head))]
    return ["  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)) for row in cells]


def fitted(line: str) -> list[str]:
    """The line, continued on further ones with a deeper indent where it is too long: nothing is cut off."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line.rstrip(), WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]


def number(value: float | None, sign: bool = False) -> str:
    """Five digits, with a + where `sign`; `-` for None."""
    return "-" if value is None else f"{value:+.5g}" if sign else f"{value:.5g}"


def span(lower: float | None, upper: float | None) -> str:
    """An interval; `-` where a bound is missing."""
    return "-" if lower is None or upper is None else f"[{number(lower)}, {number(upper)}]"


def p_text(value: float | None) -> str:
    """A p value with three digits, `-` for None; one that underflowed is below the least that is told apart."""
    return "-" if value is None else f"{value:.3g}" if value >= LEAST_P else f"< {LEAST_P:g}"
