"""The report on drift for a terminal: alarms first, then the strongest few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from experiments.text import Data, fitted, grid, number, p_text

MOST_SHOWN = 5
"""Columns beside those with an alarm, unless all are asked for."""
MOST_NAME = 40
"""Characters of a column's name in the table; reasons name it whole."""


def table(report: Data, *, whole: bool = False) -> str:
    """A report (see `flows.watching.report`) as text that ends in a newline; `whole`: with every column."""
    rate = report["false_alarm_rate"]
    head = (
        f"endpoint {report['endpoint']}: windows of {report['window_rows']} rows; where nothing has changed a window of a version raises an"
        f" alarm with probability {number(rate['window'])} at most, one of {rate['windows']} windows with {number(rate['any'])}"
    )
    parts = [[head], *(list(_version(version, one, whole)) for version, one in report["versions"].items())]
    return "\n\n".join("\n".join(row for line in part for row in fitted(line)) for part in parts) + "\n"


def _version(version: str, of: Data, whole: bool) -> Iterator[str]:
    arms = ", ".join(of["arms"]) or "no arm now"
    yield f"{_standing(of)}  {version} ({arms})"
    yield f"  {of['reason']}"
    yield from (f"  {note}" for note in of["notes"])
    if "window" not in of:
        return
    yield from _columns(of, whole)
    yield from _labels(of)
    if of["adwin"]["last"] is not None:
        last = of["adwin"]["last"]
        yield f"  ADWIN: {of['adwin']['changes']} changes against its own past, the last at {last['at']} in {', '.join(last['columns'])}"
    yield from (line for kind in ("rows", "labels") for line in _past(kind, of["history"][kind], of["last_alarm"][kind]))
    filling = of["filling"]
    for kind, label in (("rows", "windows"), ("labels", "windows of labels")):
        yield f"  {label}: {of['windows'][kind]} judged, {of['alarms'][kind]} with an alarm, {filling[kind]} rows in the next"


def _standing(of: Data) -> str:
    """Only a version of which a window was judged can be ok."""
    if "window" not in of:
        return "not judged"
    if of["window"] is None and of["label_window"] is None:
        return "not judged yet"
    return "DRIFT" if of["alarm"] else "ok   "


def _past(kind: str, history: Sequence[Data], last: Data | None) -> Iterator[str]:
    """Alarms of earlier windows among those that are listed, or else the last one there was; the newest window is told already."""
    alarms = [window for window in history[1:] if window["alarm"]]
    if last is not None and all(last["number"] != window["number"] for window in history):
        alarms.append(last)
    for window in alarms:
        yield f"  alarm in window {window['number']} of {kind}, to {window['to']}: {', '.join(window['alarms'])}"


def _columns(of: Data, whole: bool) -> Iterator[str]:
    window = of["window"]
    if window is None:
        return
    independent = window["independent_rows"]
    same = "" if independent == window["rows"] else f", many of them the same: as good as {independent}"
    yield f"  window {window['number']}, {window['from']} to {window['to']}, {window['rows']} rows{same}"
    found = [(name, one) for part in ("features", "predictions") for name, one in _named(part, of[part])]
    found.sort(key=lambda item: (not item[1]["alarm"], -(item[1]["score"] or 0.0)))
    alarms = sum(one["alarm"] for _, one in found)
    shown = found if whole else found[: alarms + MOST_SHOWN]
    yield from (
        "    " + line for line in grid(["column", "PSI", "chance", "KS", "p", "missing", "outside", "says"], list(map(_row, shown)))
    )
    if len(shown) < len(found):
        yield f"    and {len(found) - len(shown)} columns with a lower PSI (--all)"


def _named(part: str, columns: Data) -> Iterator[tuple[str, Data]]:
    for name, one in columns.items():
        yield (f"[{name}]" if part == "predictions" else name), one


def _row(item: tuple[str, Data]) -> list[Any]:
    name, one = item
    outside = one["out_of_range"] or one["unseen"]
    return [
        name if len(name) <= MOST_NAME else f"{name[: MOST_NAME - 1]}…",
        _short(one["score"]),
        _short(one["limit"]),
        _short(one["ks"]),
        p_text(one["adjusted"]),
        f"{one['missing']['window']:.2g}",
        "-" if outside is None else f"{outside['window']:.2g}",
        "ALARM" if one["alarm"] else "",
    ]


def _labels(of: Data) -> Iterator[str]:
    window = of["label_window"]
    if window is None:
        return
    yield f"  labels: window {window['number']}, {window['from']} to {window['to']}, {window['rows']} rows"
    labels = of["labels"]
    if labels is not None:
        yield f"    labels: {labels['reason']} (PSI {_short(labels['score'])}, p {p_text(labels['adjusted'])})"
    performance = of["performance"]
    if performance is not None:
        means = f"{number(performance['window'])} beside {number(performance['reference'])} on the sample"
        says = "ALARM" if performance["alarm"] else performance["reason"]  # the reason of an alarm has the means in it
        yield f"    {performance['loss']}: {means}: {says} (p {p_text(performance['p_value'])})"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
