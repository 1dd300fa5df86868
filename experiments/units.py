"""The life of a unit in an experiment: entry, window, maturity.

A unit's entry fixes its arm and phase. Its outcomes count within [entry, entry + window), where they arrive before it matures
at entry + window + lateness of journal time. A unit whose window crosses the end of its entry phase is cut: left out, since
cutting its window short would change what is estimated.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Window(NamedTuple):
    """How long outcomes of a unit count, and how much longer one waits for them; both in seconds."""

    seconds: float
    lateness: float

    def matures(self, entry: float) -> float:
        """The journal time at which a unit that entered at `entry` matures."""
        return entry + self.seconds + self.lateness

    def entered_by(self, now: float) -> float:
        """Units that entered at or before this have matured at journal time `now`."""
        return now - self.seconds - self.lateness

    def counts(self, entry: float, timestamp: float, arrived: float) -> bool:
        """Whether an outcome observed at `timestamp`, which arrived at journal time `arrived`, counts for the unit."""
        return entry <= timestamp < entry + self.seconds and arrived < self.matures(entry)

    def settle(self, entry: float, phase_end: float | None) -> Literal["matured", "cut"]:
        """What becomes of a unit at its maturity, given when its entry phase ended (None: it has not)."""
        return "cut" if phase_end is not None and entry + self.seconds > phase_end else "matured"
