"""What `watch` has found, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

_PARTS = (("features", "tiltyard", "feature", "a feature"), ("predictions", "tiltyard_prediction", "output", "what is answered"))
"""A part of the report, and how its families and their label are called."""


def families(told: Sequence[dict[str, Any]]) -> Iterator[Metric]:
    """The families, of each endpoint what `flows.watching.report.report` tells; only versions of the current plan's arms and holdout."""
    found = [(one["endpoint"], version, of) for one in told for version, of in one["versions"].items() if of["arms"] and "window" in of]
    for part, prefix, label, what in _PARTS:
        yield from _columns(found, part, prefix, label, what)
    yield from _versions(found)


def _columns(found: Sequence[tuple[str, str, dict[str, Any]]], part: str, prefix: str, label: str, what: str) -> Iterator[Metric]:
    names = ["endpoint", "version", label]
    score = GaugeMetricFamily(f"{prefix}_drift_score", f"PSI of {what} against the sample, over the newest rows.", labels=names)
    p_value = GaugeMetricFamily(f"{prefix}_drift_p_value", f"Adjusted p value of {what} in the newest window.", labels=names)
    alarm = GaugeMetricFamily(f"{prefix}_drift_alarm", f"1 where {what} raised an alarm in the newest window.", labels=names)
    for endpoint, version, of in found:
        for name, psi in of["rolling"][part].items():
            if psi is not None:
                score.add_metric([endpoint, version, name], psi)
        for name, one in of[part].items():
            alarm.add_metric([endpoint, version, name], float(one["alarm"]))
            if one["adjusted"] is not None:
                p_value.add_metric([endpoint, version, name], one["adjusted"])
    yield from (score, p_value, alarm)


def _versions(found: Sequence[tuple[str, str, dict[str, Any]]]) -> Iterator[Metric]:
    names = ["endpoint", "version"]
    kinds = [*names, "kind"]
    windows = CounterMetricFamily("tiltyard_drift_windows", "Windows that were judged: of rows, of labels.", labels=kinds)
    alarms = CounterMetricFamily("tiltyard_drift_alarms", "Windows that raised an alarm.", labels=kinds)
    changes = CounterMetricFamily("tiltyard_drift_changes", "Changes against a version's own past that ADWIN has found.", labels=names)
    labels = GaugeMetricFamily("tiltyard_label_drift_score", "PSI of the labels in the newest window of labels.", labels=names)
    decay = GaugeMetricFamily(
        "tiltyard_performance_decay", "Mean loss in the newest window of labels, less that on the sample.", labels=names
    )
    for endpoint, version, of in found:
        for kind in ("rows", "labels"):
            windows.add_metric([endpoint, version, kind], of["windows"][kind])
            alarms.add_metric([endpoint, version, kind], of["alarms"][kind])
        changes.add_metric([endpoint, version], of["adwin"]["changes"])
        if of["labels"] is not None and of["labels"]["score"] is not None:
            labels.add_metric([endpoint, version], of["labels"]["score"])
        performance = of["performance"]
        if performance is not None and performance["p_value"] is not None:
            decay.add_metric([endpoint, version], performance["window"] - performance["reference"])
    yield from (windows, alarms, changes, labels, decay)
