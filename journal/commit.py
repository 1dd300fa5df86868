"""Group commit: many callers wait for the disk, few fsyncs are made.

One thread, or greenlet, flushes. Who waits joins the *round* that has not begun. The flusher takes that round, opens the next one, and
only then flushes: so a round covers all that was appended by those who joined it, and those who come during an fsync share the next.
"""

from __future__ import annotations

import logging
import threading

from core.errors import JournalError
from journal.writer import Offload, Writer

_log = logging.getLogger(__name__)


class _Round(threading.Event):
    """One flush; set when it is over. Until it has succeeded it counts as failed."""

    error: str | None = "journal: the flush did not take place"


class GroupCommit:
    """Makes a writer durable every `interval` seconds where something was appended, and at once where somebody waits.

    `offload` runs the fsync: `gevent.get_hub().threadpool.apply` under gevent, whose monkey patching makes the flusher a
    greenlet of the writer's hub; `journal.writer.call` with threads.
    """

    def __init__(self, writer: Writer, offload: Offload, interval: float) -> None:
        self._writer = writer
        self._offload = offload
        self._interval = interval
        self._asked = threading.Event()
        self._next = _Round()
        self._running = False
        self._flusher = threading.Thread(target=self._run, name="journal-flusher", daemon=True)

    def start(self) -> None:
        """Begin to flush; once, and after the fork."""
        self._running = True
        self._flusher.start()

    def stop(self) -> None:
        """Flush once more and end. The writer stays open."""
        self._running = False
        self._asked.set()
        self._flusher.join()

    def wait(self) -> None:
        """Return when all that was appended before the call is durable; raises JournalError where that failed."""
        mine = self._next
        if not self._running:
            raise JournalError("journal: nothing can be made durable, the group commit does not run")
        self._asked.set()
        mine.wait()
        if mine.error is not None:
            raise JournalError(mine.error)

    def _run(self) -> None:
        try:
            while self._running:
                self._asked.wait(self._interval)
                self._asked.clear()
                self._flush()
            self._flush()  # for those who joined during the last round
        finally:
            self._running = False
            self._next.set()

    def _flush(self) -> None:
        current, self._next = self._next, _Round()
        try:
            self._writer.flush(self._offload)
            current.error = None
        except JournalError as error:
            current.error = error.message
            _log.error("%s", error.message)
        except Exception as error:  # whatever it was: nobody may be told that it is durable
            current.error = f"journal: the flush failed: {error!r}"
            _log.exception("journal: the flush failed")
        finally:
            current.set()
