"""What tests of metrics share: a scrape as Prometheus reads it, and workers that die."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from server.metrics import scrape
from server.metrics.hot import open_metrics

REQUESTS_OF_CREDIT = 'tiltyard_requests_total{code="200",endpoint="credit"}'


CORRUPT = "tiltyard_metrics_corrupt_files_total"


def samples(directory: Path) -> dict[str, float]:
    """`name{label="value",…}` → value, as Prometheus would read it."""
    found = {}
    for family in text_string_to_metric_families(scrape.scrape(directory).decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def in_child(work: Callable[[], None], last: Callable[[], object] = lambda: os._exit(0)) -> int:
    """Does the work in a process of its own that ends by `last`; returns the status it died with."""
    child = os.fork()
    if child == 0:
        try:
            work()
            last()
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def suicide() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count_requests(directory: Path, number: int) -> None:
    opened = open_metrics(directory)
    for _ in range(number):
        opened.answered("credit", "treatment", 200, 0.003)
