"""Ratios of two metrics of the same units, such as clicks per view: R = ΣY / ΣD.

Units, not views, are randomised, so the variance is that of a ratio of two means, by the delta method. Deng, Knoblich and
Lu, "Applying the delta method in metric analytics", KDD 2018.
"""

from __future__ import annotations

import math

from core.errors import Refused
from experiments.methods.joint import Joint
from experiments.methods.linear import exact_mean, residual, with_mean
from experiments.methods.means import NEAR_ZERO, Alternative, Difference, t_test
from experiments.methods.summary import LARGEST, Summary, between


def linearised(joint: Joint) -> Summary:
    """The summary of R + (Y − R·D) / D̄ over the units, with y the numerator Y and x the denominator D.

    Its mean is R = ΣY/ΣD and its variance / n is Var(R̂) = s²(Y − R·D) / (n D̄²) (Deng, Knoblich and Lu 2018), so that
    what is written for means works on it. It is a function of the joint summary: merge those, not these.
    Raises Refused with fewer than 2 units, where squares overflow, and where D̄ is 0 or within 3 standard errors of it.
    """
    _ = joint.y.variance  # refused where squares overflowed
    error = math.sqrt(joint.x.variance / joint.n)
    denominator = joint.x.mean + joint.x.rest
    if abs(denominator) <= NEAR_ZERO * error:
        raise Refused(f"the mean denominator {denominator:.4g} is within {NEAR_ZERO:g} standard errors of 0: a ratio to it means nothing")
    mean = exact_mean(joint.y) / exact_mean(joint.x)
    centre = with_mean(joint.n, mean, 0.0)
    m2 = residual(joint, centre.mean) / abs(denominator) / abs(denominator)
    return Summary(joint.n, centre.mean, min(m2, LARGEST), centre.rest)


def difference(
    control: Joint, treatment: Joint, *, margin: float = 0.0, alternative: Alternative = "greater", alpha: float = 0.05
) -> Difference:
    """The z test of treatment's ratio less control's, in units of y per unit of x.

    Raises Refused where `linearised` does, or where neither ratio has spread.
    """
    r_c, r_t = linearised(control), linearised(treatment)
    se = math.sqrt(r_t.variance / r_t.n + r_c.variance / r_c.n)
    return t_test(between(r_c, r_t), se, math.inf, margin, alternative, alpha)
