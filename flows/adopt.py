"""Adopt: how a worker gets to a new plan. Versions are loaded, warmed and checked first; only then does one assignment switch.

Runs in native threads, a few times a second; what it finds unchanged costs one query. Newer snapshots of versions that learn are swapped
in by another thread, so that a large one delays no plan; and reports come from a third, so that a worker that loads a large model for a
while does not count as gone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa

from core.clock import Clock
from core.errors import TiltyardError
from core.ids import VersionId, parse_version
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
from routing.plan import CONTROL, Plan
from store import experiments, plans, registry, workers
from store.blobs import Blobs
from store.engine import Store

HEARTBEAT_SECONDS = 1.0
RETRY_SECONDS = 5.0
"""How long after a version could not be loaded it is tried again."""
ALIVE_SECONDS = 5.0
"""A worker that has not reported for this long counts as gone."""

_log = logging.getLogger("tiltyard.adopt")


def loader(store: Store, blobs: Blobs) -> Callable[[VersionId], Loaded]:
    """A function that loads a registered version, ready to serve."""

    def load(version: VersionId) -> Loaded:
        with store.read() as connection:
            card = known.decode_card(registry.version_row(connection, version).card)
        return package.load(card, blobs.get)

    return load


def declared_metrics(connection: sa.Connection) -> frozenset[str]:
    """The label, and every metric that an experiment names."""
    return frozenset({LABEL, *(metric.name for row in experiments.list_all(connection) for metric in decode_design(row.design).metrics)})


class Adopter:
    """Keeps one worker's routes at the current plans and their learning versions at the newest snapshots, and reports what it serves."""

    def __init__(self, store: Store, pool: Pool, routes: Routes, worker: str, clock: Clock, swapper: Swapper) -> None:
        self._store = store
        self._pool = pool
        self._routes = routes
        self._worker = worker
        self._clock = clock
        self._swapper = swapper
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
            with self._switching:
                served = [route.plan for route in self._routes.by_endpoint.values() if self._serves(route.plan)]
                failed = [one for failures in self._failed.values() for one in failures]
            body = {"plans": {plan.endpoint: plan.plan for plan in served}, "failed": failed, **self._warned(), **self._learnt()}
            # A store that somebody else writes to must not hold up a switch: only reports wait for each other.
            with self._store.write() as connection:
                workers.report(connection, self._worker, self._clock(), body)

    def _adopt(self, endpoint: str, number: int) -> None:
        try:
            with self._store.read() as connection:
                plan = self._known.plan(connection, endpoint, number)
                needed = [*plan.versions, *(shadow.version for shadow in plan.shadows.values())]
                cards = {version: self._known.card(connection, version) for version in needed}
            failed = self._pool.ensure([parse_version(version) for version in sorted(plan.versions)])
            # Before it is served: nobody is to be answered by what it was before it learnt.
            failed.update(self._swapper.catch_up(self._unserved(plan)))
            with self._switching:
                self._switch(plan, cards, failed)
        except TiltyardError as error:
            with self._switching:
                self._refuse(endpoint, number, {"": error.message})
        # Not before: where the store could not be read, the next poll tries again.
        self._seen[endpoint] = number

    def _switch(self, plan: Plan, cards: Mapping[str, Card], failed: Mapping[VersionId, str]) -> None:
        serving = self._routes.by_endpoint.get(plan.endpoint)
        if not failed or (serving is None and parse_version(plan.arms[CONTROL].version) not in failed):
            # A worker that has nothing older to go on with serves what it could load: control answers for the others.
            missing = {version: package.unloaded(cards[str(version)], reason) for version, reason in failed.items()}
            signatures = {version: card.signature for version, card in cards.items()}
            route = make_route(plan, lambda version: missing.get(version) or self._pool.get(version), signatures.__getitem__)
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
