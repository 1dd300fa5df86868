"""What looks have gathered so far: the only state of an analysis. Stored as JSON between looks; reports only read it."""

from __future__ import annotations

import msgspec

from experiments.methods.srm import Balance


class Crossing(msgspec.Struct, frozen=True):
    """The look at which a test first reached its threshold: it stays reached."""

    at: float
    look: int
    log_evidence: float


class Side(msgspec.Struct, frozen=True):
    """One direction of a comparison: the largest log evidence over its looks, None before the first that counts."""

    log_evidence: float | None = None
    crossed: Crossing | None = None


class Track(msgspec.Struct, frozen=True):
    """One treatment on one metric: V (which never falls), and the evidence that it is better and that it is worse."""

    v: float = 0.0
    better: Side = Side()
    worse: Side = Side()


class Frozen(msgspec.Struct, frozen=True):
    """A metric's mean and variance over all arms together (blinded), as they were when the tests began on it."""

    n: int
    mean: float
    variance: float
    at: float
    look: int


class Ratio(msgspec.Struct, frozen=True):
    """The sequential test of the sample ratio, phase by phase, with its largest total log evidence."""

    phases: dict[int, Balance] = {}
    log_evidence: float | None = None
    alarm: Crossing | None = None


class Evidence(msgspec.Struct, frozen=True):
    """`looks` made so far, the last in `slot` of the grid at journal time `at`; `tracks` by treatment and metric."""

    looks: int = 0
    slot: int = 0
    at: float | None = None
    frozen: dict[str, Frozen] = {}
    tracks: dict[str, dict[str, Track]] = {}
    ratio: Ratio = Ratio()

    def track(self, treatment: str, metric: str) -> Track:
        return self.tracks.get(treatment, {}).get(metric, Track())


NO_EVIDENCE = Evidence()
