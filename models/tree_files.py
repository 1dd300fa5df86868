"""Files of trees as XGBoost and LightGBM save them, read without those packages: what they say of themselves, and the trees.

The trees are read by `models.tree_parser`, what lies around them here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec

from core.errors import Rejected
from models import ubjson
from models.artefact import Source
from models.runtime import said

SECONDS = 300
"""How long reading the trees may take."""

ZERO_MISSING = 1
"""Of LightGBM's ways with missing values the one that takes zeros for missing: bits 2 and 3 of a node's `decision_type`."""


class Told(NamedTuple):
    """What a file says beside its trees: the columns' names where they have any, and the categories of columns by place."""

    library: str
    objective: str
    names: tuple[str, ...] | None
    categories: dict[int, tuple[str | float | bool, ...]]
    notes: list[str]


class _Objective(msgspec.Struct):
    name: str


class _Learner(msgspec.Struct):
    objective: _Objective
    gradient_booster: dict[str, Any]
    feature_names: list[str] = []
    attributes: dict[str, str] = {}


class _XGBoost(msgspec.Struct):
    learner: _Learner


def told(source: Source) -> Told:
    """What the file says beside its trees; raises Rejected where it is no such file or one that would be answered wrongly."""
    try:
        if source.format == "lightgbm":
            return _lightgbm(source.data.decode())
        if source.format == "xgboost-json":
            return _xgboost(msgspec.json.decode(source.data, type=_XGBoost))
        return _xgboost(msgspec.convert(ubjson.decode(source.data), _XGBoost))
    except (msgspec.MsgspecError, ValueError, KeyError, RecursionError) as error:
        raise _unreadable(source, said(error)) from None


def trees(source: Source) -> bytes:
    """The trees in treelite's own form; raises Rejected where they cannot be read within 5 minutes, or are broken."""
    with TemporaryDirectory() as folder:
        given, made = Path(folder, "given"), Path(folder, "made")
        given.write_bytes(source.data)
        command = [sys.executable, "-P", "-m", "models.tree_parser", source.format, str(given), str(made)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603 - our own module
        except subprocess.TimeoutExpired:
            raise _unreadable(source, f"reading it took more than {SECONDS} s") from None
        if done.returncode < 0:
            raise _unreadable(source, f"its parser crashed (signal {-done.returncode})")
        if done.returncode > 0:
            raise _unreadable(source, _reason(done.stderr.decode(errors="replace")))
        return made.read_bytes()


def _xgboost(file: _XGBoost) -> Told:
    learner = file.learner
    booster = learner.gradient_booster.get("name")
    if booster not in ("gbtree", "dart"):
        raise Rejected(f"the file holds XGBoost's booster {booster}; trees (gbtree, dart) can be served")
    return Told("XGBoost", learner.objective.name, tuple(learner.feature_names) or None, {}, _best(learner))


def _best(learner: _Learner) -> list[str]:
    """A note where early stopping found an earlier round better: XGBoost's own scikit-learn classes answer by that one."""
    best = learner.attributes.get("best_iteration")
    model = learner.gradient_booster.get("model", learner.gradient_booster.get("gbtree", {}).get("model", {}))
    rounds = len(model.get("iteration_indptr", [])) - 1
    if best is None or int(best) + 1 >= rounds:
        return []
    kept = int(best) + 1
    return [f"all {rounds} rounds are served, though the {kept} first were best; save booster[:{kept}] to serve only those"]


def _lightgbm(text: str) -> Told:
    head, _, rest = text.partition("\nTree=0\n")
    said_of: dict[str, str] = dict(line.partition("=")[::2] for line in head.splitlines())
    if "max_feature_idx" not in said_of:
        raise ValueError("it names no max_feature_idx")
    for line in re.findall(r"^decision_type=(.*)$", rest, re.MULTILINE):
        if any(int(kind) >> 2 & 3 == ZERO_MISSING for kind in line.split()):
            raise Rejected("the model was trained with zero_as_missing, which treelite does not know; mark missing values as NaN instead")
    names = tuple(said_of.get("feature_names", "").split(" "))
    plain = names == tuple(f"Column_{place}" for place in range(len(names)))
    objective = said_of.get("objective", "custom").split(" ")[0]
    return Told("LightGBM", objective, None if plain else names, _categories(said_of, rest), [])


def _categories(said_of: Mapping[str, str], rest: str) -> dict[int, tuple[str | float | bool, ...]]:
    """The categories that pandas knew, by column: they are listed at the end of the file, for the columns that have codes."""
    found = re.search(r"^pandas_categorical:(.*)$", rest, re.MULTILINE)
    lists = msgspec.json.decode(found[1], type=list[tuple[str | float | bool, ...]] | None) if found else None
    if not lists:
        return {}
    infos = said_of.get("feature_infos", "").split(" ")
    places = [place for place, info in enumerate(infos) if not info.startswith("[") and info != "none"]
    if len(places) != len(lists):
        raise Rejected("the file does not say which columns its categories belong to: one of them is in no tree; leave it out of training")
    return dict(zip(places, lists, strict=True))


def _reason(text: str) -> str:
    """What treelite said last, without its own time and place, and without the piece of the file that it quotes."""
    lines = [line for line in text.splitlines() if line.strip(" ~^")]
    found = re.findall(r"(?:Check failed: |Error: |\.cc:\d+: )(.+)", "\n".join(lines))
    return said(ValueError(found[-1].rpartition(": ")[2] if found else lines[-1] if lines else "no reason given"))


def _unreadable(source: Source, reason: str) -> Rejected:
    library = "LightGBM" if source.format == "lightgbm" else "XGBoost"
    return Rejected(f"not a readable {library} file: {reason}")
