"""The bootstrap: against scipy's, against the definitions, and the p value against the interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from core.errors import Refused
from experiments.batch import bootstrap
from experiments.batch.bootstrap import Resampled, acceleration, interval, of_means, tail

SKEWED = np.random.default_rng(3).lognormal(0.0, 1.0, 80)


def root(means: np.ndarray) -> np.ndarray:
    """The root of the first mean."""
    return np.sqrt(means[..., 0])


def test_it_is_scipys() -> None:
    """The BCa interval of a root mean square of skewed values, with as many resamples as make the two agree to a percent."""
    (found,) = of_means(SKEWED[:, None] ** 2, [root], 20_000, np.random.default_rng(0))
    expected = stats.bootstrap(
        (SKEWED,), lambda x, axis: np.sqrt((x**2).mean(axis=axis)), n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert interval(found, 0.05) == pytest.approx((expected.low, expected.high), rel=0.015)


def test_acceleration_by_its_definition() -> None:
    """Σ d³ / (6 (Σ d²)^1.5) over the leave-one-out values; rows that share a value may be counted together."""
    without = np.array([root(np.delete(SKEWED, k)[:, None].mean(axis=0)) for k in range(SKEWED.size)])
    d = without.mean() - without
    assert acceleration(without) == pytest.approx((d**3).sum() / (6.0 * (d**2).sum() ** 1.5))
    doubled = acceleration(np.append(without, without))
    assert acceleration(without, np.full(without.size, 2.0)) == pytest.approx(doubled)
    assert acceleration(np.ones(5)) == 0.0


@pytest.mark.parametrize("at", [1.1, 1.5, 1.9, 2.4])
def test_the_p_value_belongs_to_the_interval(at: float) -> None:
    """The upper bound of the interval at the p value is the hypothesis."""
    (found,) = of_means(SKEWED[:, None], [lambda m: m[..., 0]], 20_000, np.random.default_rng(0))
    p = tail(found, at)
    upper = interval(found, 2.0 * p)[1] if p < 0.5 else interval(found, 2.0 * (1.0 - p))[0]
    assert upper == pytest.approx(at, rel=0.01)


def test_no_p_value_is_below_what_resamples_can_tell() -> None:
    """Of 400 resamples that all lie on one side it is 1/401, never 0."""
    (found,) = of_means(SKEWED[:, None], [lambda m: m[..., 0]], 400, np.random.default_rng(0))
    assert tail(found, 100.0) == pytest.approx(1 / 401)
    assert tail(found, -100.0) == pytest.approx(400 / 401)


def test_groups_of_rows_stand_for_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5,001 rows in groups of six the mean is the same, and the interval as wide as from single rows, to a few percent."""
    given = np.random.default_rng(5).lognormal(0.0, 1.0, (5001, 1))
    monkeypatch.setattr(bootstrap, "MOST_GROUPS", 1000)
    (grouped,) = of_means(given, [lambda m: m[..., 0]], 2000, np.random.default_rng(0))
    monkeypatch.setattr(bootstrap, "MOST_GROUPS", 10**9)
    (single,) = of_means(given, [lambda m: m[..., 0]], 2000, np.random.default_rng(1))
    assert grouped.value == single.value
    assert np.mean(grouped.values) == pytest.approx(grouped.value, rel=1e-3)
    assert np.ptp(interval(grouped, 0.05)) == pytest.approx(np.ptp(interval(single, 0.05)), rel=0.08)
    assert grouped.acceleration == pytest.approx(single.acceleration, abs=0.002)


def test_resamples_are_of_as_many_rows() -> None:
    """Each draws every row as often as any other."""
    drawn = np.array(list(bootstrap.weights(50, 2000, np.random.default_rng(0))))
    assert (drawn.sum(axis=1) == 50).all()
    assert stats.chisquare(drawn.sum(axis=0)).pvalue > 0.001


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(100, 0.3), "same in all resamples"),
        (np.append(np.full(10, np.nan), np.arange(90.0)), "undefined"),
    ],
)
def test_refused(values: np.ndarray, reason: str) -> None:
    """Resamples that do not vary, or of which too many are undefined, give no interval and no p value."""
    with pytest.raises(Refused, match=reason):
        interval(Resampled(0.3, values), 0.05)
    with pytest.raises(Refused, match=reason):
        tail(Resampled(0.3, values))


def test_some_undefined_resamples_are_left_out() -> None:
    """Fewer than 5 %."""
    low, high = interval(Resampled(48.0, np.append(np.full(3, np.nan), np.arange(97.0))), 0.05)
    assert 0.0 <= low < 48.0 < high <= 96.0


def test_one_row() -> None:
    """Says nothing of how much it varies."""
    with pytest.raises(Refused, match="2 rows"):
        of_means(np.ones((1, 1)), [root], 10, np.random.default_rng(0))
