"""Numbers in a skops file that scikit-learn's compiled code believes: forged ones would make it read or write beside its memory.

skops audits which types a file names, not what their arrays say. Here trees are followed before they are asked anything: children lie
behind their parents and inside of the tree, features inside of the row. It is no proof that a file is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from core.errors import Rejected


def check(estimator: Any) -> None:
    """Raises Rejected where a tree inside of `estimator` points out of itself, or of the rows that its estimator takes."""
    parts = list(_objects(estimator))
    # Boosting last: it is asked how much room it makes, by an estimator inside of it that is to be sound already.
    for checks in (_check_part, _check_room):
        for part in parts:
            if not checks(part):
                raise Rejected(f"the {type(part).__name__} in the file has been tampered with: its parts do not fit together")


def _check_part(part: Any) -> bool:
    checks = _CHECKS.get(type(part).__name__)
    if checks is not None:
        return checks(part)
    return not hasattr(part, "n_features_in_") or _check_owner(part)


def _check_tree(tree: Any) -> bool:
    """Of scikit-learn's `Tree`: a leaf's left child is −1."""
    left, right = tree.children_left, tree.children_right
    inner = left != -1
    return _inside(inner, left, right) and bool(np.all((tree.feature[inner] >= 0) & (tree.feature[inner] < tree.n_features)))


def _check_predictor(predictor: Any) -> bool:
    """Of histogram gradient boosting; that its features are inside of a row is its owner's to know."""
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    split = inner & (nodes["is_categorical"] != 0)
    known = min(len(predictor.binned_left_cat_bitsets), len(predictor.raw_left_cat_bitsets))
    return _inside(inner, nodes["left"], nodes["right"]) and bool(np.all(nodes["bitset_idx"][split] < known))


def _check_ball_or_kd(tree: Any) -> bool:
    """Of nearest neighbours: node i has the children 2i + 1 and 2i + 2, and a range of the index of rows."""
    data, index, nodes, bounds = map(np.asarray, tree.get_arrays())
    places, inner = np.arange(len(nodes)), nodes["is_leaf"] == 0
    start, end = nodes["idx_start"], nodes["idx_end"]
    in_order = bool(np.all((start >= 0) & (start <= end) & (end <= len(index))))
    in_rows = bool(np.all((index >= 0) & (index < len(data))))
    return in_order and in_rows and bool(np.all(2 * places[inner] + 2 < len(nodes))) and bounds.shape[1:] == (len(nodes), data.shape[1])


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "Tree": _check_tree,
    "TreePredictor": _check_predictor,
    "BallTree": _check_ball_or_kd,
    "KDTree": _check_ball_or_kd,
}


def _check_owner(estimator: Any) -> bool:
    """An estimator hands its trees rows of as many features as it takes itself."""
    width = estimator.n_features_in_
    own: Any = getattr(estimator, "tree_", None)
    if type(own).__name__ == "Tree" and own.n_features != width:
        return False
    for predictor in _predictors(estimator):
        features = predictor.nodes["feature_idx"]
        if np.any((features < 0) | (features >= width)):
            return False
    # Forests and gradient boosting do not let their trees look at the rows again. Bagging does.
    trees = [] if hasattr(estimator, "estimators_features_") else _members(estimator)
    return all(tree.tree_.n_features == width for tree in trees if hasattr(tree, "tree_"))


def _check_room(estimator: Any) -> bool:
    """Gradient boosting adds up as many answers for each row as it has made room for."""
    if not hasattr(estimator, "_raw_predict_init") or not hasattr(estimator, "estimators_"):
        return True  # also one that is not fitted, as the one that a MultiOutputRegressor makes its own after
    try:
        room = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_))).shape
    except Exception:  # whatever is wrong inside of it
        return False
    return isinstance(estimator.estimators_, np.ndarray) and estimator.estimators_.ndim == 2 and room == (1, estimator.estimators_.shape[1])


def _members(estimator: Any) -> list[Any]:
    """The estimators of an ensemble; not those inside of them, though forests and pipelines are sequences as well."""
    own = getattr(estimator, "estimators_", ())
    return list(own.ravel()) if isinstance(own, np.ndarray) else list(own) if isinstance(own, list | tuple) else []


def _predictors(estimator: Any) -> Iterator[Any]:
    for several in getattr(estimator, "_predictors", ()):
        yield from several


def _inside(inner: Any, left: Any, right: Any) -> bool:
    """Whether each inner node's children stand behind it: so no walk leaves the tree, or never ends."""
    places, count = np.arange(len(left)), len(left)
    return all(bool(np.all((child[inner] > places[inner]) & (child[inner] < count))) for child in (left, right))


def _objects(value: Any) -> Iterator[Any]:
    """`value` and all objects that it holds, each once."""
    seen: dict[int, Any] = {}
    left = [value]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, dict):
            left.extend(one.values())
        elif isinstance(one, list | tuple | set) or (isinstance(one, np.ndarray) and one.dtype == object):
            left.extend(one)
        elif hasattr(one, "__dict__") and not isinstance(one, type):
            yield one
            left.extend(vars(one).values())
        elif type(one).__name__ in _CHECKS:
            yield one
