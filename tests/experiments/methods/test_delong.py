"""DeLong's test: against the areas of scikit-learn, and against the definition of its variance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from core.errors import Invalid, Refused
from experiments.methods.delong import delong

LABELS = [0, 0, 1, 1, 0, 1]
LEFT = [0.1, 0.4, 0.35, 0.8, 0.2, 0.7]
RIGHT = [0.2, 0.1, 0.3, 0.25, 0.4, 0.9]


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two correlated scores, with many ties at few digits and none at many."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positives, negatives, digits = draw(st.integers(2, 25)), draw(st.integers(2, 25)), draw(st.sampled_from([0, 1, 8]))
    labels = rng.permutation(np.repeat([1, 0], [positives, negatives]))
    shared = rng.normal(labels, 1.0)
    left, right = (np.round(shared + rng.normal(0.0, 1.0, labels.size), digits) for _ in range(2))
    return labels, left, right


def naive(labels: np.ndarray, *scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas and their covariance by the definition: every positive against every negative, S₁₀/m + S₀₁/n."""
    wins = [np.heaviside(np.subtract.outer(s[labels == 1], s[labels == 0]), 0.5) for s in scores]
    m, n = wins[0].shape
    covariance = np.cov([w.mean(1) for w in wins]) / m + np.cov([w.mean(0) for w in wins]) / n
    return np.array([w.mean() for w in wins]), covariance


@given(scored(), st.sampled_from([0.01, 0.05, 0.2]))
def test_against_the_definition(rows: tuple[np.ndarray, np.ndarray, np.ndarray], alpha: float) -> None:
    """The areas are scikit-learn's; se, z, p value and interval follow from the covariance by its definition, ties and all."""
    labels, left, right = rows
    areas, covariance = naive(labels, left, right)
    variance = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
    if variance < 1e-12:
        with pytest.raises(Refused, match="no spread"):
            delong(labels, left, right)
        return
    found = delong(labels, left, right, alpha=alpha)
    assert found.left == pytest.approx(roc_auc_score(labels, left), rel=1e-9)
    assert found.right == pytest.approx(roc_auc_score(labels, right), rel=1e-9)
    test, se = found.difference, math.sqrt(variance)
    assert test.estimate == pytest.approx(areas[0] - areas[1], abs=1e-12)
    assert test.se == pytest.approx(se, rel=1e-9)
    assert test.p_value == pytest.approx(2.0 * stats.norm.sf(abs(areas[0] - areas[1]) / se), rel=1e-9)
    assert (test.lower, test.upper) == pytest.approx(stats.norm.interval(1.0 - alpha, areas[0] - areas[1], se), abs=1e-9)
    assert test.df is None


@given(scored())
def test_only_the_order_counts(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """A score may be stretched up to 1e300 as long as the order stays; exchanging the scores turns the sign."""
    labels, left, right = rows
    try:
        found = delong(labels, left, right)
    except Refused:
        return
    assert delong(labels, 1e299 * left, right) == found
    turned = delong(labels, right, left).difference
    assert turned.estimate == -found.difference.estimate
    assert turned.p_value == found.difference.p_value


def test_large_samples_are_fast(rng: np.random.Generator) -> None:
    """200,000 rows, of which all pairs would be 10¹⁰: the areas are scikit-learn's."""
    labels = rng.random(200_000) < 0.5
    left, right = rng.normal(labels, 1.0), rng.normal(0.9 * labels, 1.0)
    found = delong(labels, left, right)
    assert found.left == pytest.approx(roc_auc_score(labels, left), rel=1e-9)
    assert found.difference.p_value < 1e-6


def test_coverage(rng: np.random.Generator) -> None:
    """Of 2000 tests of equally good scores about 5 % reject at .05."""
    labels = np.repeat([1, 0], [60, 140])
    hits = []
    for _ in range(2000):
        shared = rng.normal(labels, 1.0)
        test = delong(labels, shared + rng.normal(size=200), shared + rng.normal(size=200)).difference
        hits.append(test.p_value <= 0.05)
    print(f"{np.mean(hits):.2%} of 2000")
    low, high = stats.binomtest(sum(hits), len(hits)).proportion_ci(0.999)
    assert low <= 0.05 <= high


@pytest.mark.parametrize(
    ("labels", "left", "right", "reason"),
    [
        ([], [], [], "0 rows of class 1"),
        ([1, 1, 1], [1, 2, 3], [3, 2, 1], "0 of class 0"),
        ([1, 0, 0, 0], [1, 2, 3, 4], [4, 3, 2, 1], "1 rows of class 1"),
        (LABELS, LEFT, LEFT, "no spread"),
        (LABELS, LEFT, [2.0 * score for score in LEFT], "no spread"),
        (LABELS, LABELS, [0.5] * 6, "no spread"),
    ],
    ids=["empty", "one class", "one of a class", "the same", "the same order", "perfect against constant"],
)
def test_refused(labels: list[int], left: list[float], right: list[float], reason: str) -> None:
    """Without two rows of each class, or without spread, there is no p value."""
    with pytest.raises(Refused, match=reason):
        delong(labels, left, right)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("labels", [0, 0, 1, 1, 0, 2]),
        ("labels", ["0", "0", "1", "1", "0", "1"]),
        ("labels", [[0, 1], [0, 1]]),
        ("left", [*LEFT[:5], float("nan")]),
        ("right", [*RIGHT[:5], float("inf")]),
        ("right", RIGHT[:5]),
    ],
)
def test_invalid(field: str, wrong: list[float]) -> None:
    """The message names what was wrong."""
    with pytest.raises(Invalid, match=f"{field}: expected") as caught:
        delong(**{"labels": LABELS, "left": LEFT, "right": RIGHT, field: wrong})
    assert caught.value.field == field
