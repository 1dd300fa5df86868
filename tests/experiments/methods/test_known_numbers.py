"""Published and independently computed figures, to every digit that was printed."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.methods import always_valid, srm
from experiments.methods.means import relative_lift, welch
from experiments.methods.strata import stratified
from experiments.methods.summary import Summary, merge_all

CONTROL = Summary(3407, 1396.87 / 3407, 52377.9767 - 1396.87**2 / 3407)
TREATMENT = Summary(3461, 2422.7 / 3461, 134698.29 - 2422.7**2 / 3461)


def binary(successes: int, n: int) -> Summary:
    return Summary(n, successes / n, successes * (n - successes) / n)


def digits(value: float | None, printed: str) -> None:
    """`value` rounds to `printed`, which has as many digits as are known."""
    decimals = len(printed.split("e")[0].partition(".")[2])
    exponent = int(printed.partition("e")[2] or 0)
    assert value is not None
    assert value == pytest.approx(float(printed), abs=0.51 * 10.0 ** (exponent - decimals))


def test_welch() -> None:
    """The two-sided test of two summaries, and the one-sided p value."""
    found = welch(CONTROL, TREATMENT, alternative="two-sided")
    digits(found.estimate, "0.29")
    digits(found.se, "0.1247836")
    digits(found.df, "5841.742")
    digits(found.p_value, "0.0201584")
    digits(found.lower, "0.045378")
    digits(found.upper, "0.534622")
    digits(welch(CONTROL, TREATMENT).p_value, "0.0100792")


def test_relative_lift_by_the_delta_method() -> None:
    """The same two summaries as a lift."""
    found = relative_lift(CONTROL, TREATMENT, alternative="two-sided", method="delta")
    digits(found.estimate, "0.70732")
    digits(found.lower, "-0.03526")
    digits(found.upper, "1.44989")


@pytest.mark.parametrize(
    ("one_sided", "expected"),
    [
        (True, ["27.4769193", "35.8852057", "87.4631388", "204.7775903"]),
        (False, ["28.2827860", "38.2321833", "95.9789980", "223.2436194"]),
    ],
    ids=["one-sided", "two-sided"],
)
def test_normal_mixture_boundary(one_sided: bool, expected: list[str]) -> None:
    """Σ(v) where the mixture is tightest at v* = 1000, at α = .05."""
    v = np.array([10.0, 100.0, 1000.0, 5000.0])
    boundary = always_valid.boundary(v / 1000.0, 0.05, one_sided) * np.sqrt(v)
    for value, printed in zip(boundary, expected, strict=True):
        digits(value, printed)


def test_sequential() -> None:
    """One estimate at the planned standard error."""
    found = always_valid.sequential(0.29, 0.1, 0.1)
    digits(found.c, "6.638352")
    digits(found.log_evidence, "3.3276084")
    digits(found.p_value, "0.0358788")
    digits(found.lower, "0.0134173")
    assert found.upper is None


def test_srm_chi_square() -> None:
    """A mismatch of half a per cent in 1.6 million units."""
    digits(srm.chi_square([821588, 815482], [50, 50]).p_value, "1.82179e-6")


def test_srm_sequential() -> None:
    """Three batches, taken in as cumulative counts."""
    state, best = srm.Balance(), 0.0
    batches = [(50000, 50600), (49800, 50500), (50100, 50700)]
    for k, printed in enumerate(["0.6532346", "0.0835542", "0.0170582"]):
        control, treatment = (sum(batch[i] for batch in batches[: k + 1]) for i in (0, 1))
        state = srm.update(state, {"control": control, "treatment": treatment}, {"control": 1.0, "treatment": 1.0})
        best = max(best, state.log_evidence)
        digits(always_valid.p_value(best), printed)


def test_two_phases() -> None:
    """A ramp under a falling base rate: pooling gets the sign wrong, the phases do not."""
    control = [binary(20000, 990_000), binary(5000, 500_000)]
    treatment = [binary(230, 10_000), binary(6000, 500_000)]
    digits(welch(merge_all(control), merge_all(treatment)).estimate, "-0.0045628")
    population, overlap = stratified(control, treatment, population=True), stratified(control, treatment)
    digits(population.estimate, "0.0023990")
    digits(population.statistic, "3.156")
    digits(overlap.estimate, "0.0020304")
    digits(overlap.statistic, "9.729")
