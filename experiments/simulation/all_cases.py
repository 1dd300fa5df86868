"""The cases behind the claims on bandits, counts and the other kinds of metrics, α = .05."""

from __future__ import annotations

from collections.abc import Callable
from itertools import tee

import numpy as np

from experiments.design import Design
from experiments.metric import Metric
from experiments.simulation.allocation import thompson, ticks, welch
from experiments.simulation.cases import (
    ALPHA,
    BETTER,
    BOTH,
    LOOKS,
    WORSE,
    conversions,
    design,
    moving_traffic,
    planned_looks,
    skewed_revenue,
)
from experiments.simulation.claims import Case, at_least, at_most
from experiments.simulation.counts import discordant, sample_ratio
from experiments.simulation.one_by_one import Arm, clicks, correlated, latencies, watched
from experiments.simulation.watching import BoolArray, always


def every() -> list[Case]:
    """All of them, in the order of the table."""
    return [
        *skewed_revenue(),
        *planned_looks(),
        *moving_traffic(),
        bandit(),
        *conversions(),
        *other_kinds(),
        *counted(),
    ]


def bandit() -> Case:
    """Thompson sampling with floored propensities, both arms alike."""
    declared, alone = design(0.1), "Welch's test at every look from 500 units an arm"

    def run(rng: np.random.Generator, experiments: int) -> dict[str, BoolArray]:
        scored, compared = tee(thompson(rng, experiments, 100, LOOKS, 0.1, 0.1))
        found = always(declared, ticks(declared, scored))
        return {BETTER: found.better > 0, WORSE: found.worse > 0, alone: welch(ALPHA, compared) > 0}

    claims = (*BOTH, at_least(alone, 0.1))
    return Case(
        "Thompson sampling, propensities from 5 %, no effect, MDE 10 %",
        "binary at 10 %",
        "195 looks × 100 units",
        run,
        claims,
        20_000,
        3000,
    )


def counted() -> list[Case]:
    """The sample ratio at three splits, and McNemar's E with few and with many discordant pairs a look."""
    ratios = [_ratio(weights) for weights in ((50.0, 50.0), (90.0, 10.0), (60.0, 30.0, 10.0))]
    return [*ratios, *(_mcnemar(pairs) for pairs in (1, 10))]


def other_kinds() -> list[Case]:
    """Covariates, ratios and quantiles, each experiment through the product's own looks."""
    skewed = "log-normal, covariate of the same unit"
    return [
        _through("CUPED", Metric(name="metric", covariate="earlier"), skewed, correlated),
        _through("Lin", Metric(name="metric", covariate="earlier", estimator="lin"), skewed, correlated),
        _through("ratio", Metric(name="metric", kind="ratio", denominator="views"), "clicks per view, 1 + Poisson(3) views a unit", clicks),
        _through(
            "p95", Metric(name="metric", kind="quantile", quantile=0.95), "log-normal latencies, 1 + Poisson(2) a unit", latencies(0.95)
        ),
    ]


def _through(name: str, metric: Metric, generator: str, arm: Callable[[], Arm]) -> Case:
    declared = Design(metrics=[metric], mde=0.1, relative=True, alpha=ALPHA, look_every_seconds=1.0, window_seconds=0.5)

    def run(rng: np.random.Generator, experiments: int) -> dict[str, BoolArray]:
        tracks = [watched(declared, rng, 40, 50, arm) for _ in range(experiments)]
        better, worse = ([getattr(each, side).crossed is not None for each in tracks] for side in ("better", "worse"))
        return {BETTER: np.array(better), WORSE: np.array(worse)}

    return Case(f"{name}, no effect, 50/50, MDE 10 %", generator, "40 looks × 100 units", run, BOTH, 2000, 100)


def _ratio(weights: tuple[float, ...]) -> Case:
    kept = (*weights[:-1], 0.95 * weights[-1])
    false, lost = "alarm", "alarm with 1 unit in 20 of the last arm lost"

    def run(rng: np.random.Generator, experiments: int) -> dict[str, BoolArray]:
        return {
            false: sample_ratio(rng, experiments, 1000, LOOKS, weights),
            lost: sample_ratio(rng, experiments, 1000, LOOKS, weights, kept),
        }

    name = "sample ratio " + ":".join(f"{each:g}" for each in weights)
    return Case(name, "multinomial entries", "195 looks × 1,000 units", run, (at_most(false, 0.001), at_least(lost, 0.9)), 50_000, 10_000)


def _mcnemar(pairs: int) -> Case:
    reached = "E ≥ 20"
    grid = f"195 looks × {pairs} pair{'' if pairs == 1 else 's'}"
    return Case(
        f"McNemar's E, equal models, {pairs} discordant a look",
        "fair coin",
        grid,
        lambda rng, experiments: {reached: discordant(rng, experiments, pairs, LOOKS)},
        (at_most(reached, ALPHA),),
        50_000,
        10_000,
    )
