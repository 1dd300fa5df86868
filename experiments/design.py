"""What an experiment declares before it starts: metrics with roles, the effect that matters, error rates, times."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec

from core.errors import Invalid
from core.ids import check_name

Role: TypeAlias = Literal["success", "guardrail", "info"]
"""A success metric is to be improved, a guardrail not to be hurt, an info metric decides nothing."""

Kind: TypeAlias = Literal["continuous", "binary", "count"]
Direction: TypeAlias = Literal["increase", "decrease"]

LEAST_ALPHA, MOST_ALPHA = 1e-6, 0.5
FASTEST_LOOKS = 0.01
"""Seconds. Looks much closer than this could not be told apart in journal time."""


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One metric of an experiment; `direction` is which change is an improvement.

    `margin` (guardrails only) is the loss that is still no harm, in the terms of the design's MDE; see `frozen.effect`
    for the default. Raises Invalid naming the field.
    """

    name: str
    role: Role = "success"
    kind: Kind = "continuous"
    direction: Direction = "increase"
    margin: float | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "metrics.name")
        if self.margin is None:
            return
        if self.role != "guardrail":
            raise Invalid(f"metrics.{self.name}.margin: only a guardrail has one, this is a {self.role} metric", field="margin")
        _positive(self.margin, f"metrics.{self.name}.margin")

    @property
    def sign(self) -> float:
        """+1 where more is better, −1 where less is: times the difference it is the improvement."""
        return 1.0 if self.direction == "increase" else -1.0


class Design(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An experiment's decision rule. Times in seconds.

    `mde`, the smallest difference that matters, is in the success metric's units; with `relative` it and the margins
    are shares of the metric's mean, which is taken blinded at the first look and frozen. Raises Invalid naming the field.
    """

    metrics: list[Metric]
    mde: float
    relative: bool = False
    alpha: float = 0.05
    power: float = 0.8
    window_seconds: float = 86400.0
    lateness_seconds: float = 0.0
    look_every_seconds: float = 300.0
    horizon_seconds: float | None = None

    def __post_init__(self) -> None:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise Invalid(f"metrics: expected each name once, got {', '.join(names)}", field="metrics")
        if not self.success:
            raise Invalid("metrics: expected at least one with the role success", field="metrics")
        _positive(self.mde, "mde")
        _within(self.alpha, "alpha", LEAST_ALPHA, MOST_ALPHA)
        _within(self.power, "power", self.alpha, 1.0)
        _positive(self.window_seconds, "window_seconds")
        if not FASTEST_LOOKS <= self.look_every_seconds < math.inf:
            raise Invalid(
                f"look_every_seconds: expected at least {FASTEST_LOOKS:g}, got {self.look_every_seconds}", field="look_every_seconds"
            )
        if not 0.0 <= self.lateness_seconds < math.inf:
            raise Invalid(f"lateness_seconds: expected 0 or more, got {self.lateness_seconds}", field="lateness_seconds")
        if self.horizon_seconds is not None and not self.maturity_seconds < self.horizon_seconds < math.inf:
            raise Invalid(
                f"horizon_seconds: expected more than window and lateness together ({self.maturity_seconds:g}), else no unit"
                f" matures before it; got {self.horizon_seconds}",
                field="horizon_seconds",
            )

    @property
    def maturity_seconds(self) -> float:
        """From a unit's entry until it is analysed."""
        return self.window_seconds + self.lateness_seconds

    @property
    def success(self) -> list[Metric]:
        return [metric for metric in self.metrics if metric.role == "success"]

    @property
    def guardrails(self) -> list[Metric]:
        return [metric for metric in self.metrics if metric.role == "guardrail"]

    @property
    def deciding(self) -> list[Metric]:
        """Those whose harm rolls back: success metrics and guardrails."""
        return [metric for metric in self.metrics if metric.role != "info"]


def _positive(value: float, field: str) -> None:
    if not 0.0 < value < math.inf:
        raise Invalid(f"{field}: expected a finite number above 0, got {value}", field=field)


def _within(value: float, field: str, low: float, high: float) -> None:
    if not low < value < high:
        raise Invalid(f"{field}: expected a number between {low:g} and {high:g}, got {value}", field=field)
