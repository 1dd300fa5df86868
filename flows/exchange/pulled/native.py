"""The model: `answer([…])` takes one row, in the order of `card.json`'s signature, and needs scikit-learn and numpy.

A pickle runs what its author put into it when it is loaded; a skops file holds no more than the types that `types.json` names.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent
CARD = json.loads((FOLDER / "card.json").read_text())
FEATURES = CARD["signature"]["features"]


def load() -> Any:
    """The estimator, with the model's own file where it has one."""
    if (FOLDER / "model.skops").exists():
        from skops import io

        return io.load(FOLDER / "model.skops", trusted=json.loads((FOLDER / "types.json").read_text()))
    sys.path.insert(0, str(FOLDER))
    return pickle.loads((FOLDER / "model.pkl").read_bytes())  # noqa: S301 - of whoever pulled it


MODEL = load()


def answer(row: list[Any]) -> dict[str, Any]:
    """A value, or a label with the probability of each class where the model gives them."""
    given = arranged([np.nan if value is None else value for value in row])
    said = np.asarray(MODEL.predict(given)).ravel().tolist()[0]
    if CARD["signature"]["task"] != "classification":
        return {"value": float(said)}
    if not hasattr(MODEL, "predict_proba"):
        return {"label": said}
    classes = map(str, CARD["signature"]["classes"])
    return {"label": said, "probabilities": dict(zip(classes, MODEL.predict_proba(given)[0].tolist(), strict=True))}


def arranged(row: list[Any]) -> Any:
    """The row as the estimator was fitted with rows."""
    if CARD["layout"] == "frame":
        import pandas as pd

        return pd.DataFrame([row], columns=[feature["name"] for feature in FEATURES])
    if CARD["layout"] == "texts":
        return row
    return np.array([row], dtype=np.float64 if CARD["layout"] == "matrix" else np.object_)
