"""From the journal to lessons: labels joined with the features as served, in journal order, each row once.

What a lesson is follows from the journal, the plans and the version's card alone: whoever reads the same entries gets the same lessons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from core.errors import Invalid, NotFound
from core.events import FALLBACK, FORCED, PINNED, Example, Observed, Predicted, Restored
from core.ids import Address, VersionId, format_prediction_id, parse_prediction_id
from core.values import Label, Position
from experiments.metric import LABEL
from flows.follow import event_of
from flows.known import Known
from flows.learning import checkpoints
from flows.learning.checkpoints import Checkpoints, Stored
from flows.learning.labelled import Labelled, Seen
from flows.learning.recent import Recent
from flows.serving import inputs_of
from journal.reader import Entry
from models.learner.learner import Lesson
from models.learner.river_model import row_reader
from models.learner.settings import LearnerSettings
from models.signature import Signature
from routing.plan import CONTROL, Plan
from routing.splitter import mirrors
from store.engine import Store

_HEAD = Struct(">BBBBd")
"""The front of every event: a short array, its tag, one character, and `at`, a float of 8 bytes."""
_CHARACTER, _FLOAT = 0xA1, 0xCB
_PREDICTED, _OBSERVED, _EXAMPLE, _RESTORED = b"poxr"
_READ = frozenset((_OBSERVED, _EXAMPLE, _RESTORED))


class Counts(msgspec.Struct):
    """What came of the labels that gave no lesson, and how many forced rows gave one.

    `late`: later after the prediction than is waited for. `duplicates`: of a row, or an example, that had its label. `unknown`: of no
    prediction that the journal holds. `expired`: of a segment whose labels are not waited for any more. `unfit`: of an endpoint whose
    rows have no place for a feature of the version, or of a row or an example that lacks one which the version must have.
    """

    late: int = 0
    duplicates: int = 0
    unknown: int = 0
    expired: int = 0
    unfit: int = 0
    forced: int = 0


class Subject(NamedTuple):
    """For whom lessons are made: rows are chosen as the learner of `version` does, which `can_read` a label, and cut to `signature`."""

    version: VersionId
    settings: LearnerSettings
    can_read: Callable[[Label], bool]
    signature: Signature


class Progress(msgspec.Struct):
    """What lessons know beside the labelled rows, kept with each snapshot. `at` is journal time, `begun_at` that at
    `begun`, where the learner began; `floor`, `floor_at` and `ends` are those of `Labelled`; `stored` is that of `Checkpoints`.
    """

    begun: tuple[int, int]
    begun_at: float
    at: float
    segment: int
    floor: int
    floor_at: float
    ends: dict[int, float]
    counts: Counts
    stored: Stored


class _Place(NamedTuple):
    """How the rows of one plan concern the version. `columns`: where its features stand; `mirrors`: its shadows there."""

    columns: tuple[int, ...] | None
    is_arm: bool
    shadows: tuple[str, ...]
    plan: Plan


class Lessons:
    """Turns entries into lessons. `pread` reads a record of the journal by its address.

    Raises OperationalError where the store cannot be read; lessons of the entries before have been given by then.
    """

    def __init__(self, store: Store, subject: Subject, pread: Callable[[Address], bytes], progress: Progress) -> None:
        self._store = store
        self._version, self._settings, self._can_read, self._signature = subject
        self._name = str(subject.version)
        self._names = subject.signature.names
        self._as_river = row_reader(subject.signature)
        self._required = {feature.name for feature in subject.signature.features if not feature.nullable}
        self._recent = Recent(pread)
        self._known = Known()
        self._places: dict[tuple[str, int], _Place | None] = {}
        self._labelled = Labelled(self._settings.late_seconds, progress.floor, progress.floor_at, dict(progress.ends))
        self._examples = Seen(self._settings.late_seconds)
        self.checkpoints = Checkpoints(self._labelled, self._examples, progress.stored)
        self._segment = progress.segment
        self.begun = Position(*progress.begun)
        self._begun_at = progress.begun_at
        self.counts = msgspec.structs.replace(progress.counts)
        self.at = progress.at

    @property
    def progress(self) -> Progress:
        """What is to be kept, to go on from here."""
        labelled = self._labelled
        counts = msgspec.structs.replace(self.counts)
        known = labelled.floor, labelled.floor_at, dict(labelled.ends)
        return Progress(self.begun, self._begun_at, self.at, self._segment, *known, counts, self.checkpoints.stored)

    @property
    def scan_start(self) -> Position:
        """From where `recall` has to see the entries, up to the position that the progress is of."""
        return max(Position(*self.checkpoints.stored.position), Position(self._labelled.floor, 0))

    def recall(self, entries: Iterable[Entry]) -> None:
        """Find out anew which rows have had their label, after the checkpoint is loaded: from all entries from `scan_start` on."""
        now = max(self.checkpoints.stored.at, self._labelled.floor_at)
        for entry in entries:
            tag, at = _look(entry.payload)
            now = max(now, at)
            if tag == _PREDICTED:
                self._recent.keep(entry.address, entry.payload)
            elif tag in (_OBSERVED, _EXAMPLE):
                self._recall(entry.payload, now)

    def read(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Lesson | Restored]]:
        """The lessons of entries that follow those read before, and where the version is to go on from another state."""
        keep = self._recent.keep
        for entry in entries:
            address, payload, _ = entry
            if address[0] != self._segment:
                self._labelled.leave(self._segment, address[0], self.at)
                self._segment = address[0]
            tag, at = _look(payload)
            if at > self.at:
                self.at = at
            if tag == _PREDICTED:
                keep(address, payload)
            elif tag in _READ:
                found = self._read(payload)
                if found is not None:
                    yield entry, found

    def _read(self, payload: bytes) -> Lesson | Restored | None:
        event = event_of(payload)
        if isinstance(event, Observed):
            return self._label(event) if event.metric == LABEL else None
        if isinstance(event, Example):
            return self._example(event) if event.model == self._version.model else None
        if isinstance(event, Restored) and event.version == self._name:
            return event
        return None

    def _label(self, event: Observed) -> Lesson | None:
        named = _named(event)
        if named is None:
            self.counts.unknown += 1
            return None
        address, row = named
        if self._labelled.is_over(address.segment, self.at):
            self.counts.expired += 1
            return None
        prediction = self._recent.get(address)
        if prediction is None or row >= len(prediction.rows):
            self.counts.unknown += 1
            return None
        # One that cannot be read is put aside by the learner, and the right one may still come.
        first = not self._can_read(event.value) or self._labelled.mark(address, row)
        place = self._place(prediction)
        return None if place is None else self._lesson(event, address, row, prediction, place, first=first)

    def _lesson(self, event: Observed, address: Address, row: int, prediction: Predicted, place: _Place, *, first: bool) -> Lesson | None:
        if not first:
            self.counts.duplicates += 1
            return None
        if event.at - prediction.at > self._settings.late_seconds:
            self.counts.late += 1
            return None
        if place.columns is None:
            self.counts.unfit += 1
            return None
        values = prediction.rows[row]
        x = self._as_river([values[column] for column in place.columns])
        # Another arm may do without: asked for this row, the version itself would refuse it.
        if not self._required <= x.keys():
            self.counts.unfit += 1
            return None
        if prediction.flags & FORCED:
            self.counts.forced += 1
        arm = CONTROL if prediction.flags & FALLBACK else prediction.arm
        taught = self._is_taught(address, prediction, place)
        return Lesson(event.at, x, event.value, f"{prediction.endpoint}/{arm}", prediction.outputs[row], taught)

    def _is_taught(self, address: Address, prediction: Predicted, place: _Place) -> bool:
        """By what answered and not by what was assigned: a row that control answered in the version's stead is control's."""
        declared = self._settings.learns_from
        if prediction.version == self._name or (declared != "own" and place.is_arm):
            return True
        if declared != "all" or prediction.flags & PINNED:
            return False
        id_ = format_prediction_id(address)
        return any(mirrors(prediction.endpoint, name, place.plan.shadows[name], id_) for name in place.shadows)

    def _example(self, event: Example) -> Lesson | None:
        if event.id is not None and not self._examples.mark(event.id, self.at):
            self.counts.duplicates += 1
            return None
        x = self._as_river(map(event.features.get, self._names))
        if not self._required <= x.keys():
            self.counts.unfit += 1
            return None
        return Lesson(event.at, x, event.label, "", None, True)

    def _place(self, prediction: Predicted) -> _Place | None:
        """None where the plan does not name the version."""
        key = prediction.endpoint, prediction.plan
        if key not in self._places:
            with self._store.read() as connection:
                self._places[key] = self._look_up(connection, *key)
        return self._places[key]

    def _look_up(self, connection: sa.Connection, endpoint: str, number: int) -> _Place | None:
        try:
            plan = self._known.plan(connection, endpoint, number)
        except NotFound:
            return None
        is_arm = self._name in plan.versions
        shadows = tuple(name for name, shadow in plan.shadows.items() if shadow.version == self._name)
        if not is_arm and not shadows:
            return None
        inputs = inputs_of(plan, lambda version: self._known.card(connection, version).signature)
        places = {name: place for place, name in enumerate(inputs.names)}
        fits = all(name in places for name in self._names)
        return _Place(tuple(places[name] for name in self._names) if fits else None, is_arm, shadows, plan)

    def _recall(self, payload: bytes, now: float) -> None:
        event = event_of(payload)
        if isinstance(event, Example):
            if event.model == self._version.model and event.id is not None:
                self._examples.mark(event.id, now)
        elif isinstance(event, Observed) and event.metric == LABEL and (named := _named(event)) is not None:
            address, row = named
            # As when it was read for the first time: a label under a false id, or one that cannot be read, marks nothing.
            if address.segment >= self._labelled.floor and self._can_read(event.value) and self._holds(address, row):
                self._labelled.mark(address, row)

    def _holds(self, address: Address, row: int) -> bool:
        if not row:
            return self._recent.holds(address)
        prediction = self._recent.get(address)
        return prediction is not None and row < len(prediction.rows)


def begin(position: Position, at: float) -> Progress:
    """The progress of a learner that begins at `position`, where journal time is `at`."""
    return Progress(position, at, at, position.segment, position.segment, at, {}, Counts(), checkpoints.nothing(position, at))


def time_of(entry: Entry) -> float:
    """When the event of the entry came; 0 where it is none that can be read."""
    return _look(entry.payload)[1]


def _look(payload: bytes) -> tuple[int, float]:
    """The tag and the time of an event without decoding it; 0 where it is none that matters here."""
    if len(payload) < _HEAD.size:
        return 0, 0.0
    _, kind, tag, mark, at = _HEAD.unpack_from(payload)
    if kind == _CHARACTER and mark == _FLOAT:
        return tag, at
    event = event_of(payload)  # an array of 16 fields or more has a longer front
    return (0, 0.0) if event is None else (ord(event.__struct_config__.tag), event.at)  # type: ignore[arg-type]


def _named(event: Observed) -> tuple[Address, int] | None:
    try:
        address, row = parse_prediction_id(event.prediction or "")
    except Invalid:
        return None
    return address, row or 0
