"""What an estimator says of itself."""

from __future__ import annotations

from importlib.metadata import version
from threading import Lock
from typing import Any

import numpy as np
import pytest
from river import linear_model
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from models.provenance import MOST_PARAMETERS, packages, parameters, versions_of


class Odd(ClassifierMixin, BaseEstimator):
    """Somebody's own."""

    def __init__(self, raises: bool = False, **_: Any) -> None:
        self.raises = raises

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Whatever an own estimator does."""
        if self.raises:
            raise RuntimeError("odd")
        return {"n": np.float64(2.0), "text": "x" * 501, "bad": float("nan"), "none": None, "list": [1], "big": 10**400, "line": "a\nb"}


def test_parameters_of_a_pipeline() -> None:
    """The simple ones of all its parts."""
    found = parameters(make_pipeline(StandardScaler(), LogisticRegression(C=0.5, solver="liblinear", max_iter=7)))
    assert found["standardscaler__with_mean"] is True
    assert (found["logisticregression__C"], found["logisticregression__solver"], found["logisticregression__max_iter"]) == (
        0.5,
        "liblinear",
        7,
    )
    assert not {"steps", "memory", "logisticregression", "logisticregression__class_weight"} & set(found)


def test_odd_parameters() -> None:
    """What is no number, text or truth value is left out, as is what could not be kept; an estimator that fails at it has none."""
    assert parameters(Odd()) == {"big": 10**400, "n": 2.0}
    assert parameters(Odd(raises=True)) == parameters(object()) == {}


def test_no_more_than_two_hundred() -> None:
    """A pipeline of many parts says the first by name."""
    many = parameters(make_pipeline(*(RandomForestClassifier() for _ in range(30))))
    assert len(many) == MOST_PARAMETERS
    assert list(many) == sorted(many)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (LogisticRegression(), {"scikit-learn", "scipy", "joblib"}),
        (linear_model.LinearRegression(), {"river"}),
        (make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()), {"scikit-learn", "scipy", "joblib", "numpy"}),
        (Odd(), set()),
    ],
)
def test_packages(model: Any, expected: set[str]) -> None:
    """Those that the parts come from; Python's own and a file of one's own are none."""
    assert expected <= set(packages(model)) <= {*expected, "numpy"}


def test_packages_of_what_cannot_be_pickled() -> None:
    """Those of the parts that were seen until it failed."""
    model = LogisticRegression()
    model.lock = Lock()
    assert "scikit-learn" in packages(model)


def test_versions() -> None:
    """As they are installed."""
    assert versions_of(["scipy", "numpy", "scipy"]) == {"numpy": version("numpy"), "scipy": version("scipy")}
