"""What each kind of metric makes of its summaries, phase by phase."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from core.errors import Refused
from experiments import estimators
from experiments.methods import joint, quantile
from experiments.methods.joint import NOTHING, Joint, alone, merge
from experiments.methods.strata import overlap
from experiments.methods.summary import Summary
from experiments.metric import Metric

Sample = tuple[np.ndarray, np.ndarray]

MEAN = Metric(name="m")
RATIO = Metric(name="m", kind="ratio", denominator="views")
CUPED = Metric(name="m", covariate="earlier")
LIN = Metric(name="m", covariate="earlier", estimator="lin")
QUANTILE = Metric(name="m", kind="quantile", quantile=0.5)


@pytest.fixture
def sample(rng: np.random.Generator) -> Any:
    """`sample(n, effect)`: y that depends on x, both above 0."""

    def draw(n: int, effect: float = 0.0) -> Sample:
        x = rng.gamma(4.0, 1.0, n)
        return effect + 2.0 * x + rng.normal(0.0, 1.0, n), x

    return draw


def of(*samples: Sample) -> list[Joint]:
    return [joint.of(*each) for each in samples]


def test_means(sample: Any) -> None:
    """A mean's phase is its difference of means with Welch's standard error, whatever x is."""
    control, treatment = sample(300), sample(200, 1.0)
    found = estimators.strata(MEAN, of(control), of(treatment))
    assert found.estimate[0] == pytest.approx(treatment[0].mean() - control[0].mean(), rel=1e-9)
    assert found.se2[0] == pytest.approx(treatment[0].var(ddof=1) / 200 + control[0].var(ddof=1) / 300, rel=1e-9)
    assert found.weight[0] == pytest.approx(120.0)


def test_ratios(sample: Any) -> None:
    """A ratio's phase is ΣY/ΣD less ΣY/ΣD, with s²(Y − R·D)/(n D̄²) of each arm (Deng, Knoblich and Lu 2018)."""
    control, treatment = sample(300), sample(200, 1.0)
    found = estimators.strata(RATIO, of(control), of(treatment))
    ratios = [y.sum() / x.sum() for y, x in (control, treatment)]
    errors = [(y - r * x).var(ddof=1) / y.size / x.mean() ** 2 for r, (y, x) in zip(ratios, (control, treatment), strict=True)]
    assert found.estimate[0] == pytest.approx(ratios[1] - ratios[0], rel=1e-9)
    assert found.se2[0] == pytest.approx(sum(errors), rel=1e-9)


def test_cuped(sample: Any) -> None:
    """One slope within the arms of the phase: Δ of Y − θX, and Welch's variance of it (Deng et al. 2013)."""
    control, treatment = sample(300), sample(200, 1.0)
    found = estimators.strata(CUPED, of(control), of(treatment))
    centred = [(y - y.mean(), x - x.mean()) for y, x in (control, treatment)]
    theta = sum((y * x).sum() for y, x in centred) / sum((x * x).sum() for _, x in centred)
    left, right = (y - theta * x for y, x in (control, treatment))
    assert found.estimate[0] == pytest.approx(right.mean() - left.mean(), rel=1e-9)
    assert found.se2[0] == pytest.approx(right.var(ddof=1) / 200 + left.var(ddof=1) / 300, rel=1e-9)
    assert found.se2[0] < 0.5 * estimators.strata(MEAN, of(control), of(treatment)).se2[0]


def test_lin(sample: Any) -> None:
    """Least squares on arm, centred x and their product gives the same estimate (Lin 2013)."""
    control, treatment = sample(300), sample(200, 1.0)
    found = estimators.strata(LIN, of(control), of(treatment))
    y, x = (np.concatenate(pair) for pair in zip(control, treatment, strict=True))
    arm = np.repeat([0.0, 1.0], [300, 200])
    fit = sm.OLS(y, np.column_stack([np.ones(500), arm, x - x.mean(), arm * (x - x.mean())])).fit()
    assert found.estimate[0] == pytest.approx(fit.params[1], rel=1e-9)
    assert found.se2[0] == pytest.approx(fit.get_robustcov_results("HC1").bse[1] ** 2, rel=0.05)


def test_levels_are_at_the_covariates_mean_of_both(sample: Any) -> None:
    """Adjusted arms differ by the adjusted difference, and lie where units of the mean x of both would."""
    control, treatment = sample(300), sample(200, 1.0)
    left, right = estimators.levels(CUPED, *of(control), *of(treatment))
    assert right.mean - left.mean == pytest.approx(estimators.strata(CUPED, of(control), of(treatment)).estimate[0], rel=1e-9)
    centre = np.concatenate([control[1], treatment[1]]).mean()
    assert left.mean == pytest.approx(control[0].mean() - (control[1].mean() - centre) * 2.0, rel=0.02)


def test_a_quantile_is_a_summary(rng: np.random.Generator) -> None:
    """A quantile's phase is the difference of the order statistics, with both squared standard errors added."""
    control, treatment = rng.exponential(1.0, 900), rng.exponential(1.2, 600)
    sides = [alone(quantile.of(values, np.arange(values.size), 0.5)) for values in (control, treatment)]
    found = estimators.strata(QUANTILE, sides[:1], sides[1:])
    assert found.estimate[0] == pytest.approx(np.sort(treatment)[299] - np.sort(control)[449], rel=1e-9)
    assert found.se2[0] == pytest.approx(sum(side.y.variance / side.n for side in sides), rel=1e-9)


@pytest.mark.parametrize("metric", [MEAN, RATIO, CUPED, LIN], ids=["mean", "ratio", "cuped", "lin"])
def test_phases_are_never_pooled(sample: Any, metric: Metric) -> None:
    """Each phase is what it would be alone, its slope its own, and the overlap estimate is weighted by n_T n_C / (n_T + n_C)."""
    first, second = (sample(900), sample(100, 1.0)), (sample(200), sample(300, 0.5))
    control, treatment = of(first[0], second[0]), of(first[1], second[1])
    found = estimators.strata(metric, control, treatment)
    single = [estimators.strata(metric, control[k : k + 1], treatment[k : k + 1]) for k in range(2)]
    for name in ("weight", "estimate", "se2", "guarded"):
        assert getattr(found, name) == pytest.approx([getattr(each, name)[0] for each in single], rel=1e-12)
    sums = overlap(found)
    assert float(sums.u / sums.h) == pytest.approx((90 * found.estimate[0] + 120 * found.estimate[1]) / 210, rel=1e-12)


@pytest.mark.parametrize("metric", [MEAN, RATIO, CUPED, LIN], ids=["mean", "ratio", "cuped", "lin"])
def test_an_arm_that_is_not_there(sample: Any, metric: Metric) -> None:
    """A phase with nothing in an arm, or one unit, weighs nothing and shifts nothing."""
    control, treatment = of(sample(300), sample(50), sample(10)), [*of(sample(200, 1.0)), NOTHING, *of(sample(1))]
    found, one = estimators.strata(metric, control, treatment), estimators.strata(metric, control[:1], treatment[:1])
    assert found.weight.tolist() == [120.0, 0.0, 0.0]
    assert overlap(found) == pytest.approx(overlap(one))


@pytest.mark.parametrize("metric", [MEAN, RATIO, CUPED, LIN], ids=["mean", "ratio", "cuped", "lin"])
@pytest.mark.parametrize("huge", ["control", "treatment"])
@pytest.mark.filterwarnings("error")
def test_overflow_is_infinite_and_never_nan(sample: Any, metric: Metric, huge: str) -> None:
    """Squares beyond the range keep their phase, with an infinite standard error: no statistic of it can be had unnoticed."""
    ordinary, large = sample(300), (np.array([1e300, -1e300] * 100), np.ones(200) + np.arange(200))
    sides = (large, ordinary) if huge == "control" else (ordinary, large)
    found = estimators.strata(metric, of(sides[0]), of(sides[1]))
    assert found.weight[0] > 0.0
    assert math.isinf(found.se2[0])
    assert not np.isnan(np.concatenate(found)).any()


def test_a_ratio_without_a_denominator(sample: Any) -> None:
    """Views near 0 leave the phase out, and why is said; blinded figures refuse."""
    nothing = joint.of(np.ones(300), np.zeros(300))
    found = estimators.strata(RATIO, of(sample(300)), [nothing])
    assert found.weight.tolist() == [0.0]
    assert estimators.refusal(RATIO, of(sample(300)), [nothing]) == (
        "the mean denominator 0 is within 3 standard errors of 0: a ratio to it means nothing"
    )
    with pytest.raises(Refused, match="mean denominator 0"):
        estimators.blinded(RATIO, nothing)


def test_why_there_is_no_estimate(sample: Any) -> None:
    """Too few units are said to be that, and a regression's third unit is asked for by name."""
    pair = joint.of([1.0, 2.0], [1.0, 3.0])
    assert estimators.refusal(MEAN, [pair], [NOTHING]) == "no phase has 2 matured units in both arms"
    assert estimators.obstacle(MEAN, pair, pair) is None
    assert estimators.obstacle(LIN, pair, pair) == "a regression needs 3 units or more in each arm, there are 2"
    assert estimators.refusal(LIN, [NOTHING, pair], of(sample(9), sample(9))) == estimators.obstacle(LIN, pair, pair)


def test_blinded_variance_is_the_tests_own(sample: Any) -> None:
    """All arms together: a mean's variance, a ratio's, and with a covariate what that leaves."""
    control, treatment = sample(300), sample(200)
    y, x = (np.concatenate(pair) for pair in zip(control, treatment, strict=True))
    pooled = merge(*of(control), *of(treatment))
    assert estimators.blinded(MEAN, pooled).variance == pytest.approx(y.var(ddof=1), rel=1e-9)
    assert estimators.blinded(RATIO, pooled).variance == pytest.approx((y - y.sum() / x.sum() * x).var(ddof=1) / x.mean() ** 2, rel=1e-9)
    line = stats.linregress(x, y)
    for metric in (CUPED, LIN):
        adjusted = estimators.blinded(metric, pooled)
        assert adjusted.variance == pytest.approx((y - line.slope * x).var(ddof=1), rel=1e-9)
        assert adjusted.mean == pytest.approx(y.mean(), rel=1e-9)


def test_a_constant_covariate_adjusts_nothing(sample: Any) -> None:
    """Where x does not vary CUPED and Lin are the difference of means."""
    control, treatment = of((sample(300)[0], np.full(300, 7.0))), of((sample(200)[0], np.full(200, 7.0)))
    plain = estimators.strata(MEAN, control, treatment)
    for metric in (CUPED, LIN):
        found = estimators.strata(metric, control, treatment)
        assert found.estimate == pytest.approx(plain.estimate, rel=1e-12)
        assert found.se2 == pytest.approx(plain.se2, rel=1e-2)


def test_level_is_unadjusted(sample: Any) -> None:
    """An arm by itself has nothing to be adjusted to: its mean, or its ratio."""
    y, x = sample(300)
    assert estimators.level(CUPED, joint.of(y, x)) == joint.of(y, x).y
    assert estimators.level(RATIO, joint.of(y, x)).mean == pytest.approx(y.sum() / x.sum())
    assert estimators.level(MEAN, NOTHING) == Summary()
