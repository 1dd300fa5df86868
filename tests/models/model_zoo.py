"""Real estimators on scikit-learn's own data: what registration must cope with, and the form that each ends up in."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn import ensemble, naive_bayes, neighbors, svm, tree
from sklearn import linear_model as lm
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler

from tests.models.zoo_data import data


class Case(NamedTuple):
    """An estimator to fit, the data to fit it on, and the form that it is served in; `shown` names it in the docs.

    `output`: which one is served of several.
    """

    shown: str
    make: Callable[[], Any]
    data: str
    form: str
    output: int | None = None


class Answers(NamedTuple):
    """What scikit-learn itself answers: labels or values, and probabilities where it has them."""

    answers: list[Any]
    probabilities: Any | None


def _scaled(estimator: Any) -> Any:
    return make_pipeline(StandardScaler(), estimator)


def _columns(estimator: Any, impute: bool = False) -> Any:
    """A column transformer for the mixed table, in front of `estimator`."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler()) if impute else StandardScaler()
    texts = OneHotEncoder(handle_unknown="ignore")
    if impute:
        texts = make_pipeline(SimpleImputer(strategy="most_frequent"), texts)
    return make_pipeline(make_column_transformer((texts, ["size"]), (numbers, make_column_selector(dtype_include="number"))), estimator)


def _ordered(estimator: Any) -> Any:
    """The text column as numbers, as trees take it."""
    texts = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(
        make_column_transformer((texts, ["size"]), ("passthrough", make_column_selector(dtype_include="number"))), estimator
    )


def _logistic() -> Any:
    return lm.LogisticRegression(max_iter=500)


def _two_classifiers() -> list[tuple[str, Any]]:
    return [("a", _logistic()), ("b", naive_bayes.GaussianNB())]


def _two_regressors() -> list[tuple[str, Any]]:
    return [("a", lm.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4, random_state=0))]


LINEAR, F64, TREES, F32, NATIVE = "linear", "onnx-f64", "treelite", "onnx-f32", "native"

LINEAR_MODELS = {
    "logistic": Case("logistic regression behind a scaler", lambda: _scaled(_logistic()), "cancer", LINEAR),
    "logistic-classes": Case("logistic regression, several text classes", lambda: _scaled(_logistic()), "iris", LINEAR),
    "logistic-named": Case("logistic regression, fitted on a data frame", lambda: _scaled(_logistic()), "cancer-named", LINEAR),
    "logistic-wide": Case("logistic regression of 640 coefficients", lambda: _scaled(_logistic()), "digits", F64),
    "grid-search": Case("grid search over a logistic regression", lambda: GridSearchCV(_logistic(), {"C": [0.1, 1]}, cv=2), "iris", LINEAR),
    "sgd": Case("SGD with log loss", lambda: _scaled(lm.SGDClassifier(loss="log_loss", random_state=0)), "iris", F64),
    "ridge-classifier": Case("ridge classifier", lambda: _scaled(lm.RidgeClassifier()), "cancer", F64),
    "perceptron": Case("perceptron, several classes", lambda: _scaled(lm.Perceptron(random_state=0)), "iris", F64),
    "one-vs-rest": Case("one logistic regression per class", lambda: OneVsRestClassifier(_logistic()), "iris", F64),
    "linear": Case("linear regression", lm.LinearRegression, "diabetes", LINEAR),
    "ridge": Case("ridge", lm.Ridge, "diabetes", LINEAR),
    "lasso": Case("lasso", lambda: lm.Lasso(0.1), "diabetes", LINEAR),
    "elastic-net": Case("elastic net", lambda: lm.ElasticNet(0.01), "diabetes", LINEAR),
    "bayesian-ridge": Case("Bayesian ridge", lm.BayesianRidge, "diabetes", LINEAR),
    "polynomial": Case("ridge on polynomial features", lambda: make_pipeline(PolynomialFeatures(2), lm.Ridge()), "diabetes", NATIVE),
    "sgd-regressor": Case("SGD regression", lambda: _scaled(lm.SGDRegressor(random_state=0)), "diabetes", F64),
    "huber": Case("Huber regression", lambda: _scaled(lm.HuberRegressor()), "diabetes", F64),
    "quantile": Case("quantile regression", lambda: lm.QuantileRegressor(alpha=0.0), "diabetes", F64),
    "poisson": Case("Poisson regression", lm.PoissonRegressor, "diabetes", F64),
    "gamma": Case("gamma regression", lm.GammaRegressor, "diabetes", F64),
    "tweedie": Case("Tweedie regression", lambda: lm.TweedieRegressor(power=1.5, link="log"), "diabetes", F64),
    "pls": Case("partial least squares", PLSRegression, "diabetes", F64),
    "pca": Case("PCA before a logistic regression", lambda: make_pipeline(StandardScaler(), PCA(10), _logistic()), "digits", F64),
    "lda": Case("linear discriminant analysis", LinearDiscriminantAnalysis, "iris", F64),
    "qda": Case("quadratic discriminant analysis", QuadraticDiscriminantAnalysis, "iris", F64),
}

BAYES_NEIGHBOURS_AND_NETS = {
    "bayes": Case("Gaussian naive Bayes", naive_bayes.GaussianNB, "iris", F64),
    "bayes-multinomial": Case("multinomial naive Bayes", naive_bayes.MultinomialNB, "counts", F64),
    "bayes-complement": Case("complement naive Bayes", naive_bayes.ComplementNB, "counts", F64),
    "bayes-bernoulli": Case("Bernoulli naive Bayes", lambda: naive_bayes.BernoulliNB(binarize=8), "counts", F32),
    "bayes-categories": Case("categorical naive Bayes", naive_bayes.CategoricalNB, "sorts", F32),
    "mlp": Case("MLP classifier", lambda: _scaled(MLPClassifier((20,), max_iter=60, random_state=0)), "digits", F64),
    "mlp-regressor": Case(
        "MLP regressor", lambda: _scaled(MLPRegressor(hidden_layer_sizes=(20,), max_iter=60, random_state=0)), "diabetes", F64
    ),
    "neighbours-regressor": Case("k nearest neighbours, regression", neighbors.KNeighborsRegressor, "diabetes", F64),
    "neighbours": Case("k nearest neighbours, classification, with ties", neighbors.KNeighborsClassifier, "iris", NATIVE),
    "neighbours-distance": Case(
        "k nearest neighbours, weighted by distance", lambda: _scaled(neighbors.KNeighborsClassifier(weights="distance")), "cancer", NATIVE
    ),
    "gaussian-process": Case(
        "Gaussian process, classification", lambda: _scaled(GaussianProcessClassifier(RBF(), optimizer=None)), "iris", NATIVE
    ),
    "gaussian-process-regressor": Case(
        "Gaussian process, regression",
        lambda: GaussianProcessRegressor(ConstantKernel(100.0) * RBF() + WhiteKernel(), optimizer=None, normalize_y=True),
        "diabetes",
        F64,
    ),
    "isotonic": Case("isotonic regression of one column", lambda: IsotonicRegression(out_of_bounds="clip"), "one-column", NATIVE),
}

TREES_AND_FORESTS = {
    "tree": Case("decision tree", lambda: tree.DecisionTreeClassifier(max_depth=5, random_state=0), "cancer", F64),
    "tree-regressor": Case("regression tree", lambda: tree.DecisionTreeRegressor(random_state=0), "diabetes", F64),
    "stump": Case("regression tree of one leaf", lambda: tree.DecisionTreeRegressor(min_samples_leaf=300), "diabetes", F64),
    "forest": Case("random forest classification", lambda: ensemble.RandomForestClassifier(30, random_state=0, n_jobs=2), "cancer", F64),
    "forest-classes": Case(
        "random forest classification, several classes", lambda: ensemble.RandomForestClassifier(20, random_state=0), "digits", F64
    ),
    "forest-regressor": Case("random forest regression", lambda: ensemble.RandomForestRegressor(30, random_state=0), "diabetes", F64),
    "forest-missing": Case(
        "random forest regression, missing values", lambda: ensemble.RandomForestRegressor(30, random_state=0), "diabetes-missing", F64
    ),
    "extra": Case("extra trees classification", lambda: ensemble.ExtraTreesClassifier(20, random_state=0), "digits", F64),
    "extra-regressor": Case("extra trees regression", lambda: ensemble.ExtraTreesRegressor(20, random_state=0), "diabetes", F64),
    "boosting": Case(
        "gradient boosting classification", lambda: ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0), "cancer", F64
    ),
    "boosting-classes": Case(
        "gradient boosting classification, several classes",
        lambda: ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0),
        "iris",
        F64,
    ),
    "boosting-regressor": Case(
        "gradient boosting regression", lambda: ensemble.GradientBoostingRegressor(n_estimators=40, random_state=0), "diabetes", F64
    ),
    "scaled-forest": Case(
        "random forest behind a scaler", lambda: _scaled(ensemble.RandomForestClassifier(20, random_state=0)), "digits", F64
    ),
    "adaboost": Case("AdaBoost", lambda: ensemble.AdaBoostClassifier(n_estimators=10, random_state=0), "iris", F32),
    "adaboost-regressor": Case(
        "AdaBoost, regression", lambda: ensemble.AdaBoostRegressor(n_estimators=10, random_state=0), "diabetes", F64
    ),
    "bagging": Case("bagging of trees", lambda: ensemble.BaggingClassifier(n_estimators=5, random_state=0), "iris", F64),
    "bagging-regressor": Case(
        "bagging of trees, regression", lambda: ensemble.BaggingRegressor(n_estimators=5, random_state=0), "diabetes", F64
    ),
}

HISTOGRAMS = {
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
        "histogram gradient boosting with categories as numbers",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=5, categorical_features=[20]),
        "digits",
        TREES,
    ),
    "histogram-frame": Case(
        "histogram gradient boosting with pandas categories",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=5),
        "categories",
        TREES,
    ),
    "histogram-frame-missing": Case(
        "histogram gradient boosting with pandas categories, missing values",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=10),
        "sizes",
        TREES,
    ),
    "histogram-frame-regressor": Case(
        "histogram gradient boosting regression with pandas categories",
        lambda: ensemble.HistGradientBoostingRegressor(loss="gamma", max_iter=10),
        "sizes-values",
        TREES,
    ),
    "histogram-codes": Case(
        "histogram gradient boosting with categories as numbers, missing values",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=10, categorical_features=[3]),
        "codes",
        TREES,
    ),
}

VECTORS_AND_ENSEMBLES = {
    "svc": Case("SVC without probabilities", lambda: _scaled(svm.SVC()), "cancer", F32),
    "svc-classes": Case("SVC without probabilities, several classes", lambda: _scaled(svm.SVC()), "iris", F32),
    "svc-probability": Case("SVC with probabilities", lambda: _scaled(svm.SVC(probability=True, random_state=0)), "iris", F32),
    "nu-svc": Case("NuSVC", lambda: _scaled(svm.NuSVC(nu=0.2)), "cancer", F32),
    "svr": Case("SVR", lambda: _scaled(svm.SVR()), "diabetes", F32),
    "linear-svc": Case("linear SVC, several classes", lambda: _scaled(svm.LinearSVC()), "iris", F64),
    "linear-svc-two": Case("linear SVC, two classes", lambda: _scaled(svm.LinearSVC()), "cancer", F64),
    "linear-svr": Case("linear SVR", lambda: _scaled(svm.LinearSVR(random_state=0)), "diabetes", F64),
    "calibrated": Case("calibrated pipeline", lambda: CalibratedClassifierCV(_scaled(_logistic()), cv=2), "iris", NATIVE),
    "calibrated-bayes": Case(
        "calibrated naive Bayes, isotonic",
        lambda: CalibratedClassifierCV(naive_bayes.GaussianNB(), method="isotonic", cv=2),
        "cancer",
        NATIVE,
    ),
    "stacking": Case("stacking of two classifiers", lambda: ensemble.StackingClassifier(_two_classifiers(), cv=2), "iris", F64),
    "stacking-regressor": Case("stacking of two regressors", lambda: ensemble.StackingRegressor(_two_regressors(), cv=2), "diabetes", F64),
    "voting": Case(
        "voting of two classifiers by probability", lambda: ensemble.VotingClassifier(_two_classifiers(), voting="soft"), "iris", F64
    ),
    "voting-hard": Case("voting of two classifiers by label", lambda: ensemble.VotingClassifier(_two_classifiers()), "iris", F32),
    "voting-regressor": Case("voting of two regressors", lambda: ensemble.VotingRegressor(_two_regressors()), "diabetes", F64),
    "target": Case(
        "transformed target of a regression",
        lambda: TransformedTargetRegressor(lm.Ridge(), transformer=StandardScaler()),
        "diabetes",
        NATIVE,
    ),
}

COLUMNS_AND_TEXTS = {
    "columns": Case("column transformer with text columns, logistic regression", lambda: _columns(_logistic()), "mixed", F32),
    "columns-missing": Case(
        "column transformer that imputes text and numbers", lambda: _columns(_logistic(), True), "mixed-missing", NATIVE
    ),
    "columns-regressor": Case("column transformer with text columns, ridge", lambda: _columns(lm.Ridge()), "mixed-values", F64),
    "columns-forest": Case(
        "column transformer with text columns, random forest",
        lambda: _columns(ensemble.RandomForestClassifier(10, random_state=0)),
        "mixed",
        F64,
    ),
    "columns-histogram": Case(
        "column transformer with text as numbers, histogram gradient boosting",
        lambda: _ordered(ensemble.HistGradientBoostingClassifier(max_iter=10)),
        "mixed",
        F32,
    ),
    "one-hot": Case(
        "one-hot encoding of an array of text",
        lambda: make_pipeline(OneHotEncoder(handle_unknown="ignore"), _logistic()),
        "array-of-text",
        F32,
    ),
    "texts": Case("TF-IDF of one text column", lambda: make_pipeline(TfidfVectorizer(), _logistic()), "texts", NATIVE),
    "texts-bayes": Case(
        "TF-IDF of one text column, naive Bayes", lambda: make_pipeline(TfidfVectorizer(), naive_bayes.MultinomialNB()), "texts", NATIVE
    ),
}

ONE_OF_SEVERAL = {
    "outputs-linear": Case("linear regression, one of two outputs", lm.LinearRegression, "two-targets", LINEAR, 1),
    "outputs-pls": Case("partial least squares, one of two outputs", PLSRegression, "two-targets", F64, 0),
    "outputs-forest": Case(
        "random forest regression, one of two outputs", lambda: ensemble.RandomForestRegressor(10, random_state=0), "two-targets", F64, 1
    ),
    "outputs-forest-labels": Case(
        "random forest classification, one of two outputs",
        lambda: ensemble.RandomForestClassifier(10, random_state=0),
        "two-labels",
        F64,
        1,
    ),
    "outputs-neighbours": Case("k nearest neighbours, one of two outputs", neighbors.KNeighborsRegressor, "two-targets", F64, 1),
    "outputs-mlp": Case(
        "MLP regressor, one of two outputs",
        lambda: _scaled(MLPRegressor(hidden_layer_sizes=(20,), max_iter=60, random_state=0)),
        "two-targets",
        F64,
        0,
    ),
    "outputs-several": Case(
        "one gradient boosting per output",
        lambda: MultiOutputRegressor(ensemble.GradientBoostingRegressor(n_estimators=10, random_state=0)),
        "two-targets",
        F64,
        1,
    ),
    "outputs-labels": Case(
        "one logistic regression per output", lambda: _scaled(MultiOutputClassifier(_logistic())), "two-labels", LINEAR, 1
    ),
}

CASES: dict[str, Case] = {
    **LINEAR_MODELS,
    **BAYES_NEIGHBOURS_AND_NETS,
    **TREES_AND_FORESTS,
    **HISTOGRAMS,
    **VECTORS_AND_ENSEMBLES,
    **COLUMNS_AND_TEXTS,
    **ONE_OF_SEVERAL,
}


@cache
def fitted(name: str) -> Any:
    """The fitted estimator of a case; do not change it."""
    case = CASES[name]
    given = data(case.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few iterations, which keep the tests fast, and of SVC's probabilities
        return case.make().fit(given.given, given.target)


@cache
def answers(name: str) -> Answers:
    """What the fitted estimator of a case answers to its data."""
    estimator, given, output = fitted(name), data(CASES[name].data).given, CASES[name].output
    answered = np.asarray(estimator.predict(given))
    shares = estimator.predict_proba(given) if hasattr(estimator, "predict_proba") else None
    if output is not None:
        return Answers(answered[:, output].tolist(), None if shares is None else shares[output])
    return Answers(answered.ravel().tolist(), shares)


@cache
def rows(name: str) -> list[list[Any]]:
    """The rows of a case's data as they are posted; None is a missing value."""
    features = data(CASES[name].data).features
    return [list(row) for row in features.astype(object).where(features.notna(), None).itertuples(index=False, name=None)]
