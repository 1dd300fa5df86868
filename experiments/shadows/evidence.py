"""What looks at the labelled rows of a shadow have gathered; stored with its totals. Differences are shadow − primary."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from experiments.losses import Loss
from experiments.methods.summary import FloatArray

EVERY_SECONDS = 300.0
"""Journal time between two looks."""


class Shown(msgspec.Struct, frozen=True):
    """The look at which a difference was first shown: it stays shown. `at` is journal time."""

    at: float
    look: int
    units: int
    estimate: float
    log_evidence: float


class Track(msgspec.Struct, frozen=True):
    """One comparison: the figures of the last look, the largest log evidence over all looks that count, and what it has shown."""

    estimate: float | None = None
    se: float | None = None
    lower: float | None = None
    upper: float | None = None
    log_evidence: float | None = None
    shown: Shown | None = None


class Looked(msgspec.Struct, frozen=True):
    """What looks have gathered. `slot` is the last grid point, `rows` and `units` are those of the last look.

    `loss` is the one in which all pairs are measured. Labels that made no pair: the shadow `failed` to answer the row again, or
    the `unlike` answers or the label have no such loss. `planned_sd` is the frozen standard deviation of a unit's mean.
    """

    loss: Loss | None = None
    looks: int = 0
    slot: int = 0
    at: float | None = None
    rows: int = 0
    units: int = 0
    planned_sd: float | None = None
    paired: Track = Track()
    right: Track = Track()
    failed: int = 0
    unlike: int = 0


class Seen(NamedTuple):
    """All pairs as they stand: each unit's mean difference of loss, and in rows how many there are and which model alone is right.

    `discordant` is (only the primary right, only the shadow right), None where right and wrong mean nothing.
    """

    means: FloatArray
    rows: int
    discordant: tuple[int, int] | None


def due(looked: Looked, at: float) -> bool:
    """Whether a grid point has passed since the last look. Points missed while no reader ran are not made up for."""
    return math.floor(at / EVERY_SECONDS) > looked.slot
