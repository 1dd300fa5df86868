"""Checks: each demand against what was found, and the verdict of all."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.batch.checks import Check, Found, checks, verdict
from experiments.batch.comparison import compare
from experiments.batch.figures import Figure
from experiments.batch.suite import Latency, Memory, Suite, Threshold
from tests.experiments.batch.answered import asking, binary

METRICS = {
    "accuracy": Figure(0.81, 0.78, 0.84, "exact"),
    "log_loss": Figure(0.4, 0.35, 0.45),
    "f1": Figure(1.0, refused="same in all resamples"),
}
SLICES: dict[str, Any] = {
    "columns": [
        {
            "column": "city",
            "slices": [
                {"slice": "Rome", "rows": 400, "metrics": {"accuracy": Figure(0.7, 0.65, 0.75)}},
                {"slice": "Bern", "rows": 29, "metrics": {"accuracy": Figure(0.2, 0.1, 0.4)}},
            ],
        }
    ]
}
LATENCY = {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "ratio": {"value": 1.5}}


def judged(*thresholds: Threshold, alpha: float = 0.05, **found: Any) -> list[Check]:
    """The checks of these thresholds."""
    known: dict[str, Any] = {"metrics": METRICS, "slices": SLICES, "comparison": None, "behaviour": [], "latency": LATENCY}
    return checks(Suite(alpha=alpha, thresholds=thresholds), Found(**{**known, "memory": {"peak_bytes": 50e6}, **found}))


@pytest.mark.parametrize(
    ("threshold", "passed", "reason"),
    [
        (Threshold("accuracy", min=0.8), True, "accuracy is 0.81, at least 0.8 as demanded"),
        (Threshold("accuracy", min=0.81), True, "accuracy is 0.81, at least 0.81 as demanded"),
        (Threshold("accuracy", min=0.82), False, "accuracy is 0.81, below 0.82"),
        (Threshold("accuracy", min=0.5, max=0.8), False, "accuracy is 0.81, above 0.8"),
        (Threshold("accuracy", min=0.8, at="bound"), False, "accuracy (0.81), at the end of its interval, is 0.78, below 0.8"),
        (Threshold("accuracy", max=0.83, at="bound"), False, "accuracy (0.81), at the end of its interval, is 0.84, above 0.83"),
        (
            Threshold("log_loss", max=0.46, at="bound"),
            True,
            "log_loss (0.4), at the end of its interval, is 0.45, at most 0.46 as demanded",
        ),
        (Threshold("f1", min=0.9), True, "f1 is 1, at least 0.9 as demanded"),
        (Threshold("f1", min=0.9, at="bound"), False, "f1: there is no interval to judge by: same in all resamples"),
        (Threshold("auc", min=0.9), False, "auc: cannot be judged: the model has no such metric"),
        (Threshold("accuracy", min=0.69, slice="city=Rome"), True, "accuracy of city=Rome is 0.7, at least 0.69 as demanded"),
        (Threshold("accuracy", min=0.69, slice="city=Oslo"), False, "accuracy of city=Oslo: there is no such slice"),
        (Threshold("accuracy", not_worse_than="champion"), False, "accuracy against champion: nothing was compared"),
    ],
)
def test_a_threshold(threshold: Threshold, passed: bool, reason: str) -> None:
    """Each outcome with its reason; what cannot be judged has not passed."""
    (found,) = judged(threshold)
    assert (found.passed, found.reason) == (passed, reason)


def test_per_slice() -> None:
    """Every slice by itself; one that is too small is not judged, and without slices nothing passes."""
    assert [(one.passed, one.name) for one in judged(Threshold("accuracy", min=0.69, per_slice=True))] == [
        (True, "accuracy of city=Rome"),
        (None, "accuracy of city=Bern"),
    ]
    assert [one.passed for one in judged(Threshold("accuracy", min=0.1, per_slice=True), slices={"columns": []})] == [False]


def test_not_worse() -> None:
    """Fails only where the version is significantly worse: at an alpha just above the p value and not just below it."""
    b, a = binary(300, 1, 2.0), binary(300, 2, 1.6, binary(300, 1, 2.0).truth)
    compared = compare(a, b, asking())
    row = next(one for one in compared["metrics"] if one["metric"] == "auc")
    assert 0.0 < row["p_worse"] < 0.4
    demand = Threshold("auc", not_worse_than="champion")
    assert [one.passed for one in judged(demand, alpha=row["p_worse"] * 1.01, comparison=compared)] == [False]
    assert [one.passed for one in judged(demand, alpha=row["p_worse"] * 0.99, comparison=compared)] == [True]


@pytest.mark.parametrize(("metric", "bound"), [("auc", -0.03), ("log_loss", 0.03)])
def test_not_inferior(metric: str, bound: float) -> None:
    """With a margin the one-sided bound must lie within it, whichever direction is worse: a p value that shows nothing does not pass."""
    row = {"metric": metric, "left": 0.8, "right": 0.8, "difference": 0.0, "bound": bound, "p_worse": 0.5, "refused": None}
    for margin, passed in ((0.02, False), (0.04, True)):
        (found,) = judged(Threshold(metric, not_worse_than="champion", margin=margin), comparison={"metrics": [row]})
        assert found.passed is passed
        assert f"worse by at most 0.03, {'within' if passed else 'beyond'} the margin {margin}" in found.reason


@pytest.mark.parametrize(("difference", "passed"), [(0.0, True), (0.01, True), (-0.01, False)])
@pytest.mark.parametrize("margin", [None, 0.1])
def test_no_spread(difference: float, passed: bool, margin: float | None) -> None:
    """Where the difference has no spread there is no test: then the difference itself decides."""
    row = {"metric": "f1", "left": 0.8, "right": 0.8, "difference": difference, "bound": None, "p_worse": None, "refused": "no spread"}
    (found,) = judged(Threshold("f1", not_worse_than="champion", margin=margin), comparison={"metrics": [row]})
    assert found.passed is passed
    assert "no spread" in found.reason


def test_what_has_no_paired_test() -> None:
    """Does not pass, and says why."""
    (found,) = judged(Threshold("ece", not_worse_than="champion"), comparison={"metrics": []})
    assert (found.passed, found.reason) == (False, "ece against champion: cannot be judged: there is no paired test of it")


def test_cost() -> None:
    """Latency and memory against their limits; what was not measured has not passed."""
    asked = Suite(latency=Latency(p50_ms=1.0, p99_ms=2.0, times_champion=1.4), memory=Memory(peak_mb=60))
    found = checks(asked, Found(METRICS, SLICES, None, [], LATENCY, {"peak_bytes": 50e6}))
    assert [(one.kind, one.passed) for one in found] == [("latency", True), ("latency", False), ("latency", False), ("memory", True)]
    assert found[1].reason == "latency p99 is 3 ms, above 2"
    for latency, memory in ((None, None), ({"p50_ms": 1, "p99_ms": 1}, {"peak_bytes": None})):
        found = checks(
            Suite(latency=Latency(times_champion=2), memory=Memory(peak_mb=1)), Found(METRICS, SLICES, None, [], latency, memory)
        )
        assert [one.reason.partition(": ")[2] for one in found] == ["was not measured"] * 2


def test_behaviour() -> None:
    """A share, a change that alters nothing, and a model that failed."""
    told = {"kind": "invariance", "name": "x add 1", "did": "the answer stayed", "demanded": 0.9}
    found = judged(
        behaviour=[
            {**told, "of": 50, "share": 0.88, "passed": False},
            {**told, "of": 0, "share": None, "passed": False},
            {**told, "refused": "it fell"},
        ]
    )
    assert [one.reason for one in found] == [
        "x add 1: the answer stayed in 88.0% of 50 rows, 90.0% demanded",
        "x add 1: the change alters no row",
        "x add 1: it fell",
    ]
    assert not any(one.passed for one in found)


@pytest.mark.parametrize(
    ("outcomes", "expected"), [([], None), ([None], None), ([True, None], True), ([True, False], False), ([False, None], False)]
)
def test_the_verdict(outcomes: list[bool | None], expected: bool | None) -> None:
    """All that were judged passed; nothing was judged: no verdict."""
    assert verdict([Check("threshold", "a", one, "") for one in outcomes]) is expected
