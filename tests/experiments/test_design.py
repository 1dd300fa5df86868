"""A design is checked when it is made, and each refusal names its field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from core.errors import Invalid
from experiments.design import Design
from experiments.metric import Metric


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mde": 0.0}, "mde: expected a finite number above 0"),
        ({"mde": float("nan")}, "mde"),
        ({"mde": float("inf")}, "mde"),
        ({"alpha": 0.0}, "alpha: expected a number between 1e-06 and 0.5"),
        ({"alpha": 0.5}, "alpha"),
        ({"power": 0.05}, "power: expected a number between 0.05 and 1"),
        ({"power": 1.0}, "power"),
        ({"window_seconds": 0.0}, "window_seconds"),
        ({"look_every_seconds": -1.0}, "look_every_seconds"),
        ({"look_every_seconds": 1e-300}, "look_every_seconds: expected at least 0.01"),
        ({"lateness_seconds": -1.0}, "lateness_seconds"),
        ({"horizon_seconds": 3600.0}, "horizon_seconds: expected more than window and lateness together"),
    ],
)
def test_fields_out_of_range(design_of: Callable[..., Design], fields: dict[str, Any], message: str) -> None:
    """Numbers out of range are refused by name, with what was expected."""
    with pytest.raises(Invalid, match=message) as caught:
        design_of(**fields)
    assert caught.value.field == next(iter(fields))


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([], "role success"),
        ([{"name": "m", "role": "guardrail"}], "role success"),
        ([{"name": "m"}, {"name": "m", "role": "info"}], "each name once"),
        ([{"name": "not a name"}], "metrics.name"),
        ([{"name": "m", "margin": 0.1}], "metrics.m.margin: only a guardrail has one"),
        ([{"name": "m"}, {"name": "g", "role": "guardrail", "margin": 0.0}], "metrics.g.margin: expected a finite number above 0"),
    ],
)
def test_metrics(metrics: list[dict[str, Any]], message: str) -> None:
    """Metrics need names of their own, one success, and margins only where they mean something; from JSON too."""
    with pytest.raises(Invalid, match=message):
        msgspec.convert({"metrics": metrics, "mde": 0.1}, Design)


def test_json_round_trip(design_of: Callable[..., Design]) -> None:
    """A design comes back from JSON as it went."""
    design = design_of(Metric(name="revenue"), Metric(name="latency", role="guardrail", direction="decrease", margin=0.2), relative=True)
    assert msgspec.json.decode(msgspec.json.encode(design), type=Design) == design


def test_roles() -> None:
    """Success metrics and guardrails decide, info metrics do not."""
    metrics = [Metric(name=role, role=role) for role in ("info", "guardrail", "success")]
    design = Design(metrics=metrics, mde=1.0)
    assert [m.name for m in design.deciding] == ["guardrail", "success"]
    assert [m.name for m in design.success] == ["success"]
    assert [m.name for m in design.guardrails] == ["guardrail"]
