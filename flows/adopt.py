"""Adopt: how a worker gets to a new plan. Versions are loaded, warmed and checked first; only then does one assignment switch.

Runs in native threads, a few times a second; what it finds unchanged costs one query. Newer snapshots of versions that learn are swapped
in by another thread, so that a large one delays no plan; and reports come from a third, so that a worker that loads a large model for a
while does not count as gone.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from core.clock import Clock
from core.errors import Rejected, TiltyardError
from core.ids import VersionId, parse_version
from core.settings import Settings
from experiments.metric import LABEL
from flows import known
from flows.facts.trials import decode_design
from flows.known import Known
from flows.learning.swap import Swapper
from flows.serving import Routes, make_route
from models import package
from models.card import Card
from models.package import Loaded
from models.pool import Pool
from models.remote.servers import NONE, Remotes
from routing.breaker import DEFAULT_LIMITS, Limits
from routing.plan import CONTROL, Plan
from store import experiments, plans, registry, workers
from store.blobs import Blobs
from store.engine import Store

HEARTBEAT_SECONDS = 1.0
RETRY_SECONDS = 5.0
"""How long after a version could not be loaded it is tried again."""
ALIVE_SECONDS = 5.0
"""A worker that has not reported for this long counts as gone."""
GONE_SECONDS = 50.0
"""One that has not reported for this long is no more, whatever process has its id by now."""
MOST_DEATHS = 2
"""So many workers may die while they load a version, and none load it; then it counts as one that cannot be loaded."""

_log = logging.getLogger("tiltyard.adopt")


def loader(store: Store, blobs: Blobs, remotes: Remotes = NONE, slowest: float = math.inf) -> Callable[[VersionId], Loaded]:
    """A function that loads a registered version, ready to serve; where no `remotes` are given, none that is on another server.

    It raises Rejected where a row takes longer than `slowest` seconds.
    """

    def load(version: VersionId) -> Loaded:
        with store.read() as connection:
            card = known.decode_card(registry.version_row(connection, version).card)
        loaded = package.load(card, blobs.get, remotes)
        if loaded.seconds_per_row > slowest:
            raise Rejected(f"it takes {loaded.seconds_per_row:.3g} s for a row, and {slowest:g} s is the most (predict_timeout_seconds)")
        return loaded

    return load


def limits_of(settings: Settings) -> Limits:
    """What opens breakers by these settings."""
    return Limits(settings.breaker_calls, settings.breaker_share, settings.breaker_slow_seconds, settings.breaker_open_seconds)


def runs(process: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def declared_metrics(connection: sa.Connection) -> frozenset[str]:
    """The label, and every metric that an experiment names."""
    return frozenset({LABEL, *(metric.name for row in experiments.list_all(connection) for metric in decode_design(row.design).metrics)})


class _Loading(NamedTuple):
    """The version that is being loaded, and since when."""

    version: str
    since: float


class _Later(Exception):
    """Another worker is about to find out whether the version can be loaded."""


class Adopter:
    """Keeps one worker's routes at the current plans and their learning versions at the newest snapshots, and reports what it serves."""

    def __init__(
        self, store: Store, pool: Pool, routes: Routes, worker: str, clock: Clock, swapper: Swapper, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._store = store
        self._pool = pool
        self._routes = routes
        self._worker = worker
        self._clock = clock
        self._swapper = swapper
        self._limits = limits
        self._loading: _Loading | None = None
        self._known = Known()
        self._seen: dict[str, int] = {}
        self._former: dict[str, Plan] = {}
        self._failed: dict[str, list[dict[str, Any]]] = {}
        self._retry: dict[str, float] = {}
        self._reporting = threading.Lock()
        self._switching = threading.Lock()

    def poll(self) -> None:
        """Adopt what is new, and report it."""
        now = self._clock()
        with self._store.read() as connection:
            numbers = plans.current_numbers(connection)
            due = {endpoint for endpoint, at in self._retry.items() if at <= now}
            changed = [endpoint for endpoint, number in numbers.items() if self._seen.get(endpoint) != number or endpoint in due]
            if changed:
                # Starting an experiment makes a plan, so this is when a metric can be new.
                self._routes.metrics = declared_metrics(connection)
        for endpoint in changed:
            self._adopt(endpoint, numbers[endpoint])
        self._routes.polled = True
        self._pool.retain(self._wanted())
        if changed:
            self.report()

    def follow_learners(self) -> None:
        """Let the versions that learn answer by their newest snapshots. What is unchanged costs one query."""
        self._swapper.follow(self._served())

    def report(self) -> None:
        """Say what is served here, and that this worker is alive: due every `HEARTBEAT_SECONDS`, and before the first `poll`."""
        with self._reporting:
            body = self._body()
            # A store that somebody else writes to must not hold up a switch: only reports wait for each other.
            with self._store.write() as connection:
                workers.report(connection, self._worker, self._clock(), body)

    def _body(self) -> dict[str, Any]:
        with self._switching:
            served = [route.plan for route in self._routes.by_endpoint.values() if self._serves(route.plan)]
            failed = [one for failures in self._failed.values() for one in failures]
        return {
            "plans": {plan.endpoint: plan.plan for plan in served},
            "failed": failed,
            **self._warned(),
            **self._learnt(),
            **self._standing(),
        }

    def _adopt(self, endpoint: str, number: int) -> None:
        try:
            with self._store.read() as connection:
                plan = self._known.plan(connection, endpoint, number)
                needed = [*plan.versions, *(shadow.version for shadow in plan.shadows.values())]
                cards = {version: self._known.card(connection, version) for version in needed}
            failed: dict[VersionId, str] = {}
            for version in sorted(plan.versions):
                failed.update(self._load(parse_version(version)))
            # Before it is served: nobody is to be answered by what it was before it learnt.
            failed.update(self._swapper.catch_up(self._unserved(plan)))
            with self._switching:
                self._switch(plan, cards, failed)
        except _Later:
            self._routes.refuse(endpoint)
            return
        except TiltyardError as error:
            with self._switching:
                self._refuse(endpoint, number, {"": error.message})
        # Not before: where the store could not be read, the next poll tries again.
        self._seen[endpoint] = number

    def _load(self, version: VersionId) -> dict[VersionId, str]:
        """Load it where it is not; the reason where that failed. Raises _Later where another worker has to go first."""
        if version in self._pool.loaded():
            return self._pool.ensure([version])
        deaths = self._say(self._claim, str(version))
        if deaths is not None:
            return {version: f"{deaths} workers died while they loaded it"}
        try:
            failed = self._pool.ensure([version])
        finally:
            self._loading = None
        if not failed:
            self._say(self._clear, str(version))
        return failed

    def _say(self, say: Callable[[str], int | None], version: str) -> int | None:
        """What cannot be said, because the store cannot be written, keeps no version from being loaded."""
        try:
            return say(version)
        except OperationalError as error:
            _log.warning("how the loading of %s stands cannot be said: %s", version, error.orig)
            return None

    def _claim(self, version: str) -> int | None:
        """Say that this worker loads the version; how many have died of it since it was last loaded, where those are too many.

        A model may take its process with it (a crash of native code, the kernel's answer to too little memory), also one that was served
        for long. So one that none has loaded, or that one has died of, is tried by one worker while the others serve on, and who comes
        after one that died sees what it was at.
        """
        with self._reporting, self._store.write() as connection:
            lives = self._on_it(connection, version).values()
            deaths = sum(not one for one in lives)
            if deaths >= MOST_DEATHS:
                return deaths
            # Where a server begins nobody serves yet, and none has died: all load at once.
            if any(lives) and (deaths or (self._routes.by_endpoint and not self._is_loaded(connection, version))):
                raise _Later
            self._loading = _Loading(version, self._clock())
            workers.report(connection, self._worker, self._clock(), self._body())
        return None

    def _clear(self, version: str) -> None:
        """Say that the version is loaded. Who died before while loading it died of something else, and is forgotten."""
        with self._reporting, self._store.write() as connection:
            workers.forget(connection, [worker for worker, lives in self._on_it(connection, version).items() if not lives])
            workers.report(connection, self._worker, self._clock(), self._body())

    def _on_it(self, connection: sa.Connection, version: str) -> dict[str, bool]:
        """The other workers whose last report says that they load the version, and whether they live."""
        since = self._clock() - GONE_SECONDS
        return {
            worker: seen > since and runs(report["loading"]["process"])
            for worker, (seen, report) in workers.alive(connection, 0.0).items()
            if worker != self._worker and report.get("loading", {}).get("version") == version
        }

    def _is_loaded(self, connection: sa.Connection, version: str) -> bool:
        """Whether another worker that lives has loaded it."""
        others = workers.alive(connection, self._clock() - ALIVE_SECONDS)
        return any(worker != self._worker and version in report.get("loaded", ()) for worker, (_, report) in others.items())

    def overdue(self, seconds: float) -> str | None:
        """The version that is being loaded for longer than so many seconds; None where there is none."""
        loading = self._loading
        return loading.version if loading is not None and self._clock() - loading.since > seconds else None

    def _switch(self, plan: Plan, cards: Mapping[str, Card], failed: Mapping[VersionId, str]) -> None:
        serving = self._routes.by_endpoint.get(plan.endpoint)
        if not failed or (serving is None and parse_version(plan.arms[CONTROL].version) not in failed):
            # A worker that has nothing older to go on with serves what it could load: control answers for the others.
            missing = {version: package.unloaded(cards[str(version)], reason) for version, reason in failed.items()}
            signatures = {version: card.signature for version, card in cards.items()}
            route = make_route(
                plan, lambda version: missing.get(version) or self._pool.get(version), signatures.__getitem__, self._limits, serving
            )
            if serving is not None and serving.plan.plan != plan.plan:
                self._former[plan.endpoint] = serving.plan
            self._routes.adopt(route)
        self._failed.pop(plan.endpoint, None)
        self._retry.pop(plan.endpoint, None)
        if failed:
            self._refuse(plan.endpoint, plan.plan, {str(version): reason for version, reason in failed.items()})

    def _refuse(self, endpoint: str, number: int, reasons: dict[str, str]) -> None:
        self._retry[endpoint] = self._clock() + RETRY_SECONDS
        self._routes.refuse(endpoint)
        self._failed[endpoint] = [
            {"endpoint": endpoint, "plan": number, "version": version, "reason": reason} for version, reason in reasons.items()
        ]
        _log.error("plan %s of %s cannot be served as it is: %s", number, endpoint, reasons)

    def _serves(self, plan: Plan) -> bool:
        return all(one["plan"] != plan.plan for one in self._failed.get(plan.endpoint, ()))

    def _warned(self) -> dict[str, Any]:
        """What is to be known of the versions that are served here, where there is anything."""
        found = [{"version": str(version), "reason": reason} for version, one in self._served().items() for reason in one.warnings]
        return {"warnings": found} if found else {}

    def _learnt(self) -> dict[str, Any]:
        """By learning version the snapshot that is served here; and the newest ones that cannot be."""
        served = self._served()
        failed = [
            {"version": str(version), "snapshot": one.snapshot, "reason": one.reason}
            for version, one in self._swapper.failed.items()
            if version in served
        ]
        found = {str(version): one.served.snapshot for version, one in served.items() if one.card.learns}
        published = {str(version): at for version, at in self._swapper.published.items() if version in served}
        told = {"snapshots": found, "snapshots_published": published, "snapshots_failed": failed}
        return {key: value for key, value in told.items() if value}

    def _standing(self) -> dict[str, Any]:
        """What is loaded and what is being loaded; by endpoint and arm the state of its breaker, and why it is not closed."""
        loading = self._loading
        routes = self._routes.by_endpoint.values()
        told = {
            "loaded": sorted(map(str, self._pool.loaded())),
            "loading": None if loading is None else {"version": loading.version, "process": os.getpid()},
            "breakers": {route.plan.endpoint: {name: arm.breaker.state for name, arm in route.arms.items()} for route in routes},
            "open": {
                route.plan.endpoint: {name: arm.breaker.reason for name, arm in route.arms.items() if arm.breaker.reason}
                for route in routes
                if any(arm.breaker.reason for arm in route.arms.values())
            },
        }
        return {key: value for key, value in told.items() if value}

    def _served(self) -> dict[VersionId, Loaded]:
        return self._loaded({version for route in self._routes.by_endpoint.values() for version in route.plan.versions})

    def _unserved(self, plan: Plan) -> dict[VersionId, Loaded]:
        """The versions of the plan that are loaded, and by which nobody is answered yet."""
        answering = [arm.loaded for route in self._routes.by_endpoint.values() for arm in route.arms.values()]
        return {version: one for version, one in self._loaded(plan.versions).items() if not any(one is other for other in answering)}

    def _loaded(self, versions: Collection[str]) -> dict[VersionId, Loaded]:
        return {version: one for version, one in self._pool.loaded().items() if str(version) in versions}

    def _wanted(self) -> set[VersionId]:
        current = [route.plan for route in self._routes.by_endpoint.values()]
        return {parse_version(version) for plan in (*current, *self._former.values()) for version in plan.versions}
