"""How two populations are compared: the figures by hand, and what cannot be computed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from experiments.holdout import FEWEST, Pairs, balance, compare, distribution, few


def test_totals_of_units_are_compared_by_welch() -> None:
    """Treated less holdout, two-sided, with the interval of each mean."""
    generator = np.random.default_rng(3)
    left, right = generator.normal(1.0, 1.0, 40).tolist(), generator.normal(1.5, 3.0, 60).tolist()
    found, oracle = compare(Pairs(left), Pairs(right)), stats.ttest_ind(right, left, equal_var=False)
    interval = oracle.confidence_interval(0.95)
    d = found["difference"]
    assert (d["p_value"], d["lower"], d["upper"]) == pytest.approx((oracle.pvalue, interval.low, interval.high))
    assert d["estimate"] == pytest.approx(np.mean(right) - np.mean(left))
    assert (found["per"], found["holdout"]["units"], found["treated"]["mean"]) == ("unit", 40, pytest.approx(np.mean(right)))
    low, high = stats.t.interval(0.95, 39, np.mean(left), stats.sem(left))
    assert (found["holdout"]["lower"], found["holdout"]["upper"]) == pytest.approx((low, high))


def test_what_is_per_row_is_a_ratio_with_units_as_clusters() -> None:
    """Its variance is that of the delta method: rows of one unit are not independent."""
    generator = np.random.default_rng(5)
    sides = []
    for rate in (0.3, 0.6):
        rows = generator.integers(1, 9, 200).astype(float)
        sides.append((generator.binomial(rows.astype(int), rate).astype(float), rows))
    found = compare(*(Pairs(y.tolist(), x.tolist()) for y, x in sides))
    ratios = [y.sum() / x.sum() for y, x in sides]
    se = math.sqrt(sum(np.var(y - r * x, ddof=1) / (200 * x.mean() ** 2) for (y, x), r in zip(sides, ratios, strict=True)))
    assert (found["per"], found["holdout"]["mean"]) == ("row", pytest.approx(ratios[0]))
    assert (found["difference"]["estimate"], found["difference"]["se"]) == pytest.approx((ratios[1] - ratios[0], se))


@pytest.mark.parametrize(
    ("holdout", "treated"),
    [
        (Pairs([]), Pairs([1.0, 2.0])),
        (Pairs([1.0]), Pairs([1.0, 2.0])),
        (Pairs([]), Pairs([1.0, 2.0], [1.0, 1.0])),
        (Pairs([1.0, 1.0]),) * 2,
    ],
    ids=["none", "one", "none with rows", "no spread"],
)
def test_what_cannot_be_compared_says_why(holdout: Pairs, treated: Pairs) -> None:
    """No figure is made up: neither a p-value of 1 nor an interval of nothing."""
    found = compare(holdout, treated)
    assert list(found["difference"]) == ["refused"]
    assert "refused" in found["holdout"]


def test_balance() -> None:
    """By χ² where there are units enough to tell."""
    assert balance({"holdout": 50, "treated": 950}, 0.05)["p_value"] == 1.0
    assert balance({"holdout": 100, "treated": 900}, 0.05)["p_value"] < 1e-6
    assert "refused" in balance({"holdout": 1, "treated": 3}, 0.05)


def test_distribution_and_few() -> None:
    """Shares of labels, quantiles of scores; small populations are named."""
    found = distribution({"1": 1, "0": 3}, [0.0, 1.0, 2.0])
    assert (found["labels"], found["quantiles"]["0.5"]) == ({"0": 0.75, "1": 0.25}, 1.0)
    assert few({"holdout": FEWEST, "treated": FEWEST}) == []
    assert few({"holdout": 7, "treated": 900}) == [
        "7 units of the holdout: with fewer than 30 the intervals are too narrow and the p-values too small"
    ]
