"""scikit-learn's own data, in the shapes that models are fitted on: with holes, names, text, categories."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets


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


def _sizes_values() -> Data:
    """The same, with a number as true value."""
    return _sizes()._replace(target=datasets.load_breast_cancer().data[:, 3])


def _counts() -> Data:
    """Digits as counts of ink: whole numbers from 0 to 16."""
    given = _subset(_bunch(datasets.load_digits()), 600)
    return given._replace(features=given.features.astype(int))


def _sorts() -> Data:
    """Three whole numbers that stand for categories, of which the sample has every one."""
    given = _mixed()
    numbers = [pd.qcut(given.features[name], 5, labels=False) for name in ("mean radius", "mean texture", "mean perimeter")]
    return Data(pd.concat(numbers, axis=1), given.target, named=False)


def _one_column() -> Data:
    """Diabetes by the body mass index alone."""
    given = _bunch(datasets.load_diabetes())
    return given._replace(features=given.features[["bmi"]])


def _two_labels() -> Data:
    """Breast cancer with two labels a row: the diagnosis, and how large it is."""
    given = _bunch(datasets.load_breast_cancer())
    sizes = np.array(["small", "middle", "large"])[np.digitize(given.features["mean area"], [450, 700])]
    return given._replace(target=np.column_stack([np.where(given.target, "benign", "malignant"), sizes]))


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
    "iris-numbers": lambda: _bunch(datasets.load_iris()),
    "mixed-values": lambda: _mixed()._replace(target=datasets.load_breast_cancer().data[:, 10]),
    "digits": lambda: _subset(_bunch(datasets.load_digits()), 600),
    "mixed": _mixed,
    "mixed-missing": _mixed_with_holes,
    "categories": _categories,
    "sizes": _sizes,
    "sizes-values": _sizes_values,
    "counts": _counts,
    "sorts": _sorts,
    "one-column": _one_column,
    "two-labels": _two_labels,
    "array-of-text": _array_of_text,
    "texts": _texts,
    "codes": _codes,
    "two-targets": _two_targets,
    "shares": _shares,
}
