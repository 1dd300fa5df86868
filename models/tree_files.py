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


class _Model(msgspec.Struct):
    iteration_indptr: Any = ()  # a list, or numpy's array where UBJSON gives the numbers one type


class _Trees(msgspec.Struct):
    model: _Model


class _Booster(msgspec.Struct):
    """What is not named here, above all the trees, is passed over. The booster `dart` keeps its trees one level deeper."""

    name: str
    model: _Model | None = None
    gbtree: _Trees | None = None

    @property
    def rounds(self) -> int:
        """How many there are, 0 where the file does not say."""
        model = self.gbtree.model if self.gbtree is not None else self.model
        return 0 if model is None else max(len(model.iteration_indptr) - 1, 0)


class _Learner(msgspec.Struct):
    objective: _Objective
    gradient_booster: _Booster
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
    if learner.gradient_booster.name not in ("gbtree", "dart"):
        raise Rejected(f"the file holds XGBoost's booster {learner.gradient_booster.name}; trees (gbtree, dart) can be served")
    return Told("XGBoost", learner.objective.name, tuple(learner.feature_names) or None, {}, _best(learner))


def _best(learner: _Learner) -> list[str]:
    """A note where early stopping found an earlier round better: XGBoost's own scikit-learn classes answer by that one."""
    best, rounds = learner.attributes.get("best_iteration"), learner.gradient_booster.rounds
    kept = rounds if best is None else int(best) + 1
    if kept >= rounds:
        return []
    return [f"all {rounds} rounds are served, though the {kept} first were best; save booster[:{kept}] to serve only those"]


def _lightgbm(text: str) -> Told:
    lines = [line.rstrip() for line in text.splitlines()]
    head = lines[: next((place for place, line in enumerate(lines) if line.startswith("Tree=")), len(lines))]
    said_of: dict[str, str] = dict(line.partition("=")[::2] for line in head)
    if "max_feature_idx" not in said_of:
        raise ValueError("it names no max_feature_idx")
    kinds = (kind for line in lines if line.startswith("decision_type=") for kind in line.partition("=")[2].split(" "))
    if any(int(kind) >> 2 & 3 == ZERO_MISSING for kind in kinds if kind):
        raise Rejected("the model was trained with zero_as_missing, which treelite does not know; mark missing values as NaN instead")
    names = tuple(said_of["feature_names"].split(" ")) if "feature_names" in said_of else ()
    plain = names == tuple(f"Column_{place}" for place in range(len(names)))
    objective = said_of.get("objective", "custom").split(" ")[0]
    listed = next((line.partition(":")[2] for line in lines if line.startswith("pandas_categorical:")), "null")
    return Told("LightGBM", objective, None if plain else names, _categories(said_of, listed), [])


def _categories(said_of: Mapping[str, str], listed: str) -> dict[int, tuple[str | float | bool, ...]]:
    """The categories that pandas knew, by column: they are listed at the end of the file, for the columns that have codes."""
    lists = msgspec.json.decode(listed, type=list[tuple[str | float | bool, ...]] | None)
    if not lists:
        return {}
    infos = said_of.get("feature_infos", "").split(" ")
    places = [place for place, info in enumerate(infos) if not info.startswith("[") and info != "none"]
    if len(places) != len(lists):
        raise Rejected("the file does not say which columns its categories belong to: one of these never varied in training; leave it out")
    return dict(zip(places, lists, strict=True))


def _reason(text: str) -> str:
    """What treelite said last, without its own time and place, and without the piece of the file that it quotes."""
    lines = [line for line in text.splitlines() if line.strip(" ~^")]
    found = re.findall(r"(?:Check failed: |Error: |\.cc:\d+: )(.+)", "\n".join(lines))
    return said(ValueError(found[-1].rpartition(": ")[2] if found else lines[-1] if lines else "no reason given"))


def _unreadable(source: Source, reason: str) -> Rejected:
    library = "LightGBM" if source.format == "lightgbm" else "XGBoost"
    return Rejected(f"not a readable {library} file: {reason}")
