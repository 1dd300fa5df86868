"""What looks have gathered so far: the only state of an analysis. Stored as JSON between looks; reports only read it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from experiments.methods.srm import Balance


class Crossing(msgspec.Struct, frozen=True):
    """The look at which a test first reached its threshold: it stays reached."""

    at: float
    look: int
    log_evidence: float


class Side(msgspec.Struct, frozen=True):
    """One direction of a comparison: the largest log evidence over its looks, None before the first that counts.

    Of a test that gives p values (group-sequential, fixed-horizon) the evidence is 1/p. `exact`: whether some of it came of the exact test
    of few conversions, so that the other test has to do with the rest of α.
    """

    log_evidence: float | None = None
    crossed: Crossing | None = None
    exact: bool = False


class Interim(NamedTuple):
    """A look of a group-sequential test: the share of the maximum by which α was spent, the statistic, and the share that was gathered.

    They differ at the last look: a look may come beyond the maximum, and at the horizon all is spent whatever has been gathered.
    """

    fraction: float
    z: float
    information: float


class Track(msgspec.Struct, frozen=True):
    """One treatment on one metric: V (which never falls), and the evidence that it is better and that it is worse.

    `interims` and `limit` are of a group-sequential or fixed-horizon test: its looks, and the bound on the side of the improvement, in
    the metric's units, as it was at the last of them.
    """

    v: float = 0.0
    better: Side = Side()
    worse: Side = Side()
    interims: list[Interim] = []
    limit: float | None = None


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


class Watch(msgspec.Struct, frozen=True):
    """A two-sided test of something in which arms must not differ; `variance` is frozen when it begins."""

    variance: float
    v: float = 0.0
    log_evidence: float = 0.0
    alarm: Crossing | None = None


class Cap(msgspec.Struct, frozen=True):
    """A cap taken from the data of all arms, once, from `n` units."""

    value: float
    n: int
    at: float


class Scan(msgspec.Struct, frozen=True):
    """What was read for a quantile, whether it could be taken or not."""

    values: int
    units: int


class Evidence(msgspec.Struct, frozen=True):
    """`looks` made so far, the last in `slot` of the grid at journal time `at`; `tracks` by treatment and metric.

    `maxima` are what the maximum of a group-sequential test is set by: frozen later than `frozen`, since it is never raised.
    `watches` are by treatment and name of what is watched; `uncapped` says of how many units a cap could not be taken at the last try,
    `scanned` what the last scan for a quantile read; `seen` are the counts of units at the last look.
    """

    looks: int = 0
    slot: int = 0
    at: float | None = None
    frozen: dict[str, Frozen] = {}
    tracks: dict[str, dict[str, Track]] = {}
    ratio: Ratio = Ratio()
    watches: dict[str, dict[str, Watch]] = {}
    maxima: dict[str, Frozen] = {}
    caps: dict[str, Cap] = {}
    uncapped: dict[str, int] = {}
    scanned: dict[str, Scan] = {}
    seen: list[float] = []

    def track(self, treatment: str, metric: str) -> Track:
        return self.tracks.get(treatment, {}).get(metric, Track())


NO_EVIDENCE = Evidence()
