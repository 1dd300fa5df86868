"""The files of dead workers become one, so that a scrape costs the same after a thousand deaths as after none."""

from __future__ import annotations

import logging
from pathlib import Path

from core.errors import Unavailable
from server.metrics.cells import is_abandoned
from server.metrics.totals import EXCLUSIVE, locked, of_dead, replace_dead, worker_files

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds to wait for scrapes that are under way: the arbiter has its workers to look after."""


def compact(directory: Path) -> None:
    """Merges the files of all dead workers into the dead's sums; for gunicorn's `child_exit`, in the arbiter.

    A kill at any point neither loses nor doubles a count. Never raises: where it cannot be done now (full disk, a held
    lock) the files stay, are counted by scrapes as they are, and the next call takes them.
    """
    try:
        with locked(directory, EXCLUSIVE, PATIENCE):
            _compact(directory)
    except (OSError, Unavailable) as error:
        log.warning("metrics of dead workers stay uncompacted until the next worker dies: %s", error)


def clear(directory: Path) -> None:
    """An empty directory of metrics, for the start of the server: counters begin at 0, which Prometheus understands."""
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory, EXCLUSIVE, PATIENCE):
        for path in directory.iterdir():
            if path.name != "lock":
                path.unlink()


def _compact(directory: Path) -> None:
    totals = of_dead(directory)
    _delete(directory, totals.merged)  # left by a kill between the replacement and the deletion below
    totals.merged.clear()
    for path in worker_files(directory):
        if is_abandoned(path):
            totals.add(path)
    if totals.merged:
        replace_dead(directory, totals)
        _delete(directory, totals.merged)


def _delete(directory: Path, names: set[str]) -> None:
    for name in names:
        (directory / name).unlink(missing_ok=True)
