"""Reads a file of trees in a process of its own: `python -m models.tree_parser FORMAT FILE OUT`.

treelite trusts what it reads: a LightGBM file whose nodes point beyond its leaves ends the process, one whose nodes go round in a circle
keeps it for ever, and a split by a feature that does not exist is let through. So the process that registers does not read such
files itself, and what has been read is looked over here before it is handed on.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MEMORY = 4 * 2**30
"""Bytes of address space, beside 20 times the file."""


MOST_FEATURES = 100_000


def main(form: str, source: str, target: str) -> int:
    """Writes the trees in treelite's own form to `target`; 1 with a line on standard error where they cannot be read."""
    import treelite

    loaders: dict[str, Callable[[], Any]] = {
        "xgboost-json": lambda: treelite.frontend.load_xgboost_model(source, format_choice="json"),
        "xgboost-ubj": lambda: treelite.frontend.load_xgboost_model(source, format_choice="ubjson"),
        "lightgbm": lambda: treelite.frontend.load_lightgbm_model(source),
    }
    most = MEMORY + 20 * Path(source).stat().st_size
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        model = loaders[form]()
        _check(model)
    except (treelite.TreeliteError, ValueError, MemoryError) as error:
        print(str(error) or type(error).__name__, file=sys.stderr)
        return 1
    Path(target).write_bytes(model.serialize_bytes())
    return 0


def _check(model: Any) -> None:
    """Raises ValueError where a tree is none, asks for a feature that does not exist, or holds a number that is not finite."""
    if model.num_feature > MOST_FEATURES:
        raise ValueError(f"it takes {model.num_feature} columns; at most {MOST_FEATURES} can be served")
    if model.num_tree == 0:
        raise ValueError("it holds no trees")
    if not np.isfinite(model.get_header_accessor().get_field("base_scores")).all():
        raise ValueError("the base score is not finite")
    for number in range(model.num_tree):
        problem = _problem(model.get_tree_accessor(number).get_field, model.num_feature)
        if problem is not None:
            raise ValueError(f"tree {number}: {problem}")


def _problem(field: Callable[[str], Any], features: int) -> str | None:
    """What is wrong with one tree. From the root each node must be reached once, or walking it need not end."""
    left, right = field("cleft"), field("cright")
    inner = left >= 0
    below = np.concatenate([left[inner], right[inner]])
    if (below <= 0).any() or (below >= len(left)).any() or len(np.unique(below)) != len(below):
        return "its nodes do not form a tree"
    splits = field("split_index")[inner]
    if (splits < 0).any() or (splits >= features).any():
        return f"it asks for a feature that is none of its {features}"
    if not (np.isfinite(field("leaf_value")).all() and np.isfinite(field("leaf_vector")).all()):
        return "a leaf is not finite"
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
