"""Ask the model its golden rows: `python check.py` says whether it answers here as it did where it was registered."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def apart(expected: dict[str, Any], got: dict[str, Any]) -> float:
    """The largest difference of the numbers, relative where they are larger than 1; infinite where the labels differ."""
    if expected.get("label") != got.get("label"):
        return float("inf")
    left = expected.get("probabilities") or {"value": expected.get("value") or 0.0}
    right = got.get("probabilities") or {"value": got.get("value") or 0.0}
    return max((abs(number - right[name]) / max(1.0, abs(number)) for name, number in left.items()), default=0.0)


def main() -> int:
    """Print each answer; 1 where one differs by more than the card's tolerance."""
    sys.path.insert(0, str(FOLDER))
    answer = import_module("model").answer
    card = json.loads((FOLDER / "card.json").read_text())
    golden = json.loads((FOLDER / "golden.json").read_text())
    worst = 0.0
    for row, expected in zip(golden["rows"], golden["outputs"], strict=True):
        got = answer(row)
        worst = max(worst, apart(expected, got))
        print(json.dumps(got))
    print(f"{len(golden['rows'])} rows, largest difference {worst:.3g}, tolerance {card['tolerance']:g}", file=sys.stderr)
    return 0 if worst <= card["tolerance"] else 1


if __name__ == "__main__":
    sys.exit(main())
