"""What is counted, and what a scrape says of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.metrics import compact, scrape
from server.metrics.families import BOUNDS, FAMILIES, REQUESTS
from server.metrics.hot import HotMetrics, open_metrics
from tests.server.metrics_world import REQUESTS_OF_CREDIT, samples


def test_a_request_is_counted_timed_and_is_a_prediction(directory: Path, metrics: HotMetrics) -> None:
    """One `answered` moves the request, its arm's predictions, and the right bucket; errors are no predictions."""
    metrics.answered("credit", "treatment", 200, 0.003)
    metrics.answered("credit", "treatment", 503, 0.2)
    metrics.answered("", "", 404, 0.0001)
    found = samples(directory)
    arm = 'arm="treatment",endpoint="credit"'
    assert found[REQUESTS_OF_CREDIT] == 1
    assert found['tiltyard_requests_total{code="404",endpoint=""}'] == 1
    assert found[f"tiltyard_predictions_total{{{arm}}}"] == 1
    assert found[f'tiltyard_request_seconds_bucket{{{arm},le="0.0025"}}'] == 0
    assert found[f'tiltyard_request_seconds_bucket{{{arm},le="0.005"}}'] == 1
    assert found[f'tiltyard_request_seconds_bucket{{{arm},le="+Inf"}}'] == 2
    assert found[f"tiltyard_request_seconds_sum{{{arm}}}"] == pytest.approx(0.203)
    assert 'tiltyard_predictions_total{arm="",endpoint=""}' not in found


def test_the_other_counters(directory: Path, metrics: HotMetrics) -> None:
    """Fallbacks, unlogged predictions and outcomes are counted under their labels."""
    metrics.fell_back("credit", "treatment")
    metrics.unlogged("credit", "control")
    metrics.observed("revenue", 7)
    metrics.observed("revenue", 1)
    found = samples(directory)
    assert found['tiltyard_fallbacks_total{arm="treatment",endpoint="credit"}'] == 1
    assert found['tiltyard_unlogged_predictions_total{arm="control",endpoint="credit"}'] == 1
    assert found['tiltyard_outcomes_total{metric="revenue"}'] == 8


@given(st.lists(st.floats(0, 20), max_size=30))
def test_every_duration_falls_into_the_buckets_that_hold_it(tmp_path_factory: pytest.TempPathFactory, durations: list[float]) -> None:
    """A bucket counts the durations up to its bound, as Prometheus defines it."""
    home = tmp_path_factory.mktemp("metrics")
    compact.clear(home)
    opened = open_metrics(home)
    for seconds in durations:
        opened.answered("e", "a", 200, seconds)
    found = samples(home)
    opened.close()
    for bound in BOUNDS:
        bucket = f'tiltyard_request_seconds_bucket{{arm="a",endpoint="e",le="{bound}"}}'
        assert found.get(bucket, 0) == sum(seconds <= bound for seconds in durations)


def test_labels_are_kept_as_they_are(directory: Path, metrics: HotMetrics) -> None:
    """Names with quotes, newlines and non-ASCII letters come out of a scrape unharmed."""
    metrics.observed('größe "x"\n\\', 3)
    assert samples(directory)['tiltyard_outcomes_total{metric="größe "x"\n\\"}'] == 3


def test_a_file_grows_with_its_rows(directory: Path, metrics: HotMetrics) -> None:
    """More rows than the first allocation holds: old and new rows go on counting."""
    metrics.answered("first", "arm", 200, 0.1)
    for number in range(1200):
        metrics.answered(f"endpoint-{number}", "arm", 200, 0.1)
    metrics.answered("first", "arm", 200, 0.1)
    metrics.answered("endpoint-1199", "arm", 200, 0.1)
    found = samples(directory)
    assert found['tiltyard_predictions_total{arm="arm",endpoint="first"}'] == 2
    assert found['tiltyard_predictions_total{arm="arm",endpoint="endpoint-1199"}'] == 2
    assert sum(value for name, value in found.items() if name.startswith("tiltyard_predictions_total")) == 1203


class Steady(Collector):
    """Yields one gauge."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("tiltyard_plan", "Number of the current plan.", value=12)


class Broken(Collector):
    """Yields one gauge, then raises."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("tiltyard_half", "Never seen.", value=1)
        raise RuntimeError("the store is locked")


def test_a_broken_collector_costs_only_its_own_metrics(directory: Path) -> None:
    """The other collectors still answer, and the scrape says that one is missing."""
    text = scrape.scrape(directory, [Broken(), Steady()]).decode()
    assert "tiltyard_plan 12.0\n" in text
    assert "tiltyard_half" not in text
    assert "tiltyard_metrics_failed_collectors 1.0\n" in text


def test_names_follow_the_house(directory: Path) -> None:
    """Prefix, base units, `_total` exactly on counters, and labels from a closed list without a pid."""
    for family in FAMILIES.values():
        assert re.fullmatch(r"tiltyard_[a-z_]+(_seconds|_total)", family.name)
        assert family.name.endswith("_total") == (not family.bounds)
        assert set(family.labels) <= {"endpoint", "arm", "code", "metric", "model", "version", "shadow", "view"}
    assert REQUESTS.name in scrape.scrape(directory).decode()


@pytest.mark.promtool
def test_promtool_accepts_the_scrape(directory: Path, metrics: HotMetrics) -> None:
    """`promtool check metrics` finds neither errors nor anything to improve."""
    metrics.answered("credit", "treatment", 200, 0.003)
    metrics.fell_back("credit", "treatment")
    metrics.unlogged("credit", "treatment")
    metrics.observed("revenue", 1)
    text = scrape.scrape(directory, [Steady()])
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode()
    assert checked.stderr == b""
