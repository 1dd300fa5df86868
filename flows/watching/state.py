"""What is counted of one version at one endpoint: panes of rows, of which a window is made, and a window of labels."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from flows.watching.reference import Reference
from models.drift.streams import Streams
from models.drift.tally import Layout, Tally, merged

PANES = 4
"""Panes of a window. What is shown as of now is the newest four, the last one not yet full."""


class Found(msgspec.Struct, frozen=True):
    """A change that ADWIN has found: when, and in which columns."""

    at: float
    columns: tuple[str, ...]


class Labels:
    """Labelled rows since `opened`: their tally, and which ones they are, so that a label that comes twice counts once."""

    def __init__(self, tally: Tally, opened: float = 0.0, seen: set[tuple[int, int, int]] | None = None) -> None:
        self.tally = tally
        self.opened = opened
        self.seen = seen or set()
        self.windows = self.alarms = 0


class State:
    """`panes` are full, the last `fresh` of them not judged yet; `pane` is the one that fills. `opened`: when its window began.

    `changes` counts what the `streams` have found, `last` is the latest of it.
    """

    def __init__(self, reference: Reference, rate: float) -> None:
        self.panes: list[Tally] = []
        self.fresh = 0
        self.pane = Tally.empty(reference.layout)
        self.opened = 0.0
        self.windows = self.alarms = self.changes = 0
        self.last: Found | None = None
        self.streams = Streams(rate)
        self.labels = Labels(Tally.empty(reference.labels or Layout([], 0)))

    @property
    def rows(self) -> int:
        """Rows of the window that is open."""
        return sum(pane.rows for pane in self.window_panes)

    @property
    def window_panes(self) -> list[Tally]:
        """The panes of the window that is open."""
        return [*self.panes[len(self.panes) - self.fresh :], self.pane]

    def rolling(self, layout: Layout) -> Tally:
        """The newest panes."""
        return merged(layout, [*self.panes[-(PANES - 1) :], self.pane] if self.pane.rows else self.panes[-PANES:])

    def turn(self, reference: Reference) -> None:
        """Begin another pane."""
        self.panes = [*self.panes, self.pane][-PANES:]
        self.fresh += 1
        self.pane = Tally.empty(reference.layout)


_SEEN = list[tuple[int, int, int]]


def pack(state: State) -> bytes:
    """The state as bytes, for the store."""
    labels = state.labels
    return msgspec.msgpack.encode(
        {
            "panes": [pane.pack() for pane in state.panes],
            "fresh": state.fresh,
            "pane": state.pane.pack(),
            "opened": state.opened,
            "windows": (state.windows, state.alarms, labels.windows, labels.alarms),
            "changes": state.changes,
            "last": state.last,
            "means": np.array(state.streams.means).tobytes(),
            "streams": len(state.streams.means),
            "labels": (labels.tally.pack(), labels.opened, sorted(labels.seen)),
        }
    )


def unpack(body: bytes, reference: Reference, rate: float) -> State:
    """The state from the bytes; a new one where the columns are no longer those that it was counted on."""
    found: dict[str, Any] = msgspec.msgpack.decode(body)
    state = State(reference, rate)
    state.changes = found["changes"]
    state.last = msgspec.convert(found["last"], Found | None)
    tally, opened, seen = found["labels"]
    pane, counted = Tally.unpack(found["pane"]), Tally.unpack(tally)
    if pane.like(state.pane) and counted.like(state.labels.tally):
        state.panes, state.pane = [Tally.unpack(each) for each in found["panes"]], pane
        state.fresh, state.opened = found["fresh"], found["opened"]
        state.labels = Labels(counted, opened, set(msgspec.convert(seen, _SEEN)))
        if found["streams"]:
            state.streams = Streams(rate, list(np.frombuffer(found["means"]).reshape(found["streams"], -1)))
    state.windows, state.alarms, state.labels.windows, state.labels.alarms = found["windows"]
    return state
