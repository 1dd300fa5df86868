"""Planning: sizes from an endpoint's own traffic, read from a real journal, and from figures given by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from core import events
from core.errors import Invalid, NotFound, Refused
from core.events import FORCED, PINNED, Event, Predicted, Tick
from core.ids import format_prediction_id
from core.values import Output
from experiments.metric import Metric
from flows.planning import Question, Source, size
from journal.writer import Writer
from store import metrics
from store.metrics import MetricRow
from tests.flows.flow_world import World

DAY, HOUR = 86400.0, 3600.0
START = 1_790_000_000.0
Z = stats.norm.ppf(0.95) + stats.norm.ppf(0.8)


class Town(World):
    """A world whose events stand in a real journal; `ask` plans at the end of its ninth day."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.journal = home / "journal"
        self.writer = Writer(self.journal)
        self.endpoint()

    def log(self, event: Event) -> str:
        """Append an event; its id."""
        return format_prediction_id(self.writer.append(events.encode(event)))

    def declare(self, **fields: Any) -> None:
        """Declare revenue, or the metric of another name, on the endpoint."""
        metric = Metric(**{"name": "revenue", **fields})
        with self.store.write() as connection:
            metrics.save(connection, MetricRow("credit", metric.name, 0.0, "me", msgspec.json.encode(metric)))

    def ask(self, now: float = START + 9 * DAY, **fields: Any) -> dict[str, Any]:
        """The answer to a question on revenue, whose window is an hour."""
        question = Question(**{"endpoint": "credit", "metric": "revenue", "window_seconds": HOUR, "test": "fixed-horizon", **fields})
        return size(question, lambda: Source(self.store, self.journal, lambda: now))


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    yield made
    made.writer.close()


def spend(town: Town, values: list[float], days: float = 8.0) -> None:
    """Units come at even distances over some days, each with an outcome a quarter of an hour later; then all windows pass."""
    for k, value in enumerate(values):
        at = START + days * DAY * k / len(values)
        town.predict(at, f"u{k}")
        town.observe(at + HOUR / 4, f"u{k}", value)
    town.log(Tick(START + days * DAY))


def needed(variance: float, mde: float) -> int:
    return math.ceil(2.0 * variance * Z * Z / mde**2)


def test_sizes_follow_from_the_endpoints_own_traffic(town: Town) -> None:
    """Mean, spread and new units a day are those of the journal; sample and days follow by the textbook's formula."""
    values = np.random.default_rng(1).gamma(2.0, 3.0, 400).tolist()
    spend(town, values)
    found = town.ask(mde=0.5)
    on = found["based_on"]
    assert (on["units"], on["units_with_window_over"], on["units_analysed"]) == (400, 398, 398)
    values = values[:398]  # the last hour's are still in their window
    assert on["mean"] == pytest.approx(np.mean(values), rel=1e-12)
    assert on["sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    assert on["days"] == pytest.approx(8.0)
    assert on["daily_new_units"] == pytest.approx(50.0)
    assert on["source"] == "8.0 days of journal"
    (row,) = found["sizes"]
    n = needed(np.var(values, ddof=1), 0.5)
    assert row["n_control"] == row["n_treatment"] == n
    assert row["days"] == 7 * math.ceil((2 * n / 50.0 + HOUR / DAY) / 7.0)
    assert found["notes"][0] == "The metric is not declared on the endpoint: taken as continuous, to increase."


def test_without_an_mde_there_is_a_table(town: Town) -> None:
    """Five shares of the mean; a larger effect needs less."""
    spend(town, [1.0, 2.0, 3.0, 4.0] * 20)
    rows = town.ask()["sizes"]
    assert [row["share_of_mean"] for row in rows] == pytest.approx([0.01, 0.02, 0.05, 0.1, 0.2])
    assert [row["mde"] for row in rows] == pytest.approx([2.5 * share for share in (0.01, 0.02, 0.05, 0.1, 0.2)])
    counts = [row["n_control"] for row in rows]
    assert counts == sorted(counts, reverse=True)
    assert town.ask(mde=0.1, relative=True)["sizes"] == [rows[3]]


def test_split_and_test_are_planned_for(town: Town) -> None:
    """90:10 gives the treatment a ninth of control's units; an always-valid test needs 1.8 times the sample, a group-sequential 1.055."""
    spend(town, [1.0, 2.0, 3.0, 4.0] * 20)
    (row,) = town.ask(mde=0.5, split="90:10")["sizes"]
    assert row["n_control"] == pytest.approx(9 * row["n_treatment"], abs=9)
    assert row["n_control"] == math.ceil(np.var([1.0, 2.0, 3.0, 4.0] * 20, ddof=1) * 10.0 * Z * Z / 0.25)
    fixed = town.ask(mde=0.01)["sizes"][0]["n_control"]
    assert town.ask(mde=0.01, test="always-valid")["sizes"][0]["n_control"] == pytest.approx(1.8 * fixed, rel=1e-4)
    assert town.ask(mde=0.01, test="group-sequential")["sizes"][0]["n_control"] == pytest.approx(1.055 * fixed, rel=1e-4)


def test_only_what_an_experiment_would_count_is_counted(town: Town) -> None:
    """Left out: outcomes outside the window or repeated, of other endpoints, forced and pinned requests, units still in their window."""
    spend(town, [1.0, 2.0, 3.0])
    at = START + 8 * DAY
    town.observe(at, "u0", 100.0)  # days after u0's window
    town.observe(START + 60.0, "u0", 4.0, key="k")
    town.observe(START + 61.0, "u0", 4.0, key="k")
    town.predict(at, "elsewhere", endpoint="other")
    town.predict(at, "forced", flags=FORCED)
    town.predict(at, "pinned", flags=PINNED)
    town.predict(at + 1.0, "late")
    on = town.ask(mde=1.0)["based_on"]
    assert (on["units"], on["units_analysed"]) == (4, 3)
    assert on["mean"] == pytest.approx(6.0 / 3.0)  # what arrives after maturity, as these did, does not count either


def test_an_outcome_that_repeats_an_identity_counts_once(town: Town) -> None:
    """As it would in an experiment."""
    for k in range(2):
        town.predict(START + k, f"u{k}")
    for _ in range(3):
        town.observe(START + 10.0, "u0", 4.0, key="k")
    town.log(Tick(START + DAY))
    assert town.ask(mde=1.0)["based_on"]["mean"] == pytest.approx(2.0)


def test_a_request_without_a_unit_is_its_own(town: Town) -> None:
    """Its outcomes name the prediction; those that name the prediction of a client's unit belong to that unit."""
    first, second = town.predict(START, None), town.predict(START + 1.0, None)
    third = town.predict(START + 2.0, "u")
    town.predict(START + 3.0, "u")
    for prediction, value in ((first, 1.0), (second, 2.0), (third, 6.0)):
        town.answer(START + 10.0, prediction, value)
    town.log(Tick(START + DAY))
    on = town.ask(mde=1.0)["based_on"]
    assert (on["units"], on["mean"]) == (3, 3.0)


def test_a_binary_metric_is_planned_as_a_proportion(town: Town) -> None:
    """Unpooled variances, and of a metric that is to decrease the proportion after the decrease; two outcomes make no more than one."""
    town.declare(kind="binary", direction="decrease")
    spend(town, [2.0, 0.0, 0.0, 0.0] * 25)
    found = town.ask(mde=0.05)
    assert found["based_on"]["mean"] == pytest.approx(0.25)
    expected = (0.25 * 0.75 + 0.2 * 0.8) * Z * Z / 0.05**2
    assert found["sizes"][0]["n_control"] == math.ceil(expected)
    assert found["notes"] == []


def test_a_ratio_is_planned_by_the_delta_method(town: Town) -> None:
    """Of outcomes to requests: the spread is that of (Y − R·D)/D̄ over units."""
    town.declare(kind="ratio", denominator="predictions")
    rng = np.random.default_rng(3)
    y, d = rng.poisson(3.0, 200).astype(float), rng.integers(1, 5, 200)
    for k in range(200):
        for _ in range(d[k]):
            town.predict(START + 60.0 * k, f"u{k}")
        town.observe(START + 60.0 * k + 1.0, f"u{k}", float(y[k]))
    town.log(Tick(START + DAY))
    on = town.ask(mde=0.1)["based_on"]
    r = y.sum() / d.sum()
    assert on["mean"] == pytest.approx(r, rel=1e-12)
    assert on["sd"] == pytest.approx(np.std(y - r * d, ddof=1) / d.mean(), rel=1e-9)


def test_a_label_loss_leaves_out_units_without_labels(town: Town) -> None:
    """A unit's value is its mean loss; days wait for the units that have labels."""
    town.declare(kind="label_loss", loss="absolute", direction="decrease")
    for k in range(40):
        ids = [town.predict(START + 0.2 * DAY * k, f"u{k}") for _ in range(2)]
        if k % 2:
            for prediction, label in zip(ids, (2.0, 2.0 + k), strict=True):  # the answers are 1
                town.answer(START + 0.2 * DAY * k + 1.0, prediction, label, metric="label")
    town.log(Tick(START + 8 * DAY))
    found = town.ask(mde=20.0)
    losses = [(1.0 + 1.0 + k) / 2.0 for k in range(1, 40, 2)]
    on = found["based_on"]
    assert (on["units"], on["units_analysed"]) == (40, 20)
    assert on["mean"] == pytest.approx(np.mean(losses))
    few = "No success is decided before 500 units per arm."
    assert found["notes"] == ["50.0% of the units have the metric: sizes count those, and days wait for them.", few]
    (row,) = town.ask(mde=1.0)["sizes"]
    assert row["days"] == 7 * math.ceil((2 * row["n_control"] / 2.5 + HOUR / DAY) / 7.0)


def test_what_units_brought_before_makes_the_sample_smaller(town: Town) -> None:
    """With the covariate `earlier` by 1 − R², R that of the second half's values with what the units brought in the first."""
    town.declare(covariate="earlier")
    rng = np.random.default_rng(4)
    before = rng.gamma(2.0, 2.0, 300)
    after = before + rng.normal(0.0, 1.0, 300) + 5.0
    for start, values in ((START, before), (START + 4 * DAY, after)):
        for k, value in enumerate(values):
            town.predict(start + 10.0 * k, f"u{k}")
            town.observe(start + 10.0 * k + 1.0, f"u{k}", float(value))
    town.log(Tick(START + 7 * DAY))
    found = town.ask(mde=0.1)
    on, r = found["based_on"], np.corrcoef(before, after)[0, 1]
    assert on["covariate"]["correlation"] == pytest.approx(r, rel=1e-9)
    assert found["sizes"][0]["n_control"] == math.ceil(2.0 * np.var(before, ddof=1) * (1.0 - r * r) * Z * Z / 0.01)


def test_a_covariate_that_says_nothing_is_said_to(town: Town) -> None:
    """Units that never come back had brought nothing before: the sample is that without a covariate."""
    town.declare(covariate="earlier")
    spend(town, [1.0, 2.0, 3.0, 4.0] * 20)
    found = town.ask(mde=0.5)
    assert found["based_on"]["covariate"]["correlation"] == 0.0
    assert "without a covariate" in found["based_on"]["covariate"]["detail"]
    assert found["sizes"][0]["n_control"] == needed(np.var([1.0, 2.0, 3.0, 4.0] * 20, ddof=1), 0.5)


def test_only_the_last_days_are_read(town: Town) -> None:
    """A unit's entry is its first request within them."""
    spend(town, [float(k % 5) for k in range(80)])
    on = town.ask(now=START + 8 * DAY, days_back=2.0, mde=1.0)["based_on"]
    assert on["units"] == 20
    assert on["days"] == pytest.approx(2.0)


def test_new_units_that_become_rarer_are_pointed_out(town: Town) -> None:
    """Where most come back, the first days have brought most of the new ones."""
    for k in range(100):
        town.predict(START + 60.0 * k, f"u{k}")
        town.observe(START + 60.0 * k + 1.0, f"u{k}", float(k))
    town.log(Tick(START + 8 * DAY))
    assert "New units become rarer (100, then 0 in the second half): it may take longer." in town.ask(mde=1.0)["notes"]


@pytest.mark.parametrize(
    ("values", "fields", "reason"),
    [
        ([], {}, "endpoint 'credit' has had no traffic in the last 14 days"),
        ([1.0, 2.0], {"metric": "clicks"}, "no outcome 'clicks' has come within the window of any of 2 units"),
        ([2.0, 2.0, 2.0], {}, "all 3 units have the same value 2: without spread there is no sample size"),
        ([0.0, 0.0, 0.0], {}, "all 3 units have the same value 0: without spread"),
        ([-1.0, 1.0], {"mde": None}, "the mean 0 is within 3 standard errors of 0: a share of it means nothing"),
        ([1.0, 2.0], {"window_seconds": 30 * DAY}, "no unit has been seen until its window of 2592000 s was over"),
    ],
)
def test_what_the_traffic_does_not_tell_is_refused(town: Town, values: list[float], fields: dict[str, Any], reason: str) -> None:
    """With the reason, and never with a number."""
    spend(town, values)
    with pytest.raises(Refused, match=reason):
        town.ask(**{"mde": 1.0, **fields})


def test_a_quantile_has_no_sample_size(town: Town) -> None:
    """Its spread is not one of units' values."""
    town.declare(kind="quantile", quantile=0.95)
    spend(town, [1.0, 2.0])
    with pytest.raises(Refused, match="quantile"):
        town.ask(mde=1.0)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"split": "50"}, "split"),
        ({"split": "0:1"}, "split"),
        ({"mde": -1.0}, "mde"),
        ({"mde": None, "relative": True}, "relative"),
        ({"alpha": 0.7}, "alpha"),
        ({"power": 1.0}, "power"),
        ({"days_back": 0.0}, "days_back"),
        ({"window_seconds": 0.0}, "window_seconds"),
        ({"lateness_seconds": -1.0}, "lateness_seconds"),
        ({"metric": None}, "metric"),
        ({"metric": "no name"}, "metric"),
        ({"sd": 1.0}, "sd"),
        ({"endpoint": None}, "endpoint"),
        ({"endpoint": None, "metric": None}, "endpoint"),
        ({"endpoint": None, "metric": None, "sd": 1.0, "mde": None}, "baseline"),
        ({"endpoint": None, "metric": None, "baseline": math.inf}, "baseline"),
        ({"endpoint": None, "metric": None, "baseline": 1.5}, "baseline"),
        ({"endpoint": None, "metric": None, "baseline": 0.5, "daily_units": 0.0}, "daily_units"),
    ],
)
def test_wrong_questions_name_the_field(town: Town, fields: dict[str, Any], field: str) -> None:
    """Whatever is wrong first."""
    with pytest.raises(Invalid) as caught:
        town.ask(**{"mde": 0.1, **fields})
    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field}: ")


def test_an_unknown_endpoint_is_not_found(town: Town) -> None:
    """Rather than one without traffic."""
    with pytest.raises(NotFound):
        town.ask(endpoint="nope", mde=1.0)


def no_home() -> Source:
    raise AssertionError("figures given by hand need no home")


def test_figures_by_hand_need_no_home() -> None:
    """A proportion without a standard deviation, else a mean; days where new units a day are given."""
    found = size(Question(baseline=0.1, mde=0.02, daily_units=500.0, test="fixed-horizon"), no_home)
    n = (0.1 * 0.9 + 0.12 * 0.88) * Z * Z / 0.02**2
    expected = {"mde": 0.02, "share_of_mean": 0.2, "n_control": math.ceil(n), "n_treatment": math.ceil(n), "days": 14}
    assert found["sizes"] == [pytest.approx(expected)]
    (row,) = size(Question(sd=2.0, mde=0.5, test="fixed-horizon"), no_home)["sizes"]
    assert (row["n_control"], row["days"], row["share_of_mean"]) == (needed(4.0, 0.5), None, None)


def test_the_fewest_units_of_a_decision_are_pointed_out() -> None:
    """Where a large effect would need fewer; not where it needs more."""
    few = "No success is decided before 500 units per arm."
    assert size(Question(sd=2.0, mde=1.0), no_home)["notes"] == [few]
    assert size(Question(sd=2.0, mde=0.1), no_home)["notes"] == []


def test_a_row_of_the_table_that_cannot_be_had_says_so() -> None:
    """A proportion of 0.9 cannot rise by a fifth."""
    rows = size(Question(baseline=0.9), no_home)["sizes"]
    assert [("refused" in row, row["n_control"] is None) for row in rows] == [(False, False)] * 4 + [(True, True)]
    assert rows[4]["refused"] == "mde: expected a proportion from 0 to 1, got 1.08"


def test_features_of_the_request_do_not_matter(town: Town) -> None:
    """Other endpoints' events and unknown kinds are passed over."""
    town.log(Predicted(START, "other", 1, None, "control", 1.0, "m@1", 0, [[1.0]], [Output(value=1.0)], 0.001))
    town.writer.append(b"\x91\xa1z")  # an event of a later version
    spend(town, [1.0, 2.0, 3.0])
    assert town.ask(mde=1.0)["based_on"]["units"] == 3


def test_guardrails_take_their_share_of_beta(town: Town) -> None:
    """Those declared on the endpoint, or as many as are said: all tests are to come out together with the power."""
    spend(town, [1.0, 2.0, 3.0, 4.0] * 20)
    alone, two = town.ask(mde=0.5), town.ask(mde=0.5, guardrails=1)
    assert (alone["guardrails"], two["guardrails"]) == (0, 1)
    assert two["sizes"] == town.ask(mde=0.5, power=0.9)["sizes"]
    town.declare(name="errors", role="guardrail")
    town.declare(name="revenue")
    found = town.ask(mde=0.5)
    assert (found["power"], found["guardrails"], found["sizes"]) == (0.8, 1, two["sizes"])
    assert town.ask(mde=0.5, guardrails=0)["sizes"] == alone["sizes"]
    with pytest.raises(Invalid, match="guardrails: expected 0 to 30, got -1"):
        town.ask(guardrails=-1)
