"""What stands over all panels of a picture: verdict, reasons, times, and what the band is where it is not what decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from experiments.picture import legend, words
from experiments.text import Data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZE = 13.0
_LEFT, _FIRST, _TITLE, _LINE = 0.2, 0.32, 0.26, 0.2
"""Inches: the margin, the baseline of the first line, the height of a line of the title, and that of another."""


class Header(NamedTuple):
    """Lines of text: in bold, in black and in grey."""

    title: list[str]
    reasons: list[str]
    rest: list[str]

    @property
    def height(self) -> float:
        """Inches, with some below."""
        return 0.55 + _TITLE * (len(self.title) - 1) + _LINE * (len(self.reasons) + len(self.rest))


def of(report: Data, success: bool, width: float) -> Header:
    """The header of a figure that is `width` inches; `success`: whether a success metric is drawn."""
    wide = width - 2.0 * _LEFT
    title = f"{report['verdict'].upper()}   experiment {report['experiment']} on endpoint {report['endpoint']}"
    rest = [_times(report), *([] if legend.short(report) else [f"shares of phases: {legend.shares(report).replace(':', ' : ')}"])]
    if success:
        rest += _decided_by(report)
    return Header(
        words.wrapped(title, wide, _SIZE, bold=True),
        [line for reason in _reasons(report) for line in words.wrapped(reason, wide)],
        [line for text in rest for line in words.wrapped(text, wide)],
    )


def draw(figure: Figure, header: Header) -> None:
    """From the top down."""
    width, height = figure.get_size_inches()
    left, down = _LEFT / width, _FIRST
    for line in header.title:
        figure.text(left, 1.0 - down / height, line, fontsize=_SIZE, fontweight="bold")
        down += _TITLE
    down -= _TITLE - 0.23
    for lines, colour in ((header.reasons, "black"), (header.rest, words.GREY)):
        for line in lines:
            figure.text(left, 1.0 - down / height, line, color=colour)
            down += _LINE


def _reasons(report: Data) -> list[str]:
    """With several treatments each has its own, so the experiment's would say one of them twice."""
    treatments = report["treatments"]
    if len(treatments) < 2:
        return [report["reason"]]
    return [f"{arm}: {found['verdict']}: {found['reason']}" for arm, found in treatments.items()]


def _times(report: Data) -> str:
    made = report["looks"]["made"]
    looks = f"{made} look{'' if made == 1 else 's'}, the last at {report['looks']['last'] or '-'}"
    return f"started {report['started']}, now {report['at']}, {looks}; all times in UTC"


def _decided_by(report: Data) -> list[str]:
    """Said where the band is not the test that decides on success."""
    design = report["design"]
    band = "The bands are always-valid bounds, which decide on harm and guardrails alone. Success is decided"
    if design["test"] == "fixed-horizon":
        return [f"{band} once, at the horizon, by a fixed-horizon test."]
    if design["test"] != "group-sequential":
        return []
    tests = sum(metric["role"] == "success" for metric in report["metrics"].values()) * len(report["treatments"])
    several = f" These are the bounds of one test; for one of {tests} to be shown takes more." if tests > 1 else ""
    return [f"{band} by the group-sequential bounds ({design['spending']} spending), at interim looks.{several}"]
