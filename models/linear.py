"""The linear runtime: small linear and logistic models, answered without any library.

For ten features an answer is a few dozen multiplications. Handing them to a library costs more than they do, and under load much more:
what the library touches drives the rest of a request out of the processor's caches (docs/adr/0003 has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul, sub, truediv
from typing import Any, Literal

import msgspec

from core.errors import ModelFailed, Rejected
from core.values import Label, Output, Row
from models.links import logistic, softmax
from models.runtime import Answers
from models.signature import Signature

MOST_PRODUCTS = 256
"""Multiplications a row. Beyond, a library is faster."""


class Linear(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scores are intercept + coefficients · (row − shift) / scale, one per list of `coefficients`; without a scaler `shift` is empty.

    `link`: the score is the value; or the probability of the second of two classes is 1 / (1 + exp(−score)); or the probabilities of
    several classes are exp(score) over their sum.
    """

    shift: list[float]
    scale: list[float]
    coefficients: list[list[float]]
    intercepts: list[float]
    link: Literal["identity", "logistic", "softmax"]


class LinearRuntime:
    """One row at a time in plain floats, so that a batch answers to the last bit what its rows would alone."""

    __slots__ = ("_answers", "_classes", "_link", "_model", "_scores", "_width")

    def __init__(self, artefact: bytes, signature: Signature) -> None:
        """Raises Rejected where `artefact` is no linear model of this signature."""
        try:
            model = msgspec.json.decode(artefact, type=Linear)
        except msgspec.MsgspecError as error:
            raise Rejected(f"no linear model: {error}") from None
        self._width = len(signature.features)
        self._classes: tuple[Label, ...] = signature.classes or ()
        _check(model, self._width, len(self._classes))
        self._model = model
        self._scores = list(zip(model.coefficients, model.intercepts, strict=True))
        self._link = model.link
        self._answers = Answers(signature)

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """One output per row; raises ModelFailed."""
        try:
            scores = [self._score(row) for row in rows]
        except (TypeError, OverflowError) as error:
            raise ModelFailed(f"the model failed: {error}") from None
        if self._link == "identity":
            return self._answers.values([one for [one] in scores], len(rows))
        shares = [logistic(row[0]) if self._link == "logistic" else softmax(row) for row in scores]
        # By the scores: far from 0 they still differ where the probabilities do not.
        places = [row[0] > 0.0 if self._link == "logistic" else row.index(max(row)) for row in scores]
        return self._answers.labels([self._classes[place] for place in places], shares, len(rows))

    def _score(self, row: Row) -> list[float]:
        values: Any = row
        if len(row) != self._width:
            raise ModelFailed(f"the model failed: expected {self._width} features, got {len(row)}")
        if self._model.shift:
            values = list(map(truediv, map(sub, values, self._model.shift), self._model.scale))
        return [intercept + sum(map(mul, values, coefficients)) for coefficients, intercept in self._scores]


def linear_form(estimator: Any) -> bytes:
    """The estimator as a linear model; raises NotImplementedError where it is none, or too large a one to gain from it."""
    from sklearn import linear_model as lm
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    found = getattr(estimator, "best_estimator_", estimator)
    *before, last = [step for _, step in found.steps] if type(found) is Pipeline else [found]
    if len(before) > 1 or any(type(step) is not StandardScaler for step in before):
        raise NotImplementedError("no linear model behind at most a scaler")
    regressions = {lm.LinearRegression, lm.Ridge, lm.RidgeCV, lm.Lasso, lm.LassoCV, lm.ElasticNet, lm.ElasticNetCV, lm.BayesianRidge}
    if type(last) not in {*regressions, lm.LogisticRegression, lm.LogisticRegressionCV}:
        raise NotImplementedError(f"{type(last).__name__} is not among the linear models")
    coefficients = last.coef_.reshape(-1, last.n_features_in_).tolist()
    if len(coefficients) * last.n_features_in_ > MOST_PRODUCTS:
        raise NotImplementedError(f"more than {MOST_PRODUCTS} coefficients")
    link: Literal["identity", "logistic", "softmax"] = (
        "identity" if type(last) in regressions else "logistic" if len(last.classes_) == 2 else "softmax"
    )
    intercepts = [float(last.intercept_)] * len(coefficients) if link == "identity" else last.intercept_.tolist()
    width, scaler = last.n_features_in_, before[0] if before else None
    shift = [] if scaler is None else scaler.mean_.tolist() if scaler.with_mean else [0.0] * width
    scale = [] if scaler is None else scaler.scale_.tolist() if scaler.with_std else [1.0] * width
    return msgspec.json.encode(Linear(shift, scale, coefficients, intercepts, link))


def _check(model: Linear, width: int, classes: int) -> None:
    scores = {"identity": 1, "logistic": 1, "softmax": classes}[model.link]
    if (model.link == "logistic") != (classes == 2) or (model.link == "identity") != (classes == 0):
        raise Rejected(f"a linear model with the link {model.link} cannot answer {classes} classes")
    if len(model.coefficients) != scores or len(model.intercepts) != scores or any(len(one) != width for one in model.coefficients):
        raise Rejected(f"the linear model is not one of {width} features and {scores} scores")
    if len(model.shift) not in (0, width) or len(model.scale) != len(model.shift) or 0.0 in model.scale:
        raise Rejected(f"the linear model does not scale {width} features")
