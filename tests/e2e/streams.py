"""Some of River's data sets, each with a model that learns it and River's own metrics.

Tests use the first rows of each, and with TILTYARD_STREAMS=whole every row: 58,000, which take minutes.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from river import datasets, linear_model, metrics, naive_bayes, preprocessing, tree
from river.anomaly import HalfSpaceTrees

WHOLE = os.environ.get("TILTYARD_STREAMS") == "whole"

FACTORIES = """
from river import anomaly, linear_model, naive_bayes, preprocessing, tree


def phishing():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def bananas():
    return preprocessing.MinMaxScaler() | tree.HoeffdingTreeClassifier()


def segments():
    return preprocessing.StandardScaler() | naive_bayes.GaussianNB()


def shuttle():
    return preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)
"""


class Stream(NamedTuple):
    """One of River's data sets, how many of its rows do mostly, a model of that file, and by name the metrics that score it."""

    data: Any
    few: int
    model: Any
    metrics: dict[str, Any]


STREAMS = {
    "phishing": Stream(
        datasets.Phishing(),
        1250,
        lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        {"LogLoss": metrics.LogLoss, "Accuracy": metrics.Accuracy},
    ),
    "bananas": Stream(
        datasets.Bananas(),
        500,
        lambda: preprocessing.MinMaxScaler() | tree.HoeffdingTreeClassifier(),
        {"LogLoss": metrics.LogLoss, "Accuracy": metrics.Accuracy},
    ),
    "segments": Stream(
        datasets.ImageSegments(),
        300,
        lambda: preprocessing.StandardScaler() | naive_bayes.GaussianNB(),
        {"CrossEntropy": metrics.CrossEntropy, "Accuracy": metrics.Accuracy},
    ),
    "shuttle": Stream(
        datasets.Shuttle(),
        500,
        lambda: preprocessing.MinMaxScaler() | HalfSpaceTrees(seed=1),
        {"RollingROCAUC": lambda: metrics.RollingROCAUC(window_size=1000)},
    ),
}


@cache
def rows_of(name: str) -> list[tuple[dict[str, Any], Any]]:
    """The rows and labels that the tests use of a stream."""
    stream = STREAMS[name]
    return list(islice(stream.data, None if WHOLE else stream.few))
