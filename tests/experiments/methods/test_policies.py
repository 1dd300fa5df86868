"""The calculator's methods for rewards under other and moving policies: what they read, and what they print."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from scipy import stats

from core.errors import Refused
from experiments.calculator.policies import AdaptiveInput, OffPolicyInput, adaptive, off_policy

EVEN = {"a": 0.5, "b": 0.5}
LOGGED: list[dict[str, Any]] = [{"reward": k % 3, "action": "ab"[k % 2], "propensity": 0.5, "target": EVEN} for k in range(120)]
PLAYED: list[dict[str, Any]] = [
    {"reward": k % 3 + k % 2, "arm": "ab"[k % 2], "propensity": EVEN, "estimate": {"a": 1.0, "b": 2.0}} for k in range(12)
]


def read(kind: type[Any], **fields: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(fields), type=kind)


def test_off_policy() -> None:
    """Three estimates with standard errors, the effective sample size and the mean weight; the minimum is 100 unless given."""
    found = off_policy(read(OffPolicyInput, rows=LOGGED))
    assert list(found) == ["ips", "snips", "dr", "ess", "mean_weight"]
    assert all(list(found[name]) == ["estimate", "se"] for name in ("ips", "snips", "dr"))
    assert found["ips"] == pytest.approx({"estimate": 1.0, "se": stats.sem([row["reward"] for row in LOGGED])})
    assert (found["ess"], found["mean_weight"]) == (120.0, 1.0)
    with pytest.raises(Refused, match="below the minimum of 100"):
        off_policy(read(OffPolicyInput, rows=LOGGED[:99]))
    assert off_policy(read(OffPolicyInput, rows=LOGGED[:99], minimum_ess=99))["ess"] == 99.0


def test_off_policy_with_estimates() -> None:
    """A model that knows every reward leaves DR its own mean, without an error where it does not vary."""
    rows = [{**row, "reward": float(row["action"] == "b"), "estimate": {"a": 0.0, "b": 1.0}} for row in LOGGED]
    assert off_policy(read(OffPolicyInput, rows=rows))["dr"] == {"estimate": 0.5, "se": 0.0}


def test_adaptive() -> None:
    """The contrast treatment − control, and each arm's mean with its standard error."""
    found = adaptive(read(AdaptiveInput, rows=PLAYED, control="a", treatment="b"))
    assert list(found) == ["estimate", "se", "statistic", "p_value", "arms"]
    assert list(found["arms"]) == ["a", "b"]
    assert found["arms"]["b"]["estimate"] - found["arms"]["a"]["estimate"] == pytest.approx(found["estimate"])
    assert found["p_value"] == pytest.approx(stats.norm.sf(found["statistic"]))
    turned = adaptive(read(AdaptiveInput, rows=PLAYED, control="b", treatment="a", alternative="less"))
    assert (turned["estimate"], turned["p_value"]) == pytest.approx((-found["estimate"], found["p_value"]))


def test_adaptive_with_an_arm_that_has_no_mean() -> None:
    """Null stands for an arm beside the two that cannot be told."""
    rows = [{**row, "propensity": {"a": 0.4, "b": 0.4, "c": 0.2}} for row in PLAYED]
    assert adaptive(read(AdaptiveInput, rows=rows, control="a", treatment="b"))["arms"]["c"] is None


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (OffPolicyInput, {}),
        (OffPolicyInput, {"rows": LOGGED, "minimum_ess": -1}),
        (OffPolicyInput, {"rows": [{**LOGGED[0], "weight": 1}]}),
        (OffPolicyInput, {"rows": [{**LOGGED[0], "action": 3}]}),
        (AdaptiveInput, {"rows": PLAYED, "control": "a"}),
        (AdaptiveInput, {"rows": [{**PLAYED[0], "propensity": 0.5}], "control": "a", "treatment": "b"}),
        (AdaptiveInput, {"rows": PLAYED, "control": "a", "treatment": "b", "arms": ["a"]}),
    ],
)
def test_what_is_not_expected_is_not_read(kind: type[Any], fields: dict[str, Any]) -> None:
    """Missing and unknown fields and wrong types are errors, also inside rows."""
    with pytest.raises(msgspec.ValidationError):
        read(kind, **fields)
