"""When a window is full, and what is then said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from core.clock import to_rfc3339
from core.settings import Settings
from experiments.drift.decay import Decay, decay
from experiments.drift.judging import Judged, Rule, judge
from flows.watching.comparing import compared, independent
from flows.watching.reference import Reference
from flows.watching.state import PANES, Found, Labels, State
from models.drift.columns import Number
from models.drift.streams import standard_means
from models.drift.tally import Layout, Tally, merged
from store.watch import Key, WindowRow

ROWS, LABELS = "rows", "labels"
"""The kinds of windows: of what was served, and of what was labelled."""
LEAST_ROWS = 200
"""A window with fewer rows waits for more, however old it is."""


class Measures(NamedTuple):
    """How windows are cut and judged: rows and seconds of a window, its false-alarm rate, the least PSI of an alarm."""

    rows: int
    seconds: float
    alpha: float
    least_psi: float

    @property
    def pane(self) -> int:
        """Rows of a pane."""
        return -(-self.rows // PANES)

    @property
    def window(self) -> int:
        """Rows of a window, which is made of whole panes."""
        return self.pane * PANES

    def is_old(self, rows: int, opened: float, at: float) -> bool:
        """Whether a window with so many rows is to be judged before one of the journal time `at` is added to it."""
        return rows >= LEAST_ROWS and at >= opened + self.seconds


def measures(settings: Settings) -> Measures:
    """As the settings say."""
    return Measures(settings.watch_window_rows, settings.watch_window_seconds, settings.watch_false_alarm_rate, settings.watch_least_psi)


def end_pane(state: State, reference: Reference, at: float) -> None:
    """The pane is full: tell it to the streams, and begin another one."""
    numeric = [column.name for column in reference.layout.columns if isinstance(column, Number)]
    changed = state.streams.update(standard_means(reference.layout, state.pane)) if numeric else []
    if changed:
        state.changes += 1
        state.last = Found(at, tuple(numeric[place] for place in changed))
    state.turn(reference)


def end_window(key: Key, state: State, reference: Reference, of: Measures, at: float) -> WindowRow:
    """The judgement of the window that is open; another one begins."""
    tally = merged(reference.layout, state.window_panes)
    rule = Rule(of.alpha, of.least_psi, independent(reference.layout, tally, reference.repeats))
    found = judge(compared(reference.layout, tally), rule)
    named = list(zip((column.name for column in reference.layout.columns), found, strict=True))
    features, outputs = named[: reference.layout.features], named[reference.layout.features :]
    if state.pane.rows:
        end_pane(state, reference, at)
    state.windows += 1
    state.fresh = 0
    summary = _summary(state.windows, tally, state.opened, at, rule)
    row = _row(key, ROWS, summary, {"features": dict(features), "predictions": dict(outputs)})
    state.alarms += row.alarm
    return row


def end_labels(key: Key, labels: Labels, reference: Reference, layout: Layout, of: Measures, at: float) -> WindowRow:
    """The judgement of a window of labels; another one begins. Its rate is shared by the labels and the losses."""
    tally = labels.tally
    rule = Rule(of.alpha / len(layout.columns), of.least_psi, independent(reference.layout, tally, reference.repeats))
    target, *losses = compared(layout, tally)
    parts: dict[str, dict[str, Judged | Decay]] = {"labels": {"label": judge([target], rule)[0]}}
    if losses:
        parts["performance"] = {"loss": decay(losses[0], reference.loss, rule)}
    summary = _summary(labels.windows + 1, tally, labels.opened, at, rule)
    labels.tally, labels.seen, labels.windows = Tally.empty(layout), set(), labels.windows + 1
    row = _row(key, LABELS, summary, parts)
    labels.alarms += row.alarm
    return row


def _summary(number: int, tally: Tally, opened: float, at: float, rule: Rule) -> dict[str, Any]:
    independent_rows = round(tally.rows * rule.share)
    return {"number": number, "from": to_rfc3339(opened), "to": to_rfc3339(at), "rows": tally.rows, "independent_rows": independent_rows}


def _row(key: Key, kind: str, summary: dict[str, Any], parts: Mapping[str, Mapping[str, Judged | Decay]]) -> WindowRow:
    named = {f"{part}.{name}": one.reason for part, columns in parts.items() for name, one in columns.items() if one.alarm}
    body = msgspec.json.encode({**summary, "alarm": bool(named), "alarms": named})
    return WindowRow(*key, kind, summary["number"], bool(named), body, msgspec.json.encode(parts))
