"""Registration of a River model: what it takes is known from the sample alone, and that it can learn is tried out on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from core.errors import Invalid, ModelFailed, Rejected
from core.values import Label, Row
from models import factory
from models import sample as samples
from models.artefact import Source
from models.draft import Draft
from models.failure import reason
from models.learner import checks, labels
from models.learner.fingerprint import fingerprint
from models.learner.river_model import HORIZON, RiverModel, row_reader
from models.learner.settings import LearnerSettings, Learning, LearnsFrom, RiverCard, RiverKind
from models.parity import SAME, largest
from models.river_runtime import RiverRuntime
from models.runtime import whole
from models.sample import Sample
from models.signature import Feature, Kind, Signature, Task, infer

TASKS: dict[RiverKind, Task] = {
    "classifier": "classification",
    "regressor": "regression",
    "forecaster": "forecast",
    "anomaly": "anomaly",
}
LEARNS: dict[LearnsFrom, str] = {
    "own": "learns from the rows that it answered itself (own): what it answers decides what it sees",
    "arms": "learns from the rows of all arms where it is an arm (arms): what any of them answers decides what it sees",
    "all": "learns from the rows of all arms where it is an arm, and from those mirrored to it where it is a shadow (all)",
}
STATIC = "does not learn while it serves"
NO_TARGET = "no target column was named: labels are learnt as they come, and learning was not tried"
RANDOM = (
    "learning the same rows twice, the second time with a pause to save and load it, made two different models: a replay cannot be exact;"
    " give it a seed, and keep in it only what a pickle keeps"
)

TRIED = 100
"""Rows of the sample that are learnt on trial."""


class _Lesson(NamedTuple):
    """One labelled row of the sample; `label` is None where none is needed."""

    row: Row
    label: Label | None


def from_river(source: Source, model: Any, table: Sample | None, target: str | None, learning: Learning) -> Draft:
    """The draft of a River model, trained or not. Raises Rejected where it cannot be kept, served or taught, Invalid on what is asked."""
    asked = RiverModel(model)
    if table is None:
        raise Rejected("a River model does not say which features it takes: give a sample, and name its column of true values as target")
    chosen, _ = samples.select(table, names=None, count=None, target=target)
    signature = Signature(infer(chosen.columns), TASKS[asked.kind], None, target)
    _check_features(asked.kind, signature.features)
    code = None if source.code is None else factory.module_name(source.code)
    card = _taught_as(RiverCard(kind=asked.kind, label=_label(table, target, asked.kind), code=code), learning, model)
    data = factory.dump(model)
    rows = chosen.rows()
    outputs = whole(RiverRuntime(model, signature), rows)
    kept = _Kept(data, card, source.code, signature)
    apart = largest(outputs, whole(kept.runtime(), rows))
    if not apart <= SAME:
        raise ModelFailed(f"saved and loaded again it answers otherwise (difference {apart:.3g})")
    notes = [STATIC]
    if card.settings is not None:
        notes = [LEARNS[card.settings.learns_from], *_try(kept, _lessons(table, target, asked.kind, rows))]
    return Draft(data, "river", None, None, SAME, signature, chosen, outputs, notes, card)


class _Kept(NamedTuple):
    """The model as it will be stored."""

    data: bytes
    card: RiverCard
    code: bytes | None
    signature: Signature

    def model(self) -> Any:
        return self._revive(self.data)

    def again(self, model: Any) -> Any:
        """The model saved and loaded."""
        return self._revive(factory.dump(model))

    def runtime(self) -> RiverRuntime:
        return RiverRuntime(self.model(), self.signature)

    def _revive(self, data: bytes) -> Any:
        return factory.revive(data, self.card.code, self.code)


def _taught_as(card: RiverCard, learning: Learning, model: Any) -> RiverCard:
    """The card with the settings of its learning, once they are found to do."""
    if learning == "off":
        return card
    settings = learning or LearnerSettings()
    checks.check(settings, card, model)
    return replace(card, settings=settings)


def _check_features(kind: RiverKind, given: Sequence[Feature]) -> None:
    if not given and kind != "forecaster":
        raise Invalid("sample: expected a column beside the target: what the model is asked about", field="sample")
    for feature in given:
        if kind == "forecaster" and feature.name == HORIZON and (feature.kind != "int" or (feature.minimum or 0) < 1):
            raise Invalid(f"sample: column {HORIZON!r} says how many steps ahead is asked: expected integers of at least 1", field=HORIZON)


def _label(table: Sample, target: str | None, kind: RiverKind) -> Kind | None:
    """The kind of the target column."""
    if target is None:
        return None
    found = infer({target: table.columns[target]})[0].kind
    if kind in ("regressor", "forecaster") and found == "str":
        raise Invalid(f"target: a {kind} learns numbers, and column {target!r} holds text", field="target")
    return found


def _lessons(table: Sample, target: str | None, kind: RiverKind, rows: Sequence[Row]) -> list[_Lesson]:
    """The first rows that can be learnt: those with a label, or any where none is needed."""
    if target is None:
        return [_Lesson(row, None) for row in rows[:TRIED]] if kind == "anomaly" else []
    told = table.columns[target]
    given = rows if len(rows) == len(told) else [()] * len(told)  # a series without further columns
    return [_Lesson(row, label) for row, label in zip(given, told, strict=True) if label is not None][:TRIED]


def _try(kept: _Kept, lessons: Sequence[_Lesson]) -> list[str]:
    """Notes on how learning went; raises Rejected where the first row cannot be learnt, or what has learnt cannot be pickled."""
    if not lessons:
        return [NO_TARGET]
    first, second = _taught(kept, [lessons]), _taught(kept, [lessons[: len(lessons) // 2], lessons[len(lessons) // 2 :]])
    factory.dump(first)
    notes = [] if fingerprint(first) == fingerprint(second) else [RANDOM]
    # Asked as well: some models make on demand what they answer from, and that may be what cannot be pickled.
    try:
        whole(RiverRuntime(first, kept.signature), [lesson.row for lesson in lessons])
    except ModelFailed as error:
        notes.append(f"having learnt {len(lessons)} rows of the sample: {error.message}")
    factory.dump(first)
    return notes


def _taught(kept: _Kept, parts: Sequence[Sequence[_Lesson]]) -> Any:
    """A copy that has learnt the parts one after the other; between them it is saved and loaded, as a learner goes on elsewhere."""
    model = kept.model()
    _teach(kept, model, parts[0], first=True)
    for part in parts[1:]:
        model = kept.again(model)
        _teach(kept, model, part, first=False)
    return model


def _teach(kept: _Kept, model: Any, lessons: Sequence[_Lesson], *, first: bool) -> None:
    """Teach the lessons but for those that the model cannot learn: as a learner leaves them out."""
    taught, truth, read = RiverModel(model), labels.reader(kept.card), row_reader(kept.signature)
    for place, lesson in enumerate(lessons):
        try:
            taught.learn(read(lesson.row), None if lesson.label is None else truth(lesson.label))
        except BaseException as error:  # whatever a model raises is its failure
            why = reason(error)
            if first and place == 0:
                raise Rejected(f"it cannot learn the sample's first labelled row: {why}") from error
