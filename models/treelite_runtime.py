"""The treelite runtime: tree ensembles of XGBoost and LightGBM, and those of scikit-learn that split by category.

treelite walks the trees; what lies around them is here: text and numbers that stand for categories, and what becomes of the scores.
Its own softmax computes in float32 even where the trees are in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import copysign, exp, log1p, nan
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import treelite
from numpy.typing import NDArray

from core.errors import ModelFailed, Rejected
from core.values import Label, Output, Row, Value
from models.links import logistic, softmax
from models.runtime import Answers, said
from models.signature import Signature

Link: TypeAlias = Literal["identity", "exponential", "log1p-exponential", "signed-square", "logistic", "softmax", "largest"]

VALUES: dict[Link, Callable[[float], float]] = {
    "identity": float,
    "exponential": exp,
    "log1p-exponential": lambda score: log1p(exp(score)),
    "signed-square": lambda score: copysign(score * score, score),
    "logistic": lambda score: logistic(score)[1],
}
"""What the score of a regression becomes."""


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of the trees: the feature that stands in it, and its categories in the order of their codes where it has any."""

    feature: int
    categories: tuple[str | float | bool, ...] | None = None


class Ensemble(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stored: `trees` in treelite's own form, and how features go in and scores come out.

    Of several targets the one numbered `target` is answered. `link` says what scores become: a value; the probabilities of two
    classes (`logistic`) or of several (`softmax`); or the label of the largest score without probabilities (`largest`). A score is
    multiplied by `scale` first. `columns`: None where the trees take the features as they stand.
    """

    trees: bytes
    link: Link
    scale: float = 1.0
    target: int = 0
    columns: tuple[Column, ...] | None = None


class TreeliteRuntime:
    """Trees on one thread, safe to call from several threads at once."""

    __slots__ = ("_answers", "_classes", "_encode", "_ensemble", "_kind", "_trees", "_width")

    def __init__(self, artefact: bytes, signature: Signature) -> None:
        """Raises Rejected where `artefact` is no ensemble of this signature."""
        try:
            self._ensemble = msgspec.msgpack.decode(artefact, type=Ensemble)
            self._trees = treelite.Model.deserialize_bytes(self._ensemble.trees)
        except (msgspec.MsgspecError, treelite.TreeliteError, ValueError) as error:
            raise Rejected(f"treelite cannot load the trees: {said(error)}") from None
        self._width = len(signature.features)
        self._classes: tuple[Label, ...] | None = signature.classes if signature.task == "classification" else None
        self._check()
        self._kind = np.dtype(self._trees.input_type)
        self._encode = None if self._ensemble.columns is None else _encoder(self._ensemble.columns)
        self._answers = Answers(signature)

    def predict(self, rows: Sequence[Row]) -> list[Output]:
        """One output per row; raises ModelFailed."""
        try:
            scores = self._scores(self._matrix(rows))
            if self._classes is None:
                link = VALUES[self._ensemble.link]
                return self._answers.values([link(score) for [score] in scores], len(rows))
            shares = [self._shares(row) for row in scores]
        except (treelite.TreeliteError, ValueError, TypeError, IndexError, OverflowError) as error:
            raise ModelFailed(f"the model failed: {said(error)}") from None
        labels = [self._classes[row.index(max(row))] for row in shares]
        return self._answers.labels(labels, None if self._ensemble.link == "largest" else shares, len(rows))

    def _matrix(self, rows: Sequence[Row]) -> NDArray[Any]:
        """What the trees take, in the width that they compute in; what is missing is NaN."""
        if any(len(row) != self._width for row in rows):
            raise ModelFailed(f"the model failed: expected {self._width} features, got {', '.join(str(len(row)) for row in rows[:10])}")
        encoded = rows if self._encode is None else list(map(self._encode, rows))
        with np.errstate(over="ignore"):  # what is beyond float32 is infinite to trees that compute in it
            return np.array(encoded, dtype=self._kind)

    def _scores(self, matrix: NDArray[Any]) -> list[list[float]]:
        raw = treelite.gtil.predict(self._trees, matrix, nthread=1, pred_margin=True)
        scores: list[list[float]] = (raw[:, self._ensemble.target].astype(np.float64) * self._ensemble.scale).tolist()
        return scores

    def _shares(self, scores: list[float]) -> list[float]:
        if self._ensemble.link == "logistic":
            return logistic(scores[0])
        return softmax(scores) if self._ensemble.link == "softmax" else scores

    def _check(self) -> None:
        """That treelite reads no further than the matrix goes, and that there is a score for each class."""
        takes = self._width if self._ensemble.columns is None else len(self._ensemble.columns)
        if self._trees.num_feature != takes:
            raise Rejected(f"the trees take {self._trees.num_feature} columns, not {takes}")
        header = self._trees.get_header_accessor()
        scores: list[int] = np.asarray(header.get_field("num_class")).tolist()
        if not 0 <= self._ensemble.target < len(scores):
            raise Rejected(f"the trees have no target {self._ensemble.target}")
        two = self._ensemble.link == "logistic" and self._classes is not None
        expected = 1 if two or self._classes is None else len(self._classes)
        if scores[self._ensemble.target] != expected or (two and len(self._classes or ()) != 2):
            raise Rejected(f"{scores[self._ensemble.target]} scores cannot answer {len(self._classes or ())} classes")


def _encoder(columns: Sequence[Column]) -> Callable[[Row], list[Value]]:
    """How a row becomes what the trees take; a category that they do not know is missing."""
    codes = [
        (one.feature, None if one.categories is None else {category: float(code) for code, category in enumerate(one.categories)})
        for one in columns
    ]
    return lambda row: [row[place] if known is None else known.get(row[place], nan) for place, known in codes]  # type: ignore[arg-type]
