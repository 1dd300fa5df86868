"""What an experiment declares before it starts: its metrics, the effect that matters, the test, error rates, times."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec

from core.errors import Invalid
from experiments.methods.group_sequential import Spending
from experiments.methods.power import GROUP_SEQUENTIAL, of_each
from experiments.metric import Metric
from experiments.units import Window

Test: TypeAlias = Literal["always-valid", "group-sequential", "fixed-horizon"]

LEAST_ALPHA, MOST_ALPHA = 1e-6, 0.5
MOST_SLICES, MOST_INTERIM_LOOKS = 5, 50
MOST_METRICS, MOST_SLICED = 30, 25
"""At most so many metrics, and so many metrics × slices: a report of that takes 35 ms in one phase, 54 ms over four."""

FASTEST_LOOKS = 0.2
"""Seconds. A look of many metrics and slices takes about as long."""


class Design(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An experiment's decision rule. Times in seconds. Raises Invalid naming the field.

    `mde`, the smallest difference that matters, is in the success metric's units; with `relative` it and the margins
    are shares of the metric's mean, which is taken blinded at the first look and frozen.

    `test` decides on success: always-valid, or where a `maximum` is declared group-sequential, or at the horizon alone. Harm and
    guardrails are always-valid in each. `maximum` is in planned samples (1 is what a fixed-horizon test of the MDE needs);
    `interim_looks` is in how many steps of it the α is spent, `phi` the exponent of the power spending.

    `slices` are keys of a request's context, or names of its features, by whose values at a unit's entry the report is broken down.
    `aa` expects all arms to serve the same version: whatever differs is an error in the set-up.
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
    test: Test | None = None
    maximum: float | None = None
    spending: Spending = "obrien-fleming"
    phi: float | None = None
    interim_looks: int = 14
    slices: list[str] = []
    aa: bool = False

    def __post_init__(self) -> None:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise Invalid(f"metrics: expected each name once, got {', '.join(names)}", field="metrics")
        if len(names) > MOST_METRICS:
            raise Invalid(f"metrics: expected at most {MOST_METRICS}, got {len(names)}", field="metrics")
        if len(names) * len(self.slices) > MOST_SLICED:
            raise Invalid(f"slices: expected at most {MOST_SLICED} metrics × slices, got {len(names)} × {len(self.slices)}", field="slices")
        if not self.success:
            raise Invalid("metrics: expected at least one with the role success", field="metrics")
        if len({metric.weight is None for metric in self.success}) > 1:
            raise Invalid("metrics.weight: expected for every success metric, or for none", field="weight")
        _positive(self.mde, "mde")
        self._check_rates()
        _within(self.alpha, "alpha", LEAST_ALPHA, MOST_ALPHA)
        _within(self.power, "power", self.alpha, 1.0)
        _positive(self.window_seconds, "window_seconds")
        self._check_times()
        self._check_test()
        if len(set(self.slices)) < len(self.slices) or len(self.slices) > MOST_SLICES:
            raise Invalid(f"slices: expected each key once, at most {MOST_SLICES}, got {', '.join(self.slices)}", field="slices")
        if any(not key or len(key) > 100 for key in self.slices):
            raise Invalid("slices: expected keys of 1 to 100 characters", field="slices")

    def _check_rates(self) -> None:
        for metric in self.success:
            if metric.kind == "binary" and not self.relative and (metric.mde or self.mde) > 1.0:
                given = metric.mde or self.mde
                raise Invalid(f"metrics.{metric.name}.mde: a binary metric has rates: expected at most 1, got {given:g}", field="mde")

    def _check_times(self) -> None:
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

    def _check_test(self) -> None:
        if self.sequence != "group-sequential":
            for field, usual in (("maximum", None), ("phi", None), ("spending", "obrien-fleming")):
                if getattr(self, field) != usual:
                    raise Invalid(f"{field}: only a group-sequential test has one, this is {self.sequence}", field=field)
        if self.maximum is not None and not 0.1 <= self.maximum <= 100.0:
            raise Invalid(f"maximum: expected 0.1 to 100 planned samples, got {self.maximum}", field="maximum")
        if (self.spending == "power") != (self.phi is not None):
            raise Invalid("phi: expected with the spending power, and only with it", field="phi")
        if self.phi is not None and not 0.1 <= self.phi <= 10.0:
            raise Invalid(f"phi: expected a number from 0.1 to 10, got {self.phi}", field="phi")
        if not 1 <= self.interim_looks <= MOST_INTERIM_LOOKS:
            raise Invalid(f"interim_looks: expected 1 to {MOST_INTERIM_LOOKS}, got {self.interim_looks}", field="interim_looks")
        if self.sequence == "fixed-horizon" and self.horizon_seconds is None:
            raise Invalid("horizon_seconds: a fixed-horizon test needs it", field="horizon_seconds")

    @property
    def sequence(self) -> Test:
        """The test that decides on success."""
        return self.test or ("always-valid" if self.maximum is None else "group-sequential")

    @property
    def planned_samples(self) -> float:
        """The maximum of a group-sequential test in planned samples."""
        return GROUP_SEQUENTIAL if self.maximum is None else self.maximum

    def window(self, metric: Metric) -> Window:
        """How long outcomes of the metric count."""
        return metric.window(self.window_seconds, self.lateness_seconds)

    @property
    def maturity_seconds(self) -> float:
        """From a unit's entry until it is analysed on every metric."""
        return max(self.window(metric).matures(0.0) for metric in self.metrics)

    @property
    def planned_power(self) -> float:
        """Of each test: the success metrics' and every guardrail's must come out together with `power`."""
        return of_each(self.power, sum(metric.role == "guardrail" for metric in self.metrics))

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
