"""The model: `answer([…])` takes one row, in the order of `card.json`'s signature, and needs nothing but Python."""

from __future__ import annotations

import json
from math import exp
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CARD = json.loads((FOLDER / "card.json").read_text())
MODEL = json.loads((FOLDER / "model.json").read_text())
CLASSES = CARD["signature"].get("classes") or []


def answer(row: list[float]) -> dict[str, Any]:
    """A value, or a label with the probability of each class."""
    if MODEL["shift"]:
        row = [(value - shift) / scale for value, shift, scale in zip(row, MODEL["shift"], MODEL["scale"], strict=True)]
    scores = [
        intercept + sum(value * weight for value, weight in zip(row, weights, strict=True))
        for weights, intercept in zip(MODEL["coefficients"], MODEL["intercepts"], strict=True)
    ]
    if MODEL["link"] == "identity":
        return {"value": scores[0]}
    place = scores[0] > 0 if MODEL["link"] == "logistic" else scores.index(max(scores))
    shares = two(scores[0]) if MODEL["link"] == "logistic" else several(scores)
    return {"label": CLASSES[place], "probabilities": dict(zip(map(str, CLASSES), shares, strict=True))}


def two(score: float) -> list[float]:
    """The probabilities of two classes, of the score of the second."""
    share = 1 / (1 + exp(-score)) if score >= 0 else exp(score) / (1 + exp(score))
    return [1 - share, share]


def several(scores: list[float]) -> list[float]:
    """The probabilities of several classes."""
    powers = [exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]
