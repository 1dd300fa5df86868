"""The signature of a version: what it takes, in which order, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from core.errors import Invalid
from core.values import Label, Row, Value

Kind: TypeAlias = Literal["float", "int", "str", "bool"]
Task: TypeAlias = Literal["classification", "regression", "forecast", "anomaly"]
"""All but a classification answer a value."""

TYPES: Mapping[Kind, type] = {"float": float, "int": int, "str": str, "bool": bool}
"""What a value of each kind is in Python."""

MOST_CATEGORIES = 100
"""A text feature with more distinct values than this is free text: its values are not listed."""

_BLANKS: dict[Kind, Value] = {"float": 0.0, "int": 0, "str": "", "bool": False}


class Feature(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input of a model. `nullable`: the sample had missing values here, so null is accepted.

    `minimum`, `maximum` and `categories` describe the sample; a value outside of them is drift, not an error.
    """

    name: str
    kind: Kind
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None


class Signature(msgspec.Struct, frozen=True, omit_defaults=True):
    """The features in the model's order; `classes` in the order of its probabilities, each of the class's own type."""

    features: tuple[Feature, ...]
    task: Task
    classes: tuple[Label, ...] | None = None
    target: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features, in the model's order."""
        return tuple(feature.name for feature in self.features)

    def blank(self) -> Row:
        """A row to try a model on where no sample is known: zeros, false and empty texts."""
        return tuple(_BLANKS[feature.kind] for feature in self.features)


def infer(columns: Mapping[str, Sequence[Value]]) -> tuple[Feature, ...]:
    """The features of a sample's columns; None is a missing value. Raises Invalid on a column of mixed or other types."""
    return tuple(_feature(name, values) for name, values in columns.items())


def unseen(names: Sequence[str]) -> tuple[Feature, ...]:
    """The features of a model of which no sample is known: numbers, never missing."""
    return tuple(Feature(name, "float") for name in names)


def numbered(count: int) -> tuple[str, ...]:
    """The names of features that have none: x0, x1, …"""
    return tuple(f"x{index}" for index in range(count))


def _feature(name: str, values: Sequence[Value]) -> Feature:
    present = [value for value in values if value is not None]
    kind = _kind(name, present)
    nullable = len(present) < len(values)
    if kind == "str":
        seen = sorted({str(value) for value in present})
        return Feature(name, kind, nullable, categories=tuple(seen) if len(seen) <= MOST_CATEGORIES else None)
    if kind == "bool" or not present:
        return Feature(name, kind, nullable)
    numbers = [float(value) for value in present]
    return Feature(name, kind, nullable, min(numbers), max(numbers))


def _kind(name: str, present: Sequence[Value]) -> Kind:
    types = {type(value) for value in present}
    if types <= {float, int}:
        return "int" if types == {int} else "float"
    if types == {bool}:
        return "bool"
    if types == {str}:
        return "str"
    found = ", ".join(sorted(kind.__name__ for kind in types))
    raise Invalid(f"sample: column {name!r} holds {found}; expected numbers, text or booleans, one of them", field=name)
