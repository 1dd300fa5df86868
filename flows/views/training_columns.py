"""The columns of a training set: which there are, and of what kind, over plans and versions that differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from core.values import Label, Output
from models.inputs import Inputs
from models.signature import Kind

FIXED: dict[str, Kind] = {
    "prediction_id": "str",
    "at": "float",
    "unit": "str",
    "arm": "str",
    "model_version": "str",
    "snapshot": "int",
    "plan": "int",
    "propensity": "float",
    "enrolled": "bool",
    "fallback": "bool",
    "forced": "bool",
    "pinned": "bool",
}
"""What every row says beside its features, before them."""

LAST = ("answered_label", "answered_value", "label", "label_at")
TIMES = frozenset({"at", "label_at"})
PROBABILITY = "answered_probability_"

Cast: TypeAlias = Callable[[Any], Any]
_CASTS: dict[Kind, Cast] = {"float": float, "int": int, "bool": bool, "str": lambda value: text_of(value)}
_BEYOND = 2**63
"""From here on an integer is no 64-bit one."""


def text_of(value: Label) -> str:
    """As it would be written in JSON, a text without quotes."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def kind_of(value: Label) -> Kind:
    """The narrowest kind that holds the value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -_BEYOND <= value < _BEYOND else "float"
    return "float" if isinstance(value, float) else "str"


def wider(one: Kind | None, other: Kind) -> Kind:
    """The kind that holds both: of an integer and a float a float, of other unlike ones a text."""
    if one is None or one == other:
        return other
    return "float" if {one, other} == {"int", "float"} else "str"


class Columns:
    """Collects what the rows of a training set have, then says its columns: `note_…` first, `kinds` and `cast` after."""

    def __init__(self) -> None:
        self._features: dict[str, Kind] = {}
        self._classes: dict[str, None] = {}
        self._rest: dict[str, Kind] = {}

    def note_inputs(self, inputs: Inputs) -> None:
        """Rows of these inputs."""
        for feature in inputs.features:
            self._features[feature.name] = wider(self._features.get(feature.name), feature.kind)

    def note_answers(self, outputs: Iterable[Output]) -> None:
        """Rows that were answered so."""
        for output in outputs:
            if isinstance(output.probabilities, dict):
                self._classes.update(dict.fromkeys(output.probabilities))
            for name, value in answered(output).items():
                self._rest[name] = wider(self._rest.get(name), kind_of(value))

    def note_label(self, label: Label) -> None:
        """A row with this true value."""
        self._rest["label"] = wider(self._rest.get("label"), kind_of(label))

    def names(self) -> dict[str, str]:
        """Feature → column: its own name, with `feature_` before it where a column of another meaning is called so."""
        taken, found = {*FIXED, *LAST, *map(probability, self._classes)}, {}
        for name in self._features:
            column = name
            while column in taken:
                column = f"feature_{column}"
            taken.add(column)
            found[name] = column
        return found

    def kinds(self) -> dict[str, Kind]:
        """Column → kind, in the file's order."""
        features = {column: self._features[name] for name, column in self.names().items()}
        said: dict[str, Kind] = {name: kind for name, kind in self._rest.items() if name != "label"}
        probabilities: dict[str, Kind] = {probability(name): "float" for name in self._classes}
        label: dict[str, Kind] = {"label": self._rest.get("label", "str"), "label_at": "float"}
        return {**FIXED, **features, **said, **probabilities, **label}


def answered(output: Output) -> dict[str, Label]:
    """What an output says: the label or the value; nothing where it says none."""
    found = {"answered_label": output.label, "answered_value": output.value}
    return {name: value for name, value in found.items() if isinstance(value, str | int | float)}


def probability(name: str) -> str:
    """The column of a class's probability."""
    return f"{PROBABILITY}{name}"


def cast(kind: Kind) -> Cast:
    """A function that makes a value, or None, one of that kind."""
    change = _CASTS[kind]
    return lambda value: None if value is None else change(value)
