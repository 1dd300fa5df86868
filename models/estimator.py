"""What a fitted scikit-learn estimator says of itself, and how rows are laid out for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from core.errors import Rejected
from core.values import Label, Row
from models.signature import Signature, Task

Layout: TypeAlias = Literal["matrix", "objects", "texts", "frame"]
"""What the estimator is handed: a float64 matrix, a matrix of mixed objects, a list of texts, or a pandas DataFrame."""


def describe(estimator: Any) -> tuple[Task, tuple[Label, ...] | None]:
    """The task and the classes of a fitted estimator; raises Rejected on anything else."""
    from sklearn.base import is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    name = type(estimator).__name__
    if not hasattr(estimator, "predict") or not (is_classifier(estimator) or is_regressor(estimator)):
        raise Rejected(f"the file holds a {name}; expected a fitted scikit-learn classifier or regressor")
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise Rejected(f"the {name} is not fitted: call fit before saving it") from None
    if not is_classifier(estimator):
        return "regression", None
    classes = np.asarray(estimator.classes_) if not isinstance(estimator.classes_, list) else None
    if classes is None or classes.ndim != 1:
        raise Rejected(f"the {name} predicts several labels per row; choose one of them as output, counted from 0")
    return "classification", tuple(classes.tolist())


def fitted_names(estimator: Any) -> tuple[str, ...] | None:
    """The names of the columns it was fitted on, None where it was fitted on an array."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else tuple(map(str, names))


def fitted_count(estimator: Any) -> int | None:
    """The number of columns it was fitted on, None where it was fitted on texts or does not say."""
    count = getattr(estimator, "n_features_in_", None)
    return None if count is None else int(count)


def takes_text(estimator: Any) -> bool:
    """Whether an encoder inside of it has learnt categories that are text."""
    learnt = [column for part in parts(estimator) for column in getattr(part, "categories_", ())]
    return any(isinstance(value, str) for column in learnt for value in np.asarray(column).ravel().tolist())


def layouts(estimator: Any, signature: Signature) -> tuple[Layout, ...]:
    """The layout that the estimator was fitted with, then a cheaper one that may do as well."""
    numeric = all(feature.kind != "str" for feature in signature.features)
    if fitted_names(estimator) is not None:
        return ("frame", "matrix") if numeric else ("frame",)
    if fitted_count(estimator) is None and len(signature.features) == 1 and not numeric:
        return ("texts",)
    return ("matrix",) if numeric else ("objects",)


def arranger(signature: Signature, layout: Layout) -> Callable[[Sequence[Row]], Any]:
    """How rows become what the estimator takes; missing values are NaN in all layouts."""
    if layout == "matrix":
        return lambda rows: np.array(rows, dtype=np.float64)
    if layout == "objects":
        return lambda rows: np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=object)
    if layout == "texts":
        return lambda rows: [row[0] for row in rows]
    return _framer(signature)


def _framer(signature: Signature) -> Callable[[Sequence[Row]], Any]:
    """Columns by name, in the types that pandas gives them when it reads a file; what is missing is NaN."""
    import pandas as pd

    names = list(signature.names)
    if all(feature.kind == "float" for feature in signature.features):
        return lambda rows: pd.DataFrame(np.array(rows, dtype=np.float64), columns=names)
    kinds = {"float": np.float64, "int": np.int64, "bool": np.bool_, "str": np.object_}
    types = [np.object_ if one.kind in {"str", "bool"} and one.nullable else kinds[one.kind] for one in signature.features]

    def frame(rows: Sequence[Row]) -> Any:
        columns = zip(names, types, zip(*rows, strict=True), strict=True)
        return pd.DataFrame({name: _column(values, kind) for name, kind, values in columns})

    return frame


def _column(values: tuple[Any, ...], kind: Any) -> Any:
    """An array of `kind`; where an integer is missing, or another version's float came, the column is one of floats."""
    if kind is np.int64 and any(type(value) is not int for value in values):
        kind = np.float64
    if kind is np.object_:
        values = tuple(np.nan if value is None else value for value in values)
    return np.array(values, dtype=kind)


def prepare(estimator: Any, layout: Layout) -> Any:
    """The estimator made ready to serve, in place: one thread, and no names where it is handed a matrix.

    An estimator that remembers the names of its columns warns on each call that is handed none. Where a matrix does as
    well (`layouts`, tried on the sample), it forgets them.
    """
    for part in parts(estimator):
        if getattr(part, "n_jobs", None) is not None:
            part.n_jobs = 1
        if layout == "matrix":
            vars(part).pop("feature_names_in_", None)
    return estimator


def parts(estimator: Any) -> Iterator[Any]:
    """`estimator` and every estimator inside of it."""
    return _parts(estimator, set())


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """`value` where it is an estimator, and every estimator inside of it."""
    from sklearn.base import BaseEstimator

    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, BaseEstimator):
        yield value
        value = vars(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object):
        for item in value:
            yield from _parts(item, seen)
