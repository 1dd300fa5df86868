"""One reader's process: follow the journal for `record` or for one shadow until told to stop.

python -P -m server.reader NAME [--careful]   (settings from the environment)
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import time

from core.errors import Conflict, TiltyardError
from core.ids import parse_version
from flows import record
from flows.adopt import loader
from flows.follow import RECORD, Follower
from flows.shadow import ShadowName, ShadowRunner, parse_reader
from journal.lookup import Lookup
from journal.writer import Writer
from server.home import Home, clock, from_env, open_existing
from server.processes import die_with_parent, supervisor

IDLE_SECONDS = 0.02
RECORD_BATCH = 5000

RECORD_PAUSE_SECONDS = 0.1
"""Between two transactions of `record` that keep up: what a transaction costs whatever it holds is then shared by more events."""

_log = logging.getLogger("tiltyard.reader")


def run(home: Home, name: str, *, careful: bool) -> None:
    """Follow for ever."""
    if name == RECORD:
        _record(home, Follower(home.store, home.journal, name, careful=careful))
    shadow = parse_reader(name)
    if shadow is None:
        raise Conflict(f"no reader is called {name!r}")
    _shadow(home, shadow, careful=careful)


def _record(home: Home, follower: Follower) -> None:
    recorder = record.Recorder(Lookup(home.journal).get, home.settings.quarantine_seconds, loader(home.store, home.blobs))
    writer = Writer(home.journal)
    while True:
        read = follower.step(lambda entries, at: lambda connection: recorder.fold(connection, entries, at), RECORD_BATCH)
        if read < RECORD_BATCH and not follower.careful:
            time.sleep(RECORD_PAUSE_SECONDS)
        if not read and clock() - follower.at >= record.TICK_SECONDS:
            _tick(home, recorder, writer, follower.at)


def _tick(home: Home, recorder: record.Recorder, writer: Writer, at: float) -> None:
    with home.store.read() as connection:
        wanted = recorder.wants_tick(connection, at)
    if wanted:
        record.tick(writer.append, clock)


def _shadow(home: Home, name: ShadowName, *, careful: bool) -> None:
    os.nice(10)
    most = home.settings.shadow_memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    loaded = loader(home.store, home.blobs)(parse_version(name.version))
    runner = ShadowRunner(home.store, name, loaded, home.settings.shadow_batch, Lookup(home.journal).get)
    follower = Follower(home.store, home.journal, name.reader, careful=careful, lost=runner.drop)
    while True:
        if not follower.step(runner.work, runner.limit):
            time.sleep(IDLE_SECONDS)


def main() -> None:
    """Run the reader that the command line names."""
    die_with_parent(supervisor())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    name, *options = sys.argv[1:]
    try:
        run(open_existing(from_env()), name, careful="--careful" in options)
    except Conflict as error:
        # Another process reads for this reader, or it was dropped: not this one's turn any more.
        _log.info("%s stops: %s", name, error.message)
    except TiltyardError as error:
        _log.error("%s: %s", name, error.message)
        sys.exit(1)


if __name__ == "__main__":
    main()
