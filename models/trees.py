"""Converters of tree ensembles to float64, which skl2onnx lacks.

They write ONNX's TreeEnsemble (ai.onnx.ml 5), whose thresholds and leaves may be doubles, so that a forest answers within
1e-12 of the original. In float32 a regression in the hundreds is further apart than 1e-4, and behind a scaler a row now and
then finds another leaf.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

Converter: TypeAlias = Callable[[Any, Any, Any], None]

DOMAIN = "ai.onnx.ml"
_SINCE = 5
_ADMITTED = 3
"""The newest version of the domain that skl2onnx lets pass; `declare` puts the true one into the finished model."""
_SUM = 1
_TYPES = {"FloatTensorType": TensorProto.FLOAT, "DoubleTensorType": TensorProto.DOUBLE}


class Tree(NamedTuple):
    """One tree as arrays by node. A row goes left where its feature is ≤ the threshold, or is NaN and `nan_left`."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    leaf: NDArray[np.bool_]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    nan_left: NDArray[np.bool_]
    value: NDArray[np.float64]
    target: int


def converters() -> dict[type, Converter]:
    """For skl2onnx's `custom_conversion_functions`."""
    from sklearn import ensemble, tree

    return {
        tree.DecisionTreeClassifier: _forest_classifier,
        tree.ExtraTreeClassifier: _forest_classifier,
        ensemble.RandomForestClassifier: _forest_classifier,
        ensemble.ExtraTreesClassifier: _forest_classifier,
        tree.DecisionTreeRegressor: _forest,
        tree.ExtraTreeRegressor: _forest,
        ensemble.RandomForestRegressor: _forest,
        ensemble.ExtraTreesRegressor: _forest,
        ensemble.GradientBoostingRegressor: _gradient_boosting,
        ensemble.GradientBoostingClassifier: _gradient_boosting,
        ensemble.HistGradientBoostingRegressor: _histogram_regressor,
        ensemble.HistGradientBoostingClassifier: _histogram_classifier,
    }


def shapes() -> dict[type, Callable[[Any], None]]:
    """For skl2onnx's `custom_shape_calculators`: it takes the probabilities of these for floats whatever their input."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    return dict.fromkeys((ExtraTreesClassifier, RandomForestClassifier), _as_wide_as_input)


def _as_wide_as_input(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    calculate_linear_classifier_output_shapes(operator)
    if isinstance(operator.inputs[0].type, DoubleTensorType):
        operator.outputs[1].set_type(DoubleTensorType(operator.outputs[1].type.shape))


def declare(model: ModelProto) -> None:
    """States, in place, the version of the operator that a converted model's trees are written in."""
    if any(node.op_type == "TreeEnsemble" for node in model.graph.node):
        for opset in model.opset_import:
            if opset.domain == DOMAIN:
                opset.version = _SINCE


class _Nodes:
    """Adds nodes and constants under fresh names; `x` is the last result."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.scope, self.container = scope, container
        self.x: str = operator.inputs[0].full_name

    def add(self, kind: str, inputs: list[str], output: str | None = None, *, domain: str = "", since: int = 13, **attributes: Any) -> str:
        self.x = output or self.scope.get_unique_variable_name(kind)
        name = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, inputs, [self.x], op_domain=domain, op_version=since, name=name, **attributes)
        return self.x

    def constant(self, values: Any) -> str:
        """A double, integer or text constant."""
        name: str = self.scope.get_unique_variable_name("constant")
        array = np.asarray(values)
        if array.dtype.kind in "UO":
            self.container.add_initializer(name, TensorProto.STRING, list(array.shape), [str(text).encode() for text in array])
        else:
            kind = TensorProto.DOUBLE if array.dtype.kind == "f" else TensorProto.INT64
            self.container.add_initializer(name, kind, list(array.shape), array.ravel().tolist())
        return name

    def cast(self, kind: int, output: str | None = None) -> str:
        return self.add("Cast", [self.x], output, to=kind)

    def finish(self, variable: Any) -> None:
        """Gives `x` out as `variable`, in the type that the rest of the graph expects."""
        self.cast(_TYPES[type(variable.type).__name__], variable.full_name)


def _forest(scope: Any, operator: Any, container: Any) -> None:
    """The mean of the trees. scikit-learn compares features as float32 with thresholds in float64."""
    model, nodes = operator.raw_operator, _Nodes(scope, operator, container)
    trees = [one.tree_ for one in getattr(model, "estimators_", [model])]
    _as_float32(nodes)
    _sum(nodes, [_from_sklearn(one, one.value[:, 0, 0] / len(trees), 0) for one in trees], [0.0])
    nodes.finish(operator.outputs[0])


def _forest_classifier(scope: Any, operator: Any, container: Any) -> None:
    """The mean of the trees' probabilities.

    A leaf of TreeEnsemble holds one number, not one per class: so each tree answers the number of its leaf, as a target
    of its own, and the leaf's probabilities are gathered from a table of all leaves.
    """
    model, nodes = operator.raw_operator, _Nodes(scope, operator, container)
    trees = [one.tree_ for one in getattr(model, "estimators_", [model])]
    leaves = [one.children_left == -1 for one in trees]
    firsts = np.cumsum([0, *(leaf.sum() for leaf in leaves)])
    numbers = [first + np.cumsum(leaf) - 1 for first, leaf in zip(firsts, leaves, strict=False)]
    table = np.concatenate([one.value[leaf, 0, :] for one, leaf in zip(trees, leaves, strict=True)])
    _as_float32(nodes)
    _ensemble(nodes, map(_from_sklearn, trees, numbers, range(len(trees))), len(trees))
    nodes.cast(TensorProto.INT64)
    nodes.add("Gather", [nodes.constant(table), nodes.x], axis=0)
    nodes.add("ReduceSum", [nodes.x, nodes.constant([1])], keepdims=0)
    nodes.add("Div", [nodes.x, nodes.constant([float(len(trees))])], since=14)
    _classified(nodes, operator, model.classes_)


def _gradient_boosting(scope: Any, operator: Any, container: Any) -> None:
    """Start + learning rate × the sum of the trees: the answer of a regression, the raw scores of a classification."""
    model, nodes = operator.raw_operator, _Nodes(scope, operator, container)
    if model.init_ != "zero" and type(model.init_).__name__ not in {"DummyRegressor", "DummyClassifier"}:
        raise NotImplementedError("gradient boosting that starts from another model")
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_))).ravel().tolist()
    stages = [[one.tree_ for one in stage] for stage in model.estimators_]
    _as_float32(nodes)
    trees = [_from_sklearn(one, one.value[:, 0, 0] * model.learning_rate, target) for stage in stages for target, one in enumerate(stage)]
    _sum(nodes, trees, start)
    if not hasattr(model, "classes_"):
        nodes.finish(operator.outputs[0])
    elif model.loss == "log_loss":
        _probabilities(nodes, len(start))
        _classified(nodes, operator, model.classes_)
    else:
        raise NotImplementedError(f"the loss {model.loss}")


def _histogram_regressor(scope: Any, operator: Any, container: Any) -> None:
    """The inverse link of start + the sum of the trees."""
    nodes = _Nodes(scope, operator, container)
    _histogram_raw(nodes, operator.raw_operator)
    link = type(operator.raw_operator._loss.link).__name__
    if link not in {"IdentityLink", "LogLink"}:
        raise NotImplementedError(f"the link {link}")
    if link == "LogLink":
        nodes.add("Exp", [nodes.x])
    nodes.finish(operator.outputs[0])


def _histogram_classifier(scope: Any, operator: Any, container: Any) -> None:
    """The probabilities of start + the sum of the trees, per class."""
    model, nodes = operator.raw_operator, _Nodes(scope, operator, container)
    _histogram_raw(nodes, model)
    _probabilities(nodes, model.n_trees_per_iteration_)
    _classified(nodes, operator, model.classes_)


def _probabilities(nodes: _Nodes, scores: int) -> None:
    """From raw scores, one for the second of two classes or one per class, to probabilities."""
    if scores > 1:
        nodes.add("Softmax", [nodes.x], axis=1)
        return
    positive = nodes.add("Sigmoid", [nodes.x])
    negative = nodes.add("Sub", [nodes.constant([1.0]), positive], since=14)
    nodes.add("Concat", [negative, positive], axis=1)


def _classified(nodes: _Nodes, operator: Any, classes: NDArray[Any]) -> None:
    """Gives out the probabilities `nodes.x`, and as label the most probable class, the first of equals."""
    probabilities = nodes.x
    nodes.finish(operator.outputs[1])
    nodes.add("ArgMax", [probabilities], axis=1, keepdims=0)
    labels = classes if classes.dtype.kind in "UO" else classes.astype(np.int64)
    nodes.add("Gather", [nodes.constant(labels), nodes.x], operator.outputs[0].full_name, axis=0)


def _as_float32(nodes: _Nodes) -> None:
    """Rounds the features as scikit-learn's trees do."""
    nodes.cast(TensorProto.FLOAT)
    nodes.cast(TensorProto.DOUBLE)


def _histogram_raw(nodes: _Nodes, model: Any) -> None:
    nodes.cast(TensorProto.DOUBLE)
    trees = (_from_histogram(one.nodes, target) for stage in model._predictors for target, one in enumerate(stage))
    _sum(nodes, trees, np.ravel(model._baseline_prediction).tolist())


def _from_sklearn(tree: Any, value: NDArray[Any], target: int) -> Tree:
    if tree.n_outputs != 1:
        raise NotImplementedError("several targets")
    nan_left = tree.missing_go_to_left.astype(bool)
    return Tree(tree.children_left, tree.children_right, tree.children_left == -1, tree.feature, tree.threshold, nan_left, value, target)


def _from_histogram(nodes: NDArray[Any], target: int) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    if (nodes["is_categorical"].astype(bool) & ~leaf).any():
        raise NotImplementedError("splits by category")
    left, right, feature = (nodes[name].astype(np.int64) for name in ("left", "right", "feature_idx"))
    return Tree(left, right, leaf, feature, nodes["num_threshold"], nodes["missing_go_to_left"].astype(bool), nodes["value"], target)


def _sum(nodes: _Nodes, trees: Iterable[Tree], start: list[float]) -> None:
    """Adds the sum of `trees` per target, and then `start`."""
    _ensemble(nodes, trees, len(start))
    nodes.add("Add", [nodes.x, nodes.constant(start)], since=14)


def _ensemble(nodes: _Nodes, trees: Iterable[Tree], targets: int) -> None:
    """Adds the sum of `trees` per target."""
    columns: defaultdict[str, list[Any]] = defaultdict(list)
    for tree in trees:
        _append(columns, tree)
    attributes: dict[str, Any] = dict(columns)
    for name in ("nodes_splits", "leaf_weights"):
        attributes[name] = numpy_helper.from_array(np.array(columns[name], dtype=np.float64))
    attributes["nodes_modes"] = numpy_helper.from_array(np.zeros(len(columns["nodes_featureids"]), dtype=np.uint8))  # all BRANCH_LEQ
    attributes |= {"n_targets": targets, "aggregate_function": _SUM}
    nodes.add("TreeEnsemble", [nodes.x], domain=DOMAIN, since=_ADMITTED, **attributes)


def _append(columns: defaultdict[str, list[Any]], tree: Tree) -> None:
    """Appends a tree. Inner nodes and leaves are numbered apart, each through all trees.

    A tree that is one leaf becomes a node both of whose branches lead to it.
    """
    inner, leaves = np.flatnonzero(~tree.leaf), np.flatnonzero(tree.leaf)
    number = np.empty(len(tree.leaf), dtype=np.int64)
    number[inner] = len(columns["nodes_featureids"]) + np.arange(len(inner))
    number[leaves] = len(columns["leaf_weights"]) + np.arange(len(leaves))
    single = not len(inner)
    left, right = (leaves, leaves) if single else (tree.left[inner], tree.right[inner])
    values: dict[str, NDArray[Any]] = {
        "tree_roots": np.array([len(columns["nodes_featureids"])]),
        "nodes_featureids": np.zeros(1, dtype=np.int64) if single else tree.feature[inner],
        "nodes_splits": np.zeros(1) if single else tree.threshold[inner],
        "nodes_truenodeids": number[left],
        "nodes_trueleafs": tree.leaf[left].astype(np.int64),
        "nodes_falsenodeids": number[right],
        "nodes_falseleafs": tree.leaf[right].astype(np.int64),
        "nodes_missing_value_tracks_true": np.zeros(1, dtype=np.int64) if single else tree.nan_left[inner].astype(np.int64),
        "leaf_targetids": np.full(len(leaves), tree.target),
        "leaf_weights": tree.value[leaves],
    }
    for name, column in values.items():
        columns[name].extend(column.tolist())
