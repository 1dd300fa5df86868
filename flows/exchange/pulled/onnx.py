"""The model: `answer([…])` takes one row, in the order of `card.json`'s signature, and needs onnxruntime and numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

FOLDER = Path(__file__).parent
CARD = json.loads((FOLDER / "card.json").read_text())
CLASSES = CARD["signature"].get("classes") or []
SESSION = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"])
TYPES = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}

KINDS = {output.name: output.type for output in SESSION.get_outputs()}
NUMBERS = next((name for name, kind in KINDS.items() if kind in ("tensor(double)", "tensor(float)")), None)
LABEL = next((name for name, kind in KINDS.items() if kind not in ("tensor(double)", "tensor(float)")), None)
OUTPUTS = [name for name in (LABEL, NUMBERS) if name]


def answer(row: list[Any]) -> dict[str, Any]:
    """A value, or a label with the probability of each class where the model gives them."""
    inputs = SESSION.get_inputs()
    if len(inputs) == 1 and len(inputs[0].shape) == 2:
        feeds = {inputs[0].name: array([row], inputs[0].type)}
    else:
        feeds = {one.name: array([[value]] if len(one.shape) == 2 else [value], one.type) for one, value in zip(inputs, row, strict=True)}
    found = dict(zip(OUTPUTS, SESSION.run(OUTPUTS, feeds), strict=True))
    numbers = found[NUMBERS].ravel().tolist() if NUMBERS else None
    if LABEL is None:
        return {"value": (numbers or [None])[0]}
    said = found[LABEL].ravel().tolist()[0]
    own = next((one for one in CLASSES if one == said), said)
    return {"label": own} if numbers is None else {"label": own, "probabilities": dict(zip(map(str, CLASSES), numbers, strict=True))}


def array(values: list[Any], kind: str) -> Any:
    """As the graph takes it: a missing text is empty, a missing number is not one."""
    if kind == "tensor(string)":
        filled = [["" if value is None else value for value in row] if isinstance(row, list) else row or "" for row in values]
        return np.array(filled, dtype=np.object_)
    return np.array(values, dtype=TYPES[kind])
