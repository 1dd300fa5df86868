"""The picture of an experiment: its report and what all looks have seen, drawn."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.picture import plot as plots
from experiments.picture.plot import Form
from flows.facts.report import report
from store import facts
from store.engine import Store


def plot(store: Store, experiment: str, metrics: Sequence[str] = (), form: Form = "svg") -> bytes:
    """The picture of the metrics named, of all where none is. Never looks.

    Raises NotFound, Conflict where the experiment has not begun or no look has found anything yet, and Invalid on an unknown metric.
    """
    found = report(store, experiment)
    with store.read() as connection:
        points = facts.points_of(connection, experiment)
    return plots.draw(found, points, metrics, form)
