"""Has the model become worse: the losses of labelled rows beside those of the sample's rows."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from experiments.drift import distances, significance
from experiments.drift.column import Counted
from experiments.drift.judging import LEAST_VALUES, Rule

DecayLoss: TypeAlias = Literal["error", "absolute"]

LEAST_ERROR = 0.02
"""A smaller rise of the error rate raises no alarm."""
LEAST_RATIO = 1.1
"""A smaller ratio of mean absolute errors raises no alarm."""


class Decay(msgspec.Struct, frozen=True):
    """Mean losses in the sample and in the window, and the one-sided p value of the window's being larger; None: not compared."""

    alarm: bool
    reason: str
    loss: str
    reference: float | None
    window: float | None
    p_value: float | None


def decay(counted: Counted, loss: DecayLoss, rule: Rule) -> Decay:
    """Whether losses are larger than in the sample beyond chance, and by an amount that matters.

    Wrong answers by Fisher's exact test, absolute errors by the one-sided test of Kolmogorov and Smirnov, which no outlier sways.
    """
    reference, window = counted.means
    n, m = counted.sizes[0], round(counted.sizes[1] * rule.share)
    if reference is None or window is None or min(n, m) < LEAST_VALUES:
        reason = f"not compared: {n} losses in the sample and {m} in the window, {LEAST_VALUES} are needed"
        return Decay(False, reason, loss, reference, window, None)
    if loss == "error":
        p = significance.higher_rate_p(round(reference * n), n, min(m, round(window * m)), m)
        matters = window - reference >= LEAST_ERROR
    else:
        p = significance.ks_above_p(distances.ks_above(counted.reference, counted.window), n, m)
        matters = window >= LEAST_RATIO * reference
    beyond = p <= rule.alpha
    said = f"{'error rate' if loss == 'error' else 'mean absolute error'} {window:.4g}, {reference:.4g} on the sample"
    reason = said if beyond and matters else "beyond chance, and too little to matter" if beyond else "within chance"
    return Decay(beyond and matters, reason, loss, reference, window, p)
