"""Registration of a file of trees: what it takes and answers, and the names of its classes, which it only numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import treelite

from core.errors import Invalid, Rejected
from core.values import Label
from models import tree_files
from models.artefact import Source
from models.draft import UNCHECKED, Draft, take
from models.parity import SAME
from models.runtime import whole
from models.sample import Sample
from models.signature import Feature, Signature, Task
from models.tree_files import Told
from models.treelite_runtime import Column, Ensemble, Link, TreeliteRuntime

VALUES: dict[str, Link] = {
    "identity": "identity",
    "exponential": "exponential",
    "sigmoid": "logistic",
    "signed_square": "signed-square",
    "logarithm_one_plus_exp": "log1p-exponential",
}
SHARES = ("cross_entropy", "cross_entropy_lambda")
"""Objectives of LightGBM that learn a share between 0 and 1: treelite takes them for classifications."""
NO_PROBABILITIES = "the model's scores are no probabilities and are left out"


class _Answer(NamedTuple):
    """What trees answer: `classes` is their number, 0 where they answer a value; a score is multiplied by `scale`."""

    task: Task
    link: Link
    classes: int
    targets: int
    scale: float


def from_trees(source: Source, table: Sample | None, target: str | None, output: int | None, classes: Sequence[str] | None) -> Draft:
    """The draft of an XGBoost or LightGBM file; `output` chooses among several targets, `classes` names the classes in their order.

    Raises Rejected where the file cannot be read or served, Invalid on the sample or the names.
    """
    said = tree_files.told(source)
    trees = tree_files.trees(source)
    model = treelite.Model.deserialize_bytes(trees)
    answer = _answer(model, said)
    if said.names is not None and len(said.names) != model.num_feature:
        raise Rejected(f"the file names {len(said.names)} columns, and its trees take {model.num_feature}")
    names = said.names if table is None else _as_in(table, said.names)
    features, chosen, notes = take(table, names, model.num_feature, target)
    _check_texts(features, said, chosen is not None)
    if answer.task != "classification" and classes is not None:
        raise Invalid("classes: the model answers a value and has no classes", field="classes")
    named = labels(answer.classes, classes, table, target) if answer.task == "classification" else None
    signature = Signature(features, answer.task, named, target)
    columns = tuple(Column(place, said.categories.get(place)) for place in range(model.num_feature)) if said.categories else None
    data = msgspec.msgpack.encode(Ensemble(trees, answer.link, answer.scale, _chosen(answer.targets, output), columns))
    rows = chosen.rows() if chosen else [signature.blank()]
    outputs = whole(TreeliteRuntime(data, signature), rows)
    notes = [*([] if chosen else [UNCHECKED]), *([NO_PROBABILITIES] if answer.link == "largest" else []), *said.notes, *notes]
    return Draft(data, "treelite", None, None, SAME, signature, chosen, outputs, notes)


def _answer(model: treelite.Model, said: Told) -> _Answer:
    header = model.get_header_accessor()
    kind, scale = int(header.get_field("task_type")[0]), float(header.get_field("sigmoid_alpha")[0])
    after = str(header.get_field("postprocessor"))
    scores = np.asarray(header.get_field("num_class")).tolist()
    if after in VALUES and (kind == 1 or said.objective in SHARES):
        return _Answer("regression", VALUES[after], 0, len(scores), scale)
    if kind == 0 and after == "sigmoid" and len(scores) == 1:
        return _Answer("classification", "logistic", 2, 1, scale)
    if kind == 2 and after in ("softmax", "multiclass_ova") and len(scores) == 1:
        return _Answer("classification", "softmax" if after == "softmax" else "largest", scores[0], 1, scale)
    what = "ranks rows" if kind == 3 else "answers neither probabilities nor values"
    raise Rejected(f"{said.library}'s objective {said.objective} {what}, which cannot be served")


def _chosen(targets: int, output: int | None) -> int:
    """The number of the target that is served."""
    if output is None:
        if targets > 1:
            raise Rejected(f"the model answers {targets} values per row; choose one of them as output, counted from 0")
        return 0
    if not 0 <= output < targets:
        raise Invalid(f"output: expected a number below {targets}, got {output}", field="output")
    return output


def _as_in(table: Sample, names: Sequence[str] | None) -> Sequence[str] | None:
    """The names as the sample writes them: LightGBM has put underscores for spaces."""
    if names is None:
        return None
    written = {name.replace(" ", "_"): name for name in table.columns}
    return [name if name in table.columns else written.get(name, name) for name in names]


def _check_texts(features: Sequence[Feature], said: Told, sampled: bool) -> None:
    """That text stands only where the file has categories for it."""
    if said.categories and not sampled:
        raise Rejected("the model takes categories; give a sample, so that their types are known")
    texts = [one.name for place, one in enumerate(features) if one.kind == "str" and place not in said.categories]
    if texts:
        raise Rejected(f"column {texts[0]!r} of the sample holds text, where the model takes numbers")


def labels(count: int, given: Sequence[str] | None, table: Sample | None, target: str | None) -> tuple[Label, ...]:
    """The `count` classes of a file by their numbers: as `given`, in the types of the target's own values, else the numbers themselves.

    Which of them is which is never guessed, for a file may number them in any order: raises Invalid where the target holds others than
    numbers from 0, or true and false, and none are given; or where those given are too few, too many, or not those of the target.
    """
    values = [] if table is None or target is None else [value for value in table.columns[target] if value is not None]
    found: list[Label] = list(dict.fromkeys(values))
    if given is None:
        if count == 2 and found and all(type(value) is bool for value in found):
            return (False, True)
        if all(type(value) is int and 0 <= value < count for value in found):
            return tuple(range(count))
        names = ",".join(sorted(map(str, found))[:count])
        raise Invalid(
            f"classes: the file numbers its {count} classes from 0, and the column {target!r} holds others; name them in the order of"
            f" their numbers ({names} in whichever order it was)",
            field="classes",
        )
    if len(given) != count or len(set(given)) != count:
        raise Invalid(f"classes: expected the names of {count} classes, got {','.join(given)[:200]}", field="classes")
    unknown = [value for value in found if str(value) not in given]
    if unknown:
        raise Invalid(
            f"classes: the column {target!r} holds {str(unknown[0])[:60]!r}, which is none of {','.join(given)[:200]}", field="classes"
        )
    own = {str(value): value for value in found}
    numbers = not found and all(name.isdecimal() for name in given)
    return tuple(int(name) if numbers else own.get(name, name) for name in given)
