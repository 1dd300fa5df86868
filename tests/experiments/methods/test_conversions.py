"""The test of rare conversions: its integral, its martingale, its error rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.errors import Invalid, Refused
from experiments.methods.conversions import evidence, log_evidence

SHARES = st.sampled_from([0.001, 0.05, 0.3, 0.5, 0.9, 0.999])


def by_quadrature(s: int, f: int, e: float) -> float:
    """log E by 40 Gauss-Legendre nodes on each of 400 pieces of where the integrand is above e⁻⁶⁰ of its peak in [e, 1]."""

    def log_integrand(theta: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return (s * np.log(theta / e) if s else 0.0) + (f * (np.log1p(-theta) - math.log1p(-e)) if f else 0.0) + 0.0 * theta

    peak = max(e, s / (s + f))
    top = float(log_integrand(np.array(peak)))

    def edge(outside: float) -> float:
        inside = peak
        if log_integrand(np.array(outside)) > top - 60.0:
            return outside
        for _ in range(80):
            middle = (inside + outside) / 2.0
            inside, outside = (middle, outside) if log_integrand(np.array(middle)) > top - 60.0 else (inside, middle)
        return outside

    ends = np.linspace(edge(e), edge(1.0), 401)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    theta = (ends[:-1, None] + ends[1:, None]) / 2.0 + np.diff(ends)[:, None] / 2.0 * nodes
    integral = (np.exp(log_integrand(theta) - top) * weights * np.diff(ends)[:, None] / 2.0).sum()
    return top + math.log(integral) - math.log1p(-e)


@given(st.integers(0, 300), st.integers(0, 300), SHARES)
def test_it_is_the_integral(s: int, f: int, e: float) -> None:
    """log E is what quadrature finds, to 1e-9."""
    if s + f:
        assert float(log_evidence(s, f, e)) == pytest.approx(by_quadrature(s, f, e), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("s", "f", "e"),
    [
        (0, 10**6, 0.5),
        (10**6, 0, 0.5),
        (480_000, 520_000, 0.5),
        (485_000, 515_000, 0.5),
        (500_500, 499_500, 0.5),
        (40_000, 10**6, 0.05),
        (52_000, 948_000, 0.05),
        (10**6, 1_000, 0.9999),
    ],
)
def test_it_holds_at_a_million(s: int, f: int, e: float) -> None:
    """Neither side of e overflows or underflows, and the log is right to 1e-8 where s log e is near a million."""
    assert float(log_evidence(s, f, e)) == pytest.approx(by_quadrature(s, f, e), rel=1e-12, abs=1e-8)


def test_a_few_by_hand() -> None:
    """One conversion in treatment at ½ is 2·∫θ/(½) = 3/2, one in control ½; none is 1."""
    np.testing.assert_allclose(log_evidence([1, 0, 0], [0, 1, 0], 0.5), [math.log(1.5), math.log(0.5), 0.0], rtol=1e-12, atol=1e-15)


@given(st.integers(1, 400), SHARES)
def test_its_mean_under_the_null_is_1(n: int, e: float) -> None:
    """After n conversions of which each is in treatment with probability e, E is 1 on average; with less, below."""
    s = np.arange(n + 1)
    log_e = log_evidence(s, n - s, e)
    assert np.exp(log_e + stats.binom.logpmf(s, n, e)).sum() == pytest.approx(1.0, rel=1e-9)
    assert np.exp(log_e + stats.binom.logpmf(s, n, 0.9 * e)).sum() < 1.0


@pytest.mark.parametrize("e", [0.05, 0.5])
def test_watching_every_conversion_is_free(e: float) -> None:
    """Over 2,000 experiments watched after each of 300 conversions under the null, at most 5 % ever reach 1/α = 20; seeded."""
    rng = np.random.default_rng(20263)
    s = (rng.random((2000, 300)) < e).cumsum(axis=1)
    ever = (log_evidence(s, np.arange(1, 301) - s, e) >= math.log(20.0)).any(axis=1).mean()
    assert 0.005 < ever < 0.05


def test_it_sees_an_effect(rng: np.random.Generator) -> None:
    """When treatment converts twice as often, 500 conversions at 50/50 are enough."""
    s = int((rng.random(500) < 2 / 3).sum())
    assert evidence([s], [500 - s], [0.5]) > math.log(1000.0)


def test_phases_multiply() -> None:
    """Each phase has its share; their evidence adds up, and a phase without conversions adds nothing."""
    expected = float(log_evidence(3, 20, 0.05) + log_evidence(40, 31, 0.5))
    assert evidence([3, 40, 0], [20, 31, 0], [0.05, 0.5, 0.2]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("counts", [[], [0], [0, 0]])
def test_nobody_converted_is_refused(counts: list[int]) -> None:
    """Silence is not p = 1."""
    with pytest.raises(Refused, match="no unit has converted"):
        evidence(counts, counts, [0.5] * len(counts))


def test_counts_out_of_range_are_refused() -> None:
    """Far beyond any number of units there is a refusal, not a NaN."""
    assert math.isfinite(evidence([10**12], [10**15], [1e-12]))
    with pytest.raises(Refused, match="floating point"):
        evidence([0], [1e300], [0.5])


@pytest.mark.parametrize(
    ("treatment", "control", "share", "field"),
    [
        ([-1], [2], [0.5], "treatment"),
        ([1], [2.5], [0.5], "control"),
        ([1], [float("inf")], [0.5], "control"),
        ([1], [2], [0.0], "share"),
        ([1], [2], [1.0], "share"),
        ([1], [2], [float("nan")], "share"),
        ([1, 2], [2], [0.5], "control"),
    ],
)
def test_wrong_input_is_named(treatment: list[float], control: list[float], share: list[float], field: str) -> None:
    """Counts are whole and from 0, shares inside (0, 1), and each phase has all three."""
    with pytest.raises(Invalid, match=f"{field}: expected") as error:
        evidence(treatment, control, share)
    assert error.value.field == field
