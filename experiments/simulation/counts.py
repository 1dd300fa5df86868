"""Tests of counts, watched: the sample ratio, and two models right or wrong on the same rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from experiments.methods import mcnemar, srm
from experiments.simulation.watching import BoolArray


def sample_ratio(
    rng: np.random.Generator, experiments: int, units: int, looks: int, weights: Sequence[float], true: Sequence[float] | None = None
) -> BoolArray:
    """Whether the alarm ever rings, in each experiment, while `units` a look enter in the shares `true` (default: the weights)."""
    shares = np.asarray(weights if true is None else true, dtype=np.float64)
    counts, best = np.zeros((experiments, len(weights))), np.zeros(experiments)
    for _ in range(looks):
        counts += rng.multinomial(units, shares / shares.sum(), experiments)
        best = np.maximum(best, srm.log_evidence(counts, weights))
    return np.asarray(best >= -math.log(srm.ALARM))


def discordant(rng: np.random.Generator, experiments: int, pairs: int, looks: int, left: float = 0.5, alpha: float = 0.05) -> BoolArray:
    """Whether McNemar's E ever reaches 1/α while `pairs` a look come on which the models differ, `left` of them for the left one."""
    b, best = np.zeros(experiments), np.zeros(experiments)
    for number in range(1, looks + 1):
        b += rng.binomial(pairs, left, experiments)
        best = np.maximum(best, mcnemar.log_evidence(b, number * pairs - b))
    return np.asarray(best >= -math.log(alpha))
