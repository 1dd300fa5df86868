"""What the store knows, as gauges. Read at each scrape, so no dead process can leave a stale one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.errors import TiltyardError
from flows import deploy, learner, status
from flows.facts import report
from flows.facts.fold import OUTCOME_FIGURES
from flows.views import features
from flows.watching import report as watching
from flows.watching.windows import measures
from journal import segments
from routing.breaker import STATES
from server.home import Home, clock
from server.metrics import drift, learners
from store import experiments, facts, plans

log = logging.getLogger(__name__)

VERDICTS = ("continue", "promote", "keep", "rollback", "invalid", "not_enough_data")


class StoreCollector(Collector):
    """The gauges of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def collect(self) -> Iterator[Metric]:
        """The families: plans, shadows, readers and journal, learners, experiments."""
        with self._home.store.read() as connection:
            endpoints = list(plans.current_numbers(connection))
            running = experiments.running(connection)
            tallies = facts.every_tally(connection)
        yield from self._endpoints(endpoints)
        yield from self._readers()
        yield from self._learners()
        yield from self._drift(endpoints)
        yield from self._experiments(running)
        yield from self._features()
        yield _recorded(tallies)

    def _endpoints(self, endpoints: list[str]) -> Iterator[Metric]:
        plan = GaugeMetricFamily("tiltyard_plan", "Number of the current plan.", labels=["endpoint"])
        applied = GaugeMetricFamily("tiltyard_plan_applied", "1 where every worker serves the current plan.", labels=["endpoint"])
        weight = GaugeMetricFamily("tiltyard_arm_share", "Share of the enrolled units, by arm.", labels=["endpoint", "arm", "version"])
        names = ["endpoint", "shadow", "version"]
        mirrored = CounterMetricFamily("tiltyard_shadow_mirrored", "Predictions mirrored to a shadow.", labels=names)
        done = CounterMetricFamily("tiltyard_shadow_done", "Mirrored predictions that the shadow has dealt with.", labels=names)
        errors = CounterMetricFamily("tiltyard_shadow_errors", "Mirrored predictions on which the shadow failed.", labels=names)
        dropped = CounterMetricFamily("tiltyard_shadow_dropped", "Mirrored predictions that the shadow never saw.", labels=names)
        lag = GaugeMetricFamily("tiltyard_shadow_lag_seconds", "How far the shadow is behind.", labels=names)
        agreement = GaugeMetricFamily("tiltyard_shadow_agreement_ratio", "Share of rows with the label that users saw.", labels=names)
        breaker = GaugeMetricFamily(
            "tiltyard_breaker_state", "Workers whose breaker of the arm is in this state.", labels=["endpoint", "arm", "state"]
        )
        for endpoint in endpoints:
            found = status.status(self._home.store, self._home.journal, endpoint, clock)
            plan.add_metric([endpoint], found["plan"])
            applied.add_metric([endpoint], float(found["applied"]))
            with self._home.store.read() as connection:
                current = deploy.load(connection, endpoint)
            for arm, route in current.arms.items():
                weight.add_metric([endpoint, arm, route.version], current.share(arm))
            states = Counter((arm, state) for worker in found["workers"] for arm, state in worker["breakers"].items())
            for arm in sorted({arm for arm, _ in states}):
                for state in STATES:
                    breaker.add_metric([endpoint, arm, state], states[arm, state])
            for shadow, one in found["shadows"].items():
                labels = [endpoint, shadow, one["version"]]
                mirrored.add_metric(labels, one["mirrored"])
                done.add_metric(labels, one["done"])
                errors.add_metric(labels, one["errors"])
                dropped.add_metric(labels, one["dropped"])
                lag.add_metric(labels, one["lag_seconds"])
                if one["agreement"] is not None:
                    agreement.add_metric(labels, one["agreement"])
        yield from (plan, applied, weight, breaker, mirrored, done, errors, dropped, lag, agreement)

    def _readers(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "tiltyard_journal_bytes", "Bytes that the journal's segments hold.", value=segments.size(self._home.journal)
        )
        lag = GaugeMetricFamily("tiltyard_reader_lag_seconds", "How far a reader is behind.", labels=["reader"])
        behind = GaugeMetricFamily("tiltyard_reader_lag_bytes", "How many bytes a reader has still to read.", labels=["reader"])
        aside = GaugeMetricFamily("tiltyard_reader_set_aside_events", "Events that a reader could not get past.", labels=["reader"])
        for reader, one in status.readers(self._home.store, self._home.journal, clock).items():
            lag.add_metric([reader], one["lag_seconds"])
            behind.add_metric([reader], one["lag_bytes"])
            aside.add_metric([reader], one["set_aside"])
        yield from (lag, behind, aside)

    def _learners(self) -> Iterator[Metric]:
        with self._home.store.read() as connection:
            facts = learner.facts(connection, clock())
        told = [(version, learner.standing(self._home.journal, version, facts)) for version in facts.versions]
        return learners.families(told)

    def _drift(self, endpoints: list[str]) -> Iterator[Metric]:
        of, told = measures(self._home.settings), list[dict[str, Any]]()
        for endpoint in endpoints:
            try:
                told.append(watching.report(self._home.store, endpoint, of, 1))
            except Exception:
                log.exception("drift of endpoint %s: left out of this scrape", endpoint)
        return drift.families(told)

    def _experiments(self, running: list[str]) -> Iterator[Metric]:
        names = ["experiment", "arm", "metric"]
        estimate = GaugeMetricFamily("tiltyard_experiment_estimate", "Difference from control, per unit.", labels=names)
        lower = GaugeMetricFamily(
            "tiltyard_experiment_lower_bound", "Lower bound of the difference that is valid at any time.", labels=names
        )
        upper = GaugeMetricFamily(
            "tiltyard_experiment_upper_bound", "Upper bound of the difference that is valid at any time.", labels=names
        )
        verdict = GaugeMetricFamily("tiltyard_experiment_verdict", "1 for the present verdict.", labels=["experiment", "verdict"])
        for name in running:
            try:
                found = report.report(self._home.store, name)
            except TiltyardError:
                continue
            for kind in VERDICTS:
                verdict.add_metric([name, kind], float(found["verdict"] == kind))
            for metric, one in found["metrics"].items():
                for arm, difference in one["differences"].items():
                    for family, key in ((estimate, "estimate"), (lower, "lower"), (upper, "upper")):
                        if difference.get(key) is not None:
                            family.add_metric([name, arm, metric], difference[key])
        yield from (estimate, lower, upper, verdict)

    def _features(self) -> Iterator[Metric]:
        age = GaugeMetricFamily("tiltyard_feature_age_seconds", "How old what a feature view serves is.", labels=["view"])
        generation = GaugeMetricFamily("tiltyard_feature_generation", "The generation that a feature view serves.", labels=["view"])
        rows = GaugeMetricFamily("tiltyard_feature_rows", "Entities that a feature view knows.", labels=["view"])
        events = CounterMetricFamily(
            "tiltyard_feature_events", "Events that a feature view has read, by what became of them.", labels=["view", "generation", "kind"]
        )
        for one in features.every(self._home.store, self._home.views, clock()):
            generation.add_metric([one["view"]], one["generation"])
            rows.add_metric([one["view"]], one["rows"])
            if one["age_seconds"] is not None:
                age.add_metric([one["view"]], one["age_seconds"])
            for kind, count in one.get("events", {}).items():
                events.add_metric([one["view"], str(one["generation"]), kind], count)
        yield from (age, generation, rows, events)


def _recorded(tallies: dict[tuple[str, str], int]) -> Metric:
    """Outcomes that no experiment can place (a prediction id that was never given out) have the empty experiment."""
    family = CounterMetricFamily(
        "tiltyard_outcomes_recorded", "Outcomes that record has read, by what became of them.", labels=["experiment", "figure"]
    )
    for (experiment, figure), number in sorted(tallies.items()):
        if figure in OUTCOME_FIGURES:
            family.add_metric([experiment, figure], number)
    return family
