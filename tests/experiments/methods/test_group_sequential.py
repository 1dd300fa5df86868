"""Group sequential bounds: published figures, an independent integration, simulated paths, and p values that belong to them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import integrate, stats

from core.errors import Invalid
from experiments.methods.group_sequential import CLOSEST, MOST, SMALLEST, Spending, bounds, p_value, spent

Shape = tuple[Spending, float | None]

SHAPES: list[Shape] = [("obrien-fleming", None), ("pocock", None), ("power", 2.0), ("power", 0.4)]
QUARTERS = [0.25, 0.5, 0.75, 1.0]

shapes = st.sampled_from(SHAPES)
fractions = st.lists(st.integers(1, 1000), min_size=1, max_size=8, unique=True).map(lambda found: [k / 1000 for k in sorted(found)])
alphas = st.floats(1e-6, 0.49)


@pytest.mark.parametrize(
    ("shape", "looks", "expected"),
    [
        (("obrien-fleming", None), QUARTERS, [4.332634, 2.963131, 2.359044, 2.014090]),
        (("pocock", None), QUARTERS, [2.368328, 2.367524, 2.358168, 2.350036]),
        (("power", 2.0), [0.2, 0.4, 0.6, 0.8, 1.0], [3.090232, 2.714112, 2.472777, 2.279863, 2.114028]),
    ],
    ids=["obrien-fleming", "pocock", "power"],
)
def test_published_bounds(shape: Shape, looks: list[float], expected: list[float]) -> None:
    """One-sided .025: within one unit of the sixth decimal (the second of O'Brien-Fleming's is 2.96313160, printed 2.963131)."""
    assert bounds(0.025, looks, *shape) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=30)
@given(alphas, st.floats(0.01, 0.98), st.floats(0.001, 0.99), shapes)
@example(0.025, 0.5, 0.001, ("pocock", None))
@example(0.025, 0.5, 1e-5, ("pocock", None))
@example(0.05, 0.9, 1.0, ("obrien-fleming", None))
def test_two_looks_spend_what_they_should(alpha: float, first: float, way: float, shape: Shape) -> None:
    """P(Z₁ < b₁, Z₂ ≥ b₂) by adaptive quadrature of the bivariate normal is the increment of alpha, to 1e-8 of a bound."""
    looks = [first, first + way * (1.0 - first)]
    b1, b2 = bounds(alpha, looks, *shape)
    one, both = (spent(t, alpha, *shape) for t in looks)
    assume(b1 is not None and b2 is not None)
    assert stats.norm.sf(b1) == pytest.approx(one, rel=1e-9)
    c1, c2, step = b1 * math.sqrt(looks[0]), b2 * math.sqrt(looks[1]), math.sqrt(looks[1] - looks[0])
    sd = math.sqrt(looks[0])

    def crossing(c: float) -> float:
        def density(s: float) -> float:
            return float(stats.norm.pdf(s, scale=sd) * stats.norm.sf((c - s) / step))

        edges = [max(-9.0 * sd, min(c1, c2 - k * step)) for k in (40, 10, 5, 2, 0)]
        parts = pairwise(sorted({-9.0 * sd, *edges, c1}))
        return math.fsum(integrate.quad(density, low, high, epsabs=0.0, epsrel=1e-11, limit=200)[0] for low, high in parts)

    off, slope = crossing(c2) - (both - one), (crossing(c2 - 1e-4 * step) - crossing(c2 + 1e-4 * step)) / (2e-4 * step)
    assert abs(off / slope) < 1e-8


def test_three_looks_agree_with_the_multivariate_normal() -> None:
    """The probability of crossing nowhere is 1 − alpha, by scipy's integration of the trivariate normal."""
    looks = [0.3, 0.45, 1.0]
    for shape in SHAPES:
        found = bounds(0.1, looks, *shape)
        correlation = np.sqrt(np.minimum.outer(looks, looks) / np.maximum.outer(looks, looks))
        kept = stats.multivariate_normal.cdf(found, cov=correlation, abseps=1e-9, releps=1e-9, maxpts=2_000_000, rng=default_rng(1))
        assert kept == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_many_close_and_unequal_looks(shape: Shape) -> None:
    """60 looks, some .001 apart: a bound at all but the first, and a path crosses one of them as often as alpha says."""
    rng = default_rng(20_240_501)
    looks = sorted({*np.round(rng.uniform(0.03, 0.99, 50), 3).tolist(), *np.round(np.arange(0.5, 0.508, 0.001), 3).tolist(), 1.0})
    found = np.array([math.inf if bound is None else bound for bound in bounds(0.05, looks, *shape)])
    assert np.isfinite(found[5:]).all()
    steps = np.sqrt(np.diff([0.0, *looks]))
    crossed = sum(
        int(((rng.standard_normal((10_000, len(looks))) * steps).cumsum(1) >= found * np.sqrt(looks)).any(1).sum()) for _ in range(10)
    )
    low, high = stats.binomtest(crossed, 100_000).proportion_ci(0.999)
    assert low <= 0.05 <= high


@given(alphas, fractions, shapes)
def test_the_past_alone_sets_a_bound(alpha: float, looks: list[float], shape: Shape) -> None:
    """Looks that are added later leave the bounds so far as they were."""
    whole = bounds(alpha, looks, *shape)
    for k in range(1, len(looks)):
        assert bounds(alpha, looks[:k], *shape) == pytest.approx(whole[:k], abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@given(st.floats(1e-13, 0.499), st.floats(0.001, 1.0))
def test_spending_grows_to_alpha(shape: Shape, alpha: float, t: float) -> None:
    """At 1 all of alpha is spent, and at no time more."""
    assert spent(1.0, alpha, *shape) == pytest.approx(alpha, rel=1e-12)
    assert 0.0 <= spent(t * 0.9, alpha, *shape) <= spent(t, alpha, *shape) <= alpha * (1 + 1e-12)


def test_what_spends_nothing_has_no_bound() -> None:
    """A look at 1 % of the information under O'Brien-Fleming; and the others are as if it had not been."""
    assert bounds(0.025, [0.01, *QUARTERS]) == [None, *bounds(0.025, QUARTERS)]
    assert bounds(SMALLEST / 2, [1.0]) == [None]


def test_a_look_at_nothing_new_has_no_bound() -> None:
    """What it would have spent is left to the next: all of alpha is spent at the end."""
    first, none, last = bounds(0.05, [0.5, 0.5 * (1.0 + CLOSEST / 2), 1.0], "pocock")
    assert none is None
    assert [first, last] == bounds(0.05, [0.5, 1.0], "pocock")


@given(st.integers(-3000, 7000).map(lambda thousandths: thousandths / 1000))
def test_one_look_at_the_end_is_the_z_test(z: float) -> None:
    """p is that of the z test down from ½; above, it is 1."""
    expected = stats.norm.sf(z)
    assert p_value([(1.0, z)]) == pytest.approx(expected if expected <= MOST else 1.0, rel=1e-8)


@settings(max_examples=40)
@given(st.floats(1e-9, 0.49), fractions, shapes, st.data())
def test_a_path_on_a_bound_has_its_alpha_as_p_value(alpha: float, looks: list[float], shape: Shape, data: st.DataObject) -> None:
    """Met at any look, with the others at 0."""
    found = bounds(alpha, looks, *shape)
    met = data.draw(st.sampled_from(range(len(looks))))
    bound = found[met]
    assume(bound is not None and bound > 0.0)
    path = [(t, bound if k == met else -9.0) for k, t in enumerate(looks)]
    assert p_value(path, *shape) == pytest.approx(alpha, rel=1e-6)
    assert p_value(path[: met + 1], *shape) == pytest.approx(alpha, rel=1e-6)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 400), st.floats(-2.0, 6.0)), min_size=2, max_size=8, unique_by=lambda look: look[0]), shapes)
def test_p_only_falls_as_looks_are_added(looks: list[tuple[int, float]], shape: Shape) -> None:
    """A crossing latches."""
    path = [(k / 400, z) for k, z in sorted(looks)]
    values = [p_value(path[:k], *shape) for k in range(1, len(path) + 1)]
    assert all(0.0 < later <= earlier * (1 + 1e-8) for earlier, later in pairwise(values))
    assert all(p <= MOST * (1 + 1e-12) or p == 1.0 for p in values)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_bound_falls_as_alpha_grows(shape: Shape) -> None:
    """On what validity of the p value rests: the rejection regions are nested. Late, early and very close looks among them."""
    for looks in (QUARTERS, [0.01, 0.02, 0.5, 0.51, 0.5101, 1.0], [0.9, 0.99, 0.999, 1.0]):
        table = [bounds(alpha, looks, *shape) for alpha in np.geomspace(1e-9, 0.4999, 25).tolist()]
        for before, after in pairwise(table):
            for b, a in zip(before, after, strict=True):
                assert b is None or (a is not None and a < b)


def test_a_p_value_is_valid_when_one_stops_at_any_look() -> None:
    """P(p ≤ α) of the smallest p over 5 looks is α at every α, over 2,000 paths without drift (Kolmogorov-Smirnov)."""
    rng, looks = default_rng(7), np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    z = rng.standard_normal((2000, 5)).cumsum(1) * math.sqrt(0.2) / np.sqrt(looks)
    values = np.array([p_value(list(zip(looks.tolist(), path, strict=True)), "pocock") for path in z.tolist()])
    small = values[values < MOST]
    assert stats.binomtest(small.size, 2000, MOST).pvalue > 0.001
    assert stats.kstest(small, stats.uniform(0.0, MOST).cdf).pvalue > 0.001


@pytest.mark.parametrize("z", [-1e300, 1e300])
def test_extreme_statistics_have_a_p_value(z: float) -> None:
    """The least that has a bound, or 1."""
    assert p_value([(0.5, z), (1.0, z)]) == pytest.approx(1.0 if z < 0.0 else SMALLEST, rel=1e-6)


@pytest.mark.parametrize("looks", [[], [0.0], [-0.5, 1.0], [0.5, 0.5], [0.6, 0.4], [0.5, 1.0001], [math.nan], [0.5, math.nan, 1.0]])
def test_fractions_must_increase_up_to_1(looks: list[float]) -> None:
    """Nothing else is a share of the maximum information."""
    with pytest.raises(Invalid) as caught:
        bounds(0.05, looks)
    assert caught.value.field == "information_fractions"
    with pytest.raises(Invalid):
        p_value([(t, 1.0) for t in looks])


@pytest.mark.parametrize("alpha", [0.0, -0.1, 0.6, math.nan])
def test_alpha_is_above_0_and_below_a_half(alpha: float) -> None:
    """Otherwise the error names it."""
    with pytest.raises(Invalid) as caught:
        bounds(alpha, QUARTERS)
    assert caught.value.field == "alpha"


@pytest.mark.parametrize("shape", [("power", None), ("power", 0.0), ("power", math.inf), ("pocock", 1.0), ("obrien-fleming", 2.0)])
def test_the_power_belongs_to_power_spending(shape: Shape) -> None:
    """It is needed there, above 0, and would be passed over elsewhere."""
    with pytest.raises(Invalid) as caught:
        bounds(0.05, QUARTERS, *shape)
    assert caught.value.field == "phi"


def test_a_statistic_is_finite() -> None:
    """NaN compares as crossed nowhere, which would be a silent p = 1."""
    with pytest.raises(Invalid):
        p_value([(0.5, math.nan)])


@pytest.mark.parametrize("information", [[0.9, 1.8], [0.25, 0.5, 0.75, 1.5], [0.5, 0.7]])
def test_a_last_look_beyond_the_maximum_or_before_it(information: list[float]) -> None:
    """All of α is spent there, by what was really gathered: the chance to cross any bound is α, which it is not if 1 is taken for it."""
    spent_at = [*information[:-1], 1.0]

    def crossed(found: list[float | None]) -> float:
        """1 − P(all below), by the multivariate normal of Brownian motion at these times."""
        times = np.array(information)
        correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
        limits = [math.inf if bound is None else bound for bound in found]
        return 1.0 - float(stats.multivariate_normal(cov=correlation, abseps=1e-8, maxpts=2_000_000).cdf(np.array(limits)))

    assert crossed(bounds(0.05, spent_at, information=information)) == pytest.approx(0.05, abs=2e-5)
    assert abs(crossed(bounds(0.05, spent_at)) - 0.05) > 5e-4


@pytest.mark.parametrize("information", [[0.5], [0.5, 0.5], [0.0, 1.0], [0.5, math.inf]])
def test_information_is_checked(information: list[float]) -> None:
    """One for each look, above 0, rising."""
    with pytest.raises(Invalid, match="information: expected"):
        bounds(0.05, [0.5, 1.0], information=information)
