"""What an endpoint's units have brought, read from the journal, is what `record` would have counted."""

from __future__ import annotations

from pathlib import Path

from core.events import Observed
from experiments.metric import Metric
from experiments.units import Window
from flows.facts import traffic
from tests.flows.flow_world import LATENESS, WINDOW
from tests.flows.metric_world import REVENUE, ask, begin, logged


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    """An outcome that says it was a moment before its arrival was so by journal time too, for planning as for an experiment."""
    with logged(tmp_path / "home") as world:
        begin(world, REVENUE)
        ask(world, 1000.0, "u")
        ask(world, 1000.5, "v")
        world.log(Observed(900.0, None, "credit", "u", "revenue", 5.0, 899.9, None))
        world.log(Observed(901.0, None, "credit", "v", "revenue", 7.0, 901.0, None))
        world.follow()
        found = traffic.scan(world.journal, "credit", Metric(name="revenue"), Window(WINDOW, LATENESS), 0.0)
        assert world.totals() == {"u": 5.0, "v": 7.0}
        assert [unit.brought.total for unit in found.units] == [5.0, 7.0]
