"""A process of its own that measures what it costs to serve a version: its memory from loading it on, and the time of one row.

It reads an order from standard input and writes what it measured to standard output. In a process that has read a data set and imported
scikit-learn, nothing that is measured of memory would be the version's.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import msgspec

from core.settings import from_environment
from core.values import Value
from models.card import Card
from models.package import Loaded, load
from models.remote.servers import from_settings
from models.runtime import BATCH
from store.blobs import Blobs

CALLS = 500
"""Of one row each, after those that warm up."""

WARM_UP = 20
MOST_SECONDS = 10.0
"""After this a slow model is measured on the calls made so far."""

FEWEST_CALLS = 20


class Entrant(msgspec.Struct, frozen=True):
    """A version, and rows as it takes them."""

    card: Card
    rows: list[list[Value]]


class Order(msgspec.Struct, frozen=True):
    """What to measure: the first entrant's memory and batches, and the time of one row of each, in turns."""

    blobs: str
    entrants: list[Entrant]


class Measured(msgspec.Struct, frozen=True):
    """`seconds` of each call by entrant; `rows_per_second` in batches. `peak_bytes`: by how much the process's memory rose at most while
    the first entrant was loaded and answered, None where the system does not say."""

    seconds: list[list[float]]
    rows_per_second: float
    peak_bytes: int | None


def measure(order: Order) -> Measured:
    """What it costs; raises what loading and predicting do."""
    read_blob, settings = Blobs(Path(order.blobs)).get, from_environment(os.environ)
    remotes = from_settings(settings.remotes, settings.remote_token_files)
    _forget_peak()
    before = _peak()
    first = load(order.entrants[0].card, read_blob, remotes)
    rate = _rate(first, order.entrants[0].rows)
    after = _peak()
    loaded = [first, *(load(one.card, read_blob, remotes) for one in order.entrants[1:])]
    seconds = _in_turns(loaded, [one.rows for one in order.entrants])
    return Measured(seconds, rate, None if before is None or after is None else after - before)


def _rate(loaded: Loaded, rows: Sequence[Sequence[Value]]) -> float:
    loaded.predict(rows[:BATCH])
    start, done = perf_counter(), 0
    while done < len(rows) or perf_counter() - start < 0.2:
        done += len(loaded.predict(rows[:BATCH]))
        if perf_counter() - start > MOST_SECONDS:
            break
    return done / (perf_counter() - start)


def _in_turns(loaded: Sequence[Loaded], rows: Sequence[Sequence[Sequence[Value]]]) -> list[list[float]]:
    """The time of each call. The versions take turns, so that what disturbs one disturbs the other as well."""
    for one, given in zip(loaded, rows, strict=True):
        for call in range(WARM_UP):
            one.predict([given[call % len(given)]])
    found: list[list[float]] = [[] for _ in loaded]
    until = perf_counter() + MOST_SECONDS
    for call in range(CALLS):
        if call >= FEWEST_CALLS and perf_counter() > until:
            break
        for seconds, one, given in zip(found, loaded, rows, strict=True):
            row = [given[call % len(given)]]
            start = perf_counter()
            one.predict(row)
            seconds.append(perf_counter() - start)
    return found


def _forget_peak() -> None:
    """Importing has its own peak, below which what follows would go unseen (Linux, `proc(5)`, clear_refs)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int | None:
    """The most memory that this process has held so far, in bytes. (`getrusage` would count its parent's, before it became a program.)"""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return None if found is None else 1024 * int(found[1])


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(measure(msgspec.json.decode(sys.stdin.buffer.read(), type=Order))))
