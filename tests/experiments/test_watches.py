"""What must not differ between arms: covariates and missing outcomes, watched at every look."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from experiments.design import Design
from experiments.evidence import NO_EVIDENCE, Evidence
from experiments.looks import look
from experiments.methods import always_valid
from experiments.methods.joint import Joint
from experiments.methods.strata import compare, overlap
from experiments.methods.summary import LARGEST, Moments, Summary
from experiments.metric import Metric
from experiments.report import report
from experiments.snapshot import Snapshot
from experiments.watches import ALARM, TUNED_FOR

Build = Callable[..., Any]

LOOKS = 195

COVARIATE, MISSING = "covariate_balance/m", "missing_outcomes/m"


def with_x(n: int, mean: float, sd: float = 1.0) -> Joint:
    """n units whose metric is 1 ± 1, whose covariate has this mean and standard deviation, and which have nothing in common."""
    return Joint(Summary(n, 1.0, float(n - 1)), Summary(n, mean, sd * sd * (n - 1)), 0.0)


def present(n: int, share: float) -> dict[str, Any]:
    """n units of which this share has an outcome: their metric, and who has any."""
    have = round(n * share)
    return {"m": Summary(have, 1.0, float(max(0, have - 1))), "m?": Summary(n, have / n, have * (1.0 - have / n))}


@pytest.fixture
def covariate(design_of: Build) -> Design:
    design: Design = design_of(Metric(name="m", covariate="earlier"))
    return design


@pytest.fixture
def losses(design_of: Build) -> Design:
    design: Design = design_of(Metric(name="m", kind="label_loss", loss="squared"))
    return design


def check(design: Design, snapshot: Snapshot, evidence: Evidence) -> tuple[str, Any]:
    """The verdict, and the check of the watch."""
    found = report("e1", "credit", design, snapshot, evidence)
    (one,) = [each for each in found["checks"] if each["name"] in (COVARIATE, MISSING)]
    return found["verdict"], one


def later(snapshot: Snapshot, seconds: float = 300.0) -> Snapshot:
    return msgspec.structs.replace(snapshot, at=snapshot.at + seconds)


def test_balance_is_ok(covariate: Design, snapshot_of: Build) -> None:
    """Covariates that differ by chance are no matter, and the p value says how little."""
    snapshot = snapshot_of({"control": {"m": with_x(2000, 5.0)}, "treatment": {"m": with_x(2000, 5.05)}})
    verdict, found = check(covariate, snapshot, look(covariate, snapshot, NO_EVIDENCE))
    assert (verdict, found["status"]) == ("continue", "ok")
    assert 0.001 < found["p_value"] <= 1.0
    assert found["detail"] == "the covariate earlier of m does not differ between the arms beyond chance"


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_imbalance_alarms_and_latches(covariate: Design, snapshot_of: Build, sign: float) -> None:
    """A covariate that differs, to either side, makes the verdict invalid, and later balance does not take that back."""
    snapshot = snapshot_of({"control": {"m": with_x(2000, 5.0)}, "treatment": {"m": with_x(2000, 5.0 + 0.2 * sign)}})
    evidence = look(covariate, snapshot, NO_EVIDENCE)
    verdict, found = check(covariate, snapshot, evidence)
    assert (verdict, found["status"]) == ("invalid", "failed")
    assert found["detail"].endswith("differs between control and treatment since look 1: they are not comparable")
    assert found["p_value"] <= ALARM
    worse = look(covariate, later(snapshot_of({"control": {"m": with_x(9000, 5.0)}, "treatment": {"m": with_x(9000, 9.0)}})), evidence)
    assert worse.watches["treatment"][COVARIATE].alarm == evidence.watches["treatment"][COVARIATE].alarm
    assert worse.watches["treatment"][COVARIATE].log_evidence > evidence.watches["treatment"][COVARIATE].log_evidence
    mended = later(snapshot_of({"control": {"m": with_x(9000, 5.0)}, "treatment": {"m": with_x(9000, 5.0)}}))
    after = look(covariate, mended, evidence)
    assert after.watches["treatment"][COVARIATE].alarm == evidence.watches["treatment"][COVARIATE].alarm
    assert check(covariate, mended, after)[0] == "invalid"


def test_it_alarms_at_the_look_that_reaches_1000(covariate: Design, snapshot_of: Build) -> None:
    """The alarm rings exactly where M, two-sided, with the clock tuned for 10,000 units an arm, reaches 1000."""
    c = always_valid.tuning(ALARM, one_sided=False)
    z = float(always_valid.boundary(4000 / TUNED_FOR, ALARM, one_sided=False))
    assert float(always_valid.log_evidence(z, 0.4, c, one_sided=False)) == pytest.approx(math.log(1000.0))
    for factor, rings in ((0.99, False), (1.01, True)):
        apart = factor * z * math.sqrt(2.0 / 4000)
        snapshot = snapshot_of({"control": {"m": with_x(4000, 5.0)}, "treatment": {"m": with_x(4000, 5.0 + apart)}})
        watch = look(covariate, snapshot, NO_EVIDENCE).watches["treatment"][COVARIATE]
        assert (watch.alarm is not None) is rings


def test_the_clock_never_runs_back(covariate: Design, snapshot_of: Build) -> None:
    """Where a later look finds less spread, V stays at the most there was, and the variance at what it was when the test began."""
    noisy = look(covariate, snapshot_of({"control": {"m": with_x(900, 5.0, 3.0)}, "treatment": {"m": with_x(900, 5.0, 3.0)}}), NO_EVIDENCE)
    calm = look(covariate, later(snapshot_of({"control": {"m": with_x(901, 5.0)}, "treatment": {"m": with_x(901, 5.0)}})), noisy)
    before, after = (evidence.watches["treatment"][COVARIATE] for evidence in (noisy, calm))
    assert (after.v, after.variance) == (before.v, before.variance) == (pytest.approx(450.0 * 9.0), pytest.approx(9.0, rel=1e-2))


def test_phases_are_not_pooled(covariate: Design, snapshot_of: Build) -> None:
    """A ramp while the covariate falls is no imbalance: arms are compared inside each phase."""
    first = {"control": {"m": with_x(9000, 9.0)}, "treatment": {"m": with_x(1000, 9.0)}}
    second = {"control": {"m": with_x(5000, 1.0)}, "treatment": {"m": with_x(5000, 1.0)}}
    snapshot = snapshot_of(first, second)
    assert check(covariate, snapshot, look(covariate, snapshot, NO_EVIDENCE))[1]["status"] == "ok"


def test_each_treatment_is_watched(covariate: Design, snapshot_of: Build) -> None:
    """Of several treatments the one that differs is named."""
    arms = {arm: {"m": with_x(2000, 5.0 + more)} for arm, more in (("control", 0.0), ("a", 0.0), ("b", 0.3))}
    snapshot = snapshot_of(arms)
    evidence = look(covariate, snapshot, NO_EVIDENCE)
    assert "between control and b since" in check(covariate, snapshot, evidence)[1]["detail"]
    assert evidence.watches["a"][COVARIATE].alarm is None


def test_differing_missingness(losses: Design, snapshot_of: Build) -> None:
    """Labels that come for 90 % of one arm and 80 % of the other make the verdict invalid; for 90 % of both they do not."""
    for share, verdict, status in ((0.9, "continue", "ok"), (0.8, "invalid", "failed")):
        snapshot = snapshot_of({"control": present(2000, 0.9), "treatment": present(2000, share)})
        found = check(losses, snapshot, look(losses, snapshot, NO_EVIDENCE))
        assert (found[0], found[1]["status"]) == (verdict, status)
        assert found[1]["detail"].startswith("the share of units with an outcome for m")


def test_all_of_one_arm_missing(losses: Design, snapshot_of: Build) -> None:
    """Every label of one arm and none of the other: no spread within the arms, and the plainest difference there is."""
    snapshot = snapshot_of({"control": present(1000, 1.0), "treatment": present(1000, 0.0)})
    evidence = look(losses, snapshot, NO_EVIDENCE)
    verdict, found = check(losses, snapshot, evidence)
    assert (verdict, found["status"]) == ("invalid", "failed")
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence) == evidence


def test_none_missing(losses: Design, snapshot_of: Build) -> None:
    """Where every unit has its outcome there is nothing to test, and that is said."""
    snapshot = snapshot_of({"control": present(1000, 1.0), "treatment": present(1000, 1.0)})
    found = check(losses, snapshot, look(losses, snapshot, NO_EVIDENCE))[1]
    assert (found["status"], found["p_value"]) == ("waiting", None)
    assert found["detail"] == "no look has been made with enough units that differ from each other"


def test_sums_miss_nothing(design_of: Build, snapshot_of: Build, summary_of: Build) -> None:
    """Metrics that count a unit without outcomes as 0 are not watched for missing ones, nor those without a covariate for one."""
    snapshot = snapshot_of({arm: {"m": summary_of(1000, 1.0, 1.0)} for arm in ("control", "treatment")})
    found = report("e1", "credit", design_of(Metric(name="m")), snapshot, look(design_of(Metric(name="m")), snapshot, NO_EVIDENCE))
    assert [each["name"] for each in found["checks"]] == ["sample_ratio", "two_arms", "unlogged", "propensities", "too_good"]


@pytest.mark.parametrize("n", [0, 1, 19])
def test_few_units_are_not_watched(covariate: Design, snapshot_of: Build, n: int) -> None:
    """Below 20 units in an arm nothing is concluded."""
    snapshot = snapshot_of(
        {"control": {"m": with_x(1000, 5.0)}, "treatment": {"m": with_x(n, 50.0) if n else Joint()}},
        entered=[{"control": 9, "treatment": 9}],
    )
    evidence = look(covariate, snapshot, NO_EVIDENCE)
    assert evidence.watches == {"treatment": {}}
    assert check(covariate, snapshot, evidence)[1]["status"] == "waiting"


@pytest.mark.parametrize(
    ("mean", "m2", "status"), [(1e300, 1.7e308, "waiting"), (1e300, LARGEST, "waiting"), (1e-150, 1e-298, "failed"), (1e-300, 1e-320, "ok")]
)
@pytest.mark.filterwarnings("error")
def test_watches_bear_extremes(covariate: Design, snapshot_of: Build, mean: float, m2: float, status: str) -> None:
    """Covariates beyond the range wait for better ones, tiny ones are judged as any; what is kept is finite."""
    arms = {arm: {"m": Joint(Summary(900, 1.0, 900.0), Summary(900, of, m2))} for arm, of in (("control", mean), ("treatment", -mean))}
    snapshot = snapshot_of(arms)
    evidence = look(covariate, snapshot, NO_EVIDENCE)
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence) == evidence
    assert check(covariate, snapshot, evidence)[1]["status"] == status


Array = np.ndarray[Any, np.dtype[np.float64]]


def largest(control: list[Moments], treatment: list[Moments]) -> Array:
    """The largest log evidence over the looks, of many experiments side by side: what the watch does, from 20 units on."""
    variance, v, best = np.full(1, np.nan), np.zeros(1), np.zeros(1)
    c = always_valid.tuning(ALARM, one_sided=False)
    for left, right in zip(control, treatment, strict=True):
        sums = overlap(compare(left, right))
        n_c, n_t = left.n[:, 0], right.n[:, 0]
        apart = (right.mean - left.mean)[:, 0]
        m2 = (n_c - 1.0) * left.variance[:, 0] + (n_t - 1.0) * right.variance[:, 0] + apart * apart * n_c * n_t / (n_c + n_t)
        ready = (np.minimum(n_c, n_t) >= 20) & (sums.v > 0.0)
        variance = np.where(np.isnan(variance) & ready, m2 / (n_c + n_t - 1.0), variance)
        v = np.where(ready, np.maximum(v, sums.v), v)
        z = np.where(ready, sums.u, np.nan) / np.sqrt(np.where(v > 0.0, v, np.nan))
        best = np.fmax(best, always_valid.log_evidence(z, v / (0.5 * TUNED_FOR * variance), c, one_sided=False))
    return np.asarray(best)


def grown(rng: np.random.Generator, draw: Callable[[int], tuple[Array, Array]], units: int) -> list[Moments]:
    """The moments of an arm after each look, at each of which so many units are added: `draw` gives their sums and sums of squares."""
    n, total, squares, found = 0, np.zeros(1), np.zeros(1), []
    for _ in range(LOOKS):
        values, squared = draw(units)
        n, total, squares = n + units, total + values, squares + squared
        mean = total / n
        found.append(Moments(np.full((mean.size, 1), float(n)), mean[:, None], np.maximum(squares - n * mean**2, 0.0)[:, None] / (n - 1)))
    return found


def at_most(hits: Array, claim: float) -> None:
    """The 99.9 % Clopper-Pearson interval of the simulated rate does not exclude the claim."""
    low = stats.binomtest(int(hits.sum()), hits.size).proportion_ci(0.999, method="exact").low
    assert low <= claim, f"{hits.mean():.5f} of {hits.size}, claimed at most {claim}"


@pytest.mark.parametrize(("control", "treatment"), [(20, 20), (38, 2)], ids=["50/50", "5/95"])
def test_a_skewed_covariate_in_balance(rng: np.random.Generator, control: int, treatment: int) -> None:
    """Log-normal earlier revenue (σ = 1), 195 looks: the alarm rings falsely in at most .1 % of 4000 experiments."""

    def draw(units: int) -> tuple[Array, Array]:
        values = np.exp(rng.standard_normal((4000, units), dtype=np.float32)).astype(np.float64)
        return values.sum(1), (values * values).sum(1)

    at_most(largest(grown(rng, draw, control), grown(rng, draw, treatment)) >= math.log(1000.0), ALARM)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_missingness_in_balance(rng: np.random.Generator, share: float) -> None:
    """At 50/50 and 5/95, however many outcomes are missing of 195 looks: at most .1 % of 20,000 experiments; a tenth fewer is found."""

    def draw(rate: float, experiments: int) -> Callable[[int], tuple[Array, Array]]:
        def of(units: int) -> tuple[Array, Array]:
            have = rng.binomial(units, rate, experiments).astype(np.float64)
            return have, have

        return of

    for control, treatment in ((100, 100), (95, 5)):
        same = grown(rng, draw(share, 20_000), control), grown(rng, draw(share, 20_000), treatment)
        at_most(largest(*same) >= math.log(1000.0), ALARM)
    fewer = grown(rng, draw(share, 500), 200), grown(rng, draw(0.9 * share, 500), 200)
    if share > 0.1:
        assert (largest(*fewer) >= math.log(1000.0)).mean() > 0.95


def test_the_simulation_is_what_a_look_does(covariate: Design, snapshot_of: Build, rng: np.random.Generator) -> None:
    """One such experiment taken through `look`, one look at a time, gathers the same evidence."""

    def draw(units: int) -> tuple[Array, Array]:
        values = rng.exponential(1.0, (1, units))
        return values.sum(1), (values * values).sum(1)

    control, treatment = grown(rng, draw, 30), [each._replace(mean=each.mean * 1.05) for each in grown(rng, draw, 10)]
    evidence = NO_EVIDENCE
    for number, sides in enumerate(zip(control, treatment, strict=True), start=1):
        n = [int(side.n[0, 0]) for side in sides]
        joints = [with_x(k, float(side.mean[0, 0]), math.sqrt(float(side.variance[0, 0]))) for k, side in zip(n, sides, strict=True)]
        snapshot = snapshot_of({"control": {"m": joints[0]}, "treatment": {"m": joints[1]}})
        evidence = look(covariate, msgspec.structs.replace(snapshot, at=snapshot.started + 300.0 * number), evidence)
    expected = float(largest(control, treatment)[0])
    assert evidence.looks == LOOKS
    assert expected > 0.0
    assert evidence.watches["treatment"][COVARIATE].log_evidence == pytest.approx(expected, rel=1e-9)


def test_no_rollback_by_a_covariate_that_differs(design_of: Build, snapshot_of: Build) -> None:
    """What an adjustment makes of arms that differed before is no harm: invalid. The same difference without a covariate is harm."""
    n = 2000

    def arm(mean: float, x: float) -> dict[str, Joint]:
        return {"m": Joint(Summary(n, mean, float(n - 1)), Summary(n, x, float(n - 1)), 0.9 * (n - 1))}

    def verdict(metric: Metric, treatment: dict[str, Joint]) -> str:
        design, snapshot = design_of(metric), snapshot_of({"control": arm(1.0, 0.0), "treatment": treatment})
        evidence = look(design, snapshot, NO_EVIDENCE)
        assert evidence.track("treatment", "m").worse.crossed is not None
        return str(report("e1", "credit", design, snapshot, evidence)["verdict"])

    assert verdict(Metric(name="m", covariate="earlier"), arm(1.0, 1.0)) == "invalid"
    assert verdict(Metric(name="m", covariate="earlier"), arm(0.1, 0.0)) == "rollback"
    assert verdict(Metric(name="m"), arm(0.1, 0.0)) == "rollback"
