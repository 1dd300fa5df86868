"""What is planned, and what is assumed of the world: the input of a simulation before an experiment."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec

from core.errors import Invalid
from experiments.design import Design, Test
from experiments.methods.group_sequential import Spending
from experiments.methods.power import INFLATION, Plan, Size, for_means, for_proportions
from experiments.metric import Metric
from experiments.simulation.generators import Draw, always, conversion, normal, skewed

Shape: TypeAlias = Literal["binary", "normal", "revenue"]

TYPICAL_CV = 5.1
"""Of revenue where one unit in ten buys."""


class Planned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A design with one success metric to be increased, and what is assumed of the world. Raises Invalid naming the field.

    `baseline` is control's rate or mean; `sd` or `cv` (standard deviation over mean) is for metrics that are not binary. `mde` and
    `effect` are in the metric's units or with `relative` shares of the baseline. Without `effect` there are two worlds: none, and the MDE.

    Units come evenly: `units_per_look`, or `daily_units` over `days`; with neither there are as many as the test is planned to need.
    `split` is the weights of control and treatment. The last of the `looks` is the horizon.
    """

    kind: Shape
    baseline: float
    mde: float
    sd: float | None = None
    cv: float | None = None
    relative: bool = False
    effect: float | None = None
    alpha: float = 0.05
    power: float = 0.8
    test: Test | None = None
    maximum: float | None = None
    spending: Spending = "obrien-fleming"
    phi: float | None = None
    units_per_look: int | None = None
    daily_units: float | None = None
    days: float | None = None
    split: tuple[float, float] = (50.0, 50.0)
    looks: int = 100
    experiments: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        _whole(self.looks, "looks", 10_000)
        _whole(self.experiments, "experiments", 1_000_000)
        if not 0 <= self.seed < 2**63:
            raise Invalid(f"seed: expected a whole number from 0 to 2^63, got {self.seed}", field="seed")
        for field in ("sd", "cv", "units_per_look", "daily_units", "days"):
            given = getattr(self, field)
            if given is not None and not 0.0 < given < math.inf:
                raise Invalid(f"{field}: expected a number above 0, got {given:g}", field=field)
        if not all(0.0 < weight < math.inf for weight in self.split):
            raise Invalid("split: expected two weights above 0, such as 50:50", field="split")
        if self.effect is not None and not math.isfinite(self.effect):
            raise Invalid(f"effect: expected a finite number, got {self.effect:g}", field="effect")
        if self.days is not None and (self.daily_units is None or self.units_per_look is not None):
            raise Invalid("days: expected with daily_units, and without units_per_look", field="days")
        self._check_values()

    def _check_values(self) -> None:
        binary = self.kind == "binary"
        if not math.isfinite(self.baseline) or (binary and not 0.0 < self.baseline < 1.0):
            raise Invalid(
                f"baseline: expected {'a rate between 0 and 1' if binary else 'a number'}, got {self.baseline:g}", field="baseline"
            )
        if not binary and (self.kind == "revenue" or self.relative or self.cv is not None) and not self.baseline > 0.0:
            raise Invalid(f"baseline: expected a mean above 0, got {self.baseline:g}", field="baseline")
        if self.sd is not None and (binary or self.cv is not None):
            raise Invalid("sd: expected either sd or cv, and neither of a binary metric", field="sd")
        if self.cv is not None and binary:
            raise Invalid("cv: expected none, a binary metric's follows from the baseline", field="cv")
        if self.kind == "normal" and self.sd is None and self.cv is None:
            raise Invalid("sd: a normal metric needs sd or cv", field="sd")
        for effect in self.effects:
            self._check_effect(effect)

    def _check_effect(self, effect: float) -> None:
        mean = self.mean(effect)
        if self.kind == "binary" and not 0.0 < mean < 1.0:
            raise Invalid(f"effect: treatment's rate would be {mean:g}, which is not between 0 and 1", field="effect")
        if self.kind == "revenue" and not mean > 0.0:
            raise Invalid(f"effect: treatment's mean would be {mean:g}, which is not above 0", field="effect")

    @property
    def effects(self) -> tuple[float, ...]:
        """The worlds that are simulated: by how much the treatment is better in them."""
        return (0.0, self.mde) if self.effect is None else (self.effect,)

    @property
    def share(self) -> float:
        """Of treatment."""
        return self.split[1] / (self.split[0] + self.split[1])

    @property
    def deviation(self) -> float:
        """Control's standard deviation, in the metric's units."""
        if self.kind == "binary":
            return math.sqrt(self.baseline * (1.0 - self.baseline))
        return self.sd if self.sd is not None else self.baseline * (TYPICAL_CV if self.cv is None else self.cv)

    def mean(self, effect: float) -> float:
        """Treatment's mean where it is better by `effect`."""
        return self.baseline * (1.0 + effect) if self.relative else self.baseline + effect

    def design(self) -> Design:
        """The decision rule, looked at every second until the horizon. Raises Invalid naming the field."""
        return Design(
            metrics=[Metric(name="metric", kind="binary" if self.kind == "binary" else "continuous")],
            mde=self.mde,
            relative=self.relative,
            alpha=self.alpha,
            power=self.power,
            test=self.test,
            maximum=self.maximum,
            spending=self.spending,
            phi=self.phi,
            window_seconds=0.5,
            look_every_seconds=1.0,
            horizon_seconds=float(self.looks),
        )

    def draw(self, effect: float) -> Draw:
        """What units bring where the mean is that much higher; revenue varies in proportion to its mean."""
        mean = self.mean(effect)
        if self.kind == "binary":
            return conversion(always(mean))
        return normal(mean, self.deviation) if self.kind == "normal" else skewed(mean, self.deviation / self.baseline)


def planned_units(planned: Planned) -> float:
    """Of both arms together, that a fixed-horizon test of the MDE needs. Raises Invalid and Refused."""
    plan = Plan(planned.alpha, planned.power, planned.share / (1.0 - planned.share))
    effect = planned.mean(planned.mde) - planned.baseline
    size: Size = for_proportions(planned.baseline, effect, plan) if planned.kind == "binary" else for_means(planned.deviation, effect, plan)
    return size.control + size.treatment


def units_per_look(planned: Planned) -> int:
    """What is declared, or as many as the test is planned to need, over the looks."""
    if planned.units_per_look is not None:
        return planned.units_per_look
    if planned.daily_units is not None and planned.days is not None:
        return max(1, round(planned.daily_units * planned.days / planned.looks))
    design = planned.design()
    times = {"always-valid": INFLATION, "group-sequential": design.planned_samples, "fixed-horizon": 1.0}[design.sequence]
    return math.ceil(times * planned_units(planned) / planned.looks)


def _whole(given: int, field: str, most: int) -> None:
    if not 1 <= given <= most:
        raise Invalid(f"{field}: expected 1 to {most:,}, got {given}", field=field)
