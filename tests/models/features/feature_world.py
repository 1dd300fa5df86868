"""Views to try, and histories of events that Hypothesis makes up."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from core.values import Value
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


NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 3)) | st.integers(-1000, 1000) | st.booleans()
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "user": st.sampled_from(["ann", "bob", 7, 7.0, "7", None, True, ""]),
        "x": NUMBERS | st.none() | st.just("much"),
        "what": st.sampled_from(["red", "blue", 1, 1.0, True, None]),
    },
)


@st.composite
def histories(draw: st.DrawFn) -> list[Occurrence]:
    """Events in the order of the journal: time passes by steps, some come late, too late, from the future, or twice."""
    at, found = 1000.0, []
    for _ in range(draw(st.integers(0, 40))):
        at += draw(st.sampled_from([-0.05, 0.0, 0.1, 0.9, 3.0, 31.0, 400.0, 700.0]))
        delay = draw(st.sampled_from([-5.0, 0.0, 0.0, 0.4, 8.0, LATENESS, LATENESS + 0.5, 90.0]))
        identity = draw(st.none() | st.sampled_from(["a", "b", "c"]))
        found.append(Occurrence(at, at - delay, identity, draw(FIELDS)))
    return found


def end_of(history: list[Occurrence]) -> float:
    """A time that no event lies behind."""
    return max((one.at for one in history), default=-math.inf)
