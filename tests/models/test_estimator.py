"""How estimators are made ready to serve, and what they are handed."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_info

from models.estimator import arranger, prepare, takes_text
from models.signature import Feature, Signature
from models.sklearn_runtime import SklearnRuntime

FRAME = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
MIXED = Signature(
    (Feature("age", "float"), Feature("count", "int"), Feature("city", "str", nullable=True), Feature("member", "bool")), "regression"
)


class Counting(BaseEstimator):
    """An estimator that answers the largest number of threads that a library would use for it."""

    def predict(self, X):
        return np.full(len(X), max(float(library["num_threads"]) for library in threadpool_info()))


def test_a_prediction_uses_one_thread():
    """BLAS and OpenMP are limited while a native model answers: a server has many requests for its cores."""
    runtime = SklearnRuntime(Counting(), Signature((Feature("x", "float"),), "regression"), "matrix")
    assert runtime.predict([[1.0]])[0].value == 1.0


def test_parallel_estimators_serve_alone():
    """Whatever n_jobs an estimator was trained with, at any depth, it serves with 1."""
    voting = VotingClassifier([("forest", RandomForestClassifier(3))]).fit(FRAME, [0, 1, 0, 1])
    voting.n_jobs = voting.estimators_[0].n_jobs = -1
    pipeline = prepare(make_pipeline(StandardScaler(), voting), "frame")
    assert (pipeline[-1].n_jobs, pipeline[-1].estimators_[0].n_jobs) == (1, 1)


@pytest.mark.parametrize(("layout", "remembers"), [("frame", True), ("matrix", False)])
def test_names_are_forgotten_where_a_matrix_is_handed_over(layout, remembers):
    """An estimator that gets a frame still checks its columns."""
    pipeline = prepare(make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, [0, 1, 0, 1]), layout)
    assert hasattr(pipeline[0], "feature_names_in_") is remembers


def test_a_frame_has_the_types_of_the_training_data():
    """Columns are as pandas would have read them from the training file, and what is missing is NaN."""
    frame = arranger(MIXED, "frame")([(41.5, 3, "Turku", True), (1.0, 4, None, False)])
    read = pd.read_csv(io.StringIO("age,count,city,member\n41.5,3,Turku,True\n1.0,4,,False\n"))
    assert frame.dtypes.tolist() == read.dtypes.tolist()
    assert frame["city"].tolist()[0] == "Turku"
    assert np.isnan(frame["city"].tolist()[1])


def test_a_float_for_an_integer_makes_a_column_of_floats():
    """The endpoint's other version takes fractions: nothing is cut off."""
    frame = arranger(MIXED, "frame")([(41.5, 3.5, "Turku", True)])
    assert frame["count"].tolist() == [3.5]


def test_other_layouts():
    """A matrix of floats, one of objects, and a list of texts; missing values are NaN."""
    numbers = Signature((Feature("a", "float"), Feature("b", "bool")), "regression")
    matrix = arranger(numbers, "matrix")([(1.5, True), (None, False)])
    np.testing.assert_array_equal(matrix, [[1.5, 1.0], [np.nan, 0.0]])
    objects = arranger(numbers, "objects")([("x", 1), (None, 2)])
    assert objects.dtype == object
    assert objects[0].tolist() == ["x", 1]
    assert np.isnan(objects[1, 0])
    assert arranger(numbers, "texts")([("x",), ("y",)]) == ["x", "y"]


@pytest.mark.parametrize(
    ("encoder", "values", "text"),
    [
        (OneHotEncoder(), ["a", "b"], True),
        (OrdinalEncoder(), ["a", "b"], True),
        (OneHotEncoder(), [1, 2], False),
        (StandardScaler(), [1, 2], False),
    ],
)
def test_text_inside_of_a_pipeline_is_found(encoder, values, text):
    """An encoder's learnt categories tell that a column holds text."""
    column = np.array(values, dtype=object if text else float).reshape(-1, 1)
    assert takes_text(make_pipeline(encoder, LogisticRegression()).fit(column, [0, 1])) is text
