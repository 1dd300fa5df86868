"""A design is checked when it is made, and each refusal names its field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from core.errors import Invalid
from experiments.design import Design
from experiments.metric import Metric, Role


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
        ({"look_every_seconds": 1e-300}, "look_every_seconds: expected at least 0.2"),
        ({"lateness_seconds": -1.0}, "lateness_seconds"),
        ({"horizon_seconds": 3600.0}, "horizon_seconds: expected more than window and lateness together"),
        ({"horizon_seconds": float("inf")}, "horizon_seconds"),
        (
            {"lateness_seconds": 60.0, "horizon_seconds": 3660.0},
            r"horizon_seconds: expected more than window and lateness together \(3660\)",
        ),
        ({"maximum": 0.09}, "maximum: expected 0.1 to 100 planned samples, got 0.09"),
        ({"maximum": 100.1}, "maximum"),
        ({"maximum": float("nan")}, "maximum"),
        ({"maximum": 1.0, "test": "always-valid"}, "maximum: only a group-sequential test has one, this is always-valid"),
        ({"maximum": 1.0, "test": "fixed-horizon", "horizon_seconds": 9e9}, "maximum: only a group-sequential test has one"),
        ({"phi": 2.0, "spending": "power"}, "phi: only a group-sequential test has one, this is always-valid"),
        ({"spending": "pocock"}, "spending: only a group-sequential test has one, this is always-valid"),
        ({"phi": 2.0, "maximum": 1.0}, "phi: expected with the spending power, and only with it"),
        ({"phi": 11.0, "spending": "power", "maximum": 1.0}, "phi: expected a number from 0.1 to 10, got 11"),
        ({"phi": 0.0, "spending": "power", "maximum": 1.0}, "phi"),
        ({"interim_looks": 0}, "interim_looks: expected 1 to 50, got 0"),
        ({"interim_looks": 51}, "interim_looks"),
        ({"slices": ["a", "a"]}, "slices: expected each key once, at most 5, got a, a"),
        ({"slices": list("abcdef")}, "slices: expected each key once, at most 5"),
        ({"slices": [""]}, "slices: expected keys of 1 to 100 characters"),
        ({"slices": ["k" * 101]}, "slices"),
    ],
)
def test_fields_out_of_range(design_of: Callable[..., Design], fields: dict[str, Any], message: str) -> None:
    """Numbers out of range are refused by name, with what was expected."""
    with pytest.raises(Invalid, match=message) as caught:
        design_of(**fields)
    assert caught.value.field == message.partition(":")[0]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([], "role success"),
        ([{"name": "m", "role": "guardrail"}], "role success"),
        ([{"name": "m"}, {"name": "m", "role": "info"}], "each name once"),
        ([{"name": "not a name"}], "metrics.name"),
        ([{"name": "m", "margin": 0.1}], "metrics.m.margin: only a guardrail has one"),
        ([{"name": "m", "weight": 2.0}, {"name": "n"}], "metrics.weight: expected for every success metric, or for none"),
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


@pytest.mark.parametrize(
    ("fields", "sequence", "planned"),
    [
        ({}, "always-valid", 1.055),
        ({"maximum": 2.0}, "group-sequential", 2.0),
        ({"test": "group-sequential"}, "group-sequential", 1.055),
        ({"test": "group-sequential", "spending": "power", "phi": 3.0}, "group-sequential", 1.055),
        ({"test": "fixed-horizon", "horizon_seconds": 4000.0}, "fixed-horizon", 1.055),
    ],
)
def test_which_test_decides(design_of: Callable[..., Design], fields: dict[str, Any], sequence: str, planned: float) -> None:
    """Group-sequential where a maximum is declared, always-valid where none is, or what is asked for by name."""
    design = design_of(**fields)
    assert (design.sequence, design.planned_samples) == (sequence, planned)


def test_a_fixed_horizon_needs_one(design_of: Callable[..., Design]) -> None:
    """A test that is made at the horizon alone has to have one."""
    with pytest.raises(Invalid, match="horizon_seconds: a fixed-horizon test needs it") as caught:
        design_of(test="fixed-horizon")
    assert caught.value.field == "horizon_seconds"


def test_the_longest_window_matures_last(design_of: Callable[..., Design]) -> None:
    """A unit is analysed on everything once its longest window and lateness have passed; a horizon has to lie beyond."""
    metrics = [
        Metric(name="m"),
        Metric(name="long", role="info", window_seconds=7200.0),
        Metric(name="late", role="info", lateness_seconds=3000.0),
    ]
    assert design_of(*metrics, lateness_seconds=600.0).maturity_seconds == 7800.0
    with pytest.raises(Invalid, match=r"\(7800\)"):
        design_of(*metrics, lateness_seconds=600.0, horizon_seconds=7800.0)


@pytest.mark.parametrize(("roles", "planned"), [((), 0.8), (("guardrail",), 0.9), (("info", "guardrail", "guardrail", "guardrail"), 0.95)])
def test_every_test_of_a_promotion_is_planned_at_its_share_of_beta(roles: Sequence[Role], planned: float) -> None:
    """So that all come out together with the power that was asked for."""
    more = [Metric(name=f"m{number}", role=role) for number, role in enumerate(roles)]
    assert Design(metrics=[Metric(name="revenue"), *more], mde=1.0).planned_power == pytest.approx(planned)
