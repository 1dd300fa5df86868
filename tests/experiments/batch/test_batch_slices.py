"""Slices: how columns are cut, what is tested, and for how many tests p values are adjusted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from experiments.batch.slices import FEWEST, MISSING, MOST, REST, Cut, cut, find, slices
from experiments.methods.multiple import holm
from tests.experiments.batch.answered import asking, binary, several, values


def sizes(found: Cut) -> dict[str, int]:
    """Rows by slice."""
    return dict(zip(found.names, np.bincount(found.places, minlength=len(found.names)).tolist(), strict=True))


def test_numbers_are_cut_at_their_quartiles() -> None:
    """Into four slices of as many rows, and missing ones apart."""
    found = cut("age", [*map(float, range(100)), None, None])
    assert sizes(found) == {"≤ 24": 25, "24 to 49": 25, "49 to 74": 25, "> 74": 25, MISSING: 2}


def test_infinite_numbers() -> None:
    """May stand in a column that no model takes."""
    found = cut("x", [float("-inf"), *map(float, range(20)), float("inf"), float("inf")])
    assert sum(sizes(found).values()) == 23
    assert "nan" not in " ".join(found.names)


def test_few_numbers_are_slices_each() -> None:
    """In their order; a whole number reads as one."""
    assert list(sizes(cut("doors", [4, 2, 2, 10]))) == ["2", "4", "10"]
    assert sizes(cut("x", [0.5, 1.0, 0.5])) == {"0.5": 2, "1": 1}


def test_a_number_that_is_most_of_the_column() -> None:
    """Equal quartiles make no empty slice."""
    found = cut("debt", [0] * 90 + list(range(1, 31)))
    assert sum(sizes(found).values()) == 120
    assert found.names[0] == "≤ 0"


def test_texts_and_truth_values() -> None:
    """The most frequent first; beyond twenty the rarest share one."""
    assert sizes(cut("city", ["b", "a", "b", None])) == {"b": 2, "a": 1, MISSING: 1}
    assert sizes(cut("member", [True, False, True])) == {"true": 2, "false": 1}
    many = [f"v{k}" for k in range(30) for _ in range(40 - k)]
    found = cut("many", many)
    assert len(found.names) == MOST
    assert found.names[-1] == REST
    assert sum(sizes(found).values()) == len(many)


def test_a_text_that_reads_like_the_rest() -> None:
    """Does not break the cut: its rows are in one slice or the other."""
    found = cut("odd", [REST] * 50 + [f"v{k}" for k in range(30) for _ in range(10)])
    assert sum(sizes(found).values()) == 350


def test_a_bad_slice_is_found() -> None:
    """One in which the model guesses: its adjusted p value is small, those of the others need not be; the figures are the slice's own."""
    a = binary(600, 1, 1.0)
    group = np.arange(600) % 3
    bad = binary(600, 2, 50.0, a.truth)
    mixed = a._replace(
        said=np.where(group == 0, bad.said, a.said), probabilities=np.where((group == 0)[:, None], bad.probabilities, a.probabilities)
    )
    found = slices(mixed, [cut("group", [f"g{k}" for k in group])], asking())
    by_name = {one["slice"]: one for one in found["columns"][0]["slices"]}
    assert by_name["g0"]["differences"]["accuracy"]["adjusted"] < 1e-6
    assert by_name["g0"]["differences"]["accuracy"]["difference"] < -0.2
    assert by_name["g0"]["metrics"]["accuracy"].value == pytest.approx(bad.right[group == 0].mean())
    assert find(found, "group=g0") == by_name["g0"]["metrics"]
    assert find(found, "group=g9") is None


def test_what_is_tested() -> None:
    """Fisher's exact test of right answers, Welch's of mean losses, and the areas' z test; adjusted for all slices and metrics together."""
    a = binary(300)
    group = np.arange(300) < 100
    found = slices(a, [cut("g", group.tolist()), cut("h", (np.arange(300) % 2 == 0).tolist())], asking())
    inside = next(one for one in found["columns"][0]["slices"] if one["slice"] == "true")["differences"]
    hits, others = a.right[group].sum(), a.right[~group].sum()
    assert inside["accuracy"]["p_value"] == pytest.approx(stats.fisher_exact([[hits, 100 - hits], [others, 200 - others]]).pvalue)
    loss = -np.log(a.probabilities[np.arange(300), a.truth])
    assert inside["log_loss"]["p_value"] == pytest.approx(stats.ttest_ind(loss[group], loss[~group], equal_var=False).pvalue)
    tests = [one for column in found["columns"] for each in column["slices"] for one in each["differences"].values()]
    assert found["tested"] == len(tests) == 16
    assert [one["adjusted"] for one in tests] == pytest.approx(holm([one["p_value"] for one in tests]).tolist())


@pytest.mark.parametrize("few", [FEWEST - 1, 200 - FEWEST + 1])
def test_small_slices_are_shown_and_not_tested(few: int) -> None:
    """Nor is one whose rest is small."""
    found = slices(values(200), [cut("g", [k < few for k in range(200)])], asking())
    assert [one["small"] for one in found["columns"][0]["slices"]] == [True, True]
    assert all("rmse" in one["metrics"] and not one["differences"] for one in found["columns"][0]["slices"])
    assert found["tested"] == 0


def test_a_slice_of_one_class() -> None:
    """Has no AUC, and no test of it; the others stand."""
    a = binary(200)
    found = slices(a, [cut("truth", a.truth.tolist())], asking())
    one = found["columns"][0]["slices"][0]
    assert "refused" in one["differences"]["auc"]
    assert "p_value" in one["differences"]["accuracy"]


def test_several_classes() -> None:
    """Are compared by right answers and losses."""
    found = slices(several(200), [cut("g", [k % 2 for k in range(200)])], asking())
    assert set(found["columns"][0]["slices"][0]["differences"]) == {"accuracy", "log_loss", "brier"}


def test_false_alarms() -> None:
    """Of 200 data sets with slices that do not matter at most 5 % have any with an adjusted p value below .05."""
    alarms = 0
    for seed in range(200):
        a = values(200, seed)
        groups = np.random.default_rng(10_000 + seed).integers(0, 4, 200)
        found = slices(a, [cut("g", groups.tolist())], asking(20_000 + seed, resamples=2))
        tests = [one for each in found["columns"][0]["slices"] for one in each["differences"].values()]
        alarms += any(one["adjusted"] < 0.05 for one in tests)
    assert stats.binomtest(alarms, 200).proportion_ci(0.999).low <= 0.05
