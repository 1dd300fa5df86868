"""What an analysis reads: the counts and summaries of an experiment at one moment of journal time."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from experiments.methods.joint import NOTHING, Joint, merge_all

CONTROL = "control"
"""The arm that every other is compared with."""

PRESENT = "?"
"""Appended to the name of a metric that leaves units without outcomes out: 1 for each matured unit that has any, else 0."""


class ArmCounts(msgspec.Struct, frozen=True):
    """One arm in one phase.

    `entered` counts the units whose entry was here, `matured` those that are analysed, `predictions` their requests;
    `metrics` summarises the matured units' values by metric, beside them their covariates or denominators.
    """

    entered: int = 0
    matured: int = 0
    predictions: int = 0
    metrics: dict[str, Joint] = {}


class Phase(msgspec.Struct, frozen=True):
    """A stretch of unchanged assignment; `weights` as in the plan, `start` and `end` in seconds (None: still on)."""

    number: int
    weights: dict[str, float]
    start: float
    end: float | None
    arms: dict[str, ArmCounts]


class Outcomes(msgspec.Struct, frozen=True):
    """Where all outcomes stored for the experiment went; the figures add up to their number."""

    counted: int = 0
    outside_window: int = 0
    unanalysed: int = 0
    quarantined: int = 0
    duplicates: int = 0


class Excluded(msgspec.Struct, frozen=True):
    """Units not analysed (`immature`, `cut`, `two_arms`) and predictions not analysed (`forced`, `unlogged`)."""

    immature: int = 0
    cut: int = 0
    two_arms: int = 0
    forced: int = 0
    unlogged: int = 0


class Snapshot(msgspec.Struct, frozen=True):
    """The state of an experiment at `at`, started at `started` (seconds of journal time).

    `no_propensity` counts predictions that are analysed though nobody logged how likely their arm was. `slices` has for each declared
    key the phases of each of its parts, with summaries alone.
    """

    started: float
    at: float
    phases: list[Phase]
    outcomes: Outcomes = Outcomes()
    excluded: Excluded = Excluded()
    no_propensity: int = 0
    slices: dict[str, dict[str, list[Phase]]] = {}

    @property
    def arms(self) -> list[str]:
        """Every arm of any phase, control first, the others in order of appearance."""
        seen = {arm: None for phase in self.phases for arm in (*phase.weights, *phase.arms)}
        return [CONTROL, *(arm for arm in seen if arm != CONTROL)]

    @property
    def treatments(self) -> list[str]:
        return self.arms[1:]

    def counts(self, arm: str) -> list[ArmCounts]:
        """One per phase; zeros where the arm is not in it."""
        return [phase.arms.get(arm, ArmCounts()) for phase in self.phases]

    def joints(self, arm: str, metric: str) -> list[Joint]:
        """One per phase; NOTHING where nothing matured."""
        return [counts.metrics.get(metric, NOTHING) for counts in self.counts(arm)]

    def matured(self, arm: str, metric: str) -> int:
        """The arm's units that are analysed on the metric, over all phases."""
        return sum(joint.n for joint in self.joints(arm, metric))

    def pooled(self, metric: str) -> Joint:
        """All arms and phases together: blinded, it says nothing about a difference."""
        return merge_all(joint for arm in self.arms for joint in self.joints(arm, metric))

    def part(self, slice_: str, part: str) -> Snapshot:
        """The same experiment, of the units of one part of a slice alone."""
        return replace(self, phases=self.slices[slice_][part], slices={})
