"""Work that nobody should notice: done where a core has nothing else to do, and in its owner's own time where none is free for long."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from time import clock_gettime, monotonic, pthread_getcpuclockid
from typing import Self

PATIENCE_SECONDS = 0.2
"""So often it is asked whether the work gets on."""

STARVED = 0.5
"""It does not where it gets less of a core than this."""

_END = object()

REST_SECONDS = 4.0
"""After it has starved, its owner does all of it for so long: to ask costs a twentieth of the time."""


class Idle:
    """A thread of the scheduler's class SCHED_IDLE (man 7 sched): any other task that can run takes the core from it.

    Beside busy processes it starves, and without privileges it cannot leave its class again. So the thread that owns the work takes over
    what it does not get done, after the piece that was begun. It waits in the meantime: one of the two works, never both. The pieces should
    be small, since the one that was begun may take some hundred times as long, and must hold no lock that keeps others from writing.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._clock = 0
        """Of the thread's time of the processor."""
        self._context: Context | None = None
        self._leave = False
        self._own_until = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()

    def run(self, pieces: Iterator[object]) -> None:
        """Take all of `pieces`, each of which is some work. Raises what they raise."""
        if self._context is None:
            # What a model's code sets for its thread, such as how numpy treats an overflow, then holds whoever works.
            self._context = copy_context()
        context = self._context

        def work() -> None:
            context.run(self._take, pieces)

        self._leave = False
        if monotonic() >= self._own_until and self._has_thread():
            self._offer(work)
        self._leave = False
        work()

    def _has_thread(self) -> bool:
        if self._thread is None:
            thread = Thread(target=self._serve, name="idle", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # of threads, or of memory, there is no more
                self._own_until = monotonic() + REST_SECONDS
                return False
            self._thread, self._clock = thread, pthread_getcpuclockid(thread.ident or 0)
        return True

    def _offer(self, work: Callable[[], None]) -> None:
        self._work.put(work)
        error = self._wait()
        if error is not None:
            raise error

    def _wait(self) -> BaseException | None:
        """What went wrong in the work, once it is done or was taken over."""
        while True:
            began, spent = monotonic(), clock_gettime(self._clock)
            with suppress(Empty):
                return self._done.get(timeout=PATIENCE_SECONDS)
            if clock_gettime(self._clock) - spent < STARVED * (monotonic() - began):
                break
        error = self._take_over()
        self._own_until = monotonic() + REST_SECONDS
        return error

    def _take_over(self) -> BaseException | None:
        """What went wrong in the work that was begun."""
        with suppress(Empty):
            self._work.get_nowait()
            return None  # the thread has not even begun
        self._leave = True
        return self._done.get()

    def _take(self, pieces: Iterator[object]) -> None:
        while not self._leave:
            if next(pieces, _END) is _END:
                return

    def _serve(self) -> None:
        with suppress(OSError):  # where a sandbox forbids it, the work goes on with the priority of the process
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while (work := self._work.get()) is not None:
            error = None
            try:
                work()
            except BaseException as raised:  # belongs to the thread that waits for it
                error = raised
            self._done.put(error)
