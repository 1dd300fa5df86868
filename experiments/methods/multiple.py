"""Many tests at once: p values adjusted so that they can be compared with the error rate of the whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from core.errors import Invalid
from experiments.methods.summary import FloatArray


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjusted for the probability of any false rejection, in the order given (Holm 1979); shape (tests,).

    The i-th smallest of m becomes the largest of (m − j + 1) p_(j) over j ≤ i, at most 1. Raises Invalid where a p value is not in [0, 1].
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    return _placed(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), order)


def benjamini_hochberg(p_values: ArrayLike) -> FloatArray:
    """Adjusted for the share of false rejections among all, in the order given (Benjamini and Hochberg 1995); shape (tests,).

    The i-th smallest of m becomes the smallest of p_(j) m / j over j ≥ i. Raises Invalid where a p value is not in [0, 1].
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")[::-1]
    return _placed(np.minimum.accumulate(p[order] * (p.size / np.arange(p.size, 0, -1))), order)


def _placed(adjusted: FloatArray, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> FloatArray:
    found = np.empty_like(adjusted)
    found[order] = np.minimum(adjusted, 1.0)
    return found


def _checked(p_values: ArrayLike) -> FloatArray:
    p = np.asarray(p_values, dtype=np.float64).ravel()
    if not ((p >= 0.0) & (p <= 1.0)).all():
        raise Invalid("p_values: expected numbers from 0 to 1", field="p_values")
    return p
