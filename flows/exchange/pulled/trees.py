"""The model: `answer([…])` takes one row, in the order of `card.json`'s signature, and needs treelite, msgspec and numpy.

`model.msgpack` holds the trees in treelite's own form, and what lies around them: which feature stands in which column, the codes of
categories, and what becomes of a score.
"""

from __future__ import annotations

import json
from math import copysign, exp, log1p
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import treelite

FOLDER = Path(__file__).parent
CARD = json.loads((FOLDER / "card.json").read_text())
CLASSES = CARD["signature"].get("classes") or []
MODEL = msgspec.msgpack.decode((FOLDER / "model.msgpack").read_bytes())
TREES = treelite.Model.deserialize_bytes(MODEL["trees"])
LINK = MODEL["link"]


def answer(row: list[Any]) -> dict[str, Any]:
    """A value, or a label with the probability of each class where the model gives them."""
    columns = MODEL.get("columns")
    encoded = row if columns is None else [code(row[column["feature"]], column.get("categories")) for column in columns]
    with np.errstate(over="ignore"):
        matrix = np.array([encoded], dtype=np.dtype(TREES.input_type))
    raw = treelite.gtil.predict(TREES, matrix, nthread=1, pred_margin=True)
    scores = (raw[0, MODEL.get("target", 0)].astype(np.float64) * MODEL.get("scale", 1.0)).tolist()
    if CARD["signature"]["task"] != "classification":
        return {"value": value(scores[0])}
    shares = two(scores[0]) if LINK == "logistic" else several(scores) if LINK == "softmax" else scores
    label = CLASSES[shares.index(max(shares))]
    return {"label": label} if LINK == "largest" else {"label": label, "probabilities": dict(zip(map(str, CLASSES), shares, strict=True))}


def code(found: Any, categories: list[Any] | None) -> Any:
    """The number that stands for a category; a category that the trees do not know is missing."""
    if categories is None:
        return found
    return float(categories.index(found)) if found in categories else None


def value(score: float) -> float:
    """What a score of a regression becomes."""
    if LINK == "exponential":
        return exp(score)
    if LINK == "log1p-exponential":
        return log1p(exp(score))
    if LINK == "signed-square":
        return copysign(score * score, score)
    return two(score)[1] if LINK == "logistic" else score


def two(score: float) -> list[float]:
    """The probabilities of two classes, of the score of the second."""
    share = 1 / (1 + exp(-score)) if score >= 0 else exp(score) / (1 + exp(score))
    return [1 - share, share]


def several(scores: list[float]) -> list[float]:
    """The probabilities of several classes."""
    powers = [exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]
