"""Answers of made-up models to made-up data."""

from __future__ import annotations

import numpy as np

from experiments.batch.answers import Labelled, Valued
from experiments.batch.figures import Asking


def asking(seed: int = 0, alpha: float = 0.05, resamples: int = 400) -> Asking:
    """How intervals are made, fewer resamples than in earnest."""
    return Asking(alpha, resamples, np.random.default_rng(seed))


def binary(rows: int, seed: int = 0, noise: float = 1.5, truth: np.ndarray | None = None) -> Labelled:
    """Two classes, of which the second is the positive one; the probabilities are right where noise is 1.5 or so."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows) if truth is None else truth
    p = 1.0 / (1.0 + np.exp(-(2.0 * y - 1.0 + rng.normal(0.0, noise, rows))))
    return Labelled(("no", "yes"), y, (p > 0.5).astype(int), np.column_stack([1.0 - p, p]), 1)


def several(rows: int, classes: int = 3, seed: int = 0, spread: float = 1.5) -> Labelled:
    """More than two classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    scores = np.exp(2.0 * np.eye(classes)[y] + rng.normal(0.0, spread, (rows, classes)))
    shares = scores / scores.sum(axis=1, keepdims=True)
    return Labelled(tuple("abcdefgh"[:classes]), y, shares.argmax(axis=1), shares)


def values(rows: int, seed: int = 0, noise: float = 1.0, truth: np.ndarray | None = None) -> Valued:
    """A regression whose truth has a standard deviation of 2 about 10."""
    rng = np.random.default_rng(seed)
    y = rng.normal(10.0, 2.0, rows) if truth is None else truth
    return Valued(y, y + rng.normal(0.0, noise, rows))
