"""Builders of experiments: a test names what matters to it, the rest is an ordinary experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from experiments.design import Design
from experiments.methods.joint import Joint, alone
from experiments.methods.summary import Summary
from experiments.metric import Metric
from experiments.snapshot import ArmCounts, Phase, Snapshot

STARTED = 1_700_000_000.0
DAY = 86400.0

Arms = Mapping[str, Mapping[str, Summary | Joint]]


@pytest.fixture(scope="session")
def design_of() -> Callable[..., Design]:
    """`design_of(mde=…)`: revenue, to be raised, with a window of one hour and a look every five minutes."""

    def build(*metrics: Metric, **fields: Any) -> Design:
        return Design(metrics=list(metrics) or [Metric(name="revenue")], **{"mde": 0.1, "window_seconds": 3600.0, **fields})

    return build


@pytest.fixture(scope="session")
def summary_of() -> Callable[..., Summary]:
    """`summary_of(n, mean, sd)`: a summary with exactly these figures."""
    return lambda n, mean, sd: Summary(n, mean, sd * sd * (n - 1))


@pytest.fixture(scope="session")
def snapshot_of() -> Callable[..., Snapshot]:
    """`snapshot_of({"control": {"revenue": summary}, "treatment": …}, …)`: one mapping per phase, each a day long.

    Unless said otherwise units enter in the shares of the weights, each with one prediction, and the snapshot is of the
    end of the last phase.
    """

    def build(
        *phases: Arms, weights: Sequence[Mapping[str, float]] = (), entered: Sequence[Mapping[str, int]] = (), **fields: Any
    ) -> Snapshot:
        built = []
        for k, arms in enumerate(phases):
            last = k == len(phases) - 1
            counts = {arm: _counts(by_metric, entered[k][arm] if entered else None) for arm, by_metric in arms.items()}
            shares = weights[k] if weights else {arm: float(max(1, c.entered)) for arm, c in counts.items()}
            built.append(Phase(k + 1, dict(shares), STARTED + k * DAY, None if last else STARTED + (k + 1) * DAY, counts))
        return Snapshot(**{"started": STARTED, "at": STARTED + len(phases) * DAY, "phases": built, **fields})

    return build


def _counts(by_metric: Mapping[str, Summary], entered: int | None) -> ArmCounts:
    joints = {name: each if isinstance(each, Joint) else alone(each) for name, each in by_metric.items()}
    matured = max((each.n for each in joints.values()), default=0)
    units = matured if entered is None else entered
    return ArmCounts(units, matured, units, joints)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in every run."""
    return np.random.default_rng(20260503)
