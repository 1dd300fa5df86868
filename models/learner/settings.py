"""How a version learns: declared when it is registered, and part of its card."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

RiverKind: TypeAlias = Literal["classifier", "regressor", "forecaster", "anomaly"]
LearnsFrom: TypeAlias = Literal["own", "arms", "all"]
"""Whose labels are learnt: of the rows that this version answered; of every arm's rows at the endpoints where it is an arm; of those
and of the rows that are mirrored to it where it is a shadow."""
Reaction: TypeAlias = Literal["alert", "reset", "challenger"]
"""What follows a drift, beside being told: nothing; the model begins anew; a fresh one learns beside it and is registered."""

DAY = 86400.0


class LearnerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a learner does. Times in seconds.

    `late_seconds`: a label that comes later after its prediction is not learnt. `metrics` are names of `river.metrics`, () for those
    of the kind; `window` labels make the rolling scores. `detector` is a name of `river.drift` or `river.drift.binary`, "" for none.
    `fresh_labels`: after so many a fresh challenger is registered. Every `keep_every`-th snapshot becomes a version, 0: none.
    """

    learns_from: LearnsFrom = "own"
    late_seconds: float = 7 * DAY
    metrics: tuple[str, ...] = ()
    window: int = 1000
    detector: str = "ADWIN"
    detector_parameters: dict[str, float] = {}
    on_drift: Reaction = "alert"
    fresh_labels: int = 1000
    keep_every: int = 10_000


Learning: TypeAlias = LearnerSettings | Literal["off"] | None
"""How a model is asked to learn while it serves; None: as its kind does by itself, which is LearnerSettings() for a River model."""


class Learnt(msgspec.Struct, frozen=True):
    """Where a version came from that has learnt: what it was at first, the snapshot, the labels, and up to where in the journal.

    `by`: it is a snapshot of the learner of `base`, its grown challenger, or the result of a replay. The rows are those that the
    learner of `taught_as` learns, as it `learns_from`.
    """

    base: str
    snapshot: int
    labels: int
    position: tuple[int, int]
    taught_as: str
    learns_from: LearnsFrom
    by: Literal["snapshot", "challenger", "replay"] = "snapshot"

    def is_of(self, version: str) -> bool:
        """Whether the learner of `version` published it, so that it can go back to it."""
        return self.base == version and self.by != "replay"


class RiverCard(msgspec.Struct, frozen=True, kw_only=True):
    """What the card of a River model says beyond others.

    `label`: the kind of the target column, None where no sample told. `code`: the module name under which the model's own Python
    file is loaded (blob role `code`), None without one. `settings`: None for a version that does not learn.
    """

    kind: RiverKind
    label: Literal["float", "int", "str", "bool"] | None = None
    code: str | None = None
    settings: LearnerSettings | None = None
    learnt: Learnt | None = None
