"""What is kept of a metric together with its covariate or denominator: both summaries and their co-moment, which merge in any order."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from core.errors import Invalid
from experiments.methods import summary
from experiments.methods.summary import EMPTY, LARGEST, Summary, between


class Joint(msgspec.Struct, frozen=True, gc=False):
    """The summaries of `y` and `x` over the same n units, and their co-moment `c` = Σ (y − ȳ)(x − x̄)."""

    y: Summary = EMPTY
    x: Summary = EMPTY
    c: float = 0.0

    @property
    def n(self) -> int:
        """How many units."""
        return self.y.n


NOTHING = Joint()


def of(y: ArrayLike, x: ArrayLike) -> Joint:
    """The joint summary of pairs of finite numbers; raises Invalid where one is not, or the lengths differ.

    Two passes with a correction for the rounding of the means (Chan, Golub and LeVeque 1983).
    """
    ys, xs = np.asarray(y, dtype=np.float64).ravel(), np.asarray(x, dtype=np.float64).ravel()
    if ys.size != xs.size:
        raise Invalid(f"values: expected as many as covariates, got {ys.size} and {xs.size}", field="values")
    of_y, of_x = summary.of(ys), summary.of(xs)
    if of_y.n == 0:
        return NOTHING
    with np.errstate(over="ignore", invalid="ignore"):
        centred_y, centred_x = ys - of_y.mean, xs - of_x.mean
        c = float((centred_y * centred_x).sum() - centred_y.sum() * centred_x.sum() / of_y.n)
    return Joint(of_y, of_x, _bounded(c))


def alone(one: Summary) -> Joint:
    """A summary without a covariate: x is 0 for each of its units."""
    return Joint(one, Summary(one.n))


def merge(left: Joint, right: Joint) -> Joint:
    """The summary of both samples together (Chan, Golub and LeVeque 1979; the co-moment as in Pébay 2008)."""
    if left.n == 0 or right.n == 0:
        return right if left.n == 0 else left
    y, x = summary.merge(left.y, right.y), summary.merge(left.x, right.x)
    cross = between(left.y, right.y) * between(left.x, right.x) * (left.n * (right.n / y.n))
    return Joint(y, x, _bounded(left.c + right.c + cross))


def merge_all(joints: Iterable[Joint]) -> Joint:
    """All of them together; NOTHING for none."""
    return reduce(merge, joints, NOTHING)


def _bounded(c: float) -> float:
    """Within ±LARGEST, so that it can be stored as JSON; what is not a number came of infinities, whose `m2` says so."""
    return min(max(c, -LARGEST), LARGEST) if c == c else LARGEST
