"""Do probabilities say how often something happens, and values what is to be expected?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from core.errors import Refused
from experiments.batch.answers import Answers, BoolArray, IntArray, Labelled, Valued
from experiments.losses import LARGEST
from experiments.methods.proportion import wilson
from experiments.methods.summary import FloatArray

BINS = 10
SIMULATIONS = 200

LEAST_LOGIT = 1e-6
"""Probabilities nearer to 0 or 1 than this count as so far, so that a single certain row does not decide a slope."""

_STEPS = 50


def calibration(answers: Answers, alpha: float, rng: np.random.Generator) -> dict[str, Any] | None:
    """The reliability table and the tests of calibration; None without probabilities or rows.

    Of two classes it is of the positive one's probability, of more of the answered label's (Guo et al. 2017, "top label").
    """
    if answers.truth.size == 0:
        return None
    if isinstance(answers, Valued):
        return {"of": "value", **_of_values(answers, alpha)}
    found = chances(answers)
    if found is None:
        return None
    happened, given = found
    of = "answered label" if answers.positive is None else answers.classes[answers.positive]
    return {"of": of, **_of_chances(happened, given, alpha, rng)}


def chances(answers: Labelled) -> tuple[BoolArray, FloatArray] | None:
    """Whether it happened, and the probability that was given for it, of each row; None without probabilities."""
    if answers.probabilities is None:
        return None
    if answers.positive is None:
        return answers.right, np.clip(answers.probabilities[np.arange(answers.said.size), answers.said], 0.0, 1.0)
    return answers.truth == answers.positive, np.clip(answers.probabilities[:, answers.positive], 0.0, 1.0)


def bins(values: FloatArray) -> IntArray:
    """The bin of each row: at most ten of about as many rows, from the smallest values up; equal values share one."""
    edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    found: IntArray = np.searchsorted(edges, values, side="left")
    return np.unique(found, return_inverse=True)[1].ravel()


def expected_error(happened: FloatArray, given: FloatArray, places: IntArray) -> float:
    """The expected calibration error: the mean over rows of |share that happened − mean probability| of their bin (Naeini et al. 2015)."""
    return float(np.abs(np.bincount(places, happened - given)).sum() / given.size)


def spiegelhalter(happened: BoolArray, given: FloatArray) -> dict[str, float]:
    """The z test that the probabilities are right: Σ (y − p)(1 − 2p) / √Σ (1 − 2p)² p (1 − p) (Spiegelhalter 1986); two-sided p.

    Raises Refused where that is 0/0: all probabilities are 0, ½ or 1.
    """
    spread = float(((1.0 - 2.0 * given) ** 2 * given * (1.0 - given)).sum())
    if spread <= 0.0:
        raise Refused("all probabilities are 0, ½ or 1")
    z = float(((happened - given) * (1.0 - 2.0 * given)).sum()) / math.sqrt(spread)
    return {"z": z, "p_value": 2.0 * float(special.ndtr(-abs(z)))}


def recalibration(happened: BoolArray, given: FloatArray, alpha: float) -> dict[str, dict[str, float]]:
    """The logistic regression of what happened on the logit of its probability (Cox 1958), each coefficient with its Wald interval.

    Well calibrated: intercept 0, slope 1. A slope below 1: the probabilities are too extreme. Raises Refused where one outcome is all
    there is, the probabilities do not vary, or they separate the outcomes.
    """
    x = special.logit(np.clip(given, LEAST_LOGIT, 1.0 - LEAST_LOGIT))
    y = happened.astype(np.float64)
    if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        raise Refused("the probabilities, or what happened, do not vary")
    design = np.column_stack([np.ones_like(x), x])
    beta = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        p = special.expit(design @ beta)
        information = design.T @ (design * (p * (1.0 - p))[:, None])
        if not np.isfinite(information).all() or np.linalg.cond(information) > 1e14:
            break
        step = np.linalg.solve(information, design.T @ (y - p))
        beta = beta + np.clip(step, -5.0, 5.0)
        if np.abs(step).max() < 1e-9:
            return _coefficients(beta, np.linalg.inv(information), float(special.ndtri(1.0 - alpha / 2.0)))
    raise Refused("the probabilities separate what happened from what did not: there is no regression")


def _of_chances(happened: BoolArray, given: FloatArray, alpha: float, rng: np.random.Generator) -> dict[str, Any]:
    places = bins(given)
    found = expected_error(happened.astype(np.float64), given, places)
    simulated = [expected_error((rng.random(given.size) < given).astype(np.float64), given, places) for _ in range(SIMULATIONS)]
    return {
        "bins": [_bin(happened[places == k], given[places == k], alpha) for k in range(int(places.max()) + 1)],
        "ece": found,
        "ece_if_calibrated": float(np.mean(simulated)),
        "ece_p_value": (1 + sum(one >= found for one in simulated)) / (SIMULATIONS + 1),
        "spiegelhalter": asked(lambda: spiegelhalter(happened, given)),
        "recalibration": asked(lambda: recalibration(happened, given, alpha)),
    }


def _bin(happened: BoolArray, given: FloatArray, alpha: float) -> dict[str, Any]:
    lower, upper = wilson(int(happened.sum()), happened.size, alpha)
    row = {"rows": int(given.size), "from": float(given.min()), "to": float(given.max()), "said": float(given.mean())}
    return {**row, "observed": float(happened.mean()), "lower": lower, "upper": upper}


def _of_values(answers: Valued, alpha: float) -> dict[str, Any]:
    places = bins(answers.said)
    rows = [_value_bin(answers.truth[places == k], answers.said[places == k], alpha) for k in range(int(places.max()) + 1)]
    return {"bins": rows, "recalibration": asked(lambda: _line(answers, alpha))}


def _value_bin(truth: FloatArray, said: FloatArray, alpha: float) -> dict[str, Any]:
    # Divided first: a sum of the largest values would be infinite.
    mean, middle, reach = float((truth / truth.size).sum()), float((said / said.size).sum()), math.nan
    row = {"rows": int(said.size), "from": float(said.min()), "to": float(said.max()), "said": middle}
    if truth.size > 1:
        reach = float(special.stdtrit(truth.size - 1, 1.0 - alpha / 2.0)) * float(truth.std(ddof=1)) / math.sqrt(truth.size)
    known = math.isfinite(reach)
    return {**row, "observed": mean, "lower": mean - reach if known else None, "upper": mean + reach if known else None}


def _line(answers: Valued, alpha: float) -> dict[str, dict[str, float]]:
    """The regression of truth on value (Mincer and Zarnowitz 1969), with errors that need no equal variance (White 1980, HC1)."""
    n, x, y = answers.said.size, answers.said, answers.truth
    if max(np.abs(x).max(), np.abs(y).max()) > LARGEST:
        raise Refused("the values are too large for their squares to be represented")
    if n < 3 or np.ptp(x) == 0.0:
        raise Refused("the values do not vary, or there are fewer than 3 rows")
    centre = float(x.mean())
    design = np.column_stack([np.ones_like(x), x - centre])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ (design.T @ y)
    scores = design * (y - design @ beta)[:, None]
    covariance = inverse @ (scores.T @ scores) @ inverse * (n / (n - 2))
    back = np.array([[1.0, -centre], [0.0, 1.0]])
    found = _coefficients(back @ beta, back @ covariance @ back.T, float(special.stdtrit(n - 2, 1.0 - alpha / 2.0)))
    if not all(math.isfinite(each) for one in found.values() for each in one.values()):
        raise Refused("the figures are beyond the range of floating point")
    return found


def _coefficients(beta: FloatArray, covariance: FloatArray, quantile: float) -> dict[str, dict[str, float]]:
    se = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return {
        name: {"value": float(beta[k]), "lower": float(beta[k] - quantile * se[k]), "upper": float(beta[k] + quantile * se[k])}
        for k, name in enumerate(("intercept", "slope"))
    }


def asked(figures: Any) -> dict[str, Any]:
    """What `figures` computes, or why it may not."""
    try:
        found: dict[str, Any] = figures()
    except Refused as error:
        return {"refused": error.message}
    return found
