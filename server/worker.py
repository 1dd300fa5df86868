"""What lives in a web worker: its journal writer, its loaded versions, its routes, and the loop that keeps them current."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import OperationalError

from core.errors import Conflict, NotFound, TiltyardError
from flows.adopt import HEARTBEAT_SECONDS, Adopter, limits_of, loader
from flows.learning.swap import Swapper
from flows.predict import Means, Missed
from flows.serving import Routes
from flows.teach import Taker, Takers
from flows.views.features import Opener
from journal.commit import GroupCommit
from journal.writer import Writer
from models.pool import Pool
from server.auth import Guard
from server.errors import store_unavailable
from server.home import Home, clock
from server.lanes import Lanes
from server.metrics.hot import Metrics, open_metrics
from server.patience import Patience

T = TypeVar("T")

CONTROL_THREADS = 16

_log = logging.getLogger("tiltyard.worker")


class Worker:
    """One web worker. To be made after the fork, in the main greenlet: it uses gevent's hub and native threads.

    The hub answers requests; whatever waits for the disk, the store or a model's loading runs in a native thread.
    """

    def __init__(self, home: Home, name: str, host: str) -> None:
        from gevent.threadpool import ThreadPool

        self.home = home
        self.name = name
        self._control = ThreadPool(CONTROL_THREADS)
        self._disk = ThreadPool(1)
        self._loop = ThreadPool(1)
        self._heart = ThreadPool(1)
        self._learning = ThreadPool(1)
        self.metrics: Metrics = open_metrics(home.metrics)
        self.writer = Writer(home.journal)
        self.commit = GroupCommit(self.writer, self._disk.apply, home.settings.fsync_interval)
        self.routes = Routes()
        self._takers = Takers(home.store)
        self.patience = Patience(home.settings.body_timeout)
        self.guard = Guard(home.store, home.settings, host)
        self._views = Opener(home.store, home.views, self.routes)
        settings = home.settings
        self.means = Means(self.writer.append, clock, Lanes().run, Missed(), settings.predict_timeout_seconds)
        swapper = Swapper(home.store, home.blobs.get, home.snapshot_key)
        pool = Pool(loader(home.store, home.blobs, home.remotes, settings.predict_timeout_seconds), clock)
        self._adopter = Adopter(home.store, pool, self.routes, name, clock, swapper, limits_of(settings))

    def start(self) -> None:
        """Adopt the current plans, then keep at it in the background; tell what could not be logged as soon as it can be."""
        import gevent

        self.commit.start()
        self.patience.start()
        # Known to be here before it has read the plans: who makes one meanwhile waits for it.
        self._heart.apply(self._beat)
        gevent.spawn(self._keep_alive)
        self._loop.apply(self._look)
        gevent.spawn(self._keep_current)
        gevent.spawn(self._keep_learnt)

    def offload(self, work: Callable[[], T]) -> T:
        """Run a control call in a native thread and wait for it; the hub goes on. Raises Unavailable where the store cannot be used."""
        try:
            found: T = self._control.apply(work)
        except OperationalError as error:
            raise store_unavailable(error) from error
        return found

    def taker(self, model: str) -> Taker:
        """What the model's learner takes; raises NotFound or Conflict.

        Before it says so it asks the store: the model may have been registered a moment ago.
        """
        try:
            return self._takers.of(model)
        except (NotFound, Conflict):
            self.offload(self._takers.refresh)
            return self._takers.of(model)

    def _keep_current(self) -> None:
        import gevent

        while True:
            gevent.sleep(self.home.settings.plan_poll)
            self.means.missed.tell(self.writer.append, clock())
            self._count()
            self._loop.apply(self._look)

    def _keep_learnt(self) -> None:
        """In a thread of its own: a large snapshot that is loaded delays no plan."""
        import gevent

        while True:
            gevent.sleep(self.home.settings.plan_poll)
            self._learning.apply(lambda: self._guarded(self._adopter.follow_learners))

    def _keep_alive(self) -> None:
        import gevent

        while True:
            gevent.sleep(HEARTBEAT_SECONDS)
            self._heart.apply(self._beat)

    def _look(self) -> None:
        """Views first: a plan whose models need them is never served without them."""
        self._guarded(self._views.poll)
        self._guarded(self._adopter.poll)

    def _count(self) -> None:
        for view, count in self._views.uncounted().items():
            self.metrics.unread(view, count)

    def _beat(self) -> None:
        self._end_if_stuck()
        self._guarded(self.guard.refresh)
        self._guarded(self._adopter.report)
        self._guarded(self._takers.refresh)

    def _end_if_stuck(self) -> None:
        """A version that never finishes loading would keep this worker from all later plans: it ends, and another one starts."""
        seconds = self.home.settings.load_timeout_seconds
        version = self._adopter.overdue(seconds)
        if version is not None:
            _log.error("worker %s has been loading %s for %g s, and starts again", self.name, version, seconds)
            os.kill(os.getpid(), signal.SIGTERM)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except TiltyardError as error:
            _log.error("worker %s: %s", self.name, error.message)
        except Exception:
            # A store that is locked or full for a while must not end the loop: what was adopted goes on serving.
            _log.exception("worker %s: the store could not be read or written", self.name)
