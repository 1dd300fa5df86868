"""Thompson sampling: arms whose shares follow what they have brought, and the test that stays valid under it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import special

from experiments.design import Design
from experiments.effect import FEWEST_HARM
from experiments.methods import adaptive, always_valid
from experiments.methods.means import NEAR_ZERO
from experiments.methods.summary import FloatArray
from experiments.simulation.generators import IntArray
from experiments.simulation.watching import First, Tick, kept
from experiments.tracking import FEWEST_SUCCESS

FLOOR = 0.05
"""The least propensity of an arm."""

_TREATED, _REWARD = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
"""The four things that can happen to a unit whose reward is 0 or 1."""


class Played(NamedTuple):
    """Two arms after a look, as arrays of shape (experiments,): units and conversions of each, S, V and m̂ so far."""

    control: FloatArray
    of_control: FloatArray
    treatment: FloatArray
    of_treatment: FloatArray
    s: FloatArray
    v: FloatArray


def thompson(rng: np.random.Generator, experiments: int, units: int, looks: int, control: float, treatment: float) -> Iterator[Played]:
    """Conversions at these rates; before each look's units the propensity becomes the probability that treatment is better.

    That is of Beta posteriors from a uniform prior, by their normal approximation; a unit's own look moves nothing.
    """
    now = Played(*(np.zeros(experiments) for _ in range(6)))
    for _ in range(looks):
        e = propensity(now)
        treated = rng.binomial(units, e)
        cells = _cells(treated, rng.binomial(treated, treatment), units - treated, rng.binomial(units - treated, control))
        expected = (now.of_control + now.of_treatment + 0.5) / (now.control + now.treatment + 1.0)
        each = adaptive.score(_REWARD, _TREATED, e[:, None], expected[:, None])
        now = Played(
            now.control + cells[:, :2].sum(1),
            now.of_control + cells[:, 1],
            now.treatment + cells[:, 2:].sum(1),
            now.of_treatment + cells[:, 3],
            now.s + (cells * each.s).sum(1),
            now.v + (cells * each.v).sum(1),
        )
        yield now


def propensity(now: Played) -> FloatArray:
    """P(treatment is better), kept between FLOOR and 1 − FLOOR."""
    (m_c, v_c), (m_t, v_t) = _posterior(now.of_control, now.control), _posterior(now.of_treatment, now.treatment)
    return np.clip(special.ndtr((m_t - m_c) / np.sqrt(v_t + v_c)), FLOOR, 1.0 - FLOOR)


def ticks(design: Design, looks: Iterator[Played]) -> Iterator[Tick]:
    """S and V in the always-valid test, with the mean and variance of both arms frozen blinded."""
    mean = variance = np.full(1, np.nan)
    c = always_valid.tuning(design.alpha)
    for now in looks:
        units, n = np.minimum(now.control, now.treatment), now.control + now.treatment
        share = (now.of_control + now.of_treatment) / n
        spread = share * (1.0 - share) * n / (n - 1.0)
        new = np.isnan(mean) & (units >= FEWEST_HARM) & (share > NEAR_ZERO * np.sqrt(spread / n)) & (spread > 0.0)
        mean, variance = np.where(new, share, mean), np.where(new, spread, variance)
        x = np.asarray(
            always_valid.clock(now.v, variance, design.mde * mean if design.relative else design.mde, design.alpha, design.power)
        )
        z = np.where(np.isnan(x), np.nan, now.s / np.sqrt(now.v))
        better, worse = (np.asarray(always_valid.log_evidence(side, x, c)) for side in (z, -z))
        counted = np.zeros(units.shape, dtype=np.bool_)
        yield Tick(z, x, x, units, kept(better, units, FEWEST_SUCCESS), kept(worse, units, FEWEST_HARM), counted)


def welch(alpha: float, looks: Iterator[Played]) -> IntArray:
    """The first look, from 500 units an arm on, at which a test that knows of neither looks nor allocation rejects; 0 where none."""
    first, critical = None, float(special.ndtri(1.0 - alpha))
    for number, now in enumerate(looks, start=1):
        (m_c, v_c), (m_t, v_t) = (_mean(c, n) for c, n in ((now.of_control, now.control), (now.of_treatment, now.treatment)))
        first = first or First(now.control.size)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (m_t - m_c) / np.sqrt(v_t + v_c)
        first.see(number, (np.minimum(now.control, now.treatment) >= FEWEST_SUCCESS) & (z > critical))
    if first is None:
        raise ValueError("no looks were made")
    return first.look


def _cells(treated: IntArray, of_treated: IntArray, others: IntArray, of_others: IntArray) -> FloatArray:
    """Units by what happened to them, in the order of _TREATED and _REWARD."""
    return np.stack([others - of_others, of_others, treated - of_treated, of_treated], 1).astype(np.float64)


def _posterior(converted: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = (converted + 1.0) / (n + 2.0)
    return mean, mean * (1.0 - mean) / (n + 3.0)


def _mean(converted: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    share = converted / np.maximum(n, 1.0)
    return share, share * (1.0 - share) / np.maximum(n - 1.0, 1.0)
