"""Views to try, and histories of events that Hypothesis makes up."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from core.values import Value
from models.features.aggregates import Aggregates
from models.features.declaration import Aggregate, Stream, View
from models.features.occurrences import Occurrence

LATENESS = 20.0
WINDOW = 60.0
"""One pane is a second."""

EVERY = {
    "count": Aggregate("count", window_seconds=WINDOW),
    "given": Aggregate("count", "x", WINDOW),
    "sum": Aggregate("sum", "x", WINDOW),
    "mean": Aggregate("mean", "x", WINDOW),
    "min": Aggregate("min", "x", WINDOW),
    "max": Aggregate("max", "x", WINDOW),
    "var": Aggregate("var", "x", WINDOW),
    "short": Aggregate("var", "x", 7.0),
    "ewm": Aggregate("ewm", "x", fading=0.3),
    "quantile": Aggregate("quantile", "x", WINDOW, q=0.9),
    "distinct": Aggregate("distinct", "what", WINDOW),
}
"""Each kind of aggregate."""


def view(features: dict[str, Aggregate] | None = None, lateness: float = LATENESS, **fields: Any) -> View:
    """A view of the stream `clicks` by user."""
    source = Stream(stream="clicks", lateness_seconds=lateness, features=EVERY if features is None else features)
    return View(**{"view": "activity", "key": "user", "source": source, **fields})


def happened(
    time: float, x: Value = 1.0, user: Value = "ann", *, came: float | None = None, identity: str | None = None, **more: Value
) -> Occurrence:
    """An event of the stream; it came when it happened unless `came` says otherwise."""
    return Occurrence(time if came is None else came, time, identity, {"user": user, "x": x, **more})


HUGE = st.sampled_from([1e200, -1e200, 1.7e308, -1.7e308, 5e-324])
NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 3)) | st.integers(-1000, 1000) | st.booleans() | HUGE
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "user": st.sampled_from(["ann", "bob", 7, 7.0, "7", None, True, ""]),
        "x": NUMBERS | st.none() | st.sampled_from(["much", "12.5"]),
        "what": st.sampled_from(["red", "blue", "12", 1, 1.0, True, None]),
    },
)


@st.composite
def histories(draw: st.DrawFn) -> list[Occurrence]:
    """Events in the order of the journal: time passes by steps, the clock is set back, some come late, from the future, or twice."""
    at, found = 1000.0, []
    for _ in range(draw(st.integers(0, 40))):
        at += draw(st.sampled_from([-300.0, -0.05, 0.0, 0.1, 0.9, 3.0, 31.0, 400.0, 700.0]))
        delay = draw(st.sampled_from([-5.0, 0.0, 0.0, 0.4, 8.0, LATENESS, LATENESS + 0.5, 90.0]))
        identity = draw(st.none() | st.sampled_from(["a", "b", "c"]))
        found.append(Occurrence(at, at - delay, identity, draw(FIELDS)))
    return found


def end_of(history: list[Occurrence]) -> float:
    """A time that no event lies behind."""
    return max((one.at for one in history), default=-math.inf)


class Published:
    """What a file would hold: features and states by entity. `killed` begins again from it."""

    def __init__(self, declared: View) -> None:
        assert isinstance(declared.source, Stream)
        self.view, self.source = declared, declared.source
        self.rows: dict[str, dict[str, Value]] = {}
        self._states: dict[str, bytes] = {}
        self.taken: list[Occurrence] = []
        self._stored = 0
        self.live = Aggregates(self.view, self.source)
        self._beside = self._kept()

    def take(self, one: Occurrence) -> str:
        self.taken.append(one)
        return self.live.take(one)

    def publish(self, at: float) -> None:
        news = self.live.news(max(at, self.live.newest))
        for row in news.rows:
            self.rows[row.entity], self._states[row.entity] = row.features, row.state
        for entity in news.gone:
            self.rows.pop(entity, None)
            self._states.pop(entity, None)
        self._stored, self._beside = len(self.taken), self._kept()

    def kill(self) -> None:
        """The process dies; another goes on from what was published, and takes again what came after that."""
        self.live = Aggregates(self.view, self.source)
        self.live.restore(self._states.items())
        for one in self.taken[: self._stored]:
            self.live.recall(one)
        self.live.newest, self.live.repeats.now, figures = self._beside
        self.live.figures.update(figures)
        for one in self.taken[self._stored :]:
            self.live.take(one)

    def _kept(self) -> tuple[float, float, dict[str, int]]:
        return self.live.newest, self.live.repeats.now, dict(self.live.figures)
