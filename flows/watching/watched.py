"""One version at one endpoint while it is watched: rows come, panes and windows end."""

from __future__ import annotations

from typing import NamedTuple

from core.events import Predicted
from core.values import Label, Output, Row
from flows.watching import windows
from flows.watching.reference import Reference
from flows.watching.state import PANES, State
from flows.watching.windows import Measures
from store.watch import Key, WindowRow


class LabelledRow(NamedTuple):
    """A row, what was answered, and the truth."""

    row: Row
    output: Output
    label: Label


def cut(row: Row, columns: tuple[int, ...] | None) -> Row:
    """The version's own columns of a row; None: as it is."""
    return row if columns is None else [row[column] for column in columns]


class Watched:
    """Rows wait until there are enough of them, or somebody calls `settle`: many are counted at once. `ended` are windows to be stored."""

    def __init__(self, key: Key, reference: Reference, state: State, measures: Measures) -> None:
        self.key = key
        self.reference = reference
        self.state = state
        self.ended: list[WindowRow] = []
        self._measures = measures
        self._rows: list[Row] = []
        self._outputs: list[Output] = []
        self._told: list[LabelledRow] = []
        self._latest = self._latest_label = 0.0

    def serve(self, event: Predicted, columns: tuple[int, ...] | None, at: float) -> None:
        """Count what was answered at the journal time `at`; `columns` are those of the version in the event's rows, None: as they are."""
        rows, outputs = [cut(row, columns) for row in event.rows], event.outputs
        if self._measures.is_old(self.state.rows + len(self._rows), self.state.opened, at):
            self._end_window()
        while rows:
            if not self._rows and not self.state.rows:
                self.state.opened = at
            self._latest = at
            room = max(1, self._measures.pane - self.state.pane.rows - len(self._rows))
            self._rows += rows[:room]
            self._outputs += outputs[:room]
            rows, outputs = rows[room:], outputs[room:]
            if self.state.pane.rows + len(self._rows) >= self._measures.pane:
                self._end_pane()

    def tell(self, place: tuple[int, int, int], told: LabelledRow, at: float) -> None:
        """Count a label that came at the journal time `at`, once for each row; `place` says which row it is of."""
        labels = self.state.labels
        layout = self.reference.labels
        if layout is None or place in labels.seen:
            return
        if self._measures.is_old(len(labels.seen), labels.opened, at):
            self._end_labels()
        if not labels.seen:
            labels.opened = at
        self._latest_label = at
        labels.seen.add(place)
        self._told.append(told)
        if len(labels.seen) >= self._measures.window:
            self._end_labels()

    def settle(self) -> None:
        """Count all that waits."""
        if self._rows:
            self.state.pane.add(self.reference.tally(self._rows, self._outputs))
            self._rows, self._outputs = [], []
        if self._told and self.reference.labels is not None:
            rows, outputs, labels = zip(*self._told, strict=True)
            self.state.labels.tally.add(self.reference.tally_labels(self.reference.labels, rows, outputs, labels))
            self._told = []

    def _end_pane(self) -> None:
        self.settle()
        windows.end_pane(self.state, self.reference, self._latest)
        if self.state.fresh >= PANES:
            self._end_window()

    def _end_window(self) -> None:
        self.settle()
        self.ended.append(windows.end_window(self.key, self.state, self.reference, self._measures, self._latest))

    def _end_labels(self) -> None:
        self.settle()
        if self.reference.labels is not None:
            labels = windows.end_labels(
                self.key, self.state.labels, self.reference, self.reference.labels, self._measures, self._latest_label
            )
            self.ended.append(labels)
