"""Real estimators on scikit-learn's own data: what registration must cope with, and the form that each ends up in."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets, ensemble, linear_model, naive_bayes, neighbors, svm, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


class Data(NamedTuple):
    """Features as a frame, true values, and whether the estimator is fitted on the frame or on its bare array."""

    features: pd.DataFrame
    target: Any
    named: bool

    @property
    def given(self) -> Any:
        """What the estimator is fitted on, and must be asked about."""
        if self.named:
            return self.features
        return self.features.iloc[:, 0] if list(self.features) == ["text"] else self.features.to_numpy()


@cache
def data(name: str) -> Data:
    """One of the data sets, by name; `-missing` has holes, `-named` is fitted with its column names."""
    return _SETS[name]()


def _bunch(bunch: Any, named: bool = False) -> Data:
    names = [str(column) for column in getattr(bunch, "feature_names", range(bunch.data.shape[1]))]
    return Data(pd.DataFrame(bunch.data, columns=names), bunch.target, named)


def _iris() -> Data:
    bunch = datasets.load_iris()
    return _bunch(bunch)._replace(target=bunch.target_names[bunch.target])


def _with_holes(given: Data) -> Data:
    features = given.features.copy()
    features.iloc[::7, 3] = np.nan
    features.iloc[3::11, 0] = np.nan
    return given._replace(features=features)


def _mixed() -> Data:
    """Breast cancer with a column of text, one of integers and one of booleans."""
    bunch = datasets.load_breast_cancer()
    frame = pd.DataFrame(bunch.data[:, :6], columns=bunch.feature_names[:6])
    frame["size"] = np.array(["small", "middle", "large"])[np.digitize(frame["mean area"], [450, 700])]
    frame["texture grade"] = (frame["mean texture"] // 5).astype(int)
    frame["smooth"] = frame["mean smoothness"] < 0.09
    return Data(frame, np.where(bunch.target, "benign", "malignant"), named=True)


def _mixed_with_holes() -> Data:
    given = _mixed()
    features = given.features.copy()
    features.iloc[::9, 0] = np.nan
    features.loc[::13, "size"] = np.nan
    return given._replace(features=features)


def _categories() -> Data:
    """The mixed table with pandas's own type for text of few values."""
    given = _mixed()
    return given._replace(features=given.features.astype({"size": "category"}))


def _sizes() -> Data:
    """Categories of text and of numbers, with holes."""
    given = _mixed_with_holes()
    features = given.features[["mean smoothness", "size", "texture grade"]]
    return given._replace(features=features.astype({"size": "category", "texture grade": "category"}))


def _array_of_text() -> Data:
    """Two columns of text as one array of objects."""
    given = _mixed()
    return Data(given.features[["size"]].assign(grade=given.features["texture grade"].map("g{}".format)), given.target, named=False)


def _texts() -> Data:
    words = ["good", "bad", "fine", "poor"]
    texts = [f"a {first} film with {second} actors" for first in words for second in words] * 4
    return Data(pd.DataFrame({"text": texts}), np.array(["good" in text or "fine" in text for text in texts]), named=False)


def _codes() -> Data:
    """Numbers, and whole numbers that stand for categories."""
    given = _mixed_with_holes()
    return Data(given.features.iloc[:, :3].assign(grade=given.features["texture grade"] % 5), given.target, named=False)


def _two_targets() -> Data:
    """Diabetes with two true values a row."""
    given = _bunch(datasets.load_diabetes())
    return given._replace(target=np.column_stack([given.target, 300 - given.target + 50 * given.features["bmi"]]))


def _shares() -> Data:
    """Diabetes with a target between 0 and 1."""
    given = _bunch(datasets.load_diabetes())
    return given._replace(target=given.target / 400)


def _subset(given: Data, rows: int) -> Data:
    return Data(given.features.iloc[:rows], given.target[:rows], given.named)


_SETS: dict[str, Callable[[], Data]] = {
    "iris": _iris,
    "cancer": lambda: _bunch(datasets.load_breast_cancer()),
    "cancer-named": lambda: _bunch(datasets.load_breast_cancer(), named=True),
    "cancer-missing": lambda: _with_holes(_bunch(datasets.load_breast_cancer())),
    "diabetes": lambda: _bunch(datasets.load_diabetes()),
    "diabetes-missing": lambda: _with_holes(_bunch(datasets.load_diabetes())),
    "digits": lambda: _subset(_bunch(datasets.load_digits()), 600),
    "mixed": _mixed,
    "mixed-missing": _mixed_with_holes,
    "categories": _categories,
    "sizes": _sizes,
    "array-of-text": _array_of_text,
    "texts": _texts,
    "codes": _codes,
    "two-targets": _two_targets,
    "shares": _shares,
}


class Case(NamedTuple):
    """An estimator to fit, the data to fit it on, and the form that it is served in; `shown` names it in the docs."""

    shown: str
    make: Callable[[], Any]
    data: str
    form: str


def _scaled(estimator: Any) -> Any:
    return make_pipeline(StandardScaler(), estimator)


def _columns(estimator: Any, impute: bool = False) -> Any:
    """A column transformer for the mixed table, in front of `estimator`."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler()) if impute else StandardScaler()
    texts = OneHotEncoder(handle_unknown="ignore")
    if impute:
        texts = make_pipeline(SimpleImputer(strategy="most_frequent"), texts)
    return make_pipeline(make_column_transformer((texts, ["size"]), (numbers, make_column_selector(dtype_include="number"))), estimator)


def _logistic() -> Any:
    return linear_model.LogisticRegression(max_iter=500)


LINEAR, F64, F32, NATIVE = "linear", "onnx-f64", "onnx-f32", "native"

CASES: dict[str, Case] = {
    "logistic": Case("logistic regression behind a scaler", lambda: _scaled(_logistic()), "cancer", LINEAR),
    "logistic-classes": Case("logistic regression, several text classes", lambda: _scaled(_logistic()), "iris", LINEAR),
    "logistic-named": Case("logistic regression, fitted on a data frame", lambda: _scaled(_logistic()), "cancer-named", LINEAR),
    "grid-search": Case("grid search over a logistic regression", lambda: GridSearchCV(_logistic(), {"C": [0.1, 1]}, cv=2), "iris", LINEAR),
    "sgd": Case("SGD with log loss", lambda: _scaled(linear_model.SGDClassifier(loss="log_loss", random_state=0)), "iris", F64),
    "linear": Case("linear regression", linear_model.LinearRegression, "diabetes", LINEAR),
    "ridge": Case("ridge", linear_model.Ridge, "diabetes", LINEAR),
    "poisson": Case("Poisson regression", linear_model.PoissonRegressor, "diabetes", F64),
    "pca": Case("PCA before a logistic regression", lambda: make_pipeline(StandardScaler(), PCA(10), _logistic()), "digits", F64),
    "lda": Case("linear discriminant analysis", LinearDiscriminantAnalysis, "iris", F64),
    "bayes": Case("Gaussian naive Bayes", naive_bayes.GaussianNB, "iris", F64),
    "mlp": Case("MLP classifier", lambda: _scaled(MLPClassifier((20,), max_iter=60, random_state=0)), "digits", F64),
    "mlp-regressor": Case(
        "MLP regressor", lambda: _scaled(MLPRegressor(hidden_layer_sizes=(20,), max_iter=60, random_state=0)), "diabetes", F64
    ),
    "neighbours-regressor": Case("k nearest neighbours, regression", neighbors.KNeighborsRegressor, "diabetes", F64),
    "neighbours": Case("k nearest neighbours, classification, with ties", neighbors.KNeighborsClassifier, "iris", NATIVE),
    "tree-regressor": Case("regression tree", lambda: tree.DecisionTreeRegressor(random_state=0), "diabetes", F64),
    "stump": Case("regression tree of one leaf", lambda: tree.DecisionTreeRegressor(min_samples_leaf=300), "diabetes", F64),
    "forest-regressor": Case("random forest regression", lambda: ensemble.RandomForestRegressor(30, random_state=0), "diabetes", F64),
    "forest-missing": Case(
        "random forest regression, missing values", lambda: ensemble.RandomForestRegressor(30, random_state=0), "diabetes-missing", F64
    ),
    "extra-regressor": Case("extra trees regression", lambda: ensemble.ExtraTreesRegressor(20, random_state=0), "diabetes", F64),
    "boosting-regressor": Case(
        "gradient boosting regression", lambda: ensemble.GradientBoostingRegressor(n_estimators=40, random_state=0), "diabetes", F64
    ),
    "histogram-regressor": Case(
        "histogram gradient boosting regression", lambda: ensemble.HistGradientBoostingRegressor(max_iter=10), "diabetes", F64
    ),
    "histogram-poisson": Case(
        "histogram gradient boosting regression, Poisson loss",
        lambda: ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=10),
        "diabetes",
        F64,
    ),
    "histogram": Case(
        "histogram gradient boosting classification", lambda: ensemble.HistGradientBoostingClassifier(max_iter=10), "cancer", F64
    ),
    "histogram-classes": Case(
        "histogram gradient boosting classification, several classes",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=10),
        "iris",
        F64,
    ),
    "histogram-missing": Case(
        "histogram gradient boosting classification, missing values",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=10),
        "cancer-missing",
        F64,
    ),
    "histogram-categories": Case(
        "histogram gradient boosting with categorical features",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=5, categorical_features=[20]),
        "digits",
        NATIVE,
    ),
    "histogram-frame": Case(
        "histogram gradient boosting with pandas categories",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=5),
        "categories",
        NATIVE,
    ),
    "forest": Case("random forest classification", lambda: ensemble.RandomForestClassifier(30, random_state=0, n_jobs=2), "cancer", F64),
    "forest-classes": Case(
        "random forest classification, several classes", lambda: ensemble.RandomForestClassifier(20, random_state=0), "digits", F64
    ),
    "boosting": Case(
        "gradient boosting classification", lambda: ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0), "cancer", F64
    ),
    "boosting-classes": Case(
        "gradient boosting classification, several classes",
        lambda: ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0),
        "iris",
        F64,
    ),
    "scaled-forest": Case(
        "random forest behind a scaler", lambda: _scaled(ensemble.RandomForestClassifier(20, random_state=0)), "digits", F64
    ),
    "adaboost": Case("AdaBoost", lambda: ensemble.AdaBoostClassifier(n_estimators=10, random_state=0), "iris", F32),
    "bagging": Case("bagging of trees", lambda: ensemble.BaggingClassifier(n_estimators=5, random_state=0), "iris", F64),
    "svc": Case("SVC without probabilities", lambda: _scaled(svm.SVC()), "cancer", F32),
    "svr": Case("SVR", lambda: _scaled(svm.SVR()), "diabetes", F32),
    "svc-probability": Case("SVC with probabilities", lambda: _scaled(svm.SVC(probability=True, random_state=0)), "iris", F32),
    "linear-svc": Case("linear SVC, several classes", lambda: _scaled(svm.LinearSVC()), "iris", NATIVE),
    "calibrated": Case("calibrated pipeline", lambda: CalibratedClassifierCV(_scaled(_logistic()), cv=2), "iris", NATIVE),
    "stacking": Case(
        "stacking of two classifiers",
        lambda: ensemble.StackingClassifier([("a", _logistic()), ("b", naive_bayes.GaussianNB())], cv=2),
        "iris",
        F64,
    ),
    "voting": Case(
        "voting of two classifiers",
        lambda: ensemble.VotingClassifier([("a", _logistic()), ("b", naive_bayes.GaussianNB())], voting="soft"),
        "iris",
        NATIVE,
    ),
    "target": Case(
        "transformed target of a regression",
        lambda: TransformedTargetRegressor(linear_model.Ridge(), transformer=StandardScaler()),
        "diabetes",
        NATIVE,
    ),
    "columns": Case("column transformer with text columns, logistic regression", lambda: _columns(_logistic()), "mixed", F32),
    "columns-missing": Case(
        "column transformer that imputes text and numbers", lambda: _columns(_logistic(), True), "mixed-missing", NATIVE
    ),
    "columns-forest": Case(
        "column transformer with text columns, random forest",
        lambda: _columns(ensemble.RandomForestClassifier(10, random_state=0)),
        "mixed",
        F64,
    ),
    "one-hot": Case(
        "one-hot encoding of an array of text",
        lambda: make_pipeline(OneHotEncoder(handle_unknown="ignore"), _logistic()),
        "array-of-text",
        F32,
    ),
    "texts": Case("TF-IDF of one text column", lambda: make_pipeline(TfidfVectorizer(), _logistic()), "texts", NATIVE),
}


@cache
def fitted(name: str) -> Any:
    """The fitted estimator of a case; do not change it."""
    case = CASES[name]
    given = data(case.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few iterations, which keep the tests fast, and of SVC's probabilities
        return case.make().fit(given.given, given.target)
