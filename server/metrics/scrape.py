"""The text that Prometheus reads."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from server.metrics.cells import Rows
from server.metrics.families import FAMILIES, Family
from server.metrics.totals import SHARED, locked, of_all

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
PATIENCE = 2.0


def scrape(directory: Path, collectors: Iterable[Collector] = ()) -> bytes:
    """The sums over all workers, then what each collector yields, in Prometheus' text format (`CONTENT_TYPE`).

    A collector that raises is left out and counted: the others still tell what is wrong. Raises core.errors.Unavailable
    where a compaction holds the lock for too long.
    """
    with locked(directory, SHARED, PATIENCE):
        totals = of_all(directory)
    hot = [_histogram(family, totals.rows) if family.bounds else _counter(family, totals.rows) for family in FAMILIES.values()]
    return generate_latest(_Families([*hot, _corrupt(totals.corrupt), *_collected(collectors)]))


class _Families(Collector):
    """What `generate_latest` wants to be given."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _collected(collectors: Iterable[Collector]) -> Iterator[Metric]:
    failed = 0
    for collector in collectors:
        try:
            yield from list(collector.collect())
        except Exception:
            log.exception("%s: left out of this scrape", type(collector).__name__)
            failed += 1
    yield GaugeMetricFamily("tiltyard_metrics_failed_collectors", "Collectors that are missing from this scrape.", value=failed)


def _counter(family: Family, rows: Rows) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
    for labels, cells in _of(family, rows):
        metric.add_metric(labels, cells[0])
    return metric


def _histogram(family: Family, rows: Rows) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    names = [*map(repr, family.bounds), "+Inf"]
    for labels, (total, *counts) in _of(family, rows):
        metric.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), sum_value=total)
    return metric


def _of(family: Family, rows: Rows) -> list[tuple[list[str], list[float]]]:
    """Label values and cells of one family, in a stable order."""
    return sorted((labels, cells) for (name, *labels), cells in rows.items() if name == family.name)


def _corrupt(count: int) -> Metric:
    return CounterMetricFamily("tiltyard_metrics_corrupt_files_total", "Damaged files of metrics that were met.", value=count)
