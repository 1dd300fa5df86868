"""The model: `answer([…])` takes one row, in the order of `card.json`'s signature, and needs River. `MODEL` can go on learning.

It is a pickle: it runs what its author put into it when it is loaded.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CARD = json.loads((FOLDER / "card.json").read_text())
NAMES = [feature["name"] for feature in CARD["signature"]["features"]]
KIND = CARD["river"]["kind"]

sys.path.insert(0, str(FOLDER))
MODEL = pickle.loads((FOLDER / "model.pkl").read_bytes())  # noqa: S301 - of whoever pulled it


def answer(row: list[Any]) -> dict[str, Any]:
    """A value, or a label with the probabilities of those met so far; None where the model has learnt too little to say."""
    x = {name: value for name, value in zip(NAMES, row, strict=True) if value is not None}
    if KIND == "classifier":
        shares = shares_of(x)
        label = MODEL.predict_one(x)
        return {"label": label} if shares is None else {"label": label, "probabilities": {str(name): shares[name] for name in shares}}
    if KIND == "forecaster":
        return {"value": forecast(x)}
    return {"value": MODEL.score_one(x) if KIND == "anomaly" else MODEL.predict_one(x)}


def shares_of(x: dict[str, Any]) -> dict[Any, float] | None:
    """The probabilities, where the model gives them."""
    try:
        return dict(MODEL.predict_proba_one(x))
    except (AttributeError, NotImplementedError):
        return None


def forecast(x: dict[str, Any]) -> float | None:
    """So many steps ahead as the feature `horizon` says, else one."""
    ahead = max(1, int(x.pop("horizon", 1) or 1))
    try:
        found: list[float] = MODEL.forecast(horizon=ahead, xs=[x] * ahead if x else None)
    except IndexError:
        return None
    return found[-1]
