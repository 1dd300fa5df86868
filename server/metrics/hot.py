"""What a web worker counts while it answers: one dictionary look-up and a handful of additions a request."""

from __future__ import annotations

import logging
import os
import secrets
from bisect import bisect_left
from pathlib import Path
from typing import NamedTuple, Protocol

from core.errors import Unavailable
from server.metrics.cells import Cells, Writer
from server.metrics.families import BOUNDS, FALLBACKS, OUTCOMES, PREDICTIONS, REQUESTS, SECONDS, UNLOGGED, UNREAD, Family
from server.metrics.totals import EXCLUSIVE, locked, worker_file

log = logging.getLogger(__name__)

PATIENCE = 2.0


class Metrics(Protocol):
    """What a web worker tells. Names are registered ones, or "" where there is none: a client's own word is no label."""

    def answered(self, endpoint: str, arm: str, code: int, seconds: float) -> None:
        """A request was answered, `seconds` after it came; a prediction where an arm was assigned and the code is 2xx."""

    def fell_back(self, endpoint: str, arm: str) -> None:
        """Control answered because the assigned arm failed."""

    def unlogged(self, endpoint: str, arm: str) -> None:
        """A prediction was answered without a record in the journal."""

    def observed(self, metric: str, count: int) -> None:
        """So many outcomes of a metric were accepted."""

    def unread(self, view: str, count: int) -> None:
        """So many look-ups in a feature view could not be made."""


class NoMetrics:
    """Counts nothing: for tests, for the command line, and for a worker that cannot have a file."""

    def answered(self, endpoint: str, arm: str, code: int, seconds: float) -> None:
        """See Metrics."""

    def fell_back(self, endpoint: str, arm: str) -> None:
        """See Metrics."""

    def unlogged(self, endpoint: str, arm: str) -> None:
        """See Metrics."""

    def observed(self, metric: str, count: int) -> None:
        """See Metrics."""

    def unread(self, view: str, count: int) -> None:
        """See Metrics."""


class HotMetrics:
    """Counts into the worker's own file. For the thread of the hub only.

    `answered` takes 0.4 µs (the same through prometheus-client's multi-process values: 3.3 µs, 6.4 with `labels()`).
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._rows: dict[tuple[str, ...], Cells] = {}
        self._answers: dict[tuple[str, str, int], _Answer] = {}

    def answered(self, endpoint: str, arm: str, code: int, seconds: float) -> None:
        """See Metrics."""
        requests, predictions, times = self._answers.get((endpoint, arm, code)) or self._answer(endpoint, arm, code)
        requests[0] += 1.0
        predictions[0] += 1.0
        times[0] += seconds
        times[1 + bisect_left(BOUNDS, seconds)] += 1.0

    def fell_back(self, endpoint: str, arm: str) -> None:
        """See Metrics."""
        self._row(FALLBACKS, endpoint, arm)[0] += 1.0

    def unlogged(self, endpoint: str, arm: str) -> None:
        """See Metrics."""
        self._row(UNLOGGED, endpoint, arm)[0] += 1.0

    def observed(self, metric: str, count: int) -> None:
        """See Metrics."""
        self._row(OUTCOMES, metric)[0] += count

    def unread(self, view: str, count: int) -> None:
        """See Metrics."""
        self._row(UNREAD, view)[0] += count

    def close(self) -> None:
        """Gives up the file; nothing can be counted after that."""
        self._writer.close()

    def _answer(self, endpoint: str, arm: str, code: int) -> _Answer:
        is_prediction = arm != "" and 200 <= code < 300
        answer = self._answers[endpoint, arm, code] = _Answer(
            self._row(REQUESTS, endpoint, str(code)),
            self._row(PREDICTIONS, endpoint, arm) if is_prediction else _unseen(PREDICTIONS),
            self._row(SECONDS, endpoint, arm),
        )
        return answer

    def _row(self, family: Family, *labels: str) -> Cells:
        key = (family.name, *labels)
        cells = self._rows.get(key)
        if cells is None:
            cells = self._rows[key] = self._new_row(family, labels)
        return cells

    def _new_row(self, family: Family, labels: tuple[str, ...]) -> Cells:
        try:
            return self._writer.row(family, labels)
        except OSError as error:
            log.warning("%s%s is not counted by this worker: %s", family.name, labels, error)
            return _unseen(family)


class _Answer(NamedTuple):
    """The rows that a request with one endpoint, arm and code adds to."""

    requests: Cells
    predictions: Cells
    times: Cells


def _unseen(family: Family) -> Cells:
    """A row that no scrape reads."""
    return memoryview(bytearray(8 * family.cells)).cast("d")


def open_metrics(directory: Path) -> HotMetrics | NoMetrics:
    """The metrics of this process, in a directory made by `compact.clear`; to be called after the fork.

    A worker that cannot have a file (full disk) serves all the same: it says so in the log and counts nothing.
    """
    path = worker_file(directory, os.getpid(), secrets.token_hex(8))
    try:
        with locked(directory, EXCLUSIVE, PATIENCE):  # neither a scrape nor a compaction may see the file half made
            return HotMetrics(Writer(path))
    except (OSError, Unavailable) as error:
        log.warning("this worker serves without metrics: %s", error)
        return NoMetrics()
