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
ORDERED, FEWEST = 0.5, 5
"""Where a label was answered so often, in this share of its rows it must be the class of the greatest probability: else the columns stand
for the classes in another order. Not in all: some models answer by another rule, such as a threshold of one's own."""
UNNAMED = "probabilities are left out, since nothing names their classes: give a sample and its target"


class Seen(NamedTuple):
    """An output as it was answered to all rows of the sample, row by row. `names_classes`: the classes come with it."""

    name: str
    datatype: str
    rows: list[list[Any]]
    names_classes: bool

    @property
    def width(self) -> int:
        """The number of values for each row; raises ModelFailed where that changes."""
        widths = set(map(len, self.rows))
        if len(widths) > 1 and not self.names_classes:
            raise ModelFailed(f"output {self.name!r} has now {min(widths)}, now {max(widths)} values a row")
        return max(widths)

    @property
    def fractions(self) -> bool:
        """Whether it holds numbers that are no integers; raises ModelFailed where its datatype is none that can be served."""
        kind = KINDS.get(self.datatype)
        if kind is None:
            raise ModelFailed(f"output {self.name!r} is of the datatype {self.datatype[:20]!r}")
        return kind == "float"


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


def seen(parts: Sequence[tuple[Mapping[str, Tensor], int]]) -> list[Seen]:
    """The outputs of several answers, each with its number of rows; raises ModelFailed where they are not alike."""
    first, _ = parts[0]
    for tensors, _ in parts:
        if tensors.keys() != first.keys():
            raise ModelFailed("the model answers now these outputs, now others")
    return [
        Seen(name, each.datatype, [row for tensors, count in parts for row in tensors[name].rows(count)], each.classes is not None)
        for name, each in first.items()
    ]


def find(answered: Sequence[Seen], given: Mapping[Role, str], said: Said) -> Found:
    """The meaning of the outputs; raises Rejected where it is not plain, or cannot be served."""
    outputs = dict(given) or _guess(answered, said)
    by_name = {each.name: each for each in answered}
    missing = [name for name in outputs.values() if name not in by_name]
    if missing:
        raise Rejected(f"the model answers no output {missing[0]!r}; it answers {_listed(answered)}")
    if "value" in outputs:
        if len(outputs) > 1:
            raise Rejected("an output is either a value, or a label with or without probabilities")
        return Found(outputs, "regression", None, [])
    if "probabilities" not in outputs:
        return Found(outputs, "classification", said.classes, [])
    label = by_name[outputs["label"]] if "label" in outputs else None
    return _with_probabilities(by_name[outputs["probabilities"]], label, outputs, said)


def _guess(answered: Sequence[Seen], said: Said) -> dict[Role, str]:
    if len(answered) == 1:
        return {_alone(answered[0], said): answered[0].name}
    # A Tiltyard's one class has one probability.
    shares = [each for each in answered if each.fractions and (each.width > 1 or each.names_classes)]
    labels = [each for each in answered if each not in shares and each.width == 1]
    if len(answered) == 2 and len(labels) == len(shares) == 1 and (not labels[0].fractions or shares[0].names_classes):
        return {"label": labels[0].name, "probabilities": shares[0].name}
    raise Rejected(f"the model answers {_listed(answered)}: {_ADVICE}")


def _alone(output: Seen, said: Said) -> Role:
    """What a single output is. Whole numbers are labels, unless the true values have fractions; numbers with fractions are values."""
    if output.width > 1:
        if output.fractions:
            return "probabilities"
        raise Rejected(f"the model answers {_listed([output])}: several labels a row cannot be served")
    kinds = set(map(type, said.truth))
    if not output.fractions:
        return "value" if float in kinds and KINDS[output.datatype] == "int" else "label"
    if kinds & {str, bool}:
        raise Rejected(f"the model answers {_listed([output])}, and the target holds no numbers: {_ADVICE}")
    return "value"


def _with_probabilities(shares: Seen, label: Seen | None, outputs: dict[Role, str], said: Said) -> Found:
    if shares.names_classes and label is not None:
        # They come with each answer, and may become more where the model learns.
        return Found(outputs, "classification", said.classes, [])
    classes = said.classes or _sorted(said.truth)
    problem = _problem(shares, label, classes)
    if problem is None:
        return Found(outputs, "classification", classes, [])
    if label is None:
        raise Rejected(problem)
    return Found({"label": label.name}, "classification", said.classes, [problem])


def _problem(shares: Seen, label: Seen | None, classes: tuple[Label, ...] | None) -> str | None:
    """Why the output cannot be probabilities of the classes; None where it can."""
    if not classes:
        return UNNAMED
    if shares.width != len(classes) and not (shares.width == 1 and len(classes) == 2):
        return f"output {shares.name!r} has {shares.width} columns, and there are {len(classes)} classes: {UNNAMED}"
    odd = next((row for row in shares.rows if not _probable(row)), None)
    if odd is not None:
        return f"output {shares.name!r} holds no probabilities, such as {str(odd)[:60]}: it is left out"
    if label is not None and not _in_order(shares, label, classes):
        return f"the columns of {shares.name!r} do not stand for the classes in sorted order: they are left out"
    return None


def _probable(row: Sequence[Any]) -> bool:
    if not all(type(share) in (int, float) and -PROBABLE <= share <= 1 + PROBABLE for share in row):
        return False
    return len(row) == 1 or abs(sum(row) - 1) <= PROBABLE


def _in_order(shares: Seen, label: Seen, classes: tuple[Label, ...]) -> bool:
    """Whether each label is mostly the class of the greatest probability."""
    agreeing: dict[Any, list[bool]] = {}
    for row, answered in zip(shares.rows, label.rows, strict=True):
        greatest = classes[row.index(max(row))] if len(row) > 1 else classes[row[0] > 0.5]
        agreeing.setdefault(str(answered), []).append(bool(greatest == answered[0]))
    return all(sum(each) >= ORDERED * len(each) for each in agreeing.values() if len(each) >= FEWEST)


def _sorted(truth: Sequence[Value]) -> tuple[Label, ...] | None:
    distinct: set[Any] = {value for value in truth if value is not None}
    return tuple(sorted(distinct)) or None


_ADVICE = "say which is what by --remote-output label=NAME, probabilities=NAME or value=NAME"


def _listed(answered: Sequence[Seen]) -> str:
    shown = ", ".join(f"{each.name} ({each.datatype}, {each.width} a row)" for each in answered)
    return f"the outputs {shown}"[:300] if shown else "no outputs"
