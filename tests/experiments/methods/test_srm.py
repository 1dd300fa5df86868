"""Sample ratio mismatch: the state of a phase, and what has no test."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refused
from experiments.methods import srm
from experiments.methods.srm import Balance, chi_square, log_evidence, total_evidence, update

EVEN = {"control": 50.0, "treatment": 50.0}


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=12))
def test_batches_multiply_to_the_evidence_of_their_totals(batches: list[tuple[int, int]]) -> None:
    """E ×= DirMult(batch | α)/Mult(batch | θ₀) then α += batch, done batch by batch, is what the totals give at once."""
    alpha, product, state, seen = [7000.0, 3000.0], 0.0, Balance(), [0, 0]
    for batch in batches:
        n = sum(batch)
        product += math.lgamma(sum(alpha)) - math.lgamma(sum(alpha) + n)
        product += sum(math.lgamma(a + x) - math.lgamma(a) - x * math.log(t) for a, x, t in zip(alpha, batch, (0.7, 0.3), strict=True))
        alpha = [a + x for a, x in zip(alpha, batch, strict=True)]
        seen = [s + x for s, x in zip(seen, batch, strict=True)]
        state = update(state, {"control": seen[0], "treatment": seen[1]}, {"control": 0.7, "treatment": 0.3})
    assert state.log_evidence == pytest.approx(product, abs=1e-7)


def test_phases_multiply() -> None:
    """The evidence of two phases is the product, each against its own weights."""
    first = update(Balance(), {"control": 9000, "treatment": 1200}, {"control": 9.0, "treatment": 1.0})
    second = update(Balance(), {"control": 5000, "treatment": 5100}, EVEN)
    expected = log_evidence([9000, 1200], [0.9, 0.1]) + log_evidence([5000, 5100], [1, 1])
    assert total_evidence({1: first, 2: second}) == pytest.approx(float(expected))
    assert total_evidence({}) == 0.0


def test_a_count_that_falls_is_passed_over() -> None:
    """A unit taken out of the analysis later has still entered."""
    state = update(Balance(), {"control": 100, "treatment": 110}, EVEN)
    assert update(state, {"control": 90, "treatment": 110}, EVEN) == state


def test_units_in_an_arm_of_weight_0_are_beyond_doubt() -> None:
    """No sample explains them, and the figure is still finite."""
    weights = {"control": 1.0, "treatment": 1.0, "off": 0.0}
    assert update(Balance(), {"control": 5, "treatment": 5, "off": 1}, weights).log_evidence == srm.IMPOSSIBLE
    without = update(Balance(), {"control": 5, "treatment": 5}, weights)
    assert without.log_evidence == pytest.approx(update(Balance(), {"control": 5, "treatment": 5}, EVEN).log_evidence)


def test_one_arm_has_no_ratio() -> None:
    """All weight on control: nothing to test, no evidence."""
    assert update(Balance(), {"control": 1000}, {"control": 1.0, "treatment": 0.0}).log_evidence == 0.0


def test_weights_and_shares_are_the_same() -> None:
    """90:10 is .9:.1."""
    assert chi_square([880, 120], [90, 10]) == chi_square([880, 120], [0.9, 0.1])


@pytest.mark.parametrize(
    ("counts", "expected", "reason"),
    [
        ([], [], "two arms"),
        ([10], [1.0], "two arms"),
        ([10, 0], [1.0, 0.0], "two arms"),
        ([0, 0], [1, 1], "expected"),
        ([90, 3], [97, 3], "χ²"),
    ],
)
def test_chi_square_refuses(counts: list[int], expected: list[float], reason: str) -> None:
    """Fewer than two arms, or too few units for the approximation."""
    with pytest.raises(Refused, match=reason):
        chi_square(counts, expected)
