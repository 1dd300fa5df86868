"""The classes of a classification, numbered as they are met, whatever type a label comes in."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import Invalid
from core.values import Label
from experiments.losses import same

MOST = 200
"""A confusion table of more classes nobody reads, and it would be resampled a thousand times."""

NONE = "(no answer)"
"""Stands for the answer of a model that has learnt too little yet to say."""


class Classes:
    """Those of the version first, then the other version's, then what only the data holds."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self._places: dict[tuple[type, Label | None], int] = {}

    def add(self, labels: Iterable[Label]) -> None:
        """Number these too."""
        for label in labels:
            self.place(label)

    def place(self, label: Label | None) -> int:
        """The number of the class that `label` names; None: no answer. Raises Invalid where there are too many classes."""
        key = (type(label), label)
        found = self._places.get(key)
        if found is None:
            found = self._places[key] = self._find(NONE if label is None else label)
        return found

    def _find(self, label: Label) -> int:
        for place, own in enumerate(self.labels):
            if same(own, label):
                return place
        if len(self.labels) == MOST:
            raise Invalid(f"target: expected at most {MOST} classes; is it a classification?", field="target")
        self.labels.append(label)
        return len(self.labels) - 1
