"""The judgement of a window: which columns are distributed otherwise than in the sample, by how much, and how sure that is.

Every test of a window belongs to one family: its p values are adjusted by Holm, so that a window in which nothing has changed raises an
alarm with probability `alpha` at most, however many columns it has. What is beyond chance but of no size raises none: with enough
rows every difference is beyond chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from experiments.drift import distances, significance
from experiments.drift.column import Counted
from experiments.methods.multiple import holm

LEAST_VALUES = 50
"""With fewer in the sample or the window a distribution is not compared."""
LEAST_RISE = 0.02
"""A smaller change of the share of missing values raises no alarm."""
LEAST_SHARE = 0.01
"""A smaller share of rows outside the range, or with one unseen value, raises no alarm."""


class Rule(NamedTuple):
    """When a window raises an alarm: the false-alarm rate of a window, and the least PSI. `share`: independent rows per row."""

    alpha: float
    least_psi: float
    share: float = 1.0


class Rate(msgspec.Struct, frozen=True):
    """How often something is the case in the sample and in the window."""

    reference: float
    window: float
    p_value: float


class Unseen(msgspec.Struct, frozen=True):
    """The share of the window with values that the sample did not have, and the commonest of them with their counts."""

    window: float
    p_value: float
    values: dict[str, int]


class Judged(msgspec.Struct, frozen=True):
    """One column. `score` is the PSI, `limit` what chance keeps it below, None where too little is there; p values where no test is made.

    `ks`, `wasserstein` (in standard deviations of the sample) and `means` are of numbers. `p_value` is that of the clearest of the
    column's tests, `adjusted` the same as one of all tests of the window.
    """

    alarm: bool
    reason: str
    score: float | None
    limit: float | None
    p_value: float | None
    adjusted: float | None
    ks: float | None
    wasserstein: float | None
    means: tuple[float | None, float | None]
    missing: Rate
    out_of_range: Rate | None
    unseen: Unseen | None


class Tested(NamedTuple):
    """One test of a column: what it says where it is right, and whether that would be of a size that matters."""

    p_value: float
    matters: bool
    says: str


class Distance(NamedTuple):
    """How far a column is from the sample's."""

    psi: float
    bins: int
    ks: float | None
    wasserstein: float | None


class Looked(NamedTuple):
    """A column's figures and tests before those of other columns are known."""

    counted: Counted
    sizes: tuple[int, int]
    distance: Distance | None
    missing: Rate
    outside: Rate | None
    unseen: Unseen | None
    tests: list[Tested]


def judge(columns: Sequence[Counted], rule: Rule) -> list[Judged]:
    """The judgement of each column of a window, in their order."""
    looked = [look(column, rule) for column in columns]
    adjusted = iter(holm([test.p_value for one in looked for test in one.tests]).tolist())
    tests = sum(len(one.tests) for one in looked)
    return [_judged(one, [next(adjusted) for _ in one.tests], tests, rule) for one in looked]


def look(counted: Counted, rule: Rule) -> Looked:
    """What is to be said of a column by itself."""
    n, m = counted.sizes
    sizes = n, _scaled(m, rule.share)
    missing = _missing(counted, rule)
    outside, unseen = _outside(counted, sizes, rule), _unseen(counted, sizes, rule)
    distance: Distance | None = None
    tests: list[Tested] = []
    if min(sizes) >= LEAST_VALUES:
        distance, tests = _distribution(counted, sizes, rule)
    return Looked(counted, sizes, distance, missing, outside, unseen, [*tests, *_rates(counted, missing, outside, unseen)])


def _rates(counted: Counted, missing: Rate, outside: Rate | None, unseen: Unseen | None) -> Iterator[Tested]:
    """Whether a column is tested so does not depend on what the window alone holds: else the family would be chosen by its p values."""
    if any(counted.missing):
        says = f"missing in {missing.window:.3g} of the rows, {missing.reference:.3g} in the sample"
        yield Tested(missing.p_value, abs(missing.window - missing.reference) >= LEAST_RISE, says)
    if outside is not None:
        yield Tested(outside.p_value, outside.window >= LEAST_SHARE, f"{outside.window:.3g} of the rows outside the sample's range")
    if unseen is not None:
        value, number = next(iter(unseen.values.items()), ("", 0))
        share = number / counted.sizes[1]
        yield Tested(unseen.p_value, share >= LEAST_SHARE, f"{value[:40]!r} in {share:.3g} of the rows, and never in the sample")


def _distribution(counted: Counted, sizes: tuple[int, int], rule: Rule) -> tuple[Distance, list[Tested]]:
    bins = distances.bins_of(counted)
    found = distances.psi(bins)
    if counted.kind != "numbers":
        p = significance.chi2_p(bins, *sizes)
        return Distance(found, len(bins.reference), None, None), [Tested(p, found >= rule.least_psi, f"other shares: PSI {found:.3g}")]
    ks, reference, window = distances.ks(counted.reference, counted.window), counted.reference, counted.window
    distance = Distance(found, len(bins.reference), ks, distances.wasserstein(counted) / counted.scale)
    # Two tests of one distribution count as one whose p value is twice the smaller.
    p = min(1.0, 2.0 * min(significance.ks_p(ks, *sizes), significance.rank_p(reference, window, *sizes)))
    return distance, [Tested(p, found >= rule.least_psi, f"distributed otherwise: PSI {found:.3g}{_shift(counted)}")]


def _shift(counted: Counted) -> str:
    before, after = counted.means
    constant = len(counted.cuts) <= 2 and counted.discrete
    if before is None or after is None or constant:
        return ""
    shift = (after - before) / counted.scale
    return f", the mean {abs(shift):.2g} standard deviations {'higher' if shift > 0 else 'lower'}"


def _missing(counted: Counted, rule: Rule) -> Rate:
    n, m = (present + absent for present, absent in zip(counted.sizes, counted.missing, strict=True))
    reference, window = counted.missing
    p = significance.rate_p(reference, n, _scaled(window, rule.share), _scaled(m, rule.share)) if window or reference else 1.0
    return Rate(reference / max(n, 1), window / max(m, 1), p)


def _outside(counted: Counted, sizes: tuple[int, int], rule: Rule) -> Rate | None:
    if counted.kind != "numbers" or not sizes[1]:
        return None
    p = significance.outside_p(_scaled(counted.outside, rule.share), *sizes)
    return Rate(0.0, counted.outside / counted.sizes[1], p)


def _unseen(counted: Counted, sizes: tuple[int, int], rule: Rule) -> Unseen | None:
    if counted.kind != "categories" or not sizes[1]:
        return None
    values = dict(sorted(counted.unseen.items(), key=lambda item: -item[1]))
    most = _scaled(max(values.values(), default=0), rule.share)
    p = significance.unseen_p(most, len(values) + len(counted.reference), *sizes)
    return Unseen((sum(values.values()) + counted.further) / counted.sizes[1], p, dict(list(values.items())[:3]))


def _judged(one: Looked, adjusted: Sequence[float], tests: int, rule: Rule) -> Judged:
    beyond = [test for test, p in zip(one.tests, adjusted, strict=True) if p <= rule.alpha]
    alarming = [test.says for test in beyond if test.matters]
    reason = "; ".join(alarming) or ("beyond chance, and too small to matter" if beyond else "within chance")
    distance = one.distance
    if distance is None and not alarming:
        n, m = one.sizes
        reason = f"not compared: {n} values in the sample and {m} in the window, {LEAST_VALUES} are needed"
    return Judged(
        alarm=bool(alarming),
        reason=reason,
        score=None if distance is None else distance.psi,
        limit=None if distance is None else significance.psi_limit(rule.alpha / tests, distance.bins, *one.sizes),
        p_value=min((test.p_value for test in one.tests), default=None),
        adjusted=min(adjusted, default=None),
        ks=None if distance is None else distance.ks,
        wasserstein=None if distance is None else distance.wasserstein,
        means=one.counted.means,
        missing=one.missing,
        out_of_range=one.outside,
        unseen=one.unseen,
    )


def _scaled(count: int, share: float) -> int:
    """As many independent rows."""
    return round(count * share)
