"""A metric: what is measured per unit, which change is an improvement, and what it decides."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec

from core.errors import Invalid
from core.ids import check_name
from experiments.losses import Loss
from experiments.units import Window

Kind: TypeAlias = Literal["continuous", "binary", "count", "ratio", "quantile", "label_loss"]
Role: TypeAlias = Literal["success", "guardrail", "info"]
"""A success metric is to be improved, a guardrail not to be hurt, an info metric decides nothing."""

Direction: TypeAlias = Literal["increase", "decrease"]
Covariate: TypeAlias = Literal["earlier", "champion_score"]
"""`earlier`: what the unit brought before the endpoint was split. `champion_score`: what control says of the unit's first request."""

Estimator: TypeAlias = Literal["cuped", "lin"]

LABEL = "label"
"""The metric of an outcome that is the true value of a prediction row."""

PREDICTIONS, EVENTS = "predictions", "events"
"""Denominators that need no outcomes of their own: how many requests the unit made, how many outcomes of the numerator it has."""

SUMS: tuple[Kind, ...] = ("continuous", "binary", "count")
"""Kinds for which a unit without outcomes counts as 0; the others leave it out."""


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One metric; `direction` is which change is an improvement. Raises Invalid naming the field.

    A unit's value: the sum of its outcomes (`continuous`, `count`), whether that is above 0 (`binary`), the mean `loss` of its labelled
    rows (`label_loss`); `ratio` is Σ outcomes / Σ `denominator` over units, `quantile` the `quantile` of all outcomes (of latencies of
    the model in seconds with `source` latency). `outcome` names the outcomes where they have another name than the metric.

    `window_seconds` and `lateness_seconds` are the design's where they are None. Values above `cap` count as `cap`, which is declared, or
    with `cap_percentile` taken from all arms together and frozen. `margin` (guardrails only) is the loss that is still no harm, in the
    terms of the design's MDE; see `effect.effect` for the default. `mde` (success metrics only) is the smallest difference that matters
    on this one, where it is not the design's. `weight` divides α among success metrics; without it Holm does.
    """

    name: str
    role: Role = "success"
    kind: Kind = "continuous"
    direction: Direction = "increase"
    outcome: str | None = None
    denominator: str | None = None
    quantile: float | None = None
    source: Literal["outcome", "latency"] = "outcome"
    loss: Loss | None = None
    window_seconds: float | None = None
    lateness_seconds: float | None = None
    cap: float | None = None
    cap_percentile: float | None = None
    covariate: Covariate | None = None
    estimator: Estimator = "cuped"
    mde: float | None = None
    margin: float | None = None
    weight: float | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "metrics.name")
        self._check_kind()
        self._check_cap()
        if self.covariate is not None and self.kind in ("ratio", "quantile"):
            raise self._wrong("covariate", f"a {self.kind} metric has none")
        if self.covariate is None and self.estimator != "cuped":
            raise self._wrong("estimator", "only a metric with a covariate has one")
        for field in ("window_seconds", "mde", "margin", "weight"):
            _positive(getattr(self, field), self._path(field))
        if self.lateness_seconds is not None and not 0.0 <= self.lateness_seconds < math.inf:
            raise self._wrong("lateness_seconds", f"expected 0 or more, got {self.lateness_seconds}")
        if self.margin is not None and self.role != "guardrail":
            raise self._wrong("margin", f"only a guardrail has one, the role of this metric is {self.role}")
        for field in ("mde", "weight"):
            if getattr(self, field) is not None and self.role != "success":
                raise self._wrong(field, f"only a success metric has one, the role of this metric is {self.role}")

    def _check_kind(self) -> None:
        for field, kind in (("denominator", "ratio"), ("quantile", "quantile"), ("loss", "label_loss")):
            given = getattr(self, field)
            if self.kind == kind and given is None:
                raise self._wrong(field, f"a {kind} metric needs one")
            if self.kind != kind and given is not None:
                raise self._wrong(field, f"only a {kind} metric has one, this is a {self.kind} metric")
        if self.quantile is not None and not 0.0 < self.quantile < 1.0:
            raise self._wrong("quantile", f"expected a number between 0 and 1 such as 0.95, got {self.quantile}")
        if self.denominator is not None:
            check_name(self.denominator, self._path("denominator"))
        if self.outcome is not None:
            check_name(self.outcome, self._path("outcome"))
        if self.kind == "label_loss" and self.outcome not in (None, LABEL):
            raise self._wrong("outcome", "a label_loss metric is computed from the outcome label")
        if self.source == "latency" and (self.kind != "quantile" or self.outcome is not None):
            raise self._wrong("source", "only a quantile metric can be of the latency, and it then has no outcome")

    def _check_cap(self) -> None:
        if self.cap is None and self.cap_percentile is None:
            return
        if self.kind not in ("continuous", "count", "label_loss"):
            raise self._wrong("cap", f"a {self.kind} metric has none")
        if self.cap is not None and self.cap_percentile is not None:
            raise self._wrong("cap", "expected either cap or cap_percentile, got both")
        _positive(self.cap, self._path("cap"))
        if self.cap_percentile is not None and not 50.0 <= self.cap_percentile < 100.0:
            raise self._wrong("cap_percentile", f"expected a percentile from 50 to below 100 such as 99, got {self.cap_percentile}")

    def _path(self, field: str) -> str:
        return f"metrics.{self.name}.{field}"

    def _wrong(self, field: str, what: str) -> Invalid:
        return Invalid(f"{self._path(field)}: {what}", field=field)

    @property
    def sign(self) -> float:
        """+1 where more is better, −1 where less is: times the difference it is the improvement."""
        return 1.0 if self.direction == "increase" else -1.0

    @property
    def counts_all(self) -> bool:
        """Whether a unit without outcomes counts, as 0."""
        return self.kind in SUMS

    @property
    def numerator(self) -> str | None:
        """The outcomes that it is computed from; None where it needs none."""
        if self.source == "latency":
            return None
        return LABEL if self.kind == "label_loss" else self.outcome or self.name

    def window(self, seconds: float, lateness: float) -> Window:
        """Its window, with the design's where it declares none."""
        return Window(
            seconds if self.window_seconds is None else self.window_seconds,
            lateness if self.lateness_seconds is None else self.lateness_seconds,
        )


def _positive(value: float | None, field: str) -> None:
    if value is not None and not 0.0 < value < math.inf:
        raise Invalid(f"{field}: expected a finite number above 0, got {value}", field=field.rpartition(".")[2])
