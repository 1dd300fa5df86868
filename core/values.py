"""Values that several packages of floor 2 share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import msgspec

Value: TypeAlias = float | int | str | bool | None
"""One feature of one row as it arrives; None where the sample had missing values."""

Row: TypeAlias = Sequence[Value]
"""One row of features, in the order of a signature's inputs."""

Label: TypeAlias = str | int | float | bool


class Output(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a model says of one row: a classifier gives `label` (and `probabilities` where it can), every other model `value`.

    `probabilities` maps str(label) to a probability, in the model's class order. A label or value of None: a model that learns
    while it serves has learnt too little yet to say.
    """

    label: Label | msgspec.UnsetType | None = msgspec.UNSET
    value: float | msgspec.UnsetType | None = msgspec.UNSET
    probabilities: dict[str, float] | msgspec.UnsetType = msgspec.UNSET


def read_label(text: str) -> float | int | bool | None:
    """The number or truth value that a text stands for; None where it is neither."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return None


def finite(total: float) -> float:
    """The total, or the largest number that can be stored where it is beyond: finite parts may add up to infinity."""
    return min(max(total, -sys.float_info.max), sys.float_info.max)


class Position(NamedTuple):
    """A place in the journal: a byte offset in a segment. Positions compare in the order of events."""

    segment: int
    offset: int


START = Position(1, 0)
"""Before the first record of a new journal."""
