"""Scores of the answers as they were served, beside those of the model asked again when the label is there."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from core.errors import Invalid
from core.values import Output, read_label
from models.learner import labels
from models.learner.river_model import Asked
from models.learner.scores import Scores
from models.learner.settings import LearnerSettings, RiverCard


class Served:
    """Scores for each place (`endpoint/arm`) that answered."""

    __slots__ = ("_card", "_classes", "_labels", "_places", "_settings")

    def __init__(self, card: RiverCard, settings: LearnerSettings) -> None:
        self._card = card
        self._settings = settings
        self._places: dict[str, Scores] = {}
        self._labels: dict[str, int] = {}
        self._classes: dict[tuple[str, bool], Any] = {}

    def add(self, place: str, truth: Any, answered: Output) -> None:
        """Count one answer of the place; `truth` in the model's own terms."""
        if place not in self._places:
            self._places[place] = Scores(self._card, self._settings)
        self._labels[place] = self._labels.get(place, 0) + 1
        self._places[place].add(truth, self._asked(answered))

    def describe(self) -> dict[str, dict[str, Any]]:
        """By place: `labels` (how many answers were scored), `scores`, `rolling`."""
        return {
            place: {"labels": self._labels[place], "scores": scores.totals(), "rolling": scores.rolling()}
            for place, scores in self._places.items()
        }

    def _asked(self, answered: Output) -> Asked:
        if answered.value is not UNSET:
            return Asked(answered.value)
        said = answered.label
        if said is UNSET or said is None:
            return Asked(None)
        is_text = isinstance(said, str)
        if answered.probabilities is UNSET:
            return Asked(self._class(str(said), is_text))
        return Asked(self._class(str(said), is_text), {self._class(key, is_text): share for key, share in answered.probabilities.items()})

    def _class(self, key: str, is_text: bool) -> Any:
        try:
            return self._classes[key, is_text]
        except KeyError:
            found = self._classes[key, is_text] = _own_class(self._card, key, is_text)
            return found


def _own_class(card: RiverCard, key: str, is_text: bool) -> Any:
    """The class that is served as `key`, as the metrics know it; where it is none of the model's, the text."""
    if card.label is None:
        found = None if is_text else read_label(key)
        return key if found is None else found
    try:
        return labels.reader(card)(key)
    except Invalid:
        return key
