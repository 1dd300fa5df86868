"""Metrics of a data set: against scikit-learn, and whether intervals hold what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from experiments.batch.answers import Labelled, Valued, losses, part
from experiments.batch.figures import BETTER, OF_CLASSES, OF_VALUES, Figure, by_class, figures, quantile
from tests.experiments.batch.answered import asking, binary, several, values


def test_two_classes() -> None:
    """Every metric of a binary classifier is scikit-learn's."""
    a = binary(500)
    p = a.probabilities[:, 1]
    expected = {
        "accuracy": sk.accuracy_score(a.truth, a.said),
        "balanced_accuracy": sk.balanced_accuracy_score(a.truth, a.said),
        "precision_macro": sk.precision_score(a.truth, a.said, average="macro"),
        "f1_macro": sk.f1_score(a.truth, a.said, average="macro"),
        "precision": sk.precision_score(a.truth, a.said),
        "recall": sk.recall_score(a.truth, a.said),
        "f1": sk.f1_score(a.truth, a.said),
        "auc": sk.roc_auc_score(a.truth, p),
        "average_precision": sk.average_precision_score(a.truth, p),
        "log_loss": sk.log_loss(a.truth, p),
        "brier": sk.brier_score_loss(a.truth, p),
    }
    found = figures(a, asking())
    assert {name: one.value for name, one in found.items() if name != "ece"} == pytest.approx(expected)
    assert list(found) == list(OF_CLASSES)


def test_the_other_class_may_be_the_positive_one() -> None:
    """Precision, recall, F1 and average precision are of the class that is named."""
    a = binary(500)._replace(positive=0)
    found = figures(a, asking())
    assert found["f1"].value == pytest.approx(sk.f1_score(a.truth, a.said, pos_label=0))
    assert found["average_precision"].value == pytest.approx(sk.average_precision_score(a.truth == 0, a.probabilities[:, 0]))


def test_several_classes() -> None:
    """Means over the classes, one against the rest for the AUC; nothing that is of one class alone."""
    a = several(400)
    found = figures(a, asking())
    expected = {
        "accuracy": sk.accuracy_score(a.truth, a.said),
        "balanced_accuracy": sk.balanced_accuracy_score(a.truth, a.said),
        "precision_macro": sk.precision_score(a.truth, a.said, average="macro"),
        "f1_macro": sk.f1_score(a.truth, a.said, average="macro"),
        "auc": sk.roc_auc_score(a.truth, a.probabilities, multi_class="ovr"),
        "log_loss": sk.log_loss(a.truth, a.probabilities),
        "brier": sk.brier_score_loss(a.truth, a.probabilities),
    }
    assert {name: one.value for name, one in found.items() if name != "ece"} == pytest.approx(expected)


def test_classes_that_do_not_occur() -> None:
    """As scikit-learn has it: a class without rows has no recall, one that is answered without occurring an F1 of 0."""
    a = Labelled(("a", "b", "c", "d"), np.array([0, 0, 1, 1, 0, 1]), np.array([0, 2, 1, 1, 0, 0]))
    found = figures(a, asking())
    assert found["balanced_accuracy"].value == pytest.approx(2 / 3)
    assert found["f1_macro"].value == pytest.approx(sk.f1_score(a.truth, a.said, average="macro", zero_division=0))
    assert found["precision_macro"].value == pytest.approx(sk.precision_score(a.truth, a.said, average="macro", zero_division=0))
    assert found["auc"] == Figure(None, refused="the model gives no probabilities")
    assert "log_loss" not in found


def test_values() -> None:
    """Every metric of a regressor is scikit-learn's, at an offset of a million as well."""
    for offset in (0.0, 1e6):
        given = values(300)
        a = Valued(given.truth + offset, given.said + offset)
        found = figures(a, asking())
        expected = {
            "rmse": sk.root_mean_squared_error(a.truth, a.said),
            "mae": sk.mean_absolute_error(a.truth, a.said),
            "r2": sk.r2_score(a.truth, a.said),
            "bias": (a.said - a.truth).mean(),
            "median_absolute_error": sk.median_absolute_error(a.truth, a.said),
            "p95_absolute_error": np.quantile(np.abs(a.said - a.truth), 0.95),
        }
        assert {name: one.value for name, one in found.items()} == pytest.approx(expected, rel=1e-6)
        assert list(found) == list(OF_VALUES)
        assert all(one.lower < one.value < one.upper for one in found.values())


def test_the_same_seed_gives_the_same_intervals() -> None:
    """And another seed others."""
    assert figures(binary(200), asking(1)) == figures(binary(200), asking(1))
    assert figures(binary(200), asking(1))["f1"] != figures(binary(200), asking(2))["f1"]


def test_by_class() -> None:
    """Precision and recall have exact intervals; what is divided by nothing is None."""
    a = Labelled(("a", "b", "c"), np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    first, _, third = by_class(a, 0.05)
    low, high = stats.binomtest(2, 3).proportion_ci(0.95, "exact")
    assert (first["rows"], first["answers"]) == (3, 2)
    assert (first["recall"]["lower"], first["recall"]["upper"]) == pytest.approx((low, high))
    assert first["f1"] == pytest.approx(0.8)
    assert (third["rows"], third["precision"]["share"], third["f1"]) == (0, None, None)


def test_what_does_not_vary_has_no_interval() -> None:
    """A perfect model's F1 is 1 in all resamples: that is no proof, so there is no interval; accuracy has an exact one."""
    a = binary(50)
    a = a._replace(said=a.truth)
    found = figures(a, asking())
    assert found["f1"].value == 1.0
    assert found["f1"].lower is None
    assert "same in all resamples" in (found["f1"].refused or "")
    assert found["accuracy"].lower == pytest.approx(0.025 ** (1 / 50))


@pytest.mark.parametrize("rows", [0, 1])
def test_next_to_no_rows(rows: int) -> None:
    """No rows, no metrics; one row gives values without intervals."""
    for a in (binary(rows), values(rows)):
        found = figures(a, asking())
        assert bool(found) == bool(rows)
        assert all(one.lower is None for name, one in found.items() if name not in {"accuracy", "precision", "recall"})


def test_huge_errors() -> None:
    """Values at the ends of the range give finite figures or none, and no warning."""
    a = Valued(np.array([1e308, -1e308, 0.0]), np.array([-1e308, 1e308, 1.0]))
    for one in figures(a, asking()).values():
        assert all(each is None or math.isfinite(each) for each in (one.value, one.lower, one.upper))


def test_a_class_that_no_model_knows() -> None:
    """Its rows have a probability of 0, whose loss is finite."""
    a = Labelled(("a", "b", "new"), np.array([0, 2]), np.array([0, 1]), np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]))
    assert losses(a)["log_loss"] == pytest.approx([0.0, -math.log(1e-15)])


def test_a_part() -> None:
    """The answers to some rows, of either kind."""
    chosen = np.array([True, False] * 5)
    assert part(values(10), chosen).truth.size == 5
    a = part(binary(10), chosen)
    assert isinstance(a, Labelled)
    assert a.probabilities.shape == (5, 2)


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_quantile_intervals_are_exact(q: float) -> None:
    """The ranks hold at least .95 of the binomial distribution, and the next narrower ones less (one end moved)."""
    n = 200
    found = quantile(np.arange(1.0, n + 1), q, 0.05)
    low, high = int(found.lower or 0), int(found.upper or 0)
    inside = stats.binom.cdf(high - 1, n, q) - stats.binom.cdf(low - 1, n, q)
    assert inside >= 0.95
    assert stats.binom.cdf(low, n, q) > 0.025
    assert stats.binom.sf(high - 2, n, q) > 0.025
    assert quantile(np.arange(5.0), 0.95, 0.05).refused


def test_coverage() -> None:
    """Nominal .95 intervals on 150 rows hold the truth: the 99.9 % interval of the share of 200 data sets in which they do includes .95.

    Truths are those of 1,000,000 rows of the same generator.
    """
    names = {"f1", "balanced_accuracy", "auc", "log_loss", "average_precision"}
    truth = {name: one.value for name, one in figures(binary(1_000_000, 99), asking(resamples=2)).items()}
    hits = dict.fromkeys(names, 0)
    for seed in range(200):
        found = figures(binary(150, seed), asking(10_000 + seed, resamples=200))
        for name in names:
            hits[name] += found[name].lower <= truth[name] <= found[name].upper
    for name, count in hits.items():
        low, high = stats.binomtest(count, 200).proportion_ci(0.999)
        assert low <= 0.95 <= high, (name, count)


def test_every_metric_says_what_is_better() -> None:
    """No two kinds of model share a metric's name."""
    assert len(BETTER) == len(OF_CLASSES) + len(OF_VALUES)
