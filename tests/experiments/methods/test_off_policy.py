"""Off-policy evaluation: unbiased with honest standard errors, and silent where the log cannot tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import stats

from core.errors import Invalid, Refused
from experiments.methods.off_policy import Logged, effective_size, off_policy

ACTIONS = ["a", "b", "c"]
LOGGING = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.4, 0.5, 0.1]])
TARGET = np.array([[0.3, 0.6, 0.1], [0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
RATES = np.array([[0.2, 0.5, 0.8], [0.6, 0.4, 0.1], [0.3, 0.3, 0.5]])
TRUTH = float((TARGET * RATES).sum(1).mean())


def log(rng: np.random.Generator, n: int, *, model: bool = False) -> list[Logged]:
    """`n` rows in three equally likely contexts; `model` gives the true rates as estimates."""
    contexts = rng.integers(0, 3, n)
    actions = (rng.random((n, 1)) > LOGGING.cumsum(1)[contexts]).sum(1)
    rewards = rng.random(n) < RATES[contexts, actions]
    targets = [dict(zip(ACTIONS, row, strict=True)) for row in TARGET.tolist()]
    models = [dict(zip(ACTIONS, row, strict=True)) for row in RATES.tolist()]
    return [
        Logged(
            reward=float(r), action=ACTIONS[a], propensity=float(LOGGING[x, a]), target=targets[x], estimate=models[x] if model else None
        )
        for x, a, r in zip(contexts.tolist(), actions.tolist(), rewards, strict=True)
    ]


def constant(n: int, **fields: Any) -> list[Logged]:
    """`n` rows of two actions in turn at even odds, with the target at even odds."""
    even = {"a": 0.5, "b": 0.5}
    rows = [Logged(reward=float(i % 3), action="ab"[i % 2], propensity=0.5, target=even) for i in range(n)]
    return [replace(row, **fields) for row in rows]


@pytest.mark.parametrize("model", [False, True], ids=["cross-fitted", "given"])
def test_unbiased_with_honest_errors(rng: np.random.Generator, model: bool) -> None:
    """In 500 logs of 300 rows the mean of each estimate is the truth, and ±1.96 se holds it in about 95 %; few are refused."""
    found = []
    for _ in range(500):
        with suppress(Refused):
            found.append(off_policy(log(rng, 300, model=model), minimum_ess=50.0))
    assert len(found) > 485
    for name in ("ips", "snips", "dr"):
        estimates = np.array([getattr(one, name).estimate for one in found])
        errors = np.array([getattr(one, name).se for one in found])
        covered = int((np.abs(estimates - TRUTH) <= 1.96 * errors).sum())
        share = covered / len(found)
        print(f"{name}: {estimates.mean():.4f} of {TRUTH:.4f}, sd {estimates.std():.4f}, se {errors.mean():.4f}, covered {share:.1%}")
        assert abs(estimates.mean() - TRUTH) < 3.3 * estimates.std() / math.sqrt(len(found))
        low, high = stats.binomtest(covered, len(found)).proportion_ci(0.999)
        assert low <= 0.95 <= high


def test_a_good_model_is_worth_rows(rng: np.random.Generator) -> None:
    """With the true rates as estimates DR is more precise than IPS."""
    found = off_policy(log(rng, 2000, model=True))
    assert found.dr.se < 0.9 * found.ips.se


@given(st.integers(0, 2**32 - 1), st.integers(150, 400))
def test_formulas(seed: int, n: int) -> None:
    """The figures are those of the formulas written out in numpy."""
    rows = log(np.random.default_rng(seed), n, model=True)
    w = np.array([row.target[row.action] / row.propensity for row in rows])
    r = np.array([row.reward for row in rows])
    try:
        found = off_policy(rows, minimum_ess=50.0)
    except Refused:
        assert abs(w.mean() - 1.0) > 3.0 * stats.sem(w)
        return
    q = np.array([(row.estimate or {})[row.action] for row in rows])
    direct = np.array([sum(p * (row.estimate or {})[a] for a, p in row.target.items()) for row in rows])
    dr, ratio = direct + w * (r - q), (w * r).sum() / w.sum()
    assert (found.ips.estimate, found.ips.se) == pytest.approx(((w * r).mean(), stats.sem(w * r)), rel=1e-9)
    assert (found.dr.estimate, found.dr.se) == pytest.approx((dr.mean(), stats.sem(dr)), rel=1e-9)
    assert (found.snips.estimate, found.snips.se) == pytest.approx((ratio, stats.sem(w * (r - ratio)) / w.mean()), rel=1e-9)
    assert found.ess == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-9)
    assert found.mean_weight == pytest.approx(w.mean(), rel=1e-9)


def test_the_target_that_was_logged_is_the_mean(rng: np.random.Generator) -> None:
    """Where the target is what was done, IPS and SNIPS are the plain mean with its standard error, and no row is lost."""
    rows = constant(300)
    rewards = [row.reward for row in rows]
    found = off_policy(rows)
    assert found.ips.estimate == found.snips.estimate == pytest.approx(np.mean(rewards))
    assert found.ips.se == pytest.approx(stats.sem(rewards))
    assert (found.ess, found.mean_weight) == (300.0, 1.0)


def test_a_row_does_not_fit_its_own_estimate() -> None:
    """Cross-fitted by the mean of the action in the other parts: an outlier leaves the fit of its own part as it was."""
    rows = constant(200)
    rows[0] = replace(rows[0], reward=1e6)
    rewards, parts = np.array([row.reward for row in rows]), np.arange(200) % 5
    taken = np.array([row.action == "a" for row in rows])
    q = np.array([[rewards[(parts != part) & (taken == a)].mean() for a in (False, True)] for part in range(5)])
    terms = q[parts].mean(1) + rewards - q[parts, taken.astype(int)]
    found = off_policy(rows).dr
    assert (found.estimate, found.se) == pytest.approx((terms.mean(), stats.sem(terms)), rel=1e-9)


def test_an_action_of_one_part_is_fitted_by_all_others() -> None:
    """What only one part of the log holds is expected to bring what the other parts bring on average."""
    target = {"a": 0.5, "b": 0.45, "c": 0.05}
    rows = [replace(row, target=target, propensity=target[row.action]) for row in constant(200)]
    rows[3] = replace(rows[3], action="c", propensity=0.05, reward=70.0)
    rewards, parts, taken = np.array([row.reward for row in rows]), np.arange(200) % 5, np.array([row.action for row in rows])
    q = np.array(
        [[rewards[(parts != part) & (taken == action)].mean() if action != "c" else 70.0 for action in "abc"] for part in range(5)]
    )
    q[3, 2] = rewards[parts != 3].mean()
    terms = q[parts] @ list(target.values()) + rewards - q[parts, ["abc".index(action) for action in taken]]
    found = off_policy(rows).dr
    assert (found.estimate, found.se) == pytest.approx((terms.mean(), stats.sem(terms)), rel=1e-9)


@given(st.lists(st.floats(0.001, 1000.0), min_size=1, max_size=30))
def test_effective_size(weights: list[float]) -> None:
    """From 1 to n, the same at any scale, as far as floating point reaches."""
    found = effective_size(np.array(weights))
    assert 1.0 - 1e-9 <= found <= len(weights) + 1e-9
    assert effective_size(1e300 * np.array(weights)) == pytest.approx(found, rel=1e-9)


def without_c(rows: Sequence[Logged]) -> list[Logged]:
    return [replace(row, target={"a": 0.4, "b": 0.4, "c": 0.2}) for row in rows]


REFUSED = {
    "no rows": ([], "effective sample size of 0"),
    "too few": (constant(99), "effective sample size of 99, below the minimum of 100"),
    "a propensity of 0": ([*constant(200), *constant(1, propensity=0.0)], r"rows\[200\] has a propensity of 0"),
    "never done": (without_c(constant(200)), "'c', which the log never did"),
    "not possible in a row": ([*constant(199), *constant(1, propensity=1.0)], r"rows\[199\] the target may do 'b'"),
    "deterministic": (constant(200, propensity=1.0), "could do 'a' only"),
    "wrong propensities": (constant(200, propensity=0.25), "mean weight is 2"),
    "few heavy weights": ([*constant(100), *constant(1, propensity=1e-6)], "effective sample size of 1"),
    "weights out of range": ([*constant(200), *constant(1, propensity=1e-310)], "range"),
    "rewards out of range": (constant(200, reward=1e308), "range|too large"),
}


@pytest.mark.parametrize(("rows", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(rows: list[Logged], reason: str) -> None:
    """Where the log cannot tell, it says why; no figure comes out."""
    with pytest.raises(Refused, match=reason):
        off_policy(rows)


@pytest.mark.parametrize(("of_a", "errors"), [(229, 2.93), (230, 3.03), (237, 3.76), (239, 3.97), (171, -2.93), (170, -3.03), (163, -3.76)])
def test_the_mean_weight_may_be_3_standard_errors_from_1(of_a: int, errors: float) -> None:
    """Of 400 rows at even odds 200 should be of the action with the weight 1.6: 29 more or fewer are borne, 30 are not."""
    weights = np.array([1.6] * of_a + [0.4] * (400 - of_a))
    assert (weights.mean() - 1.0) / stats.sem(weights) == pytest.approx(errors, abs=0.01)
    rows = [replace(row, action="a" if i < of_a else "b", target={"a": 0.8, "b": 0.2}) for i, row in enumerate(constant(400))]
    if abs(errors) < 3.0:
        assert off_policy(rows).mean_weight == pytest.approx(weights.mean())
    else:
        with pytest.raises(Refused, match="further than 3 standard errors from 1"):
            off_policy(rows)


def test_refused_whatever_the_minimum() -> None:
    """One row has no standard error, and a target that never meets the log has no weights, also without a minimum."""
    with pytest.raises(Refused, match="2 values"):
        off_policy(constant(1, target={"a": 1.0}), minimum_ess=0.0)
    rows = [*constant(1, action="b", target={"a": 1.0}), *constant(9, action="a", target={"b": 1.0})]
    with pytest.raises(Refused, match="mean weight is 0"):
        off_policy(rows, minimum_ess=0.0)


INVALID = {
    "propensity": ({"propensity": 1.5}, r"rows\[200\].propensity: expected a probability"),
    "not a number": ({"propensity": math.nan}, r"rows\[200\].propensity"),
    "sum": ({"target": {"a": 0.5, "b": 0.4}}, r"rows\[200\].target: expected probabilities that sum to 1"),
    "negative": ({"target": {"a": 1.5, "b": -0.5}}, r"rows\[200\].target"),
    "reward": ({"reward": math.inf}, r"rows\[200\].reward: expected a finite number"),
    "estimate": ({"estimate": {"a": math.nan, "b": 1.0}}, r"rows\[200\].estimate: expected a finite number"),
    "some estimates": ({"estimate": {"a": 1.0, "b": 1.0}}, r"rows\[0\].estimate: expected in all rows or in none"),
}


@pytest.mark.parametrize(("fields", "message"), INVALID.values(), ids=INVALID)
def test_invalid(fields: dict[str, Any], message: str) -> None:
    """The message names row and field."""
    with pytest.raises(Invalid, match=message):
        off_policy([*constant(200), *constant(1, **fields)])


def test_estimates_must_cover_the_target() -> None:
    """An action that the target may do needs an estimate; one that it never does needs none."""
    with pytest.raises(Invalid, match=r"rows\[0\].estimate: expected a number for 'b'"):
        off_policy(constant(200, estimate={"a": 1.0}))
    rows = [replace(row, target={"a": 1.0}, estimate={"a": 1.0}) for row in constant(400)]
    assert math.isfinite(off_policy(rows).dr.estimate)
