"""One reader's process: follow the journal for `record`, `watch`, a learner or a shadow until told to stop.

python -P -m server.reader NAME [--careful]   (settings from the environment)
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys
import time

import sqlalchemy as sa

from core.errors import Conflict, ModelFailed, Rejected, TiltyardError, Unavailable
from core.ids import VersionId, parse_version
from flows.adopt import loader
from flows.facts import record
from flows.follow import IDLE_SECONDS, RECORD, WATCH, Follower
from flows.learning.learners import parse_learner
from flows.learning.swap import Swapper
from flows.shadow import ShadowName, ShadowRunner, parse_reader, tell_failure
from flows.views.view import parse_view_reader
from journal.lookup import Lookup
from journal.writer import Writer
from models.package import Loaded
from server.home import Home, clock, from_env, open_existing
from server.idle import Idle
from server.processes import NOT_NOW, die_with_parent, supervisor

RECORD_BATCH = 5000

WATCH_BATCH = 2000

WATCH_PAUSE_SECONDS = 0.2
"""Between two steps of `watch` that keep up: a hundred rows are counted in the time of a few."""

RECORD_PAUSE_SECONDS = 0.1
"""Between two transactions of `record` that keep up: what a transaction costs whatever it holds is then shared by more events."""

SNAPSHOT_SECONDS = 0.3
"""Between two looks of a shadow for a newer snapshot of its version, where that learns."""

GC_ALLOCATIONS = 100_000

_log = logging.getLogger("tiltyard.reader")


def run(home: Home, name: str, *, careful: bool) -> None:
    """Follow for ever."""
    if name == RECORD:
        _record(home, Follower(home.store, home.journal, name, careful=careful))
    learner = parse_learner(name)
    if learner is not None:
        _learn(home, learner, careful=careful)
    if name == WATCH:
        _watch(home, careful=careful)
    view = parse_view_reader(name)
    if view is not None:
        _features(home, view, careful=careful)
    shadow = parse_reader(name)
    if shadow is None:
        raise Conflict(f"no reader is called {name!r}")
    _shadow(home, shadow, careful=careful)


def _record(home: Home, follower: Follower) -> None:
    recorder = record.Recorder(Lookup(home.journal).get, home.settings.quarantine_seconds, loader(home.store, home.blobs))
    writer = Writer(home.journal)
    while True:
        read = follower.step(lambda entries, at: lambda connection: recorder.fold(connection, entries, at), RECORD_BATCH)
        if not read or (read < RECORD_BATCH and not follower.careful):
            time.sleep(RECORD_PAUSE_SECONDS)
        if not read and clock() - follower.at >= record.TICK_SECONDS:
            _tick(home, recorder, writer, follower.at)


def _tick(home: Home, recorder: record.Recorder, writer: Writer, at: float) -> None:
    with home.store.read() as connection:
        wanted = recorder.wants_tick(connection, at)
    if wanted:
        record.tick(writer.append, clock)


def _learn(home: Home, version: VersionId, *, careful: bool) -> None:
    # Labels are to be served within a second, but never at the cost of answers.
    os.nice(10)
    _limit_memory(home.settings.learner_memory_bytes)
    from flows.learning.learn import Learning, School, tell_failure  # here, because only learners need River for certain
    from models.learner.snapshot import key

    # Most of what a learner holds, lately read payloads above all, is never garbage: looking through it less often is a fifth faster.
    gc.set_threshold(GC_ALLOCATIONS, 20, 100)
    with Idle() as idle:
        try:
            school = School(home.store, home.blobs, home.journal, key(home.snapshot_key), clock, work=idle.run)
            learning = Learning(school, version, careful=careful)
        except Rejected as error:
            tell_failure(home.store, version, error.message)
            raise
        while True:
            learning.step()
            time.sleep(learning.idle)


def _shadow(home: Home, name: ShadowName, *, careful: bool) -> None:
    os.nice(10)
    _limit_memory(home.settings.shadow_memory_bytes)
    version = parse_version(name.version)
    try:
        loaded = _answering(home, version)
    except TiltyardError as error:
        tell_failure(home.store, name, f"cannot begin: {error.message}")
        raise
    swapper = Swapper(home.store, home.blobs.get, home.snapshot_key, every=SNAPSHOT_SECONDS)
    for reason in swapper.catch_up({version: loaded}).values():
        # Compared is what learns, and not what it was before.
        raise Unavailable(f"{version} cannot answer by what it has learnt: {reason}")
    runner = ShadowRunner(home.store, name, loaded, home.settings.shadow_batch, Lookup(home.journal).get)
    follower = Follower(home.store, home.journal, name.reader, careful=careful, lost=runner.drop)
    while True:
        swapper.follow({version: loaded})
        if not follower.step(runner.work, runner.limit):
            time.sleep(follower.idle)


def _answering(home: Home, version: VersionId) -> Loaded:
    """The version of a shadow, once it answers. Until then requests wait for it: a remote server may be down, and no event is to blame."""
    try:
        return loader(home.store, home.blobs, home.remotes)(version)
    except ModelFailed as error:
        raise Unavailable(f"{version} cannot answer now: {error.message}") from error


def _features(home: Home, view: str, *, careful: bool) -> None:
    os.nice(5)
    from flows.views.generation import Bench  # here, because other readers need no River
    from flows.views.streaming import ViewReader

    reader = ViewReader(Bench(home.store, home.journal, home.views, clock), view, careful=careful)
    while True:
        if not reader.step():
            time.sleep(IDLE_SECONDS)


def _watch(home: Home, *, careful: bool) -> None:
    os.nice(10)
    from flows.watching.watch import Watcher  # here, because other readers need no statistics
    from flows.watching.windows import measures

    watcher = Watcher(home.store, measures(home.settings), Lookup(home.journal).get)
    follower = Follower(home.store, home.journal, WATCH, careful=careful)
    while True:
        read = follower.step(watcher.work, WATCH_BATCH)
        if not read and watcher.due and follower.settled:
            follower.store(watcher.effect())
        if not read or (read < WATCH_BATCH and not follower.careful):
            time.sleep(max(WATCH_PAUSE_SECONDS, follower.idle))


def _limit_memory(most: int) -> None:
    """A model that takes more fails; the machine's other processes do not."""
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def main() -> None:
    """Run the reader that the command line names."""
    die_with_parent(supervisor())
    # Ctrl-C reaches every process of a terminal. Raised inside a model it would be taken for the model's failure; the supervisor says
    # when a reader is to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    name, *options = sys.argv[1:]
    try:
        run(open_existing(from_env()), name, careful="--careful" in options)
    except Conflict as error:
        # Another process reads for this reader, or it was dropped: not this one's turn any more.
        _log.info("%s stops: %s", name, error.message)
    except (Unavailable, sa.exc.OperationalError) as error:
        # Nothing is to blame on the event that it was at.
        _log.error("%s cannot go on now: %s", name, error)
        sys.exit(NOT_NOW)
    except TiltyardError as error:
        _log.error("%s: %s", name, error.message)
        sys.exit(1)


if __name__ == "__main__":
    main()
