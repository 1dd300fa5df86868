"""The calculator's estimates: known numbers, the keys that are promised, and what is wrong or refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from core.errors import Invalid, Refused
from experiments.calculator import estimates
from experiments.methods.quantile import ranks

INPUTS = {
    "mean": estimates.MeanInput,
    "ratio": estimates.RatioInput,
    "cuped": estimates.CupedInput,
    "quantile": estimates.QuantileInput,
    "stratified": estimates.StratifiedInput,
}
CONTROL = {"n": 3407, "sum": 1396.87, "sum_squares": 52377.9767}
TREATMENT = {"n": 3461, "sum": 2422.7, "sum_squares": 134698.29}
SAMPLE = {"numerator": [3, 0, 2, 5, 1, 4, 2, 6, 0, 3], "denominator": [4, 1, 3, 6, 2, 5, 2, 7, 1, 5]}
OTHER = {"numerator": [4, 1, 3, 5, 2, 4], "denominator": [4, 2, 3, 6, 2, 5]}
PAIRS = {"y": [1.0, 3.0, 2.0, 5.0, 4.0], "x": [0.5, 2.0, 2.5, 4.0, 3.0]}
OTHERS = {"y": [2.0, 4.5, 2.5, 6.0, 6.0, 3.0], "x": [0.0, 2.0, 1.5, 4.5, 3.0, 1.0]}


def calculated(method: str, /, **fields: Any) -> dict[str, Any]:
    """What the method prints for these fields, by way of JSON."""
    given = msgspec.json.decode(json.dumps(fields), type=INPUTS[method])
    found: Callable[[Any], dict[str, Any]] = getattr(estimates, method)
    printed: dict[str, Any] = json.loads(msgspec.json.encode(found(given)))
    return printed


def binary(successes: int, n: int) -> dict[str, int]:
    return {"n": n, "sum": successes, "sum_squares": successes}


def test_mean() -> None:
    """Welch's test of two sums, to the digits that are known."""
    found = calculated("mean", control=CONTROL, treatment=TREATMENT, alternative="two-sided")
    assert list(found) == ["estimate", "se", "statistic", "df", "p_value", "lower", "upper"]
    assert round(found["se"], 7) == 0.1247836
    assert round(found["df"], 3) == 5841.742
    assert round(found["p_value"], 7) == 0.0201584
    assert (round(found["lower"], 6), round(found["upper"], 6)) == (0.045378, 0.534622)


def test_mean_one_sided_and_against_a_margin() -> None:
    """One bound, null for the other; the p value against the bound itself is α."""
    found = calculated("mean", control=CONTROL, treatment=TREATMENT)
    assert round(found["p_value"], 7) == 0.0100792
    assert found["upper"] is None
    again = calculated("mean", control=CONTROL, treatment=TREATMENT, margin=found["lower"])
    assert again["p_value"] == pytest.approx(0.05)
    assert calculated("mean", control=CONTROL, treatment=TREATMENT, alternative="less")["lower"] is None


def test_relative_lift() -> None:
    """The delta method to the digits that are known; Fieller unless it is asked for."""
    fields = {"control": CONTROL, "treatment": TREATMENT, "alternative": "two-sided", "relative": True}
    delta = calculated("mean", **fields, method="delta")
    assert [round(delta[key], 5) for key in ("estimate", "lower", "upper")] == [0.70732, -0.03526, 1.44989]
    assert calculated("mean", **fields)["lower"] > 0.0


def test_ratio_of_a_sample() -> None:
    """One ratio and its standard error, to the digits that are known."""
    found = calculated("ratio", sample=SAMPLE)
    assert list(found) == ["estimate", "se"]
    assert (round(found["estimate"], 6), round(found["se"], 7)) == (0.722222, 0.0543907)


def test_ratio_of_two_arms() -> None:
    """A z test of the difference of what the two samples give alone."""
    found = calculated("ratio", control=SAMPLE, treatment=OTHER, alternative="two-sided", alpha=0.1)
    alone = [calculated("ratio", sample=sample) for sample in (SAMPLE, OTHER)]
    assert list(found) == ["estimate", "se", "p_value", "lower", "upper"]
    assert found["estimate"] == pytest.approx(alone[1]["estimate"] - alone[0]["estimate"])
    assert found["se"] == pytest.approx(math.hypot(alone[0]["se"], alone[1]["se"]))
    assert found["p_value"] == pytest.approx(2.0 * stats.norm.sf(abs(found["estimate"]) / found["se"]))
    assert found["upper"] - found["lower"] == pytest.approx(2.0 * 1.6448536269514722 * found["se"])


def test_cuped() -> None:
    """Welch's z on the transformed values, with θ of both arms."""
    found = calculated("cuped", control=PAIRS, treatment=OTHERS)
    assert list(found) == ["estimate", "se", "theta", "p_value", "lower", "upper"]
    adjusted = [np.array(arm["y"]) - found["theta"] * np.array(arm["x"]) for arm in (PAIRS, OTHERS)]
    within = [np.cov(arm["y"], arm["x"]) * (len(arm["y"]) - 1) for arm in (PAIRS, OTHERS)]
    assert found["theta"] == pytest.approx((within[0][0, 1] + within[1][0, 1]) / (within[0][1, 1] + within[1][1, 1]))
    test = stats.ttest_ind(adjusted[1], adjusted[0], equal_var=False)
    assert found["estimate"] / found["se"] == pytest.approx(test.statistic)
    assert found["p_value"] == pytest.approx(stats.norm.sf(test.statistic))
    assert found["upper"] is None


def test_lin_has_no_single_theta() -> None:
    """The distance of two regression lines at the pooled mean of x; theta is null."""
    found = calculated("cuped", control=PAIRS, treatment=OTHERS, estimator="lin")
    centre = np.mean(PAIRS["x"] + OTHERS["x"])
    heights = [np.polyval(np.polyfit(arm["x"], arm["y"], 1), centre) for arm in (PAIRS, OTHERS)]
    assert list(found) == ["estimate", "se", "theta", "p_value", "lower", "upper"]
    assert found["theta"] is None
    assert found["estimate"] == pytest.approx(heights[1] - heights[0])


def test_quantile(rng: np.random.Generator) -> None:
    """(Q_U − Q_L)/2z times the root of how much more the share varies between units than between requests."""
    n = 1 + rng.poisson(6.0, 200)
    ids = np.repeat(np.arange(200), n)
    values = rng.normal(size=200)[ids] + rng.normal(size=ids.size)
    lower, middle, upper = ranks(ids.size, 0.95)
    ordered = np.sort(values)
    below = np.bincount(ids, weights=values <= ordered[middle - 1])
    found = calculated(
        "quantile",
        **{"n": ids.size, "nu": 0.95, "q_lower": ordered[lower - 1], "q_upper": ordered[upper - 1], "clusters": 200},
        **{
            "sum_I": int(below.sum()),
            "sumsq_I": int(below @ below),
            "sum_n": int(n.sum()),
            "sumsq_n": int(n @ n),
            "sum_In": int(below @ n),
        },
    )
    share = below.sum() / n.sum()
    between = np.var(below - share * n, ddof=1) / 200 / n.mean() ** 2
    independent = (ordered[upper - 1] - ordered[lower - 1]) / (2.0 * 1.959963984540054)
    assert list(found) == ["se"]
    assert found["se"] == pytest.approx(independent * math.sqrt(between / (0.95 * 0.05 / ids.size)))


def test_stratified() -> None:
    """A ramp under a falling base rate, to the digits that are known, with the share of each phase."""
    strata = [
        {"control": binary(20000, 990_000), "treatment": binary(230, 10_000)},
        {"control": binary(5000, 500_000), "treatment": binary(6000, 500_000)},
    ]
    overlap, population = calculated("stratified", strata=strata), calculated("stratified", strata=strata, weights="population")
    assert list(overlap) == ["estimate", "se", "statistic", "p_value", "weights"]
    assert (round(overlap["estimate"], 7), round(overlap["statistic"], 3)) == (0.0020304, 9.729)
    assert (round(population["estimate"], 7), round(population["statistic"], 3)) == (0.0023990, 3.156)
    assert overlap["weights"] == pytest.approx([9900 / 259900, 250000 / 259900])
    assert population["weights"] == pytest.approx([0.5, 0.5])


def test_a_phase_without_two_units_in_an_arm_weighs_0() -> None:
    """It is listed, so that weights and phases correspond."""
    strata = [
        {"control": binary(20, 100), "treatment": binary(30, 100)},
        {"control": binary(20, 100), "treatment": binary(1, 1)},
    ]
    for weights in ("overlap", "population"):
        assert calculated("stratified", strata=strata, weights=weights)["weights"] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        ("ratio", {}, "control"),
        ("ratio", {"control": SAMPLE}, "treatment"),
        ("ratio", {"treatment": SAMPLE}, "control"),
        ("ratio", {"control": SAMPLE, "treatment": OTHER, "sample": SAMPLE}, "sample"),
        ("ratio", {"sample": {"numerator": [1, 2], "denominator": [1]}}, "sample.denominator"),
        ("cuped", {"control": PAIRS, "treatment": {"y": [1, 2], "x": [1]}}, "treatment.x"),
        ("mean", {"control": CONTROL, "treatment": {"n": 2, "sum": 4, "sum_squares": 1}}, "treatment.sum_squares"),
        (
            "stratified",
            {"strata": [{"control": CONTROL, "treatment": {"n": 2, "sum": 4, "sum_squares": 1}}]},
            "strata[0].treatment.sum_squares",
        ),
    ],
)
def test_wrong_input_is_named(method: str, fields: dict[str, Any], field: str) -> None:
    """The message starts with the field and says what was expected of it."""
    with pytest.raises(Invalid) as error:
        calculated(method, **fields)
    assert error.value.field == field
    assert error.value.message.startswith(f"{field}: expected")


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("mean", {"control": CONTROL, "treatment": TREATMENT, "alpha": 0.0}),
        ("mean", {"control": CONTROL, "treatment": TREATMENT, "alternative": "more"}),
        ("mean", {"control": CONTROL, "treatment": TREATMENT, "unknown": 1}),
        ("cuped", {"control": PAIRS, "treatment": OTHERS, "estimator": "ols"}),
        ("quantile", {"n": 100, "nu": 0.5}),
        ("stratified", {"strata": []}),
    ],
)
def test_a_schema_is_kept_to(method: str, fields: dict[str, Any]) -> None:
    """Unknown fields, missing ones and values out of range do not get in."""
    with pytest.raises(msgspec.ValidationError):
        calculated(method, **fields)


@pytest.mark.parametrize(
    ("method", "fields", "reason"),
    [
        ("mean", {"control": binary(0, 9), "treatment": binary(9, 9)}, "do not vary"),
        ("mean", {"control": binary(0, 0), "treatment": binary(3, 9)}, "there are 0"),
        ("mean", {"control": binary(1, 9), "treatment": binary(3, 9), "relative": True}, "within 3 standard errors of 0"),
        ("ratio", {"sample": {"numerator": [2, 4, 6], "denominator": [1, 2, 3]}}, "same for every unit"),
        ("ratio", {"sample": {"numerator": [], "denominator": []}}, "there are 0"),
        ("ratio", {"control": SAMPLE, "treatment": {"numerator": [1, 2], "denominator": [-1, 1]}}, "within 3 standard errors"),
        ("cuped", {"control": PAIRS, "treatment": {"y": [1], "x": [1]}}, "there are 1"),
        ("cuped", {"control": PAIRS, "treatment": {"y": [1, 2], "x": [1, 3]}, "estimator": "lin"}, "there are 2"),
        ("cuped", {"control": PAIRS, "treatment": {"y": [1e300, -1e300], "x": [1, 3]}}, "too large"),
        ("stratified", {"strata": [{"control": binary(1, 2), "treatment": binary(1, 1)}]}, "no phase"),
    ],
)
def test_what_cannot_be_computed_is_refused(method: str, fields: dict[str, Any], reason: str) -> None:
    """A refusal with its reason, never a figure that looks like one."""
    with pytest.raises(Refused, match=reason):
        calculated(method, **fields)
