"""Quantiles: documented ranks, the standard error by hand, and coverage with several requests per unit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid, Refused
from experiments.methods.quantile import Clusters, of, quantile_se, ranks, share_variance
from experiments.methods.summary import EMPTY

SEEDS = st.integers(0, 2**32 - 1)
SUMS = {"units": 4, "sum_i": 9, "sumsq_i": 23, "sum_n": 12, "sumsq_n": 40, "sum_in": 30}


def sums(below: np.ndarray, n: np.ndarray) -> Clusters:
    return Clusters(
        units=len(n),
        sum_i=int(below.sum()),
        sumsq_i=int((below**2).sum()),
        sum_n=int(n.sum()),
        sumsq_n=int((n**2).sum()),
        sum_in=int((below * n).sum()),
    )


def requests(rng: np.random.Generator, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Latencies that units share most of: 1 to about 30 requests each."""
    n = 1 + rng.poisson(rng.gamma(2.0, 4.0, units))
    ids = np.repeat(np.arange(units), n)
    return np.exp(rng.normal(size=units)[ids] + 0.5 * rng.normal(size=ids.size)), ids


@given(SEEDS, st.integers(37, 500), st.sampled_from([0.5, 0.75, 0.1]))
def test_without_clusters_it_is_half_the_interval(seed: int, n: int, nu: float) -> None:
    """Q is numpy's inverted distribution function, and (Q_U − Q_L)/2z at ranks n(ν ± z√(ν(1 − ν)/n)) is se."""
    lower, middle, upper = ranks(n, nu)
    values = np.sort(np.random.default_rng(seed).normal(size=n))
    assert 1 <= lower <= middle <= upper <= n
    assert values[middle - 1] == np.quantile(values, nu, method="inverted_cdf")
    reach = 1.959963984540054 * math.sqrt(nu * (1.0 - nu) / n)
    assert lower - 1 < n * (nu - reach) <= lower
    assert upper - 1 < n * (nu + reach) <= upper
    expected = (values[upper - 1] - values[lower - 1]) / (2.0 * 1.959963984540054)
    assert quantile_se(n, nu, values[lower - 1], values[upper - 1]) == pytest.approx(expected, rel=1e-9)


def test_ranks_are_not_a_victim_of_rounding() -> None:
    """100 × .07 is above 7 in floating point, and still rank 7."""
    assert ranks(100, 0.07)[1] == 7
    assert ranks(1000, 0.95)[1] == 950


@given(SEEDS, st.integers(2, 80))
def test_the_share_varies_as_a_ratio(seed: int, units: int) -> None:
    """Var(Ī) is s²(I − Ī·n)/(K n̄²) computed unit by unit."""
    rng = np.random.default_rng(seed)
    n = 1 + rng.poisson(5.0, units)
    below = rng.binomial(n, rng.uniform(size=units))
    expected = np.var(below - below.sum() / n.sum() * n, ddof=1) / units / n.mean() ** 2
    assert share_variance(sums(below, n)) == pytest.approx(expected, rel=1e-9, abs=1e-18)


@given(SEEDS, st.sampled_from([0.5, 0.9]), st.sampled_from([1, 10**12]))
def test_of_puts_it_together(seed: int, nu: float, spread: int) -> None:
    """From raw requests: the order statistic, as many units as there are, and variance / n = se², whatever the ids."""
    rng = np.random.default_rng(seed)
    values, ids = requests(rng, 60)
    order = rng.permutation(values.size)
    found = of(values[order], spread * (ids[order] - 7), nu)
    quantile = np.quantile(values, nu, method="inverted_cdf")
    n, below = np.bincount(ids), np.bincount(ids, weights=values <= quantile).astype(int)
    lower, _, upper = ranks(values.size, nu)
    ordered = np.sort(values)
    se = quantile_se(values.size, nu, ordered[lower - 1], ordered[upper - 1], sums(below, n))
    assert (found.n, found.mean) == (60, quantile)
    assert math.sqrt(found.variance / found.n) == pytest.approx(se, rel=1e-9)


def test_the_interval_covers_with_several_requests_per_unit() -> None:
    """Over 1,000 samples of 400 units with about 9 requests each, 95 % intervals of p90 hold it in about 95 %; seeded.

    The formula for independent requests does so in fewer than three of four.
    """
    rng, clustered, independent = np.random.default_rng(20262), 0, 0
    truth = math.exp(1.2815515655446004 * math.sqrt(1.25))
    for _ in range(1000):
        values, ids = requests(rng, 400)
        found = of(values, ids, 0.9)
        clustered += abs(found.mean - truth) < 1.959964 * math.sqrt(found.variance / found.n)
        lower, _, upper = ranks(values.size, 0.9)
        ordered = np.partition(values, [lower - 1, upper - 1])
        independent += abs(found.mean - truth) < 1.959964 * quantile_se(values.size, 0.9, ordered[lower - 1], ordered[upper - 1])
    assert 0.925 < clustered / 1000 < 0.97
    assert independent / 1000 < 0.75


def test_one_request_per_unit_is_the_independent_case(rng: np.random.Generator) -> None:
    """Then the factor is n/(n − 1), up to Ī being not quite ν."""
    values = rng.normal(size=1000)
    lower, _, upper = ranks(1000, 0.9)
    ordered = np.sort(values)
    plain = quantile_se(1000, 0.9, ordered[lower - 1], ordered[upper - 1])
    found = of(values, np.arange(1000), 0.9)
    assert math.sqrt(found.variance / found.n) == pytest.approx(plain * math.sqrt(1000 / 999), rel=1e-9)


@pytest.mark.parametrize(("nu", "fewest"), [(0.95, 77), (0.05, 77), (0.5, 5), (0.99, 397)])
def test_too_few_requests_are_refused(nu: float, fewest: int) -> None:
    """More than 4·max(ν/(1 − ν), (1 − ν)/ν) requests, exactly; from there on the ranks exist."""
    with pytest.raises(Refused, match=f"there are {fewest - 1}"):
        quantile_se(fewest - 1, nu, 1.0, 2.0)
    lower, _, upper = ranks(fewest, nu)
    assert lower >= 1
    assert upper <= fewest


def test_what_has_no_standard_error_is_refused(rng: np.random.Generator) -> None:
    """One unit, equal values around the quantile, units that are all alike, and figures out of range."""
    with pytest.raises(Refused, match="2 units or more, there are 1"):
        of(rng.normal(size=100), np.zeros(100, dtype=int), 0.5)
    with pytest.raises(Refused, match="all equal"):
        of(np.repeat([1.0, 2.0], 50), np.arange(100), 0.25)
    with pytest.raises(Refused, match="same share"):
        of(np.tile([1.0, 2.0, 3.0, 4.0], 30), np.repeat(np.arange(30), 4), 0.5)
    with pytest.raises(Refused, match="floating point"):
        quantile_se(100, 0.5, -1.7e308, 1.7e308, sums(np.array([0, 50]), np.array([50, 50])))
    with pytest.raises(Refused, match="too large"):
        _ = of(1e300 * rng.normal(size=100), np.arange(100), 0.5).variance
    with pytest.raises(Refused, match="there are 0"):
        quantile_se(0, 0.5, 1.0, 2.0)
    assert of([], [], 0.5) == EMPTY


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sumsq_i": 20}, "sumsq_I"),
        ({"sumsq_n": 35}, "sumsq_n"),
        ({"sum_i": 13, "sumsq_i": 60}, "sum_I"),
        ({"sum_n": 0, "sum_i": 0}, "sum_I"),
        ({"sum_in": 60}, "sum_In"),
    ],
)
def test_sums_that_no_requests_have_are_invalid(changes: dict[str, int], field: str) -> None:
    """Squares smaller than their mean allows, more requests below than there are: named by field."""
    assert share_variance(Clusters(**SUMS)) > 0.0
    with pytest.raises(Invalid, match=f"{field}: expected") as error:
        share_variance(Clusters(**{**SUMS, **changes}))
    assert error.value.field == field


def test_wrong_input_is_named() -> None:
    """Each message names its field."""
    for call, field in (
        (lambda: quantile_se(100, 1.0, 1.0, 2.0), "nu"),
        (lambda: quantile_se(100, 0.5, 2.0, 1.0), "q_upper"),
        (lambda: quantile_se(100, 0.5, 1.0, 2.0, Clusters(**SUMS)), "sum_n"),
        (lambda: of([1.0, 2.0], [1], 0.5), "units"),
        (lambda: of([1.0, 2.0], [0.5, 1.0], 0.5), "units"),
        (lambda: of([1.0, float("nan")], [1, 2], 0.5), "values"),
    ):
        with pytest.raises(Invalid, match=f"{field}: expected") as error:
            call()
        assert error.value.field == field
