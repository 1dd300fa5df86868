"""Calibration: against statsmodels, by definition, and at its level when probabilities are right."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from core.errors import Refused
from experiments.batch.answers import Labelled, Valued
from experiments.batch.calibration import bins, calibration, expected_error, recalibration, spiegelhalter
from experiments.methods.proportion import paired_difference, wilson
from tests.experiments.batch.answered import binary, several, values


def chance(rows: int, seed: int, sharper: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """What happened with probability p, and what was said of it: p with its logit times `sharper`."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0.0, 1.5, rows)
    happened = rng.random(rows) < 1.0 / (1.0 + np.exp(-logit))
    return happened, 1.0 / (1.0 + np.exp(-sharper * logit))


def test_bins_hold_as_many_rows_each() -> None:
    """Ten of them, and equal values share one."""
    assert np.bincount(bins(np.random.default_rng(0).random(1000))).tolist() == [100] * 10
    assert np.bincount(bins(np.repeat([0.1, 0.9], [70, 30]))).tolist() == [70, 30]
    assert bins(np.full(5, 0.5)).tolist() == [0] * 5


def test_the_error_by_its_definition() -> None:
    """The mean over rows of the distance of share and mean probability in their bin."""
    happened, given = chance(500, 1)
    places = bins(given)
    expected = sum(abs(happened[places == k].mean() - given[places == k].mean()) * (places == k).mean() for k in range(10))
    assert expected_error(happened.astype(float), given, places) == pytest.approx(expected)


def test_spiegelhalter_by_hand() -> None:
    """Σ (y − p)(1 − 2p) / √Σ (1 − 2p)² p (1 − p)."""
    found = spiegelhalter(np.array([True, False, True]), np.array([0.9, 0.2, 0.4]))
    z = (0.1 * -0.8 - 0.2 * 0.6 + 0.6 * 0.2) / np.sqrt(0.64 * 0.09 + 0.36 * 0.16 + 0.04 * 0.24)
    assert found == pytest.approx({"z": z, "p_value": 2 * stats.norm.sf(abs(z))})


def test_levels_of_the_tests() -> None:
    """Of 400 data sets with right probabilities each test rejects 5 %; of as many with probabilities that are too sharp nearly all."""
    for sharper, low, high in ((1.0, 0.0, 1.0), (2.0, 0.9, 1.0)):
        p = np.array([spiegelhalter(*chance(400, seed, sharper))["p_value"] for seed in range(400)])
        rejected = int((p < 0.05).sum())
        interval = stats.binomtest(rejected, 400).proportion_ci(0.999)
        assert low <= rejected / 400 <= high
        assert sharper > 1.0 or interval.low <= 0.05 <= interval.high


def test_recalibration_is_logistic_regression() -> None:
    """With statsmodels' coefficients and Wald intervals; sharper probabilities have a slope below 1."""
    happened, given = chance(800, 2, 1.7)
    found = recalibration(happened, given, 0.05)
    model = sm.Logit(happened.astype(float), sm.add_constant(np.log(given / (1.0 - given)))).fit(disp=0)
    for k, name in enumerate(("intercept", "slope")):
        assert found[name]["value"] == pytest.approx(model.params[k], rel=1e-5, abs=1e-6)
        assert [found[name]["lower"], found[name]["upper"]] == pytest.approx(model.conf_int()[k].tolist(), rel=1e-4, abs=1e-5)
    assert found["slope"]["upper"] < 1.0


@pytest.mark.parametrize(
    ("happened", "given"),
    [([True, True, True], [0.2, 0.5, 0.9]), ([True, False, True], [0.5, 0.5, 0.5]), ([True, True, False, False], [0.9, 0.8, 0.2, 0.1])],
)
def test_no_recalibration(happened: list[bool], given: list[float]) -> None:
    """Where only one thing happened, nothing was told apart, or all was: refused, not a figure."""
    with pytest.raises(Refused):
        recalibration(np.array(happened), np.array(given), 0.05)


def test_of_two_classes() -> None:
    """The table is of the positive class's probability, and its rows are all rows."""
    a = binary(400)
    found = calibration(a, 0.05, np.random.default_rng(0))
    assert found["of"] == "yes"
    assert sum(one["rows"] for one in found["bins"]) == 400
    assert all(one["lower"] <= one["observed"] <= one["upper"] for one in found["bins"])
    assert found["bins"][0]["to"] <= found["bins"][1]["from"]
    assert sum(one["observed"] * one["rows"] for one in found["bins"]) == pytest.approx((a.truth == 1).sum())


def test_right_probabilities_have_an_error_too() -> None:
    """The error that is to be expected of them is told, with a p value that is small only where they are wrong."""
    for sharper, right in ((1.0, True), (3.0, False)):
        happened, given = chance(500, 4, sharper)
        a = Labelled(("no", "yes"), happened.astype(int), (given > 0.5).astype(int), np.column_stack([1 - given, given]), 1)
        found = calibration(a, 0.05, np.random.default_rng(0))
        assert found["ece_if_calibrated"] == pytest.approx(0.04, abs=0.015)
        assert (found["ece_p_value"] > 0.05) == right


def test_of_several_classes() -> None:
    """It is of the label that was answered: whether it was right, and how sure the model was."""
    a = several(300)
    found = calibration(a, 0.05, np.random.default_rng(0))
    assert found["of"] == "answered label"
    assert sum(one["observed"] * one["rows"] for one in found["bins"]) == pytest.approx(a.right.sum())


def test_of_values() -> None:
    """The regression of truth on value is statsmodels' with HC1 errors, at an offset of a million too."""
    given = values(200)
    for offset in (0.0, 1e6):
        a = Valued(given.truth * 1.5 + offset, given.said + offset)
        found = calibration(a, 0.05, np.random.default_rng(0))
        model = sm.OLS(a.truth - offset, sm.add_constant(a.said - offset)).fit(cov_type="HC1", use_t=True)
        assert found["recalibration"]["slope"]["value"] == pytest.approx(model.params[1], rel=1e-6)
        assert found["recalibration"]["slope"]["lower"] == pytest.approx(model.conf_int()[1][0], rel=1e-5)
        assert sum(one["rows"] for one in found["bins"]) == 200


def test_nothing_to_tell() -> None:
    """Without probabilities, or rows, there is no calibration; constant values are refused a line."""
    rng = np.random.default_rng(0)
    assert calibration(binary(10)._replace(probabilities=None), 0.05, rng) is None
    assert calibration(values(0), 0.05, rng) is None
    assert "refused" in calibration(Valued(np.arange(5.0), np.ones(5)), 0.05, rng)["recalibration"]
    assert "refused" in calibration(Valued(np.array([1.0]), np.array([2.0])), 0.05, rng)["recalibration"]


def test_wilson() -> None:
    """The score interval of scipy, also at 0 and at all."""
    for k, n in ((0, 7), (3, 7), (7, 7), (400, 1000)):
        assert wilson(k, n) == pytest.approx(tuple(stats.binomtest(k, n).proportion_ci(0.95, "wilson")))


def test_paired_shares() -> None:
    """Bonett and Price: with b = c the interval is symmetric about 0; it holds the difference; it stays within −1 and 1."""
    low, high = paired_difference(4, 4, 50)
    assert low == pytest.approx(-high)
    z = stats.norm.ppf(0.975)
    p, q = 10 / 52, 3 / 52
    reach = z * np.sqrt((p + q - (p - q) ** 2) / 52)
    assert paired_difference(9, 2, 50) == pytest.approx((p - q - reach, p - q + reach))
    assert paired_difference(0, 2, 2)[0] >= -1.0


def test_huge_values() -> None:
    """Are refused a line, without a warning of the linear algebra below."""
    for size in (1e200, 1e308):
        found = calibration(Valued(np.array([0.0, size, -size, 1.0]), np.array([size, 1.0, 2.0, -size])), 0.05, np.random.default_rng(0))
        assert "too large" in found["recalibration"]["refused"]
