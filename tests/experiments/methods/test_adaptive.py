"""Adaptive experiments: the estimator by its formulas, and error rates where a bandit allocates."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import special, stats

from core.errors import Invalid, Refused
from experiments.methods import always_valid
from experiments.methods.adaptive import Play, adaptive, score

RATE, UNITS, EXPERIMENTS, FLOOR = 0.5, 1000, 2000, 0.05


class Bandit(NamedTuple):
    """What a bandit did, of shape (units, experiments): rewards, who was treated, with which probability, and what was expected."""

    reward: np.ndarray
    treated: np.ndarray
    propensity: np.ndarray
    control: np.ndarray
    treatment: np.ndarray

    @property
    def expected(self) -> np.ndarray:
        """The guess of a unit's reward that has least variance: the arms' means, weighted by the other's share."""
        return (1.0 - self.propensity) * self.treatment + self.propensity * self.control


def thompson(rng: np.random.Generator, control: float = RATE, treatment: float = RATE) -> Bandit:
    """Thompson sampling of rewards 0 and 1 from Beta(1, 1), one unit at a time, with shares of at least 5 %.

    A unit is treated with the probability, by the normal approximation of both posteriors, that treatment's rate is higher.
    """
    wins, plays, kept = np.ones((2, EXPERIMENTS)), np.full((2, EXPERIMENTS), 2.0), []
    for _ in range(UNITS):
        mean = wins / plays
        variance = mean * (1.0 - mean) / (plays + 1.0)
        e = np.clip(special.ndtr((mean[1] - mean[0]) / np.sqrt(variance.sum(0))), FLOOR, 1.0 - FLOOR)
        treated = rng.random(EXPERIMENTS) < e
        reward = (rng.random(EXPERIMENTS) < np.where(treated, treatment, control)).astype(np.float64)
        kept.append((reward, treated, e, *mean))
        arm = np.stack([~treated, treated])
        wins, plays = wins + arm * reward, plays + arm
    return Bandit(*(np.array(column) for column in zip(*kept, strict=True)))


def plays(bandit: Bandit, i: int) -> list[Play]:
    """Experiment `i` as rows."""
    columns = (column[:, i].tolist() for column in bandit)
    return [
        Play(reward=y, arm="ct"[a], propensity={"c": 1.0 - e, "t": e}, estimate={"c": c, "t": t})
        for y, a, e, c, t in zip(*columns, strict=True)
    ]


def watched(bandit: Bandit, margin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The largest log evidence of more and of less than the margin, over looks at every tenth unit from the 100th on."""
    s, v = (part.cumsum(0)[99::10] for part in score(bandit.reward, bandit.treated, bandit.propensity, bandit.expected, margin))
    x, z, c = always_valid.clock(v, RATE * (1.0 - RATE), 0.1, 0.05, 0.8), s / np.sqrt(v), always_valid.tuning(0.05)
    return always_valid.log_evidence(z, x, c).max(0), always_valid.log_evidence(-z, x, c).max(0)


def welch_at_every_look(bandit: Bandit) -> np.ndarray:
    """Whether a one-sided test of the plain means ever rejects, at the same looks, from 20 units of each arm on."""
    found = []
    for arm in (~bandit.treated, bandit.treated):
        n, wins = arm.cumsum(0)[99::10], (arm * bandit.reward).cumsum(0)[99::10]
        mean = wins / np.maximum(n, 1)
        found.append((n, mean, mean * (1.0 - mean) / np.maximum(n - 1, 1)))
    (n_c, mean_c, v_c), (n_t, mean_t, v_t) = found
    usable = (np.minimum(n_c, n_t) >= 20) & (v_c + v_t > 0.0)
    return (usable & (mean_t - mean_c > stats.norm.ppf(0.95) * np.sqrt(v_c + v_t))).any(0)


@pytest.fixture(scope="module")
def null() -> Bandit:
    """Two equally good arms under Thompson sampling."""
    return thompson(np.random.default_rng(20260503))


def test_the_score_may_be_watched(null: Bandit) -> None:
    """Without an effect the always-valid test of S and V is false in at most 5 %, in either direction; Welch in far more."""
    better, worse = (found >= math.log(20.0) for found in watched(null))
    naive = welch_at_every_look(null)
    print(f"better {better.mean():.2%}, worse {worse.mean():.2%}, Welch {naive.mean():.2%}, of {EXPERIMENTS}")
    assert better.mean() <= 0.05
    assert worse.mean() <= 0.05
    assert naive.mean() > 0.2


def test_the_score_shows_what_is_there() -> None:
    """A rate of .7 against .5 is shown in more than half; against a margin of as much it is falsely shown in at most 5 %."""
    bandit = thompson(np.random.default_rng(20260504), treatment=0.7)
    shown, beyond = (watched(bandit, margin)[0] >= math.log(20.0) for margin in (0.0, 0.2))
    print(f"shown {shown.mean():.2%}, beyond the true effect {beyond.mean():.2%}")
    assert shown.mean() > 0.5
    assert beyond.mean() <= 0.05


def test_the_score_is_in_the_units_of_the_clock(rng: np.random.Generator) -> None:
    """At a constant e, S is near n e (1 − e) Δ̂ and V near n e (1 − e) σ²: as for any phase of that many units."""
    e, n = 0.3, 200_000
    treated = rng.random(n) < e
    reward = rng.normal(1.0 + 0.5 * treated, 2.0)
    s, v = (part.sum() for part in score(reward, treated, e, 1.0 + 0.5 * (1.0 - e)))
    assert s == pytest.approx(n * e * (1.0 - e) * 0.5, rel=0.05)
    assert v == pytest.approx(n * e * (1.0 - e) * 4.0, rel=0.02)


def test_hadad_at_a_fixed_time(null: Bandit) -> None:
    """Without an effect about 5 % of 300 one-sided tests reject at .05 after 1000 units, each way; the estimates are not biased."""
    found = [adaptive(plays(null, i), "c", "t").contrast for i in range(300)]
    for better in (True, False):
        hits = sum((one.p_value if better else 1.0 - one.p_value) <= 0.05 for one in found)
        low, high = stats.binomtest(hits, len(found)).proportion_ci(0.999)
        print(f"{'better' if better else 'worse'} {hits / len(found):.2%}")
        assert low <= 0.05 <= high
    estimates = [one.estimate for one in found]
    assert abs(np.mean(estimates)) < 3.3 * stats.sem(estimates)


@given(st.integers(0, 2**32 - 1), st.integers(20, 60), st.sampled_from(["greater", "less", "two-sided"]))
def test_formulas(seed: int, n: int, alternative: Any) -> None:
    """The figures are those of the formulas, row by row."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        e = float(rng.uniform(0.2, 0.5))
        arm = "ct"[k % 2] if k < 2 else "cta"[int(rng.choice(3, p=[e, e * (1.0 - e), (1.0 - e) ** 2]))]
        estimate = {name: float(rng.normal()) for name in "cta"}
        propensity = {"c": e, "t": e * (1.0 - e), "a": (1.0 - e) ** 2}
        rows.append(Play(reward=float(rng.normal()), arm=arm, propensity=propensity, estimate=estimate))
    terms, means = {}, {}
    for arm in "ct":
        h = np.array([math.sqrt(row.propensity[arm]) for row in rows])
        gamma = np.array([row.estimate[arm] + (row.arm == arm) / row.propensity[arm] * (row.reward - row.estimate[arm]) for row in rows])
        means[arm] = (h * gamma).sum() / h.sum()
        terms[arm] = h * (gamma - means[arm]) / h.sum()
    found = adaptive(rows, "c", "t", alternative=alternative)
    estimate, se = means["t"] - means["c"], math.sqrt(((terms["t"] - terms["c"]) ** 2).sum())
    tails = {
        "greater": stats.norm.sf(estimate / se),
        "less": stats.norm.cdf(estimate / se),
        "two-sided": 2 * stats.norm.sf(abs(estimate / se)),
    }
    assert found.contrast.estimate == pytest.approx(estimate, rel=1e-9, abs=1e-12)
    assert found.contrast.se == pytest.approx(se, rel=1e-9)
    assert found.contrast.p_value == pytest.approx(tails[alternative], rel=1e-9)
    for arm in "ct":
        value = found.arms[arm]
        assert value is not None
        assert (value.estimate, value.se) == pytest.approx((means[arm], math.sqrt((terms[arm] ** 2).sum())), rel=1e-9)


EVEN, NOTHING = {"c": 0.5, "t": 0.5}, {"c": 0.0, "t": 0.0}
ROWS = [Play(reward=float(k % 3), arm="ct"[k % 2], propensity=EVEN, estimate=NOTHING) for k in range(30)]


def test_arms_that_are_not_compared() -> None:
    """An arm that came later or was never played has no mean, which is no reason to refuse the contrast."""
    wide = {"c": 0.4, "t": 0.4, "a": 0.2}
    with_a = [replace(row, propensity=wide, estimate={**NOTHING, "a": 1.0}) for row in ROWS]
    assert adaptive(with_a, "c", "t").arms["a"] is None
    played = [*with_a, replace(with_a[0], arm="a", reward=2.0)]
    assert adaptive(played, "c", "t").arms["a"] is not None
    assert adaptive([*ROWS, *played], "c", "t").arms["a"] is None
    assert list(adaptive(ROWS, "c", "t").arms) == ["c", "t"]


REFUSED = {
    "no rows": ([], "no rows"),
    "never played": ([replace(row, arm="c") for row in ROWS], "'t' was never played"),
    "a propensity of 0": ([*ROWS, replace(ROWS[0], propensity={"c": 1.0, "t": 0.0})], r"rows\[30\] could not get the arm 't'"),
    "impossible": ([*ROWS, replace(ROWS[1], propensity={"c": 1.0, "t": 0.0})], r"rows\[30\] got the arm 't', whose propensity was 0"),
    "no spread": ([replace(row, reward=0.1, estimate={"c": 0.1, "t": 0.1}) for row in ROWS], "spread"),
    "range": ([replace(row, reward=1e308, propensity={"c": 0.01, "t": 0.99}) for row in ROWS], "range"),
}


@pytest.mark.parametrize(("rows", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(rows: list[Play], reason: str) -> None:
    """Where there is no estimate or no spread, the reason."""
    with pytest.raises(Refused, match=reason):
        adaptive(rows, "c", "t")


INVALID = {
    "sum": ({"propensity": {"c": 0.5, "t": 0.4}}, r"rows\[30\].propensity: expected probabilities that sum to 1"),
    "not a number": ({"propensity": {"c": math.nan, "t": 0.5}}, r"rows\[30\].propensity"),
    "no propensity": ({"propensity": {"c": 1.0}}, r"rows\[30\].propensity: expected a number for the arm 't'"),
    "no estimate": ({"estimate": {"t": 1.0}}, r"rows\[30\].estimate: expected a number for the arm 'c'"),
    "estimate": ({"estimate": {"c": math.inf, "t": 1.0}}, r"rows\[30\].estimate: expected finite"),
    "reward": ({"reward": math.nan}, r"rows\[30\].reward: expected finite"),
}


@pytest.mark.parametrize(("fields", "message"), INVALID.values(), ids=INVALID)
def test_invalid(fields: dict[str, Any], message: str) -> None:
    """The message names row and field."""
    with pytest.raises(Invalid, match=message):
        adaptive([*ROWS, replace(ROWS[0], **fields)], "c", "t")


def test_an_arm_against_itself_is_invalid() -> None:
    """Two different arms are compared."""
    with pytest.raises(Invalid, match="treatment: expected another arm"):
        adaptive(ROWS, "c", "c")
