"""The report on a shadow: every figure against an oracle, and each verdict in one sentence."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import stats
from sklearn.metrics import roc_auc_score

from core.errors import Invalid
from core.values import Output
from experiments.methods import summary
from experiments.methods.proportion import proportion
from experiments.shadows.agreement import Pair, Totals, add
from experiments.shadows.evidence import Looked, Shown, Track
from experiments.shadows.report import Pairs, report
from experiments.shadows.table import table
from experiments.text import WIDTH

NONE = Pairs([], [], [], [], [], [], [], [])
STATUS = {
    "endpoint": "credit",
    "shadow": "next",
    "version": "m@2",
    "mirrored": 9,
    "done": 7,
    "dropped": 0,
    "waiting": 2,
    "lag_seconds": 0.5,
}


def classified(rows: int, units: int, seed: int = 0) -> Pairs:
    """Rows of a binary classifier that knows something and of a shadow that knows more."""
    generator = np.random.default_rng(seed)
    positive = generator.random(rows) < 0.4
    scores = [1.0 / (1.0 + np.exp(-(strength * (2 * positive - 1) + generator.normal(size=rows)))) for strength in (0.5, 1.0)]
    losses = [-np.log(np.where(positive, score, 1.0 - score)) for score in scores]
    right = [(score > 0.5) == positive for score in scores]
    names = [f"u{number % units}" for number in range(rows)]
    columns = [*losses, *right, *scores, positive]
    return Pairs(names, *(column.tolist() for column in columns))


def regressed(differences: list[float]) -> Pairs:
    """Rows of regressors, one of each unit."""
    rows = len(differences)
    nothing: list[Any] = [None] * rows
    return Pairs([f"u{i}" for i in range(rows)], [1.0] * rows, [1.0 + d for d in differences], *[nothing] * 5)


def looked(**more: Any) -> Totals:
    """Totals of a shadow whose labels were looked at."""
    return Totals(labels=Looked(loss="log_loss", looks=8, units=1200, at=600.0, **more))


def shown(estimate: float, now: float) -> Track:
    """A difference shown at look 7 whose estimate is `now` another."""
    return Track(now, 0.005, now - 0.01, now + 0.01, 5.8, Shown(300.0, 7, 900, estimate, 3.5))


def test_nothing_yet() -> None:
    """Where there is nothing to tell from, nothing is told: no 0, no 1."""
    found = report(Totals(), NONE)
    assert found["verdict"] == "not_enough_data"
    assert found["reason"] == "not enough data: no label of a mirrored prediction has come, 500 units are needed"
    assert (found["agreement"], found["right"], found["auc"]) == (None, None, None)
    assert found["errors"] == {"last": None, "number": 0, "of": 0, "share": None, "lower": None, "upper": None}
    assert (found["latency"]["mean"], found["latency"]["quantiles"]["p50"]) == (None, None)
    assert "refused" in found["loss"]["fixed"]


@given(st.integers(1, 10_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))), st.sampled_from([0.05, 0.001]))
def test_the_interval_of_a_share(counts: tuple[int, int], alpha: float) -> None:
    """Clopper and Pearson's, as scipy has it."""
    number, of = counts
    found, oracle = proportion(number, of, alpha), stats.binomtest(number, of).proportion_ci(1.0 - alpha, "exact")
    assert found["share"] == number / of
    assert (found["lower"], found["upper"]) == (pytest.approx(oracle.low, abs=1e-9), pytest.approx(oracle.high, abs=1e-9))


@pytest.mark.parametrize(("number", "of"), [(-1, 3), (4, 3)])
def test_no_share(number: int, of: int) -> None:
    """More than all, or less than none, is no share."""
    with pytest.raises(Invalid, match="expected from 0 to 3"):
        proportion(number, of)


def test_the_tests_of_the_loss() -> None:
    """One row of each unit: scipy's t test and Wilcoxon's, and the means of both."""
    pairs = classified(700, 700)
    found = report(looked(), pairs)["loss"]
    primary, shadow = np.array(pairs.primary_loss), np.array(pairs.shadow_loss)
    oracle = stats.ttest_rel(shadow, primary)
    assert found["fixed"]["p_value"] == pytest.approx(oracle.pvalue, abs=1e-12)
    assert found["fixed"]["wilcoxon_p"] == pytest.approx(stats.wilcoxon(shadow - primary).pvalue, abs=1e-12)
    assert (found["primary"], found["shadow"]) == (pytest.approx(primary.mean()), pytest.approx(shadow.mean()))
    assert found["fixed"]["estimate"] == pytest.approx(found["shadow"] - found["primary"])


def test_rows_of_one_unit() -> None:
    """They count as one: the test is of the units' means, McNemar's is refused, and the AUC is of the first row of each."""
    pairs = classified(700, 100)
    found = report(looked(), pairs)
    means = (np.array(pairs.shadow_loss) - np.array(pairs.primary_loss)).reshape(7, 100).mean(axis=0)
    assert found["loss"]["fixed"]["df"] == 99
    assert found["loss"]["fixed"]["p_value"] == pytest.approx(stats.ttest_1samp(means, 0.0).pvalue)
    assert found["right"]["verdict"] == "refused"
    assert found["right"]["reason"].startswith("refused: the 700 labelled rows are of 100 units")
    assert sum(map(sum, found["right"]["table"])) == 700
    assert found["auc"]["rows"] == 100
    assert found["auc"]["shadow"] == pytest.approx(roc_auc_score(pairs.positive[:100], pairs.shadow_score[:100]))


def test_right_or_wrong() -> None:
    """The table of both, and McNemar's exact p value is the binomial one."""
    pairs = classified(700, 700)
    found = report(looked(right=Track(-0.1, log_evidence=1.0)), pairs)["right"]
    (_, primary), (shadow, _) = found["table"]
    assert primary == sum(a and not b for a, b in zip(pairs.primary_right, pairs.shadow_right, strict=True))
    assert found["fixed"]["p_exact"] == pytest.approx(stats.binomtest(primary, primary + shadow).pvalue, abs=1e-9)
    assert found["reason"] == "no difference shown yet: always-valid p 0.37"


def test_the_auc() -> None:
    """Each area is scikit-learn's, and the difference is the shadow's less the primary's."""
    pairs = classified(700, 700)
    found = report(looked(), pairs)["auc"]
    areas = [roc_auc_score(pairs.positive, scores) for scores in (pairs.primary_score, pairs.shadow_score)]
    assert [found["primary"], found["shadow"]] == pytest.approx(areas)
    assert found["difference"]["estimate"] == pytest.approx(areas[1] - areas[0])


@pytest.mark.parametrize(
    ("totals", "pairs", "verdict", "reason"),
    [
        (looked(paired=shown(-0.02, -0.021)), classified(9, 9), "better",
         "better: log loss lower by 0.021 per row on 1200 units (always-valid p 0.003) since look 7"),
        (looked(paired=shown(0.02, 0.021)), classified(9, 9), "worse",
         "worse: log loss higher by 0.021 per row on 1200 units (always-valid p 0.003) since look 7"),
        (looked(paired=shown(-0.02, 0.001)), classified(9, 9), "better",
         "better: log loss lower by 0.02 per row on 900 units (always-valid p 0.03) since look 7"),
        (looked(paired=Track(-0.001, log_evidence=0.5)), classified(600, 600), "no_difference",
         "no difference shown yet: log loss lower by 0.001 per row on 1200 units (always-valid p 0.61)"),
        (Totals(labels=Looked(loss="log_loss")), classified(74, 37), "not_enough_data",
         "not enough data: labels of 37 units, 500 are needed"),
        (Totals(labels=Looked(loss="log_loss")), classified(1, 1), "not_enough_data", "not enough data: labels of 1 unit, 500 are needed"),
        (Totals(labels=Looked(loss="squared")), regressed([-0.1, 0.1] * 300), "not_enough_data",
         "not enough data: labels of 600 units, the first look that can tell comes within 300 seconds of journal time"),
        (Totals(labels=Looked(loss="squared")), regressed([0.0] * 600), "refused",
         "refused: the differences do not vary from unit to unit: a test needs spread"),
        (Totals(labels=Looked(unlike=3)), NONE, "refused", "refused: 3 labels came, and none can be compared with both answers"),
        (Totals(labels=Looked(failed=3)), NONE, "not_enough_data",
         "not enough data: the shadow failed to answer the rows of all 3 labels"),
    ],
)  # fmt: skip
def test_each_verdict_in_one_sentence(totals: Totals, pairs: Pairs, verdict: str, reason: str) -> None:
    """With the figures it is made of; where the sign has turned since, those of the look that showed it."""
    found = report(totals, pairs)
    assert (found["verdict"], found["reason"]) == (verdict, reason)


def test_right_more_often() -> None:
    """What a look has shown stays, though rows of a unit that came before would refuse the test by now."""
    found = report(looked(right=Track(-0.1, log_evidence=5.0, shown=Shown(300.0, 7, 900, -0.1, 5.0))), classified(700, 100))["right"]
    assert (found["verdict"], found["reason"]) == (
        "better",
        "better: share of wrong answers lower by 0.1 per row on 900 units (always-valid p 0.0067) since look 7",
    )


def timed(primary: list[float], shadow: list[float]) -> Totals:
    """Totals of requests that took so long."""
    return add(Totals(), [Pair([Output(value=1.0)], [Output(value=1.0)], *seconds) for seconds in zip(primary, shadow, strict=True)])


def test_latency() -> None:
    """The difference is of the same request; the quantiles lie within the bounds that are told."""
    generator = np.random.default_rng(1)
    load = generator.exponential(0.01, size=800)
    primary, shadow = (load + 0.001).tolist(), (load + 0.003 + generator.normal(0, 1e-4, size=800)).tolist()
    found = report(timed(primary, shadow), NONE)["latency"]
    assert found["difference"]["estimate"] == pytest.approx(0.002, abs=2e-5)
    assert found["difference"]["se"] == pytest.approx(stats.sem(np.array(shadow) - np.array(primary)))
    assert found["difference"]["lower"] < 0.002 < found["difference"]["upper"]
    assert (found["verdict"], found["reason"][:42]) == ("worse", "worse: latency higher by 2 ms per request "[:42])
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        lower, upper = found["quantiles"][name]
        assert lower <= np.quantile(shadow, share, method="inverted_cdf") <= upper


@pytest.mark.parametrize(
    ("totals", "reason"),
    [
        (timed([0.01] * 499, [0.02] * 499), "not enough data: 499 requests, 500 are needed"),
        (timed([0.01] * 600, [0.01] * 600), "refused: the differences do not vary from unit to unit: a test needs spread"),
        (timed([0.01, 0.02] * 300, [0.02, 0.01] * 300),
         "no difference shown yet: latency higher by 0 ms per request on 600 requests (always-valid p 1)"),
    ],
)  # fmt: skip
def test_latency_that_tells_nothing(totals: Totals, reason: str) -> None:
    """It says why."""
    assert report(totals, NONE)["latency"]["reason"] == reason


def test_beyond_the_last_bound() -> None:
    """A quantile that no bucket bounds has no upper bound."""
    assert report(timed([1.0], [60.0]), NONE)["latency"]["quantiles"]["p99"] == (10.0, None)


FULL = looked(paired=shown(-0.02, -0.021))
SCENES = {
    "nothing": (Totals(), NONE),
    "classifiers": (FULL, classified(700, 700)),
    "clustered": (FULL, classified(700, 100)),
    "regressors": (Totals(labels=Looked(loss="squared"), difference=summary.of([1.0])), regressed([0.5, -0.1] * 10)),
    "slow": (replace(timed([0.1] * 9, [60.0] * 9), errors=2, last_error="it broke " * 40, agreed=5, labelled=9), NONE),
    "one class": (looked(), classified(3, 3)._replace(positive=[True] * 3)),
    "constant": (Totals(labels=Looked(loss="squared")), regressed([0.0] * 600)._replace(newest=True)),
}


@pytest.mark.parametrize("name", SCENES)
def test_the_table(name: str) -> None:
    """Every scene has a text that fits the terminal, with the verdict first; and JSON."""
    found = {**STATUS, **report(*SCENES[name])}
    text = table(found)
    first, second, *_ = text.splitlines()
    assert first == f"{found['verdict'].upper()}  shadow next (m@2) on endpoint credit"
    assert found["reason"].startswith(second.strip())
    assert max(map(len, text.splitlines())) <= WIDTH
    assert " nan" not in text
    assert msgspec.json.decode(msgspec.json.encode(found))["reason"] == found["reason"]


def test_the_table_tells_each_comparison() -> None:
    """Loss, right or wrong, AUC, with their tests."""
    text = table({**STATUS, **report(*SCENES["classifiers"])})
    for word in ("log loss: primary", "Wilcoxon p", "only shadow", "mid-p", "DeLong p", "always-valid p 0.003", "2 waiting", "8 looks"):
        assert word in text


def test_older_rows_that_are_left_out_are_told() -> None:
    """Where the tests are of the newest rows only."""
    assert "of the newest 600 labelled rows only" in report(*SCENES["constant"])["notes"][-1]
