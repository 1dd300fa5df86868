"""One output of a scikit-learn model of several: an estimator that answers it alone, and so is compiled and stored like any other.

A forest's trees, the neighbours and the hidden layers stay what they are; only what stands at their ends is cut to one column.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from core.errors import Invalid, ModelFailed, Rejected
from models.parity import SAME


class Kind(NamedTuple):
    """Estimators of one kind: how many outputs one has, and how it is cut to one of them."""

    classes: tuple[type, ...]
    count: Callable[[Any], int]
    cut: Callable[[Any, int], Any]


def only(estimator: Any, output: int) -> Any:
    """The estimator of the output numbered `output` from 0; the given one stays as it is.

    Raises Rejected where its kind cannot be cut, Invalid where it has no such output.
    """
    from sklearn.pipeline import Pipeline

    found = getattr(estimator, "best_estimator_", estimator)
    if isinstance(found, Pipeline):
        chosen = copy(found)
        chosen.steps = [*found.steps[:-1], (found.steps[-1][0], only(found.steps[-1][1], output))]
        return chosen
    kind = _kind(found)
    if kind is None:
        raise Rejected(f"one output of a {type(found).__name__} cannot be served by itself; train a model of that output alone")
    count = kind.count(found)
    if count == 1:
        raise Invalid(f"output: the {type(found).__name__} has one output, so there is none to choose", field="output")
    if not 0 <= output < count:
        raise Invalid(f"output: expected a number from 0 to {count - 1}, got {output}", field="output")
    return kind.cut(found, output)


def refuse_several(estimator: Any) -> None:
    """Raises Rejected where a fitted estimator is known to answer several outputs per row."""
    from sklearn.pipeline import Pipeline

    found = getattr(estimator, "best_estimator_", estimator)
    if isinstance(found, Pipeline):
        refuse_several(found.steps[-1][1])
        return
    kind = _kind(found)
    if kind is not None and kind.count(found) > 1:
        several = f"the {type(found).__name__} answers {kind.count(found)} outputs per row"
        raise Rejected(f"{several}; choose one of them as output, counted from 0")


def check(answered: Any, whole: Any, output: int) -> None:
    """Raises ModelFailed where what the cut estimator `answered` is not the column `output` of what the `whole` one does."""
    alone, among = np.asarray(answered), np.asarray(whole)[:, output]
    same = np.allclose(alone, among, rtol=SAME, atol=SAME) if among.dtype.kind == "f" else np.array_equal(alone, among)
    if not same:
        raise ModelFailed(f"output {output} by itself is answered otherwise than among the others")


def _kind(estimator: Any) -> Kind | None:
    return next((kind for kind in _kinds() if isinstance(estimator, kind.classes)), None)


def _kinds() -> list[Kind]:
    from sklearn import cross_decomposition, ensemble, multioutput, neighbors, neural_network, tree
    from sklearn import linear_model as lm

    linear = (lm.LinearRegression, lm.Ridge, lm.RidgeCV, lm.ElasticNet, lm.MultiTaskElasticNetCV, lm.MultiTaskLassoCV)
    forests = (ensemble.RandomForestRegressor, ensemble.RandomForestClassifier, ensemble.ExtraTreesRegressor, ensemble.ExtraTreesClassifier)
    parts = (multioutput.MultiOutputRegressor, multioutput.MultiOutputClassifier)
    return [
        Kind(parts, lambda model: len(model.estimators_), lambda model, output: model.estimators_[output]),
        Kind((tree.DecisionTreeRegressor, tree.DecisionTreeClassifier), _outputs, _tree),
        Kind(forests, _outputs, _forest),
        Kind((neighbors.KNeighborsRegressor, neighbors.KNeighborsClassifier), lambda model: _columns(model._y.T), _neighbours),
        Kind((neural_network.MLPRegressor,), _outputs, _layers),
        Kind((cross_decomposition.PLSRegression,), lambda model: _columns(model.coef_), _projection),
        Kind(linear, lambda model: _columns(model.coef_), _linear),
    ]


def _outputs(model: Any) -> int:
    return int(model.n_outputs_)


def _columns(array: Any) -> int:
    return 1 if array.ndim == 1 else len(array)


def _tree(model: Any, output: int) -> Any:
    from sklearn.tree._tree import Tree

    chosen, found = _named(model, output), model.tree_
    classes = int(np.atleast_1d(model.n_classes_)[output]) if hasattr(model, "classes_") else 1
    state = found.__getstate__()
    state["values"] = np.ascontiguousarray(state["values"][:, [output], :classes])
    chosen.tree_ = Tree(found.n_features, np.array([classes], dtype=np.intp), 1)
    chosen.tree_.__setstate__(state)
    return chosen


def _forest(model: Any, output: int) -> Any:
    chosen = _named(model, output)
    chosen.estimators_ = [_tree(one, output) for one in model.estimators_]
    return chosen


def _named(model: Any, output: int) -> Any:
    """A copy that says of itself that it has one output, with that output's classes."""
    chosen = copy(model)
    chosen.n_outputs_ = 1
    if hasattr(model, "classes_"):
        chosen.classes_, chosen.n_classes_ = model.classes_[output], model.n_classes_[output]
    return chosen


def _neighbours(model: Any, output: int) -> Any:
    chosen = copy(model)
    chosen._y = np.ascontiguousarray(model._y[:, output])
    if hasattr(model, "classes_"):
        chosen.classes_, chosen.outputs_2d_ = model.classes_[output], False
    return chosen


def _layers(model: Any, output: int) -> Any:
    chosen = copy(model)
    chosen.coefs_ = [*model.coefs_[:-1], model.coefs_[-1][:, [output]]]
    chosen.intercepts_ = [*model.intercepts_[:-1], model.intercepts_[-1][[output]]]
    chosen.n_outputs_ = 1
    return chosen


def _projection(model: Any, output: int) -> Any:
    chosen = copy(model)
    chosen.coef_, chosen.intercept_, chosen._predict_1d = model.coef_[[output]], model.intercept_[[output]], True
    return chosen


def _linear(model: Any, output: int) -> Any:
    chosen = copy(model)
    chosen.coef_, chosen.intercept_ = model.coef_[output], float(np.broadcast_to(model.intercept_, len(model.coef_))[output])
    return chosen
