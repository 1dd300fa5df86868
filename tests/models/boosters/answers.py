"""What XGBoost and LightGBM answer to the first rows of the data that their files were trained on."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parent
ANSWERS = json.loads((FOLDER / "answers.json").read_text())

DATA = {
    "labels.json": "cancer-missing",
    "labels.ubj": "cancer-missing",
    "classes.json": "iris",
    "values.ubj": "diabetes-missing",
    "counts.json": "diabetes",
    "named.ubj": "cancer-named",
    "codes.ubj": "codes",
    "targets.ubj": "two-targets",
    "labels.txt": "cancer-missing",
    "classes.txt": "iris",
    "one-against-all.txt": "iris",
    "values.txt": "diabetes-missing",
    "squares.txt": "diabetes",
    "gamma.txt": "diabetes",
    "shares.txt": "shares",
    "named.txt": "cancer-named",
    "codes.txt": "codes",
    "categories.txt": "sizes",
}
TARGETS = {"targets.ubj": 1}
"""The output that is asked of it."""
