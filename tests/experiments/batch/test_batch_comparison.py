"""Two models on the same rows: known numbers, directions, and error rates by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from experiments.batch.answers import Labelled, Valued
from experiments.batch.comparison import compare
from experiments.methods.delong import delong
from experiments.methods.multiple import holm
from tests.experiments.batch.answered import asking, binary, several, values


def by_metric(found):
    """Rows of a comparison by their metric."""
    return {one["metric"]: one for one in found["metrics"]}


def table(both: int, left: int, right: int, neither: int) -> tuple[Labelled, Labelled]:
    """Two models without probabilities that are right on so many rows."""
    ours = np.repeat([1, 1, 0, 0], [both, left, right, neither])
    theirs = np.repeat([1, 0, 1, 0], [both, left, right, neither])
    truth = np.ones(ours.size, dtype=int)
    return Labelled(("a", "b"), truth, ours, None, 1), Labelled(("a", "b"), truth, theirs, None, 1)


def test_mcnemar_known_numbers() -> None:
    """[[794, 150], [86, 570]]: mid-p 2.89339e-5; the left model is the better one, so its one-sided p of being worse is nearly 1."""
    found = compare(*table(794, 150, 86, 570), asking())
    one = by_metric(found)["accuracy"]
    assert one["p_value"] == pytest.approx(2.89339e-5, rel=1e-5)
    assert one["p_worse"] == pytest.approx(1 - 2.89339e-5 / 2, rel=1e-9)
    assert one["difference"] == pytest.approx(64 / 1600)
    assert one["lower"] < one["bound"] < one["difference"] < one["upper"]
    assert found["right"] == {"both": 794, "only_left": 150, "only_right": 86, "neither": 570}
    assert by_metric(compare(*table(794, 86, 150, 570), asking()))["accuracy"]["p_worse"] == pytest.approx(2.89339e-5 / 2, rel=1e-5)


def test_the_auc_is_delongs() -> None:
    """Difference, interval and p value."""
    a, b = binary(300), binary(300, 5, 2.0, binary(300).truth)
    one = by_metric(compare(a, b, asking()))["auc"]
    expected = delong(a.truth, a.probabilities[:, 1], b.probabilities[:, 1])
    found = expected.difference
    assert (one["left"], one["right"], one["difference"]) == pytest.approx((expected.left, expected.right, found.estimate))
    assert (one["lower"], one["upper"], one["p_value"]) == pytest.approx((found.lower, found.upper, found.p_value))
    assert one["bound"] == pytest.approx(found.estimate - stats.norm.ppf(0.95) * found.se)


def test_the_better_model_is_found_in_every_metric() -> None:
    """A clearly better one: significantly so wherever there is a test, with the sign that the metric's direction asks for."""
    a, b = binary(800, 1, 1.0), binary(800, 2, 3.0, binary(800, 1, 1.0).truth)
    for left, right in ((a, b), (values(800, 1), values(800, 2, 2.0, values(800, 1).truth))):
        better, worse = by_metric(compare(left, right, asking())), by_metric(compare(right, left, asking()))
        for name, one in better.items():
            lower_is_better = name in {"log_loss", "brier", "rmse", "mae"}
            assert (one["difference"] < 0.0) == lower_is_better, name
            assert one["p_worse"] > 0.95, name
            assert one["p_value"] < 0.05, name
            assert worse[name]["p_worse"] < 0.05, name
            assert (one["bound"] < 0.0) == lower_is_better, name
            assert worse[name]["bound"] == pytest.approx(-one["bound"], abs=abs(one["difference"])), name


def test_holm_over_all_metrics() -> None:
    """Adjusted for as many tests as there are, which is told."""
    found = compare(binary(200), binary(200, 3, 1.7, binary(200).truth), asking())
    p = [one["p_value"] for one in found["metrics"]]
    assert found["tested"] == len(p)
    assert [one["adjusted"] for one in found["metrics"]] == pytest.approx(holm(p).tolist())


def test_a_bias_has_no_better_side() -> None:
    """It is not compared, nor are quantiles, which have no paired test here."""
    assert set(by_metric(compare(values(50), values(50, 1, 1.0, values(50).truth), asking()))) == {"rmse", "mae", "r2"}


def test_a_model_against_itself() -> None:
    """No difference and no test, each with its reason; the accuracy has a bound all the same."""
    a = binary(100)
    found = by_metric(compare(a, a, asking()))
    assert all(one["difference"] == 0.0 and one["p_value"] is None and one["refused"] for one in found.values())
    assert -0.05 < found["accuracy"]["bound"] < 0.0


def test_several_classes() -> None:
    """The areas' mean is compared by the same variance."""
    a = several(300)
    b = several(300, seed=4)._replace(truth=a.truth)
    one = by_metric(compare(a, b, asking()))["auc"]
    assert one["p_value"] < 1e-10
    assert "average_precision" not in by_metric(compare(a, b, asking()))


def test_without_probabilities_on_one_side() -> None:
    """Only what is of labels is compared."""
    a = binary(100)
    found = by_metric(compare(a, binary(100, 3, 2.0, a.truth)._replace(probabilities=None), asking()))
    assert "log_loss" not in found
    assert "auc" not in found
    assert "f1" in found


def test_one_row() -> None:
    """Is no comparison."""
    assert "refused" in compare(values(1), values(1), asking())


def test_false_alarms() -> None:
    """Of equally good models each metric says worse at .05 in a share of 300 data sets whose 99.9 % interval includes .05 or less."""
    alarms: dict[str, int] = {}
    for seed in range(300):
        truth = np.random.default_rng(seed).integers(0, 2, 150)
        a, b = (binary(150, 1000 + 2 * seed + k, 1.5, truth) for k in (0, 1))
        for name, one in by_metric(compare(a, b, asking(50_000 + seed, resamples=200))).items():
            alarms[name] = alarms.get(name, 0) + (one["p_worse"] is not None and one["p_worse"] <= 0.05)
    for name, count in alarms.items():
        assert stats.binomtest(count, 300).proportion_ci(0.999).low <= 0.05, (name, count)
        assert count > 1, (name, count)


def test_recall_where_few_rows_differ() -> None:
    """3 positive rows of 168 are all that differ, all for the worse: the p value is the sign test's, 1/8, not the bootstrap's .01."""
    truth = np.repeat([1, 0], [168, 400])
    theirs = truth.copy()
    ours = np.where(np.arange(truth.size) < 3, 0, truth)
    models = [Labelled(("a", "b"), truth, said, None, 1) for said in (ours, theirs)]
    one = by_metric(compare(*models, asking(resamples=20_000)))["recall"]
    assert one["p_worse"] == pytest.approx(1 / 8, abs=0.01)
    assert one["p_value"] == pytest.approx(1 / 4, abs=0.02)
    assert by_metric(compare(*reversed(models), asking()))["recall"]["p_worse"] == 1.0


def test_a_metric_that_resamples_leave_undefined() -> None:
    """Two positive rows, of which one model finds one: no interval, and swaps say that it may be chance."""
    truth = np.repeat([1, 0], [2, 50])
    models = [Labelled(("a", "b"), truth, np.where(np.arange(52) < found, 1, 0), None, 1) for found in (1, 2)]
    one = by_metric(compare(*models, asking()))["recall"]
    assert "undefined" in one["refused"]
    assert one["lower"] is None
    assert one["p_worse"] == pytest.approx(1 / 2, abs=0.1)


def rare(rows: int, rate: float, rng: np.random.Generator) -> list[Labelled]:
    """Two models of which neither is the better, wrong in a share `rate` of the rows, half of them hard for both."""
    truth = rng.integers(0, 2, rows)
    hard = rng.normal(size=rows)
    found = []
    for _ in range(2):
        margin = -stats.norm.ppf(rate) + np.sqrt(0.5) * (hard + rng.normal(size=rows))
        p = 1.0 / (1.0 + np.exp(-3.0 * np.where(truth == 1, margin, -margin)))
        found.append(Labelled(("no", "yes"), truth, (p > 0.5).astype(int), np.column_stack([1.0 - p, p]), 1))
    return found


@pytest.mark.parametrize("rate", [0.01, 0.03])
def test_false_alarms_where_few_rows_differ(rate: float) -> None:
    """Of 300 rows with so few errors, and in errors of values with heavy tails: alarms at .05 in 200 data sets agree with .05 or less."""
    alarms: dict[str, int] = {}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        ask = asking(50_000 + seed, resamples=200)
        errors = rng.standard_t(2.2, (2, 300)) * (rng.random((2, 300)) < 5.0 * rate)
        truth = rng.normal(size=300)
        both = compare(*rare(300, rate, rng), ask), compare(Valued(truth, truth + errors[0]), Valued(truth, truth + errors[1]), ask)
        for name, one in (pair for found in both for pair in by_metric(found).items()):
            alarms[name] = alarms.get(name, 0) + (one["p_worse"] is not None and one["p_worse"] <= 0.05)
    assert len(alarms) == 14
    for name, count in alarms.items():
        assert stats.binomtest(count, 200).proportion_ci(0.95).low <= 0.05, (name, count)


def test_huge_values() -> None:
    """Give finite figures or none."""
    a = Valued(np.array([0.0, 1.0, 2.0]), np.array([1e308, 1.0, 2.0]))
    for one in compare(a, Valued(a.truth, a.truth + 1.0), asking())["metrics"]:
        assert all(value is None or isinstance(value, str) or np.isfinite(value) for value in one.values())
