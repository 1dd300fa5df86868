"""The data: sensor readings of the Space Shuttle, and what a decision about one of them is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

FEATURES = tuple(f"f{number}" for number in range(1, 10))
TARGET = "anomaly"

TRAIN, CHECK = 15_000, 5_000
"""The first readings train the models, the next ones are what the models are compared on before they go live."""

TOTAL = 49_097
LIVE = TOTAL - TRAIN - CHECK
"""Readings left for live traffic: no model has seen them."""

WORTH = {(1, 1): 8.0, (1, 0): -20.0, (0, 1): -3.0, (0, 0): 1.0}
"""(is it an anomaly, was it stopped) → what the decision earns. Our own assumption; everything else in the demo is measured."""


class Reading(NamedTuple):
    """One row of the data, and its number there, which is its unit."""

    number: int
    features: dict[str, int]
    anomaly: int


def load() -> list[Reading]:
    """All of River's Shuttle data (UCI Statlog, as in the ODDS benchmark) in the order of the file; it comes with the package."""
    from river.datasets import Shuttle

    return [Reading(number, features, anomaly) for number, (features, anomaly) in enumerate(Shuttle())]


def earned(readings: Sequence[Reading], stops: Sequence[int]) -> float:
    """The mean worth of these decisions."""
    return sum(WORTH[reading.anomaly, int(stop)] for reading, stop in zip(readings, stops, strict=True)) / len(readings)
