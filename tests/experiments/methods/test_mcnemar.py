"""McNemar's test: exact, mid-p, and the evidence that may be watched."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import contingency_tables

from core.errors import Invalid, Refused
from experiments.methods.mcnemar import MOST, log_evidence, mcnemar

COUNTS = st.integers(0, 400)


@given(COUNTS, COUNTS)
def test_p_values(b: int, c: int) -> None:
    """The exact p value is that of scipy's binomial test and of statsmodels; the mid-p counts half of what was seen."""
    assume(b + c > 0)
    found = mcnemar(b, c)
    assert found.p_exact == pytest.approx(stats.binomtest(b, b + c).pvalue, rel=1e-9)
    assert found.p_exact == pytest.approx(contingency_tables.mcnemar([[5, b], [c, 9]], exact=True).pvalue, rel=1e-9)
    at = stats.binom.pmf(b, b + c, 0.5)
    assert found.p_mid == pytest.approx(1.0 if b == c else found.p_exact - at, rel=1e-9)


@given(COUNTS, COUNTS)
def test_left_and_right_are_alike(b: int, c: int) -> None:
    """Two-sided: exchanging the models changes nothing, and mid-p is never above the exact p value or 1."""
    assume(b + c > 0)
    found = mcnemar(b, c)
    assert mcnemar(c, b).p_mid == found.p_mid
    assert 0.0 <= found.p_mid <= found.p_exact <= 1.0
    assert mcnemar(c, b).log_evidence == pytest.approx(found.log_evidence, rel=1e-12, abs=1e-12)


@given(COUNTS, COUNTS)
def test_the_evidence_is_the_mixture(b: int, c: int) -> None:
    """E is (2b)! (2c)! / (2ⁿ b! c! n!), in whole numbers, to 1e-12."""
    f, n = math.factorial, b + c
    exact = Fraction(f(2 * b) * f(2 * c), 2**n * f(b) * f(c) * f(n))
    expected = math.log(exact.numerator) - math.log(exact.denominator)
    assert float(log_evidence(b, c)) == pytest.approx(expected, rel=1e-12, abs=1e-11)


@given(COUNTS, COUNTS)
def test_the_evidence_is_a_martingale(b: int, c: int) -> None:
    """Whatever was seen, the next discordant pair leaves the evidence as it is on average, if it is a toss of a coin."""
    now, left, right = np.exp(log_evidence(b, c) - log_evidence([b, b + 1, b], [c, c, c + 1]))
    assert now == 1.0
    assert 0.5 / left + 0.5 / right == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("exponent", range(4, 16))
def test_the_evidence_does_not_cancel(exponent: int) -> None:
    """With as many on both sides it is (2n choose n) / 4ⁿ, whose logarithm is −½ log(πn) − 1/(8n) + O(n⁻³), however many."""
    n = 10.0**exponent
    assert float(log_evidence(n, n)) == pytest.approx(-0.5 * math.log(math.pi * n) - 1.0 / (8.0 * n), rel=1e-12)


def test_known_numbers() -> None:
    """The approval ratings of Agresti: 150 against 86."""
    found = mcnemar(150, 86)
    assert found.p_exact == pytest.approx(3.71594e-5, abs=0.51e-10)
    assert found.p_mid == pytest.approx(2.89339e-5, abs=0.51e-10)
    assert found.log_evidence == pytest.approx(5.828768, abs=0.51e-6)


@pytest.mark.parametrize(("b", "c"), [(1, 0), (0, 1), (0, 10_000), (MOST, 0), (MOST, MOST), (10**12, 10**12 + 10**6)])
def test_extremes_are_finite(b: int, c: int) -> None:
    """One pair, all on one side, very many: figures, and p values between 0 and 1."""
    found = mcnemar(b, c)
    assert 0.0 <= found.p_mid <= found.p_exact <= 1.0
    assert math.isfinite(found.log_evidence)


def test_no_discordant_pairs_are_refused() -> None:
    """Models that are right on the same rows are not p = 1."""
    with pytest.raises(Refused, match="no discordant pairs"):
        mcnemar(0, 0)
    assert float(log_evidence(0, 0)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("b", "c", "field"), [(-1, 3, "b"), (3, -1, "c"), (3, MOST + 1, "c")])
def test_what_is_no_count_is_invalid(b: int, c: int, field: str) -> None:
    """The message names the count."""
    with pytest.raises(Invalid, match=f"{field}: expected a count") as caught:
        mcnemar(b, c)
    assert caught.value.field == field


def test_watching_costs_nothing(rng: np.random.Generator) -> None:
    """Watched after every tenth of 2000 discordant pairs without a difference, E reaches 20 in at most 5 %, where the z test at
    every look rejects in far more; at 57:43 E reaches it in nearly all."""
    looks = np.arange(10, 2001, 10)
    shown = []
    for share in (0.5, 0.57):
        b = np.cumsum(rng.random((4000, 2000), dtype=np.float32) < share, axis=1)[:, looks - 1]
        shown.append((log_evidence(b, looks - b).max(1) >= math.log(20.0)).mean())
        if share == 0.5:
            naive = (np.abs(2 * b - looks) / np.sqrt(looks) >= 1.96).any(1).mean()
    print(f"E {shown[0]:.2%}, z at every look {naive:.2%}; at 57:43 E {shown[1]:.2%}, of 4000")
    assert shown[0] <= 0.05
    assert naive > 0.2
    assert shown[1] > 0.95
