"""What accumulates the values of one pane: River's own statistics, made so that panes can be joined and stored.

Quantiles and distinct counts keep their values: River's estimates of them depend on the order of events, and no batch computation
would give them again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Protocol

from river import stats

from core.values import Value
from models.features.declaration import Aggregate, AggregateKind

MOST_VALUES = 10_000
"""In one pane of an aggregate that keeps its values; more are left out."""


class Tally(Protocol):
    """The values of one pane, or of several that were joined. One without values is never asked."""

    def update(self, value: Any) -> bool | None:
        """Take one more value in; True where it was left out, since there is no room for more."""

    def join(self, later: Any) -> None:
        """Take in what a later pane holds, which stays as it is."""

    def get(self) -> Value:
        """The aggregate of all values; None where there are too few."""

    def dump(self) -> Sequence[Value | bytes]:
        """What `load` makes an equal one from."""


class _Count(stats.Count):
    def join(self, later: _Count) -> None:
        self.n += later.n

    def dump(self) -> Sequence[Value]:
        return (self.n,)

    def load(self, state: Sequence[Any]) -> None:
        (self.n,) = state


class _Sum(stats.Sum):
    def join(self, later: _Sum) -> None:
        self.sum += later.sum

    def dump(self) -> Sequence[Value]:
        return (self.sum,)

    def load(self, state: Sequence[Any]) -> None:
        (self.sum,) = state


class _Mean(stats.Mean):
    def join(self, later: _Mean) -> None:
        self.__iadd__(later)

    def dump(self) -> Sequence[Value]:
        return self.n, self._mean

    def load(self, state: Sequence[Any]) -> None:
        self.n, self._mean = state


class _Var(stats.Var):
    def join(self, later: _Var) -> None:
        # As River joins two, but for its power, which raises an error where this product becomes infinite.
        apart = later.mean._mean - self.mean._mean
        self._S += later._S + apart * apart * (self.n * later.n / (self.n + later.n))
        self.mean.__iadd__(later.mean)

    def get(self) -> Any:
        return super().get() if self.n > 1 else None

    def dump(self) -> Sequence[Value]:
        return self.mean.n, self.mean._mean, self._S

    def load(self, state: Sequence[Any]) -> None:
        self.mean.n, self.mean._mean, self._S = state


class _Min(stats.Min):
    def join(self, later: _Min) -> None:
        self.update(later.min)

    def dump(self) -> Sequence[Value]:
        return (self.min,)

    def load(self, state: Sequence[Any]) -> None:
        (self.min,) = state


class _Max(stats.Max):
    def join(self, later: _Max) -> None:
        self.update(later.max)

    def dump(self) -> Sequence[Value]:
        return (self.max,)

    def load(self, state: Sequence[Any]) -> None:
        (self.max,) = state


class _Fading(stats.EWMean):
    """Of one pane that never ends, so nothing is ever joined to it."""

    def join(self, later: _Fading) -> None:
        raise NotImplementedError

    def dump(self) -> Sequence[Value]:
        return (self.get(),)

    def load(self, state: Sequence[Any]) -> None:
        # A first value is the mean as it is, and nothing else is kept of earlier ones.
        self.update(state[0])


class _Quantile:
    """Between two values it is interpolated, as numpy's and River's rolling quantiles are."""

    def __init__(self, q: float) -> None:
        self._q = q
        self._values: list[float] = []

    def update(self, value: float) -> bool:
        if len(self._values) >= MOST_VALUES:
            return True
        self._values.append(value)
        return False

    def join(self, later: _Quantile) -> None:
        self._values.extend(later._values)

    def get(self) -> Value:
        ordered = sorted(self._values)
        place = self._q * (len(ordered) - 1)
        below = math.floor(place)
        low, high, share = ordered[below], ordered[min(below + 1, len(ordered) - 1)], place - below
        # The difference of two numbers may be beyond all bounds where what lies between them is not.
        return low if low == high else min(max(low, low * (1.0 - share) + high * share), high)

    def dump(self) -> Sequence[Value]:
        return self._values

    def load(self, state: Sequence[Any]) -> None:
        self._values.extend(state)


class _Distinct:
    """Texts are kept as digests: what an entity takes does not depend on how long they are."""

    def __init__(self) -> None:
        self._values: set[float | bytes] = set()

    def update(self, value: float | str) -> bool:
        kept = blake2b(value.encode(), digest_size=8).digest() if isinstance(value, str) else value
        if len(self._values) >= MOST_VALUES and kept not in self._values:
            return True
        self._values.add(kept)
        return False

    def join(self, later: _Distinct) -> None:
        self._values |= later._values

    def get(self) -> Value:
        return len(self._values)

    def dump(self) -> Sequence[float | bytes]:
        return list(self._values)

    def load(self, state: Sequence[Any]) -> None:
        self._values.update(state)


_KINDS: dict[AggregateKind, Callable[[Aggregate], Any]] = {
    "count": lambda _: _Count(),
    "sum": lambda _: _Sum(),
    "mean": lambda _: _Mean(),
    "var": lambda _: _Var(),
    "min": lambda _: _Min(),
    "max": lambda _: _Max(),
    "ewm": lambda feature: _Fading(feature.fading),
    "quantile": lambda feature: _Quantile(feature.q),
    "distinct": lambda _: _Distinct(),
}


def fresh(feature: Aggregate) -> Tally:
    """A tally without values."""
    tally: Tally = _KINDS[feature.aggregate](feature)
    return tally


def load(feature: Aggregate, state: Sequence[Any]) -> Tally:
    """The tally that dumped `state`."""
    tally = _KINDS[feature.aggregate](feature)
    tally.load(state)
    loaded: Tally = tally
    return loaded


def total(feature: Aggregate, panes: Sequence[Tally]) -> Value:
    """The aggregate over panes in the order of time; one that is beyond the range of numbers is None."""
    if not panes:
        return feature.empty
    first, *others = panes
    if others:
        first = load(feature, first.dump())
        for later in others:
            first.join(later)
    value = first.get()
    return None if isinstance(value, float) and not math.isfinite(value) else value
