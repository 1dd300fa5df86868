"""The linear runtime: what it refuses, its edges, and which estimators become one."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from core.errors import ModelFailed, Rejected
from models.linear import MOST_PRODUCTS, Linear, LinearRuntime, linear_form
from models.signature import Signature, unseen

VALUE = Signature(unseen(("x", "y")), "regression")
YES_NO = Signature(unseen(("x", "y")), "classification", ("no", "yes"))
THREE = Signature(unseen(("x", "y")), "classification", (1, 2, 3))


def runtime(signature, link, coefficients=((1.0, 2.0),), intercepts=(0.5,), shift=(), scale=()):
    model = Linear(list(shift), list(scale), [list(one) for one in coefficients], list(intercepts), link)
    return LinearRuntime(msgspec.json.encode(model), signature)


def test_a_value():
    """Intercept + coefficients · (row − shift) / scale."""
    assert runtime(VALUE, "identity").predict([[1.0, 2], [0.0, 0.0]])[0].value == 5.5
    assert runtime(VALUE, "identity", shift=(1.0, 1.0), scale=(2.0, 4.0)).predict([[3.0, 5.0]])[0].value == 3.5


@pytest.mark.parametrize(("score", "label", "share"), [(-800.0, "no", 0.0), (0.0, "no", 0.5), (800.0, "yes", 1.0), (1e308, "yes", 1.0)])
def test_two_classes_wherever_the_score_lies(score, label, share):
    """No overflow; at 0 the first class, as scikit-learn has it."""
    (output,) = runtime(YES_NO, "logistic", intercepts=(0.0,)).predict([[score, 0.0]])
    assert (output.label, output.probabilities) == (label, {"no": 1.0 - share, "yes": share})


def test_several_classes_wherever_the_scores_lie():
    """The highest score, the first of equals."""
    three = runtime(THREE, "softmax", [(1.0, 0.0), (0.0, 1.0), (0.0, 1.0)], (0.0, 0.0, 0.0))
    (output,) = three.predict([[-1000.0, 1000.0]])
    assert (output.label, output.probabilities) == (2, {"1": 0.0, "2": 0.5, "3": 0.5})


@pytest.mark.parametrize("row", [[1.0], [1.0, 2.0, 3.0], [1.0, None], [1.0, "x"], [10**400, 1.0], [math.nan, 1.0]])
@pytest.mark.parametrize("signature", [VALUE, YES_NO])
def test_what_it_cannot_take_is_its_failure(signature, row):
    """Also what arithmetic would take for a number and make nonsense of."""
    with pytest.raises(ModelFailed):
        runtime(signature, "identity" if signature is VALUE else "logistic").predict([row])


@pytest.mark.parametrize(
    ("signature", "how"),
    [
        (VALUE, {"link": "logistic"}),
        (THREE, {"link": "logistic"}),
        (YES_NO, {"link": "identity"}),
        (VALUE, {"link": "identity", "coefficients": ((1.0,),)}),
        (VALUE, {"link": "identity", "intercepts": ()}),
        (VALUE, {"link": "identity", "shift": (1.0,), "scale": (1.0,)}),
        (VALUE, {"link": "identity", "shift": (1.0, 1.0), "scale": (1.0, 0.0)}),
    ],
)
def test_an_artefact_that_does_not_fit_is_refused(signature, how):
    """Before it answers anything."""
    with pytest.raises(Rejected):
        runtime(signature, **how)
    with pytest.raises(Rejected):
        LinearRuntime(b"{}", signature)


X = np.random.default_rng(1).normal(size=(40, 2))
Y = X.sum(axis=1)


class Odd(LinearRegression):
    """It has coefficients, and answers something else."""

    def predict(self, x):
        return super().predict(x) ** 2


@pytest.mark.parametrize(
    "estimator",
    [
        Odd().fit(X, Y),
        make_pipeline(MinMaxScaler(), Ridge()).fit(X, Y),
        make_pipeline(StandardScaler(), StandardScaler(), Ridge()).fit(X, Y),
        LinearRegression().fit(np.zeros((3, MOST_PRODUCTS + 1)), [0.0, 1.0, 2.0]),
    ],
    ids=["a subclass", "another scaler", "two scalers", "too many coefficients"],
)
def test_other_estimators_are_none(estimator):
    """They are compiled to ONNX, or served natively."""
    with pytest.raises(NotImplementedError):
        linear_form(estimator)


@pytest.mark.parametrize("scaler", [StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False)])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_every_setting_of_scaler_and_intercept(scaler, intercept, shift):
    """Within 1e-9 of scikit-learn, also far from 0."""
    data = X + shift
    value = make_pipeline(scaler, Ridge(fit_intercept=intercept)).fit(data, Y)
    outputs = LinearRuntime(linear_form(value), VALUE).predict(data.tolist())
    np.testing.assert_allclose([output.value for output in outputs], value.predict(data), rtol=1e-9, atol=1e-9)
    label = make_pipeline(scaler, LogisticRegression(fit_intercept=intercept)).fit(data, np.where(Y > 0, "yes", "no"))
    outputs = LinearRuntime(linear_form(label), YES_NO).predict(data.tolist())
    assert [output.label for output in outputs] == label.predict(data).tolist()
    answered = [list(output.probabilities.values()) for output in outputs]
    np.testing.assert_allclose(answered, label.predict_proba(data), atol=1e-9)
