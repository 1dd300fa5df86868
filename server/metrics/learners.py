"""What learners say of themselves, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from core.ids import VersionId

_WINDOWS = {"all": "scores", "rolling": "rolling"}
"""The label `window` and the key of a status: since the start, or over the newest labels."""


def families(told: Sequence[tuple[VersionId, dict[str, Any]]]) -> Iterator[Metric]:
    """The families, of each learning version what `flows.learner.standing` tells."""
    yield from _progress(told)
    yield from _scores(told)


def _progress(told: Sequence[tuple[VersionId, dict[str, Any]]]) -> Iterator[Metric]:
    names = ["model", "version"]
    labels = CounterMetricFamily("tiltyard_learner_labels", "Labels that the learner has learnt.", labels=names)
    quarantined = CounterMetricFamily("tiltyard_learner_quarantined", "Rows that the learner could not learn.", labels=names)
    drifts = CounterMetricFamily("tiltyard_learner_drifts", "Drifts that the learner has detected.", labels=names)
    snapshot = GaugeMetricFamily("tiltyard_learner_snapshot", "Number of the newest snapshot.", labels=names)
    staleness = GaugeMetricFamily(
        "tiltyard_learner_staleness_seconds", "Age of the oldest label that the newest snapshot may not know.", labels=names
    )
    for version, one in told:
        of = _of(version)
        labels.add_metric(of, one["labels"])
        quarantined.add_metric(of, one["quarantined"])
        drifts.add_metric(of, one["drift"].get("detections", 0))
        snapshot.add_metric(of, one["snapshot"])
        if one["staleness_seconds"] is not None:
            staleness.add_metric(of, one["staleness_seconds"])
    yield from (labels, staleness, snapshot, quarantined, drifts)


def _scores(told: Sequence[tuple[VersionId, dict[str, Any]]]) -> Iterator[Metric]:
    prequential = GaugeMetricFamily(
        "tiltyard_prequential_score",
        "Score of the learner asked before it learns each row, by River's metrics.",
        labels=["model", "version", "metric", "window"],
    )
    served = GaugeMetricFamily(
        "tiltyard_served_score",
        "Score of an arm's answers as they were served, by the learner that reads their labels.",
        labels=["model", "version", "endpoint", "arm", "metric", "window"],
    )
    for version, one in told:
        _add(prequential, _of(version), one)
        for place, scores in one["served"].items():
            endpoint, _, arm = place.partition("/")
            _add(served, [*_of(version), endpoint, arm], scores)
    yield from (prequential, served)


def _add(family: GaugeMetricFamily, labels: list[str], scores: dict[str, Any]) -> None:
    for window, key in _WINDOWS.items():
        for metric, score in scores[key].items():
            if score is not None:
                family.add_metric([*labels, metric, window], score)


def _of(version: VersionId) -> list[str]:
    return [version.model, str(version.number)]
