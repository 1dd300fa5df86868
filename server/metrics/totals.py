"""The sums over all workers, dead and alive, and the lock that keeps a scrape from seeing half a compaction.

What dead workers counted stands in one file: the sums, and the names of the files that went into them. A file so named
is counted already, whether it has been deleted yet or not; no name is used twice.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from core.errors import Unavailable
from server.metrics.cells import Rows, check_row, read

SHARED = fcntl.LOCK_SH
EXCLUSIVE = fcntl.LOCK_EX

_DEAD = "dead.msgpack"
_SUFFIX = ".cells"


class Totals(msgspec.Struct):
    """Sums of rows; `merged` names the files that are in them, `corrupt` counts the damaged ones among these."""

    rows: Rows = {}
    merged: set[str] = set()
    corrupt: int = 0

    def add(self, path: Path) -> None:
        """Adds a worker's file; of a damaged one what stands before the damage."""
        rows, whole = read(path)
        for key, cells in rows.items():
            so_far = self.rows.get(key)
            self.rows[key] = cells if so_far is None else [a + b for a, b in zip(so_far, cells, strict=True)]
        self.corrupt += not whole
        self.merged.add(path.name)


def worker_files(directory: Path) -> list[Path]:
    """The files of all workers whose counts may not be in the dead's sums yet."""
    return list(directory.glob("*" + _SUFFIX))


def worker_file(directory: Path, pid: int, nonce: str) -> Path:
    """A worker's own file. The nonce keeps a later process with this pid from the same name."""
    return directory / f"{pid}-{nonce}{_SUFFIX}"


def of_dead(directory: Path) -> Totals:
    """The sums of dead workers; where their file is damaged it counts as corrupt, and they begin anew."""
    try:
        totals = msgspec.msgpack.decode((directory / _DEAD).read_bytes(), type=Totals)
        for key, cells in totals.rows.items():
            check_row(key, cells)
    except FileNotFoundError:
        return Totals()
    except (ValueError, msgspec.DecodeError):
        return Totals(corrupt=1)
    return totals


def of_all(directory: Path) -> Totals:
    """The sums of dead and living workers. To be called under the lock, shared."""
    totals = of_dead(directory)
    for path in worker_files(directory):
        if path.name not in totals.merged:
            totals.add(path)
    return totals


def replace_dead(directory: Path, totals: Totals) -> None:
    """Makes `totals` the sums of dead workers, all or nothing. No fsync: what a crash of the machine takes, a start clears."""
    new = directory / (_DEAD + ".new")
    new.write_bytes(msgspec.msgpack.encode(totals))
    new.replace(directory / _DEAD)


@contextmanager
def locked(directory: Path, how: int, patience: float) -> Iterator[None]:
    """Holds the lock of `directory`, SHARED or EXCLUSIVE; raises Unavailable when it cannot be had in `patience` seconds.

    Never waits without end: whoever holds it may be stopped, and neither a scrape nor gunicorn's arbiter may hang on that.
    """
    with (directory / "lock").open("ab") as file:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Unavailable(f"{directory}: the lock of the metrics has been held for {patience:g} s") from None
            time.sleep(0.002)
        yield
