"""A label as the model knows it: clients write the same class in several ways, the model has one."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, TypeAlias

from core.errors import Invalid
from core.values import Label, read_label
from models.learner.settings import RiverCard

Reader: TypeAlias = Callable[[Label], Any]


def reader(card: RiverCard) -> Reader:
    """What turns a client's label into the model's own; it raises Invalid(field="label") on one that cannot be read.

    A class by the kind of the target column: of kind int, float or bool 1, 1.0, true, "1" and "true" are one class; of kind str a text
    is taken as it is and anything else by its text, a whole number without a fraction. A column of unknown kind: as given. Regressors and
    forecasters take a finite number, never a text; anomaly detectors 0 or 1, false or true, in the same ways.
    """
    if card.kind == "classifier":
        return _CLASSES[card.label]
    return _truth if card.kind == "anomaly" else _number


def tester(card: RiverCard) -> Callable[[Label], bool]:
    """What tells whether `reader` can read a label."""
    read = reader(card)

    def can_read(label: Label) -> bool:
        try:
            read(label)
        except Invalid:
            return False
        return True

    return can_read


def _given(label: Label) -> Label:
    return label


def _text(label: Label) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _truth(label: Label) -> bool:
    found = _read_number(label, "0 or 1, false or true")
    if found not in (0, 1):
        raise _unread("0 or 1, false or true", label)
    return bool(found)


def _whole(label: Label) -> int:
    found = _read_number(label, "a whole number")
    if found != int(found):
        raise _unread("a whole number", label)
    return int(found)


def _real(label: Label) -> float:
    return float(_read_number(label, "a number"))


def _number(label: Label) -> float:
    if isinstance(label, str):
        raise _unread("a number", label)
    return float(_read_number(label, "a number"))


def _read_number(label: Label, expected: str) -> float | int | bool:
    found = read_label(label) if isinstance(label, str) else label
    try:
        if found is not None and isfinite(found):
            return found
    except OverflowError:  # an integer beyond what a float can be
        pass
    raise _unread(expected, label)


def _unread(expected: str, label: Label) -> Invalid:
    kind = "the text " if isinstance(label, str) else ""
    return Invalid(f"label: expected {expected}, got {kind}{label!r:.60}", field="label")


_CLASSES: dict[str | None, Reader] = {"bool": _truth, "int": _whole, "float": _real, "str": _text, None: _given}
