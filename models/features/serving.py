"""Features filled in at prediction time: the views that are open, and what a request has left out.

For the thread of the hub: a look-up is a few microseconds in a file that is already open, and waits for nobody. A request holds its views
from beginning to end, so all its rows see one generation of each. A table never changes inside a generation; of a stream each row is
looked up in what was published last.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from core.errors import Invalid, Unavailable
from core.values import Value
from models.features.declaration import UNIT, View, blanks
from models.features.table import Table, key_text

_log = logging.getLogger("tiltyard.features")


class OpenView:
    """One generation of a view, open. `table` is None where there is nothing to look up yet.

    `as_of` is when what it serves was true: of a stream it moves on, as whoever opened the view finds out. `failed` are the look-ups that
    the request at hand could not make, `uncounted` those of all requests since they were counted last.
    """

    __slots__ = ("_said", "as_of", "blanks", "failed", "generation", "table", "uncounted", "view")

    def __init__(self, view: View, generation: int, table: Table | None, as_of: float | None) -> None:
        self.view = view
        self.generation = generation
        self.table = table
        self.as_of = as_of
        self.blanks = blanks(view)
        self.failed = self.uncounted = 0
        self._said = ""

    def told(self, now: float) -> dict[str, Any]:
        """What an answer says of it: no age where a row could not be looked up."""
        age = None if self.failed else age_of(self.as_of, now)
        return {"age_seconds": None if age is None else round(age, 3), "generation": self.generation}

    def fail(self, error: sqlite3.Error) -> None:
        """A look-up could not be made."""
        self.failed += 1
        self.uncounted += 1
        self.note(f"cannot be read: {error}")

    def note(self, what: str) -> None:
        """Log what is wrong with it, once until something else is."""
        if what != self._said:
            self._said = what
            _log.warning("feature view %s, generation %s: %s", self.view.view, self.generation, what)


def age_of(as_of: float | None, now: float) -> float | None:
    """Seconds since what a view serves was true; None where it serves nothing yet."""
    return None if as_of is None else max(0.0, now - as_of)


def why_stale(view: View, as_of: float | None, now: float) -> str | None:
    """Why what it serves is too old, None where it is not. What is as far ahead of this clock cannot be known to be younger."""
    most = view.max_age_seconds
    if most is None:
        return None
    if as_of is None:
        return "serves nothing yet"
    if now - as_of > most:
        return "is older than its declared maximum age"
    return "is ahead of this clock by more than its declared maximum age" if as_of - now > most else None


class Beside(NamedTuple):
    """What a request says beside its rows."""

    unit: str | None
    context: Mapping[str, Value]


class _Filled:
    """What one view fills in at one endpoint: those of its features that the endpoint's inputs have."""

    __slots__ = ("_blanks", "_defaults", "_open", "_pick", "key", "name", "names", "needed")

    def __init__(self, view: OpenView, inputs: Sequence[str]) -> None:
        self._open = view
        self.name, self.key = view.view.view, view.view.key
        self.names = tuple(name for name in view.view.features if name in inputs)
        self.needed = frozenset(self.names)
        self._blanks = {name: view.blanks[name] for name in self.names}
        self._defaults = {name: value for name, value in self._blanks.items() if name in view.view.defaults}
        self._pick = _picker([] if view.table is None else [view.table.names.index(name) for name in self.names])

    def features(self, key: str | None, now: float) -> Mapping[str, Value]:
        """The values of the entity; raises Unavailable where they are too old and that is an error."""
        view = self._open
        stale = why_stale(view.view, view.as_of, now)
        if stale is not None:
            view.note(stale)
            return self._without(stale)
        if view.table is None or key is None:
            return self._blanks
        try:
            values = view.table.values(key)
        except sqlite3.Error as error:
            view.fail(error)
            return self._without("cannot be read at this moment")
        if values is None:
            return self._blanks
        found = dict(zip(self.names, self._pick(values), strict=True))
        for name, value in self._defaults.items():
            if found[name] is None:
                found[name] = value
        return found

    def _without(self, why: str) -> Mapping[str, Value]:
        if self._open.view.on_stale == "error":
            raise Unavailable(f"feature view {self.name} {why}", code="features-stale")
        return self._blanks

    def key_of(self, row: Mapping[str, Any], where: str, beside: Beside) -> str | None:
        """The entity that a row is about; raises Invalid where the row does not say it, None where it says that it knows none."""
        if self.key == UNIT:
            return beside.unit
        value = row[self.key] if self.key in row else beside.context.get(self.key, beside)
        if value is None or isinstance(value, str | int | float):
            return key_text(value)
        lacking = ", ".join(name for name in self.names if name not in row)
        expected = f"a text or a number, by which the view {self.name} knows {lacking}; it stands in the row or in the context"
        raise Invalid(f"{where}.{self.key}: expected {expected}", field=f"{where}.{self.key}")


class Filler:
    """What the views of an endpoint fill in where its inputs are `inputs`."""

    def __init__(self, views: Sequence[OpenView], inputs: Sequence[str]) -> None:
        self.views = tuple(views)
        self._filled = [filled for filled in (_Filled(view, inputs) for view in views) if filled.names]
        self.keys = frozenset(view.view.key for view in views) - {UNIT}
        """What names entities in a row, whether a model takes it or not."""
        self._extra = sorted(self.keys - set(inputs))

    def fill(self, features: Any, instances: Any, beside: Beside, now: float) -> tuple[Any, Any]:
        """The rows of a request with what the views know of them. A row that is a list says all itself; a client's own value wins.

        Raises Invalid where a row needs a view and does not say of which entity, Unavailable where a view is too old and that is an error.
        """
        for view in self.views:
            view.failed = 0
        if type(features) is dict:
            features = self._row(features, "features", beside, now)
        if type(instances) is list:
            instances = [
                self._row(row, f"instances[{index}]", beside, now) if type(row) is dict else row for index, row in enumerate(instances)
            ]
        return features, instances

    def told(self, now: float) -> dict[str, dict[str, Any]]:
        """What the answer to the request that was filled in last says of the views: age in seconds and generation."""
        return {view.view.view: view.told(now) for view in self.views}

    def explained(self, error: Invalid, features: Any, instances: Any, beside: Beside) -> Invalid:
        """The same error of a row; where it is about a value that a view filled in, it says which view and entity."""
        rows = {"features": features} if instances is None else {f"instances[{place}]": row for place, row in enumerate(instances)}
        where = next((where for where in rows if f"{error.field}".startswith(f"{where}.")), None)
        if where is None or type(rows[where]) is not dict:
            return error
        row, name = rows[where], f"{error.field}"[len(where) + 1 :]
        for filled in self._filled:
            if name in filled.needed and name not in row:
                entity = filled.key_of(row, where, beside)
                said = f"{error.message} from the view {filled.name} for {filled.key} {entity!r}; declare a default for {name}, or send it"
                return Invalid(said, field=error.field)
        return error

    def _row(self, given: dict[str, Any], where: str, beside: Beside, now: float) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for filled in self._filled:
            if not filled.needed <= given.keys():
                row.update(filled.features(filled.key_of(given, where, beside), now))
        row.update(given)
        for name in self._extra:
            row.pop(name, None)
        return row


def _picker(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """`itemgetter` that always answers a tuple, for one place as well."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)
