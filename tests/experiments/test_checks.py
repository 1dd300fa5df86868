"""Validity checks: propensities, Twyman's law, lost units and predictions, and A/A tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from experiments.evidence import NO_EVIDENCE
from experiments.looks import look
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import Excluded, Snapshot

Build = Callable[..., Any]

DIRECTIONS = pytest.mark.parametrize(("direction", "sign"), [("increase", 1.0), ("decrease", -1.0)])


@pytest.fixture
def reported(design_of: Build, snapshot_of: Build, summary_of: Build) -> Build:
    """`reported(metrics, lifts, …)`: the report after one look at a thousand units an arm whose means are 10 and the metric's lift more."""

    def build(
        metrics: list[Metric], lifts: dict[str, float], treatments: tuple[str, ...] = ("treatment",), looked: bool = True, **fields: Any
    ) -> dict[str, Any]:
        arms = {
            arm: {m.name: summary_of(1000, 10.0 + (lifts.get(m.name, 0.0) if arm in treatments[:1] else 0.0), 1.0) for m in metrics}
            for arm in ("control", *treatments)
        }
        of_snapshot = {name: fields.pop(name) for name in ("no_propensity", "excluded") if name in fields}
        design, snapshot = design_of(*metrics, **fields), snapshot_of(arms, **of_snapshot)
        return report("e1", "credit", design, snapshot, look(design, snapshot, NO_EVIDENCE) if looked else NO_EVIDENCE)

    return build


def check(found: dict[str, Any], name: str) -> Any:
    (one,) = [each for each in found["checks"] if each["name"] == name]
    return one


@pytest.mark.parametrize(("missing", "status", "verdict"), [(0, "ok", "promote"), (1, "failed", "invalid")])
def test_propensities(reported: Build, missing: int, status: str, verdict: str) -> None:
    """One prediction whose arm's probability nobody logged makes the comparison invalid."""
    found = reported([Metric(name="m")], {"m": 0.4}, no_propensity=missing)
    assert check(found, "propensities")["status"] == status
    assert check(found, "propensities")["detail"] == f"{missing} of 2000 predictions came without a propensity"
    assert found["verdict"] == verdict


def test_nothing_to_check_yet(design_of: Build) -> None:
    """Before any entry every check of counts waits, and none has a p value."""
    found = report("e1", "credit", design_of(), Snapshot(0.0, 0.0, []), NO_EVIDENCE)
    by_name = {each["name"]: each for each in found["checks"]}
    for name in ("sample_ratio", "two_arms", "unlogged", "propensities"):
        assert (by_name[name]["status"], by_name[name]["p_value"]) == ("waiting", None)


def test_exactly_one_per_cent_is_allowed(reported: Build) -> None:
    """More than 1 % fails, 1 % does not; of all predictions, the unlogged ones among them."""
    for lost, status in ((20, "ok"), (21, "failed")):
        assert check(reported([Metric(name="m")], {}, excluded=Excluded(two_arms=lost)), "two_arms")["status"] == status
    for lost, status in ((20, "ok"), (21, "failed")):
        assert check(reported([Metric(name="m")], {}, excluded=Excluded(unlogged=lost)), "unlogged")["status"] == status


# Twyman's law: an MDE of .1, so that more than .5 is too good


@DIRECTIONS
@pytest.mark.parametrize(
    ("lift", "status", "verdict"),
    [(0.49, "ok", "promote"), (0.6, "warning", "continue"), (0.9, "ok", "promote"), (-0.6, "warning", "rollback")],
)
def test_too_good(reported: Build, direction: str, sign: float, lift: float, status: str, verdict: str) -> None:
    """Above 5 MDEs, to either side, is a warning; it blocks promotion unless the bound is beyond 5 MDEs too; never rollback."""
    found = reported([Metric(name="m", direction=direction)], {"m": sign * lift})
    assert (check(found, "too_good")["status"], found["verdict"]) == (status, verdict)
    if status == "warning":
        assert f"treatment on m: {sign * lift:+.4g}, MDE 0.1" in check(found, "too_good")["detail"]


def test_too_good_is_for_success_metrics(reported: Build) -> None:
    """A guardrail or an info metric far beyond the MDE is no warning: it promotes nothing."""
    metrics = [Metric(name="m"), Metric(name="g", role="guardrail", margin=0.5), Metric(name="i", role="info")]
    found = reported(metrics, {"m": 0.3, "g": 3.0, "i": 3.0})
    assert (check(found, "too_good")["status"], found["verdict"]) == ("ok", "promote")


def test_too_good_with_a_group_sequential_limit(reported: Build) -> None:
    """The limit of the test that decides is what has to be beyond 5 MDEs."""
    metrics = [Metric(name="m")]
    for lift, status in ((0.55, "warning"), (0.7, "ok")):
        found = reported(metrics, {"m": lift}, maximum=0.5)
        assert found["metrics"]["m"]["differences"]["treatment"]["shown"] is not None
        assert (check(found, "too_good")["status"], found["verdict"]) == (status, "continue" if status == "warning" else "promote")


# A/A tests


@DIRECTIONS
@pytest.mark.parametrize("lift", [0.4, -0.4, 3.0, -3.0])
def test_a_difference_in_an_a_a_test_is_invalid(reported: Build, direction: str, sign: float, lift: float) -> None:
    """What would promote, or roll back, says of equal arms that the set-up is broken."""
    found = reported([Metric(name="m", direction=direction)], {"m": lift}, aa=True)
    word = "better" if lift * sign > 0.0 else "worse"
    assert found["verdict"] == "invalid"
    assert found["reason"] == f"the check a_a failed: the arms serve the same version and differ: m of treatment {word} since look 1."
    assert "too_good" not in [each["name"] for each in found["checks"]]


@pytest.mark.parametrize("test", [{}, {"maximum": 0.5}, {"test": "fixed-horizon", "horizon_seconds": 4000.0}], ids=str)
def test_an_a_a_test_under_every_test(reported: Build, test: dict[str, Any]) -> None:
    """Whatever test would decide on success, a difference that it shows is invalid, never a promotion."""
    assert reported([Metric(name="m")], {"m": 0.4}, **test)["verdict"] == "promote"
    assert reported([Metric(name="m")], {"m": 0.4}, aa=True, **test)["verdict"] == "invalid"


@DIRECTIONS
def test_a_guardrail_in_an_a_a_test(reported: Build, direction: str, sign: float) -> None:
    """A guardrail that is hurt differs; one that holds does not, and an info metric says nothing."""
    metrics = [Metric(name="m"), Metric(name="g", role="guardrail", direction=direction, margin=0.2), Metric(name="i", role="info")]
    held = reported(metrics, {"i": 4.0}, aa=True)
    assert held["metrics"]["g"]["differences"]["treatment"]["shown"] is not None
    assert (check(held, "a_a")["status"], held["verdict"]) == ("ok", "continue")
    hurt = reported(metrics, {"g": -0.6 * sign}, aa=True)
    assert hurt["verdict"] == "invalid"
    assert "g of treatment worse since look 1" in hurt["reason"]


def test_an_a_a_test_ends_in_keep(reported: Build) -> None:
    """Without a difference it continues, and is kept at its horizon; few units are not enough data as ever."""
    assert reported([Metric(name="m")], {}, aa=True)["verdict"] == "continue"
    kept = reported([Metric(name="m")], {}, aa=True, horizon_seconds=4000.0)
    assert (kept["verdict"], check(kept, "a_a")["status"]) == ("keep", "ok")
    assert reported([Metric(name="m")], {"m": 0.4}, aa=True, looked=False)["verdict"] == "not_enough_data"


def test_one_arm_of_an_a_a_test_makes_all_invalid(reported: Build) -> None:
    """With several arms of one version the one that differs is named, and none is to be believed."""
    found = reported([Metric(name="m")], {"m": 0.5}, treatments=("a", "b"), aa=True)
    assert {arm: each["verdict"] for arm, each in found["treatments"].items()} == {"a": "invalid", "b": "invalid"}
    assert "m of a better" in found["reason"]
    assert "m of b" not in found["reason"]


def test_checks_survive_json(reported: Build) -> None:
    """Each check has the documented keys, and a status that is one of four."""
    metrics = [Metric(name="m"), Metric(name="r", kind="ratio", denominator="views", role="info"), Metric(name="x", covariate="earlier")]
    found = msgspec.json.decode(msgspec.json.encode(reported(metrics, {})))
    assert [each["name"] for each in found["checks"][4:]] == ["missing_outcomes/r", "covariate_balance/x", "too_good"]
    for each in found["checks"]:
        assert set(each) == {"name", "status", "p_value", "detail"}
        assert each["status"] in ("ok", "warning", "failed", "waiting")
