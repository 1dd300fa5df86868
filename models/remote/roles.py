"""Which tensor of an answer is what: by the options where they say it, else by the only reading that there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from core.errors import Invalid, ModelFailed, Rejected
from core.values import Label, Value
from models.remote.description import KINDS, ROLES, Role
from models.remote.tensors import Tensor
from models.signature import Task

PROBABLE = 1e-3
"""How far probabilities of a row may be from adding up to 1."""
ORDERED = 0.9
"""The share of rows whose label must be the class of the greatest probability: else the columns stand for the classes in another order."""
UNNAMED = "probabilities are left out, since nothing names their classes: give a sample and its target"


class Trial(NamedTuple):
    """What the model answered to some rows."""

    tensors: Mapping[str, Tensor]
    rows: int


class Said(NamedTuple):
    """What is known beside the answer: the classes that the server names, and the true values in the sample."""

    classes: tuple[Label, ...] | None
    truth: Sequence[Value]


class Found(NamedTuple):
    """What the tensors mean."""

    outputs: dict[Role, str]
    task: Task
    classes: tuple[Label, ...] | None
    notes: list[str]


def named(texts: Sequence[str]) -> dict[Role, str]:
    """`label=output0` → its role and its name; raises Invalid."""
    found: dict[Role, str] = {}
    for text in texts:
        given, _, name = text.partition("=")
        role = next((role for role in ROLES if role == given), None)
        if role is None or not name or role in found:
            raise Invalid(f"--remote-output: expected each of label=NAME, probabilities=NAME or value=NAME at most once, got {text[:60]!r}")
        found[role] = name
    return found


def find(trial: Trial, given: Mapping[Role, str], said: Said) -> Found:
    """The meaning of the tensors; raises Rejected where it is not plain, or cannot be served."""
    outputs = dict(given) or _guess(trial, said)
    missing = [name for name in outputs.values() if name not in trial.tensors]
    if missing:
        raise Rejected(f"the model answers no output {missing[0]!r}; it answers {_listed(trial)}")
    if "value" in outputs:
        if len(outputs) > 1:
            raise Rejected("an output is either a value, or a label with or without probabilities")
        return Found(outputs, "regression", None, [])
    if "probabilities" not in outputs:
        return Found(outputs, "classification", said.classes, [])
    return _with_probabilities(trial, outputs, said)


def _guess(trial: Trial, said: Said) -> dict[Role, str]:
    tensors = list(trial.tensors.values())
    if len(tensors) == 1:
        return {_alone(tensors[0], trial, said): tensors[0].name}
    labels = [each for each in tensors if not _is_float(each) and _width(each, trial) == 1]
    shares = [each for each in tensors if _is_float(each) and _width(each, trial) > 1]
    if len(tensors) == 2 and len(labels) == len(shares) == 1:
        return {"label": labels[0].name, "probabilities": shares[0].name}
    # A Tiltyard's one class has one probability.
    if set(trial.tensors) == {"label", "probabilities"}:
        return {"label": "label", "probabilities": "probabilities"}
    raise Rejected(f"the model answers {_listed(trial)}: {_ADVICE}")


_ADVICE = "say which is what by --remote-output label=NAME, probabilities=NAME or value=NAME"


def _alone(tensor: Tensor, trial: Trial, said: Said) -> Role:
    """What a single tensor is. Whole numbers are labels, unless the true values have fractions; numbers with fractions are values."""
    if _width(tensor, trial) > 1:
        if _is_float(tensor):
            return "probabilities"
        raise Rejected(f"the model answers {_listed(trial)}: several labels a row cannot be served")
    kinds = set(map(type, said.truth))
    if not _is_float(tensor):
        return "value" if float in kinds and KINDS.get(tensor.datatype) == "int" else "label"
    if kinds & {str, bool}:
        raise Rejected(f"the model answers {_listed(trial)}, and the target holds no numbers: {_ADVICE}")
    return "value"


def _with_probabilities(trial: Trial, outputs: dict[Role, str], said: Said) -> Found:
    tensor = trial.tensors[outputs["probabilities"]]
    width = _width(tensor, trial)
    classes = said.classes or _sorted(said.truth)
    if (tensor.parameters or {}).get("classes") is not None and "label" in outputs:
        # They come with each answer, and may become more where the model learns.
        return Found(outputs, "classification", said.classes, [])
    problem = _problem(trial, tensor, width, classes)
    if problem is None and classes is not None and "label" in outputs and not _in_order(trial, outputs, tensor, classes):
        problem = f"the columns of {tensor.name!r} do not stand for the classes in sorted order: probabilities are left out"
    if problem is None:
        return Found(outputs, "classification", classes, [])
    if "label" not in outputs:
        raise Rejected(problem)
    return Found({"label": outputs["label"]}, "classification", said.classes, [problem])


def _problem(trial: Trial, tensor: Tensor, width: int, classes: tuple[Label, ...] | None) -> str | None:
    """Why the tensor cannot be probabilities of the classes; None where it can."""
    if not classes:
        return UNNAMED
    if width != len(classes) and not (width == 1 and len(classes) == 2):
        return f"output {tensor.name!r} has {width} columns, and there are {len(classes)} classes: {UNNAMED}"
    for row in tensor.rows(trial.rows):
        if not all(type(share) in (int, float) and -PROBABLE <= share <= 1 + PROBABLE for share in row) or (
            width > 1 and abs(sum(row) - 1) > PROBABLE
        ):
            return f"output {tensor.name!r} holds no probabilities, such as {str(row)[:60]}: it is left out"
    return None


def _in_order(trial: Trial, outputs: dict[Role, str], tensor: Tensor, classes: tuple[Label, ...]) -> bool:
    rows = tensor.rows(trial.rows)
    greatest = [classes[row.index(max(row))] if len(row) > 1 else classes[row[0] > 0.5] for row in rows]
    labels = trial.tensors[outputs["label"]].column(trial.rows)
    agreeing = sum(bool(one == other) for one, other in zip(greatest, labels, strict=True))
    return agreeing >= ORDERED * trial.rows


def _sorted(truth: Sequence[Value]) -> tuple[Label, ...] | None:
    distinct: set[Any] = {value for value in truth if value is not None}
    return tuple(sorted(distinct)) or None


def _width(tensor: Tensor, trial: Trial) -> int:
    return len(tensor.rows(trial.rows)[0])


def _is_float(tensor: Tensor) -> bool:
    kind = KINDS.get(tensor.datatype)
    if kind is None:
        raise ModelFailed(f"output {tensor.name!r} is of the datatype {tensor.datatype[:20]!r}")
    return kind == "float"


def _listed(trial: Trial) -> str:
    shown = ", ".join(f"{each.name} {each.datatype} {each.shape}" for each in trial.tensors.values())
    return f"the outputs {shown}"[:300] if shown else "no outputs"
