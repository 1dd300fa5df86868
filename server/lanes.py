"""Native threads for models that take long: a few for each version, so that one that hangs keeps no other from answering.

A native call cannot be interrupted. What is given up goes on in its thread, which is free again only when it returns; while all threads
of a version are held like that, it is not asked any more, and its callers are told so at once.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

from core.errors import Crowded, ModelFailed, TiltyardError, TimedOut
from models.runtime import said

T = TypeVar("T")

THREADS = 2
"""For each version."""
MOST_WAITING = 64
"""Calls that may wait for a thread of a version; who comes then is told at once that there is no room."""
IDLE_SECONDS = 60.0
"""How long a thread without work is kept."""


class Lanes:
    """The lanes of all versions. To be made and used in the thread of gevent's hub."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lanes: dict[str, _Lane] = {}

    def run(self, version: str, work: Callable[[], T], seconds: float) -> T:
        """Run it in a native thread of the version and wait for it, while the hub goes on; what it raises is raised.

        Raises TimedOut where it does not return in time or the version's threads are all held by calls that did not, Crowded where it
        had not begun by then.
        """
        lane = self._lanes.get(version)
        if lane is None:
            lane = self._lanes[version] = _Lane(self._idle_seconds)
        return lane.run(work, seconds)


class _Lane:
    def __init__(self, idle_seconds: float) -> None:
        from gevent.lock import BoundedSemaphore
        from gevent.threadpool import ThreadPool

        self._threads = ThreadPool(THREADS, idle_task_timeout=idle_seconds)
        self._free = BoundedSemaphore(THREADS)
        self._waiting = 0
        self._overdue = 0

    def run(self, work: Callable[[], T], seconds: float) -> T:
        until = perf_counter() + seconds
        self._enter(seconds)
        outcome = self._threads.spawn(_caught, work)
        outcome.rawlink(lambda _: self._free.release())
        outcome.wait(max(0.0, until - perf_counter()))
        if not outcome.ready():
            self._give_up(outcome)
            raise TimedOut(f"it did not answer within {seconds:.3g} s")
        error, found = outcome.get()
        if error is not None:
            raise error
        return found  # type: ignore[no-any-return]

    def _enter(self, seconds: float) -> None:
        """Wait for a free thread."""
        if self._overdue < THREADS and self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                entered = self._free.acquire(timeout=seconds)
            finally:
                self._waiting -= 1
            if entered:
                return
        if self._overdue >= THREADS:
            raise TimedOut(f"none of its {THREADS} threads has returned from an earlier call")
        raise Crowded(f"more wait for it than it answers within {seconds:.3g} s")

    def _give_up(self, outcome: object) -> None:
        self._overdue += 1

        def returned(_: object) -> None:
            self._overdue -= 1

        outcome.rawlink(returned)  # type: ignore[attr-defined]


def _caught(work: Callable[[], T]) -> tuple[TiltyardError, None] | tuple[None, T]:
    """What it raises as a value: gevent prints what a thread raises, and of some errors it would die."""
    try:
        return None, work()
    except TiltyardError as error:
        return error, None
    except BaseException as error:
        return ModelFailed(f"{type(error).__name__}: {said(error)}"), None
