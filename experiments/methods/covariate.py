"""Differences of means made more precise by a covariate that predates the experiment.

CUPED is one slope for both arms: Deng, Xu, Kohavi and Walker, "Improving the sensitivity of online controlled experiments
by utilizing pre-experiment data", WSDM 2013. Lin is a regression per arm, never less precise than no adjustment as samples
grow: Lin, "Agnostic notes on regression adjustments to experimental data", Annals of Applied Statistics 2013.
Both need an x that the arm cannot have changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from core.errors import Refused
from experiments.methods.joint import Joint
from experiments.methods.linear import ROUNDING, moved, residual
from experiments.methods.means import Alternative, Difference, t_test
from experiments.methods.strata import Strata
from experiments.methods.summary import LARGEST, Summary, between, merge

FEWEST = 3
"""A regression has two coefficients: with fewer units in an arm it leaves no residual variance."""


class Line(NamedTuple):
    """The regression of y on x in one arm: its slope, and its residual variance with n − 2."""

    slope: float
    variance: float


class Adjusted(NamedTuple):
    """Lin's estimate, its squared standard error, and the larger of that and the one from a pooled residual variance."""

    estimate: float
    se2: float
    guarded: float


def theta(joints: Iterable[Joint]) -> float:
    """θ = Σ S_xy / Σ S_xx over the arms (and phases) given, with sums centred within each; units of y per unit of x.

    0.0 where x varies in none of them: there is nothing to adjust for, and Y − 0·X is then exactly what CUPED estimates.
    Raises Refused where squares of y or x overflow.
    """
    varied = [joint for joint in joints if joint.n >= 2 and joint.x.variance > 0.0]
    s_xx = sum(joint.x.m2 for joint in varied)
    if s_xx == 0.0:
        return 0.0
    found = sum(joint.c for joint in varied) / s_xx
    if any(map(_overflows, varied)) or not (math.isfinite(found) and s_xx < LARGEST):
        raise Refused("the values are too large, or the covariate's too small, for a slope to be represented")
    return found


def adjusted(joint: Joint, theta: float, centre: float = 0.0) -> Summary:
    """The summary of Y − θ(X − centre), from the joint moments alone; differences of such summaries do not depend on centre.

    Its variance is refused, as any summary's is, with fewer than 2 units or where squares overflow.
    """
    return moved(joint.y, theta, joint.x, centre, LARGEST if _overflows(joint) else residual(joint, theta))


def cuped(
    control: Joint, treatment: Joint, *, margin: float = 0.0, alternative: Alternative = "greater", alpha: float = 0.05
) -> Difference:
    """The z test of the difference of means of Y − θX with Welch's variance (Deng et al. 2013), in the units of y.

    θ is taken within the arms, so that a treatment effect is no part of it. Raises Refused with fewer than 2 units in an
    arm, where Y − θX does not vary, or where squares overflow.
    """
    slope = theta((control, treatment))
    y_c, y_t = adjusted(control, slope, control.x.mean), adjusted(treatment, slope, control.x.mean)
    se = math.sqrt(y_t.variance / y_t.n + y_c.variance / y_c.n)
    return t_test(between(y_c, y_t), se, math.inf, margin, alternative, alpha)


def lin(control: Joint, treatment: Joint) -> tuple[float, float]:
    """Lin's (2013) estimate and its standard error: the distance of the two arms' regression lines at the pooled mean of x.

    Var = Σ s²_e / n + (β_T − β_C)² s²_X / N, with s²_e the residual variance (n − 2) of each arm and s²_X that of x in
    both: the last term is for the pooled mean being one of a sample. The estimate is that of least squares on arm,
    centred x and their product. Raises Refused with fewer than 3 units in an arm, or where squares overflow.
    """
    found = _lin(control, treatment)
    return found.estimate, math.sqrt(found.se2)


def lin_test(
    control: Joint, treatment: Joint, *, margin: float = 0.0, alternative: Alternative = "greater", alpha: float = 0.05
) -> Difference:
    """The z test of `lin`. Raises Refused where it does, or without residual spread."""
    estimate, se = lin(control, treatment)
    return t_test(estimate, se, math.inf, margin, alternative, alpha)


def lin_strata(control: Sequence[Joint], treatment: Sequence[Joint]) -> Strata:
    """Lin's comparison inside each phase, from one joint summary per phase and arm: what `strata` makes one figure of.

    A phase with fewer than 3 units in an arm weighs 0; one whose squares overflow has an infinite standard error.
    """
    rows = [_phase(c, t) for c, t in zip(control, treatment, strict=True)]
    return Strata(*np.array(rows, dtype=np.float64).reshape(-1, 5).T)


def _phase(control: Joint, treatment: Joint) -> tuple[float, float, float, float, float]:
    n_c, n_t = control.n, treatment.n
    if min(n_c, n_t) < FEWEST:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    try:
        found = _lin(control, treatment)
    except Refused:
        found = Adjusted(0.0, math.inf, math.inf)
    return n_c + n_t, n_t * n_c / (n_t + n_c), *found


def _lin(control: Joint, treatment: Joint) -> Adjusted:
    of_c, of_t = _line(control), _line(treatment)
    x = merge(control.x, treatment.x)
    centre = x.mean + x.rest
    estimate = between(adjusted(control, of_c.slope, centre), adjusted(treatment, of_t.slope, centre))
    n_c, n_t = control.n, treatment.n
    apart = of_t.slope - of_c.slope
    if abs(apart) <= ROUNDING * max(abs(of_t.slope), abs(of_c.slope)):
        apart = 0.0
    slopes = apart * math.sqrt(x.variance / x.n)
    welch = of_t.variance / n_t + of_c.variance / n_c
    pooled = ((n_t - 2) * of_t.variance + (n_c - 2) * of_c.variance) / (n_t + n_c - 4)
    se2, guarded = welch + slopes * slopes, max(welch, pooled * (1.0 / n_t + 1.0 / n_c)) + slopes * slopes
    if not (math.isfinite(estimate) and math.isfinite(guarded)):
        raise Refused("the figures are beyond the range of floating point")
    return Adjusted(estimate, se2, guarded)


def _line(arm: Joint) -> Line:
    if arm.n < FEWEST:
        raise Refused(f"a regression needs {FEWEST} units or more in each arm, there are {arm.n}")
    slope = theta((arm,))
    return Line(slope, residual(arm, slope) / (arm.n - 2))


def _overflows(joint: Joint) -> bool:
    return joint.y.m2 >= LARGEST or joint.x.m2 >= LARGEST
